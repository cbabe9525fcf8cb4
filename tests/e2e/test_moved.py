"""Small files that were moved or copied are not stored again, and restore as they are."""
import shutil

import firnlib


@firnlib.firn_only
class Moved(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        for number in range(200):
            firnlib.write(self.source / "old" / f"{number:03}", firnlib.random_bytes(number, 5000))
        self.repo.init()
        self.repo.use_key_file()
        self.repo.backup(self.source)

    def stored_by_a_backup(self):
        """Of contents: the tree is written anew."""
        before = self.repo.size_bytes("data")
        self.repo.backup(self.source)
        self.assert_restores_exactly()
        return self.repo.size_bytes("data") - before

    def test_moved_files(self):
        (self.source / "old").rename(self.source / "new")
        self.assertEqual(self.stored_by_a_backup(), 0)

    def test_copied_files(self):
        shutil.copytree(self.source / "old", self.source / "copy")
        self.assertEqual(self.stored_by_a_backup(), 0)

    def test_files_that_were_moved_twice_and_then_changed(self):
        for name in ("new", "newer"):
            next(iter(self.source.iterdir())).rename(self.source / name)
            self.assertEqual(self.stored_by_a_backup(), 0)
        firnlib.write(self.source / "newer/000", firnlib.random_bytes("other", 5000))
        self.assertLess(self.stored_by_a_backup(), 20_000)

    def test_a_cache_that_was_lost_costs_space_only(self):
        (self.source / "old").rename(self.source / "new")
        firnlib.remove_tree(self.repo.cache)
        self.assertGreater(self.stored_by_a_backup(), 900_000)

    def test_what_was_forgotten_and_pruned_is_stored_again(self):
        (self.source / "old").rename(self.temp / "aside")
        self.repo.backup(self.source)
        (self.temp / "aside").rename(self.source / "new")
        self.repo.run("forget", "--keep-last", "1")
        self.repo.run("prune", "--max-unused", "0")
        self.assertGreater(self.stored_by_a_backup(), 900_000)


if __name__ == "__main__":
    firnlib.main()
