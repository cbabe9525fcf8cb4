"""Four backups and two prunes at once, again and again, while snapshots are forgotten; then everything restores.

Nothing here is timed: the run has a length (a quarter of a minute; ten minutes with --long), and what it did is
printed. Every backup leaves a copy of its source, so that each snapshot is held against what it was made of.
"""
import pathlib
import random
import shutil
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import firnlib  # noqa: E402
from firnlib import LEVEL  # noqa: E402

SECONDS = {"quick": 8, "normal": 15, "long": 600}[LEVEL]
WRITERS, PRUNERS = 4, 2
SEED = 7


@firnlib.firn_only
@firnlib.on_every_store
class Beside(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        self.repo.init("--pack-size", "1M")
        self.repo.use_key_file()
        self.lock = threading.Lock()
        self.made = {}  # snapshot → copy of its source
        self.forgotten = set()
        self.prunes = {0: 0, 1: 0}  # exit code → how many
        self.broken = []

    def over(self):
        return self.broken or time.monotonic() > self.end

    def guarded(self, work, number):
        try:
            while not self.over():
                work(number)
        except Exception as error:  # pylint: disable=broad-except
            self.broken.append(f"{work.__name__} {number}: {error}")

    def back_up(self, number):
        choice = random.Random((SEED, number, len(self.made)).__repr__())
        source = self.source / f"writer-{number}"
        for _ in range(6):
            # Contents are drawn from few, so that writers, the living and the forgotten share chunks.
            content = firnlib.random_bytes(choice.randrange(40), choice.choice((300, 4000, 200_000)))
            firnlib.write(source / f"file-{choice.randrange(12)}", content)
        done = self.repo.run("backup", "--json", source)
        snapshot = done.lines("summary")[-1]["snapshot_id"]
        copy = self.temp / "copies" / snapshot
        shutil.copytree(source, copy)
        with self.lock:
            self.made[snapshot] = copy

    def prune(self, _number):
        # A run that another one fenced ends with an error and a message.
        done = self.repo.run("prune", "--max-unused", "0", "--delete-after", "0", code={0, 1})
        assert done.code == 0 or done.err.strip(), done
        with self.lock:
            self.prunes[done.code] += 1

    def forget(self, number):
        time.sleep(0.5)
        with self.lock:
            left = sorted(set(self.made) - self.forgotten)
            chosen = random.Random((SEED, number, len(left)).__repr__()).sample(left, len(left) // 3)
            self.forgotten.update(chosen)
        if chosen:
            self.repo.run("forget", *chosen)
        for snapshot in chosen:
            shutil.rmtree(self.made[snapshot])

    def test_backups_beside_prunes(self):
        self.end = time.monotonic() + SECONDS
        threads = [threading.Thread(target=self.guarded, args=(work, number)) for work, count in (
            (self.back_up, WRITERS), (self.prune, PRUNERS), (self.forget, 1)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.broken, [])
        self.repo.check("--read-data")
        kept = set(self.made) - self.forgotten
        self.assertEqual({one["id"] for one in self.repo.snapshots()}, kept)
        for snapshot in sorted(kept):
            target = self.temp / "restored"
            self.repo.restore(target, snapshot)
            (source,) = pathlib.Path(f"{target}{self.source}").iterdir()
            files = {path.name: path.read_bytes() for path in source.iterdir()}
            self.assertEqual(files, {path.name: path.read_bytes() for path in self.made[snapshot].iterdir()}, snapshot)
            firnlib.remove_tree(target)
        self.assertGreater(self.prunes[0], 0)
        print(f"NOTE {len(self.made)} backups by {WRITERS} writers, {len(self.forgotten)} forgotten, "
              f"{self.prunes[0]} prunes ended and {self.prunes[1]} were told to begin anew, {SECONDS} s", flush=True)


if __name__ == "__main__":
    firnlib.main()
