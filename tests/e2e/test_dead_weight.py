"""What small churn leaves behind: thirty daily backups, a week of them kept, against a fresh repository and restic.

Every day other files change, drawn evenly: the worst case for bundles, each of which loses a little every day. Where the
same files change again and again their bundles die whole.
"""
import random
import shutil
import unittest

import firnlib
from firnlib import LEVEL, MIB

SEED = 730
FILES = {"quick": 1500, "normal": 4000, "long": 40000}[LEVEL]
DAYS, KEPT, CHURN = 30, 7, 0.02


@firnlib.firn_only
class DeadWeight(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        self.choice = random.Random(SEED)
        self.names = [f"{number % 40:02}/{number % 7}/{number}.txt" for number in range(FILES)]
        for name in self.names:
            self.change(name)
        # A large file of which a little changes every day.
        firnlib.write_random(self.source / "large", SEED, 16 * MIB)

    def change(self, name):
        size = int(min(60_000, max(300, self.choice.lognormvariate(8.5, 1))))
        firnlib.write(self.source / name, firnlib.text_bytes(self.choice.random(), size))

    def day(self, number):
        if number > 0:
            for name in self.choice.sample(self.names, int(FILES * CHURN)):
                self.change(name)
            with open(self.source / "large", "r+b") as large:
                large.seek(self.choice.randrange(16 * MIB - 4096))
                large.write(firnlib.random_bytes((SEED, number), 4096))

    @unittest.skipUnless(shutil.which("restic"), "restic is not installed")
    def test_a_week_of_thirty_days_is_hardly_larger_than_the_week_alone(self):
        print(f"NOTE seed {SEED}", flush=True)
        self.repo.init()
        self.repo.use_key_file()
        peer = firnlib.Repository(self.temp / "restic")
        restic = ["restic", "--repo", peer.path, "--password-file", peer.password_file, "--cache-dir", peer.cache, "-q"]
        firnlib.run([*restic, "init"])
        fresh = firnlib.Repository(self.temp / "fresh")
        fresh.init()
        fresh.use_key_file()
        for number in range(DAYS):
            self.day(number)
            time = f"2026-03-{number + 1:02} 02:00:00"
            self.repo.backup(self.source, "--time", time)
            self.repo.run("forget", "--keep-last", KEPT, "--prune")
            firnlib.run([*restic, "backup", self.source, "--time", time])
            if number >= DAYS - KEPT:
                fresh.backup(self.source, "--time", time)
        self.repo.run("prune", "--max-unused", "0")
        firnlib.run([*restic, "forget", "--keep-last", KEPT, "--prune"])
        ours, best, theirs = self.repo.size_bytes(), fresh.size_bytes(), peer.size_bytes()
        print(f"NOTE stored after {DAYS} days: {ours:,} B; the week alone {best:,} B ({ours / best:.3f}); "
              f"restic {theirs:,} B ({ours / theirs:.3f})", flush=True)
        self.assertEqual(len(self.repo.snapshots()), KEPT)
        self.repo.check("--read-data")
        self.assert_restores_exactly()
        # 1.125 was measured with 4,000 files.
        self.assertLessEqual(ours, 1.15 * best)
        self.assertLessEqual(ours, theirs)


if __name__ == "__main__":
    firnlib.main()
