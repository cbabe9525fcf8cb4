"""Full disks and read-only places: a message that names the place, the documented exit code, and nothing lost."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import sys

import firnlib
from firnlib import MIB


@firnlib.needs_root
class Full(firnlib.TestCase):
    def assert_told(self, done, *words):
        self.assertTrue(done.err.strip(), done)
        for word in words:
            self.assertIn(word.lower(), done.err.lower())
        self.assertNotIn("terminate called", done.err)

    def test_a_full_repository_is_told_and_works_again_with_more_room(self):
        firnlib.mixed_tree(self.source, seed=21)
        store = self.temp / "small"
        with firnlib.mounted(store, "tmpfs", 64 * MIB):
            self.repo = firnlib.Repository(store)
            self.repo.cache = self.temp / "cache"
            self.repo.init()
            kept = self.repo.backup(self.source)["snapshot_id"]
            firnlib.write_random(self.source / "too large", 21, 100 * MIB)
            self.assert_told(self.repo.run("backup", self.source, code=1), "No space left")
            self.repo.check("--read-data")
            self.assertEqual([snapshot["id"] for snapshot in self.repo.snapshots()], [kept])
            firnlib.run(["mount", "-o", f"remount,size={400 * MIB}", store])
            self.repo.backup(self.source)
            self.repo.check("--read-data")
            self.assert_restores_exactly()

    def test_a_full_target_is_told_and_the_restore_can_be_repeated(self):
        firnlib.mixed_tree(self.source, seed=22)
        firnlib.write_random(self.source / "large", 22, 60 * MIB)
        self.repo.init().backup(self.source)
        target = self.temp / "target"
        with firnlib.mounted(target, "tmpfs", 32 * MIB):
            self.assert_told(self.repo.restore(target, code=1), "No space left")
            firnlib.run(["mount", "-o", f"remount,size={200 * MIB}", target])
            self.repo.restore(target)
            self.assert_same(self.source, self.restored("target"))

    @firnlib.firn_only
    def test_a_full_cache_costs_speed_at_most(self):
        firnlib.mixed_tree(self.source, seed=23, files=200)
        self.repo.init()
        cache = self.temp / "tiny"
        with firnlib.mounted(cache, "tmpfs", 256 * 1024):
            self.repo.cache = cache
            for _ in range(2):
                done = self.repo.run("backup", self.source, code={0, 1})
                if done.code == 1:
                    self.assert_told(done, str(cache))
            self.repo.cache = self.temp / "cache"
            self.repo.backup(self.source)
            self.repo.check("--read-data")
            self.assert_restores_exactly()


@firnlib.needs_root
class ReadOnly(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        firnlib.mixed_tree(self.source, seed=24, files=20)
        self.repo.init().backup(self.source)

    @contextlib.contextmanager
    def read_only(self, folder):
        firnlib.run(["mount", "--bind", folder, folder])
        try:
            firnlib.run(["mount", "-o", "remount,bind,ro", folder])
            yield
        finally:
            firnlib.run(["umount", folder])

    def test_reading_commands_work_on_a_read_only_repository(self):
        options = ["--no-lock"] if firnlib.IS_STAND_IN else []
        with self.read_only(self.repo.path):
            for command in (["snapshots"], ["ls", "latest"], ["check", "--read-data"], ["stats"], ["cat", "config"],
                            ["list", "packs"], ["key", "list"], ["dump", "latest", self.source / "empty"],
                            ["restore", "latest", "--target", self.temp / "t"]):
                with self.subTest(command=command[0]):
                    self.repo.run(*options, *command)
        self.assert_same(self.source, self.restored("t"))

    def test_reading_commands_change_nothing(self):
        if firnlib.IS_STAND_IN:
            self.skipTest("the stand-in puts locks")
        before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in self.repo.objects()}
        for command in (["snapshots"], ["ls", "latest"], ["check", "--read-data"], ["stats"], ["unlock"],
                        ["restore", "latest", "--target", self.temp / "t"]):
            self.repo.run(*command)
        self.assertEqual({path: (path.stat().st_mtime_ns, path.read_bytes()) for path in self.repo.objects()}, before)

    def test_a_backup_to_a_read_only_repository_is_told(self):
        with self.read_only(self.repo.path):
            done = self.repo.run("backup", self.source, code=1)
        self.assertIn(str(self.repo.path), done.err)

    def test_a_restore_to_a_read_only_target_is_told(self):
        target = self.temp / "locked"
        target.mkdir()
        with self.read_only(target):
            done = self.repo.restore(target, code=1)
        self.assertIn("read-only", done.err.lower())


class Target(firnlib.TestCase):
    """A restore never leaves its target, whatever lies there."""

    def setUp(self):
        super().setUp()
        firnlib.write(self.source / "folder/file", "restored")
        self.repo.init().backup(self.source)

    @firnlib.firn_only
    def test_links_in_the_target_are_not_followed(self):
        outside = self.temp / "outside"
        firnlib.write(outside / "file", "untouched")
        for victim in (self.restored("t") / "folder", self.restored("u")):
            victim.parent.mkdir(parents=True)
            victim.symlink_to(outside)
        for target in ("t", "u"):
            self.repo.restore(self.temp / target, code={0, 1})
            self.assertEqual((outside / "file").read_text(), "untouched")
            self.assertEqual(sorted(path.name for path in outside.iterdir()), ["file"])

    def test_a_file_where_a_directory_belongs_is_replaced_or_told(self):
        firnlib.write(self.restored("t") / "folder", "in the way")
        done = self.repo.restore(self.temp / "t", code={0, 1})
        if done.code == 0:
            self.assert_same(self.source, self.restored("t"))
        else:
            self.assertIn("folder", done.err)

    @firnlib.firn_only
    def test_a_restored_file_does_not_write_through_a_hard_link(self):
        outside = firnlib.write(self.temp / "outside", "untouched")
        (self.restored("t") / "folder").mkdir(parents=True)
        os.link(outside, self.restored("t") / "folder/file")
        self.repo.restore(self.temp / "t")
        self.assertEqual((self.restored("t") / "folder/file").read_text(), "restored")


if __name__ == "__main__":
    firnlib.main()
