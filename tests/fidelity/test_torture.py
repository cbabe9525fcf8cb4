"""A tree with everything, on real file systems, comes back as it was: seen by rsync, find, getfattr, lsattr, getcap
and SEEK_DATA, none of which know firn."""
import os
import pathlib
import stat
import subprocess

import torture  # also puts firnlib on the path
import firnlib
from firnlib import MIB

# Flags that say how a file system stores something (extents, index, inline data) are not the file's own.
OWN_FLAGS = set("dASCciajDsutTP")


@firnlib.needs_root
class Torture(firnlib.TestCase):
    def both_mounted(self, kind):
        """The source and the target on file systems of one kind."""
        for name in ("source", "target"):
            try:
                self.enterContext(firnlib.mounted(self.temp / name, kind, 512 * MIB))
            except AssertionError as refused:
                self.skipTest(f"no {kind} here: {str(refused)[:200]}")

    def round_trip(self, kind):
        self.both_mounted(kind)
        source = self.temp / "source/tree"
        source.mkdir()
        refused = torture.make(source)
        print(f"NOTE {kind} itself refused: {', '.join(refused) or 'nothing'}", flush=True)
        self.repo.init()
        self.repo.backup(source)
        self.repo.restore(self.temp / "target")
        os.sync()
        restored = pathlib.Path(f"{self.temp / 'target'}{source}")
        self.compare(source, restored)
        # A second backup has a parent to compare with, a second restore a target that is there already.
        second = self.repo.backup(source)
        self.assertEqual((second["files_new"], second["files_changed"]), (0, 0))
        self.repo.check("--read-data")

    def compare(self, source, restored):
        huge, deep = os.fsdecode(torture.HUGE), os.fsdecode(torture.DEEP)
        with self.subTest("rsync"):
            self.assertEqual(firnlib.tree_differences(source, restored, leave_out=[f"/{huge}", f"/{deep}"]), "")
        for eye in (self.by_find, self.by_getfattr, self.by_lsattr, self.by_getcap, self.by_data_maps, self.by_links,
                    self.of_the_deep, self.of_the_huge):
            with self.subTest(eye.__name__):
                one, other = eye(source), eye(restored)
                self.assertTrue(one, "this eye saw nothing")
                self.assertEqual(sorted(set(one) - set(other)), [], "only in the source")
                self.assertEqual(sorted(set(other) - set(one)), [], "only in the restored tree")

    def by_find(self, root):
        return firnlib.find_listing(root)

    def by_getfattr(self, root):
        parts = [path.name for path in root.iterdir() if path.name != os.fsdecode(torture.DEEP)]
        done = firnlib.run(["getfattr", "-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", *sorted(parts)], cwd=root)
        return done.out_bytes.split(b"\n\n")

    def by_lsattr(self, root):
        """(path, own flags, project id) of what can have flags."""
        found = []
        for folder in ("flags", "contents", "modes", "sparse"):
            done = firnlib.run(["lsattr", "-a", "-R", "-p", folder], cwd=root, code=None)
            for line in done.out.splitlines():
                project, flags, *path = line.split(None, 2) if line[:1].isspace() or line[:1].isdigit() else ("", "", "")
                if path and path[0]:
                    found.append((path[0], "".join(sorted(OWN_FLAGS & set(flags))), project))
        return found

    def by_getcap(self, root):
        return firnlib.run(["getcap", "-n", "-r", "attributes"], cwd=root).out.splitlines()

    def by_data_maps(self, root):
        files = [path for path in (root / "sparse").iterdir()] + [root / os.fsdecode(torture.HUGE)]
        return [(path.name, path.stat().st_size, tuple(torture.data_map(path))) for path in files]

    def by_links(self, root):
        return [tuple(group) for group in firnlib.link_groups(root)]

    def of_the_deep(self, root):
        """What lies below a path longer than PATH_MAX, reached by descriptors."""
        found = []
        here = os.open(root / os.fsdecode(torture.DEEP), os.O_RDONLY)
        while True:
            (name,) = os.listdir(here)
            status = os.lstat(name, dir_fd=here)
            found.append((len(found), name, status.st_mode, status.st_uid, status.st_mtime_ns))
            below = os.open(name, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
            if stat.S_ISREG(status.st_mode):
                found.append((len(found), os.read(here, 1000)))
                os.close(here)
                return found

    def of_the_huge(self, root):
        """Every data byte of the file that is too large to be read whole."""
        path, found = root / os.fsdecode(torture.HUGE), []
        with open(path, "rb", buffering=0) as file:
            for start, end in torture.data_map(path):
                found.append((start, os.pread(file.fileno(), end - start, start)))
        return found

    def test_on_ext4(self):
        self.round_trip("ext4")

    def test_on_xfs(self):
        self.round_trip("xfs")

    def test_on_btrfs(self):
        self.round_trip("btrfs")

    @firnlib.firn_only
    def test_what_the_target_cannot_hold_is_named(self):
        self.enterContext(firnlib.mounted(self.temp / "source", "btrfs", 256 * MIB))
        far = firnlib.write(self.temp / "source/far-future", "x")
        os.utime(far, ns=(40_000_000_000 * 10**9,) * 2)  # the year 3237: more than ext4 can say
        self.enterContext(firnlib.mounted(self.temp / "target", "ext4", 64 * MIB))
        self.repo.init().backup(self.temp / "source")
        done = self.repo.restore(self.temp / "target", code={0, 1})
        self.assertIn("far-future", done.err)

    @firnlib.firn_only
    def test_sparse_files_take_no_room_in_the_repository(self):
        self.enterContext(firnlib.mounted(self.temp / "source", "xfs", 512 * MIB))
        with open(self.temp / "source/all-hole", "wb") as file:
            file.truncate(6 * torture.TIB)
        self.repo.init().backup(self.temp / "source")
        self.assertLess(self.repo.size_bytes(), MIB)


if __name__ == "__main__":
    firnlib.main()
