"""Damage as a user meets it: what is named, what still works, and that nothing older is passed off as the newest."""
import firnlib


@firnlib.firn_only
class NewestSnapshot(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        firnlib.write(self.source / "first", "first " * 1000)
        self.repo.init()
        self.old = self.repo.backup(self.source)["snapshot_id"]
        before = set(self.repo.objects("snapshots"))
        firnlib.write(self.source / "second", "second " * 1000)
        self.repo.backup(self.source)
        self.newest = (set(self.repo.objects("snapshots")) - before).pop()
        damaged = bytearray(self.newest.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        self.newest.chmod(0o600)
        self.newest.write_bytes(damaged)
        firnlib.remove_tree(self.repo.cache)  # which holds what this machine stored itself, whole
        self.name = str(self.newest.relative_to(self.repo.path))

    def test_latest_is_not_quietly_an_older_one(self):
        done = self.repo.restore(self.temp / "t", code=1)
        self.assertIn(f"because {self.name} does not decrypt", done.err)
        self.assertIn("by its id", done.err)
        self.assertFalse((self.temp / "t").exists() and any((self.temp / "t").iterdir()))

    def test_the_others_are_listed_and_restored(self):
        listed = self.repo.run("snapshots", code=1)
        self.assertIn(self.old[:8], listed.out)
        self.assertEqual(listed.err.count(self.name), 1, listed)
        self.repo.restore(self.temp / "t", self.old)
        (self.source / "second").unlink()
        restored = self.restored("t")
        self.assertEqual((restored / "first").read_bytes(), (self.source / "first").read_bytes())
        self.assertFalse((restored / "second").exists())

    def test_check_names_it(self):
        self.assertIn(self.name, self.repo.check(code=1).err)

    def test_a_new_backup_succeeds(self):
        saved = self.repo.backup(self.source)["snapshot_id"]
        self.assert_restores_exactly(saved)


if __name__ == "__main__":
    firnlib.main()
