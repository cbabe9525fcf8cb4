"""forget, prune, repair, tag and copy in buckets of real servers: what they free, what they leave, what is locked."""
import s3lib
from s3lib import firnlib
from firnlib import MIB


class OnVersitygw(s3lib.TestCase):
    kind = "versitygw"

    def three_snapshots(self):
        firnlib.write(self.source / "stays", firnlib.random_bytes(1, 2 * MIB))
        self.repo.init("--pack-size", "1M")
        for number in range(3):
            firnlib.write(self.source / "changes", firnlib.random_bytes(10 + number, 2 * MIB))
            self.repo.backup(self.source)

    def summary(self, *command, code=0):
        return self.repo.run(*command, "--json", code=code).lines("summary")[-1]

    def assert_all_is_well(self):
        self.repo.check("--read-data")
        self.assert_restores_exactly()

    def key_of(self, name):
        return f"repository/{name}" if not name.startswith("repository/") else name

    def test_forget_and_prune_free_what_nobody_needs(self):
        self.three_snapshots()
        before = self.repo.size_bytes()
        self.repo.run("forget", "--keep-last", "1")
        waiting = self.summary("prune", "--max-unused", "0")
        self.assertEqual(waiting["packs_deleted"], 0, "a bucket's readers get a day")
        self.assertGreater(waiting["packs_waiting"], 0)
        self.assert_all_is_well()
        self.assertGreater(self.summary("prune", "--max-unused", "0", "--delete-after", "0")["bytes_deleted"], 3 * MIB)
        self.assertLess(self.repo.size_bytes(), before - 3 * MIB)
        self.assertEqual(self.summary("prune", "--max-unused", "0", "--dry-run")["blobs"]["unused"], 0)
        self.assert_all_is_well()

    def test_a_lost_index_and_a_damaged_pack_are_repaired(self):
        self.three_snapshots()
        client = self.server.client()
        for name in self.repo.objects("index"):
            client.delete(self.repo.bucket, self.key_of(name))
        self.repo.check(code=1)
        self.assertGreater(self.summary("repair", "index")["packs_added"], 3)
        self.assert_all_is_well()
        name = max(self.repo.sizes("data").items(), key=lambda item: item[1])[0]
        damaged = bytearray(client.get(self.repo.bucket, self.key_of(name)))
        damaged[len(damaged) // 2] ^= 1
        client.put(self.repo.bucket, self.key_of(name), bytes(damaged))
        self.assertIn(name.rsplit("/", 1)[1], self.repo.check("--read-data", code=1).err)
        self.assertEqual(self.summary("repair", "packs", code=1)["packs_damaged"], 1)
        self.repo.run("repair", "snapshots", "--forget")
        self.repo.run("prune", "--delete-after", "0")
        self.repo.check("--read-data")

    def test_copies_and_mirrors_restore_exactly(self):
        self.three_snapshots()
        self.repo.run("tag", "--add", "kept", "latest")
        for number, flags in enumerate(((), ("--mirror",))):
            with self.subTest(flags=flags):
                other = s3lib.KeyFileRepository(self.temp / f"other-{number}", self.server)
                if flags:
                    other.key_file = self.repo.key_file
                else:
                    other.init()
                other.run("copy", "--from-repo", self.repo.path, "--from-key-file", self.repo.key_file, *flags)
                other.check("--read-data")
                self.assertEqual(len(other.snapshots()), 3)
                other.restore(self.temp / f"t{number}")
                self.assert_same(self.source, self.restored(f"t{number}"))

    def test_what_is_locked_stays_readable_through_forget_and_prune(self):
        headers = {"x-amz-bucket-object-lock-enabled": "true"}
        try:
            self.repo.bucket = self.server.new_bucket(**headers)
        except AssertionError as reason:
            self.skipTest(f"{self.kind} makes no bucket with object lock: {reason}")
        self.repo.path = self.server.location(self.repo.bucket, "repository")
        lock = ("-o", "s3.object-lock-mode=GOVERNANCE", "-o", "s3.object-lock-days=1")
        firnlib.write(self.source / "file", firnlib.random_bytes(3, 2 * MIB))
        self.repo.init(*lock)
        self.repo.backup(*lock, self.source)
        firnlib.write(self.source / "file", firnlib.random_bytes(4, 2 * MIB))
        self.repo.backup(*lock, self.source)
        self.repo.run("forget", *lock, "--keep-last", "1")
        self.repo.run("prune", *lock, "--max-unused", "0", "--delete-after", "0")
        self.assert_all_is_well()
        self.assertEqual(len(self.repo.snapshots()), 1)


class OnRgw(OnVersitygw):
    kind = "rgw"


if __name__ == "__main__":
    s3lib.main()
