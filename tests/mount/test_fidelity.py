"""What a mount shows is the tree that was backed up, to the last byte and attribute, as tools that know nothing of
firn see it."""
import errno
import os
import pathlib
import stat
import sys

import mountlib  # also puts firnlib on the path
import firnlib
from firnlib import MIB

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fidelity"))
import torture  # noqa: E402


@firnlib.on_every_store
class Shown(mountlib.TestCase):
    def test_rsync_between_source_and_mount_is_silent(self):
        firnlib.mixed_tree(self.source, seed=1)
        firnlib.write_random(self.source / "large", 9, 20 * MIB)
        self.repo.init().backup(self.source)
        mount = self.mount()
        self.assert_same(self.source, self.shown(mount))


class Fidelity(mountlib.TestCase):
    def test_everything_that_a_file_system_can_hold(self):
        self.enterContext(firnlib.mounted(self.temp / "source", "xfs", 512 * MIB))
        source = self.temp / "source/tree"
        source.mkdir()
        refused = torture.make(source)
        print(f"NOTE xfs itself refused: {', '.join(refused) or 'nothing'}", flush=True)
        self.repo.init().backup(source)
        mount = self.mount()
        shown = pathlib.Path(f"{mount.path}/snapshots/latest{source}")
        huge, deep = os.fsdecode(torture.HUGE), os.fsdecode(torture.DEEP)
        self.assertEqual(firnlib.tree_differences(source, shown, leave_out=[f"/{huge}", f"/{deep}"]), "")
        self.assertEqual(firnlib.link_groups(source), firnlib.link_groups(shown))
        self.assertEqual(firnlib.find_listing(source), firnlib.find_listing(shown))
        parts = sorted(path.name for path in source.iterdir() if path.name != deep)
        eyes = [firnlib.run(["getfattr", "-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", *parts], cwd=tree).out_bytes
                for tree in (source, shown)]
        self.assertEqual(*(sorted(eye.split(b"\n\n")) for eye in eyes))
        for name in sorted(os.listdir(source / "sparse")):
            self.assertEqual(torture.data_map(source / "sparse" / name), torture.data_map(shown / "sparse" / name), name)
        self.assertEqual(torture.data_map(source / huge), torture.data_map(shown / huge))
        self.assertGreater(os.stat(shown / huge).st_size, 4 << 40)
        for start, end in torture.data_map(source / huge):
            with open(source / huge, "rb") as one, open(shown / huge, "rb") as other:
                self.assertEqual(os.pread(one.fileno(), end - start, start), os.pread(other.fileno(), end - start, start))

    def test_inode_numbers_are_shared_by_hard_links_and_the_same_after_another_mount(self):
        firnlib.mixed_tree(self.source, seed=2, files=20)
        os.link(self.source / "a hard link", self.source / "another link")
        self.repo.init().backup(self.source)

        def numbers(mount):
            return {os.path.relpath(os.path.join(folder, name), self.shown(mount)): os.lstat(os.path.join(folder, name)).st_ino
                    for folder, folders, names in os.walk(self.shown(mount)) for name in [*folders, *names]}

        first = self.mount()
        before = numbers(first)
        self.assertEqual(first.end(), 0)
        self.assertEqual(before, numbers(self.mount(name="again")))
        self.assertEqual(before["a hard link"], before["another link"])
        self.assertEqual(len(set(before.values())), len(before) - 2, "three names are one file, all others their own")

    def test_a_large_directory_is_listed_whole_and_from_the_middle(self):
        count = {"quick": 3000, "normal": 30_000}.get(firnlib.LEVEL, 1_000_000)
        folder = self.source / "large"
        folder.mkdir()
        for number in range(count):
            os.mknod(folder / f"file-{number:07}", stat.S_IFREG | 0o600)
        self.repo.init().backup(self.source)
        mount = self.mount()
        shown = self.shown(mount) / "large"
        wanted = [f"file-{number:07}" for number in range(count)]
        self.assertEqual(sorted(os.listdir(shown)), wanted)
        self.assertEqual(len(firnlib.run(["find", shown, "-type", "f", "-size", "0"]).out.splitlines()), count)
        # Offsets are stable: a second walk from each place goes on with the same name.
        done = firnlib.run([sys.executable, pathlib.Path(__file__).with_name("seekdir.py"), shown])
        self.assertEqual(done.out.strip(), "same")

    def test_statfs_names_the_size_of_the_repository(self):
        firnlib.write_random(self.source / "file", 3, 5 * MIB)
        self.repo.init().backup(self.source)
        status = os.statvfs(self.mount().path)
        used = status.f_blocks * status.f_frsize
        self.assertGreater(used, 5 * MIB)
        self.assertLess(used, 8 * MIB)
        self.assertEqual((status.f_bfree, status.f_bavail, status.f_namemax), (0, 0, 255))

    def test_nothing_can_be_written(self):
        firnlib.write(self.source / "file", "content")
        self.repo.init().backup(self.source)
        shown = self.shown(self.mount())
        for attempt in (lambda: open(shown / "file", "ab"), lambda: os.mkdir(shown / "new"), lambda: os.unlink(shown / "file"),
                        lambda: os.chmod(shown / "file", 0o777), lambda: os.setxattr(shown / "file", b"user.x", b"y")):
            with self.assertRaises(OSError) as refused:
                attempt()
            self.assertEqual(refused.exception.errno, errno.EROFS)


if __name__ == "__main__":
    firnlib.main()
