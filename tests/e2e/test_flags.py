"""What the flags of backup, restore and snapshots do."""
import os
import shutil

import firnlib
from firnlib import MIB


class Backup(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        firnlib.mixed_tree(self.source, seed=41, files=20)
        self.repo.init()

    def test_time(self):
        self.repo.backup("--time", "2021-03-04 05:06:07", self.source)
        self.assertTrue(self.repo.snapshots()[0]["time"].startswith("2021-03-04T05:06:07"))

    def test_host_and_tags(self):
        self.repo.backup("--host", "elsewhere", "--tag", "a", "--tag", "b,c", self.source)
        snapshot = self.repo.snapshots()[0]
        self.assertEqual((snapshot["hostname"], sorted(snapshot["tags"])), ("elsewhere", ["a", "b", "c"]))

    def test_the_parent_is_the_latest_of_the_same_source(self):
        first = self.repo.backup(self.source)["snapshot_id"]
        other = self.temp / "other"
        firnlib.write(other / "x", "x")
        self.repo.backup(other)
        self.repo.backup(self.source)
        self.assertTrue(self.repo.snapshots()[2]["parent"].startswith(first))

    def test_a_chosen_parent(self):
        first = self.repo.backup(self.source)["snapshot_id"]
        self.repo.backup(self.source)
        self.repo.backup("--parent", first, self.source)
        self.assertTrue(self.repo.snapshots()[2]["parent"].startswith(first))
        self.repo.run("backup", "--parent", "0123456789", self.source, code=1)

    def test_force_reads_everything_and_stores_nothing_twice(self):
        self.repo.backup(self.source)
        forced = self.repo.backup("--force", self.source)
        self.assertEqual(forced["files_unmodified"], 0)
        self.assertLess(forced["data_added"], 200_000)
        self.assert_restores_exactly()

    def test_dry_run_stores_nothing(self):
        self.repo.backup("--dry-run", self.source)
        self.assertEqual(self.repo.snapshots(), [])
        self.assertEqual(self.repo.objects("data"), [])

    @firnlib.firn_only
    def test_skip_if_unchanged(self):
        self.repo.backup(self.source)
        self.repo.run("backup", "--skip-if-unchanged", self.source)
        self.assertEqual(len(self.repo.snapshots()), 1)
        firnlib.write(self.source / "new", "new")
        self.repo.run("backup", "--skip-if-unchanged", self.source)
        self.assertEqual(len(self.repo.snapshots()), 2)

    def test_a_change_that_keeps_size_and_mtime_is_seen_by_its_ctime(self):
        path = firnlib.write(self.source / "sly", "aaaa")
        self.repo.backup(self.source)
        status = path.stat()
        path.write_text("bbbb")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.repo.backup(self.source)
        self.assert_restores_exactly()

    def test_ignore_flags_do_not_read_again_what_only_moved(self):
        self.repo.backup(self.source)
        for path in self.source.rglob("file *"):
            path.chmod(path.stat().st_mode)  # a new ctime
        self.assertEqual(self.repo.backup("--ignore-ctime", self.source)["files_changed"], 0)
        moved = self.temp / "copy"
        firnlib.run(["cp", "-a", self.source, moved])
        firnlib.run(["rm", "-rf", self.source])
        moved.rename(self.source)
        self.assertEqual(self.repo.backup("--ignore-inode", "--ignore-ctime", self.source)["files_changed"], 0)

    @firnlib.firn_only
    def test_with_atime_keeps_it(self):
        path = self.source / "seen"
        firnlib.write(path, "seen")
        os.utime(path, ns=(10**18 + 123456789, 10**18))
        self.repo.backup("--with-atime", self.source)
        self.repo.restore(self.temp / "t")
        self.assertEqual(os.stat(self.restored("t") / "seen").st_atime_ns, 10**18 + 123456789)

    def test_reading_leaves_access_times_alone(self):
        path = firnlib.write_random(self.source / "unread", 41, MIB)
        os.utime(path, ns=(10**18, 10**18))
        if firnlib.IS_STAND_IN or os.geteuid() != 0:
            self.skipTest("needs O_NOATIME")
        self.repo.backup("--force", self.source)
        self.assertEqual(path.stat().st_atime_ns, 10**18)

    def test_snapshot_filters(self):
        for host, tag in (("one", "x"), ("two", "x"), ("two", "y")):
            self.repo.backup("--host", host, "--tag", tag, self.source)
        for flags, count in ((["--host", "two"], 2), (["--tag", "x"], 2), (["--host", "two", "--tag", "y"], 1),
                             (["--path", self.source], 3), (["--path", "/nowhere"], 0), (["--latest", "1"], None)):
            with self.subTest(flags=flags):
                found = self.repo.snapshots(*flags)
                self.assertTrue(found if count is None else len(found) == count, found)
        ids = [snapshot["id"] for snapshot in self.repo.snapshots()]
        self.assertEqual([snapshot["id"] for snapshot in self.repo.snapshots(ids[1][:8])], [ids[1]])


class Restore(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        for name in ("keep.txt", "sub/a.txt", "sub/b.c", "sub/deep/c.txt", "other/d.c"):
            firnlib.write(self.source / name, name * 10)
            os.utime(self.source / name, ns=(10**18, 10**18))
        self.repo.init().backup(self.source)
        self.target = self.temp / "t"

    def files(self, below=None):
        below = below or self.restored("t")
        return sorted(str(path.relative_to(below)) for path in below.rglob("*") if path.is_file())

    def test_include_and_exclude(self):
        cases = [(["--include", "*.c"], ["other/d.c", "sub/b.c"]),
                 (["--include", f"{self.source}/sub"], ["sub/a.txt", "sub/b.c", "sub/deep/c.txt"]),
                 (["--exclude", "*.txt"], ["other/d.c", "sub/b.c"]),
                 (["--exclude", "sub"], ["keep.txt", "other/d.c"])]
        for number, (flags, wanted) in enumerate(cases):
            with self.subTest(flags=flags):
                self.repo.restore(self.temp / f"t{number}", "latest", *flags)
                self.assertEqual(self.files(self.restored(f"t{number}")), wanted)

    def test_a_subpath_is_restored_from_its_inside(self):
        self.repo.restore(self.target, f"latest:{self.source}/sub")
        self.assertEqual(self.files(self.target), ["a.txt", "b.c", "deep/c.txt"])
        shutil.copystat(self.source / "sub", self.target)  # the target itself is not part of what is inside
        self.assert_same(self.source / "sub", self.target)

    @firnlib.firn_only
    def test_overwrite_rules(self):
        for rule, new_wins in (("always", False), ("if-changed", False), ("if-newer", True), ("never", True)):
            with self.subTest(rule=rule):
                target = self.temp / rule
                self.repo.restore(target)
                changed = self.restored(rule) / "keep.txt"
                changed.write_text("mine")  # newer than what is in the snapshot
                self.repo.restore(target, "latest", "--overwrite", rule)
                self.assertEqual(changed.read_text() == "mine", new_wins)

    @firnlib.firn_only
    def test_delete_removes_what_the_snapshot_lacks(self):
        self.repo.restore(self.target)
        firnlib.write(self.restored("t") / "sub/extra", "extra")
        firnlib.write(self.restored("t") / "sub/folder/extra", "extra")
        self.repo.restore(self.target)
        self.assertTrue((self.restored("t") / "sub/extra").exists())
        self.repo.restore(self.target, f"latest:{self.source}", "--delete", "--dry-run")
        self.assertTrue((self.restored("t") / "sub/extra").exists())
        self.repo.restore(self.restored("t"), f"latest:{self.source}", "--delete")
        shutil.copystat(self.source, self.restored("t"))
        self.assert_same(self.source, self.restored("t"))

    def test_verify_passes_on_a_good_restore(self):
        self.repo.restore(self.target, "latest", "--verify")

    @firnlib.firn_only
    def test_dry_run_writes_nothing(self):
        self.repo.restore(self.target, "latest", "--dry-run")
        self.assertFalse(self.target.exists() and any(self.target.iterdir()))

    def test_a_unique_prefix_names_a_snapshot(self):
        self.repo.restore(self.target, self.repo.snapshots()[0]["id"][:8])
        self.assert_same(self.source, self.restored("t"))


class Keys(firnlib.TestCase):
    @firnlib.firn_only
    def test_a_second_password_opens_and_the_first_still_does(self):
        firnlib.write(self.source / "a", "a")
        self.repo.init().backup(self.source)
        second = firnlib.write(self.temp / "second", "another password\n")
        self.repo.run("key", "add", "--new-password-file", second)
        for password in (second, self.repo.password_file):
            self.repo.run("--password-file", password, "restore", "latest", "--target", self.temp / f"opened by {password.name}")

    @firnlib.firn_only
    def test_passwd_changes_what_opens(self):
        firnlib.write(self.source / "a", "a")
        self.repo.init().backup(self.source)
        second = firnlib.write(self.temp / "second", "another password\n")
        self.repo.run("key", "passwd", "--new-password-file", second)
        self.repo.run("snapshots", code=12)
        self.repo.run("--password-file", second, "snapshots")


if __name__ == "__main__":
    firnlib.main()
