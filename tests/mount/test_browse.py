"""dump, find, diff and ls --ncdu: what they give is read by the tools that people read it with."""
import json
import os
import pathlib
import pty
import subprocess
import sys
import zipfile

import mountlib  # noqa: F401  puts firnlib on the path
import firnlib
from firnlib import MIB

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fidelity"))
import torture  # noqa: E402


@firnlib.needs_root
class Dump(firnlib.TestCase):
    def unpacked(self, command, archive):
        target = self.temp / f"unpacked-{command[0]}"
        target.mkdir()
        with open(archive, "rb") as file:
            done = subprocess.run([*command, "-C", str(target)], stdin=file, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode()[-2000:])
        return pathlib.Path(f"{target}{self.source}")

    def test_tar_is_read_by_gnu_tar_and_libarchive_with_everything(self):
        source = self.enterContext(firnlib.mounted(self.source, "ext4", 512 * MIB))
        for part in (torture.links_and_specials, torture.attributes, torture.times):
            (source / "contents").mkdir(exist_ok=True)
            part(os.fsencode(source))
        firnlib.mixed_tree(source / "mixed", seed=1)
        with open(source / "sparse", "wb") as file:
            file.truncate(40 * MIB)
            file.seek(20 * MIB)
            file.write(b"in the middle")
        os.unlink(source / "special/socket")  # no archive holds one
        for path in (source / "times").glob("*-19[0-9][0-9]"):  # tools differ on fractions of seconds before 1970
            firnlib.remove_tree(path)
        for name in ("file", "folder"):  # bsdtar does not take names of attributes that are not UTF-8
            os.removexattr(source / "attributes" / name, b"user.caf\xc3\xa9 \xff")
        firnlib.remove_tree(source / "lost+found")
        self.repo.init().backup(source)
        archive = self.temp / "all.tar"
        self.repo.run("dump", "--target", archive, "latest", source)
        self.assertLess(archive.stat().st_size, 60 * MIB - 20 * MIB, "holes are not written out")
        for command in (["tar", "-xpf", "-", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner", "--same-owner"],
                        ["bsdtar", "-xpf", "-", "--xattrs", "--acls", "--numeric-owner", "--same-owner"]):
            with self.subTest(command[0]):
                unpacked = self.unpacked(command, archive)
                # libarchive reads no id of an ACL above 2^31.
                leave_out = ["acl-large-uid"] if command[0] == "bsdtar" else []
                self.assertEqual(firnlib.tree_differences(source, unpacked, leave_out), "")
                self.assertLess((unpacked / "sparse").stat().st_blocks * 512, MIB)

    def test_zip_is_read_by_others(self):
        made = firnlib.mixed_tree(self.source, seed=2)
        self.repo.init().backup(self.source)
        archive = self.temp / "all.zip"
        self.repo.run("dump", "-a", "zip", "--target", archive, "latest", self.source)
        with zipfile.ZipFile(archive) as opened:
            self.assertIsNone(opened.testzip())
            for path in made:
                self.assertEqual(opened.read(str(path).lstrip("/")), path.read_bytes())
            self.assertIn("n\ufffdame\n", [pathlib.PurePath(name).name for name in opened.namelist()])

    def test_a_file_and_ranges_of_it(self):
        path = firnlib.write_random(self.source / "file", 3, 5 * MIB)
        content = path.read_bytes()
        self.repo.init().backup(self.source)
        self.assertEqual(self.repo.run("dump", "latest", path).out_bytes, content)
        for text, wanted in (("0-0", content[:1]), ("100-199", content[100:200]), ("5242879-", content[-1:]),
                             ("1048570-2097160", content[1048570:2097161]), ("5242880-", b""), ("5000000-99999999", content[5000000:])):
            with self.subTest(text):
                self.assertEqual(self.repo.run("dump", "--range", text, "latest", path).out_bytes, wanted)
        for bad in ("9-1", "x", "-5", "1-2-3"):
            self.repo.run("dump", f"--range={bad}", "latest", path, code=1)


class Find(firnlib.TestCase):
    def test_each_snapshot_has_exactly_its_own_matches(self):
        """The second snapshot is compared with the first, and must give what a look through all of it gives."""
        for number in range(3000):
            firnlib.write(self.source / f"d{number % 50:02}/file-{number}.txt", f"content {number}")
        self.repo.init()
        wanted = []

        def back_up():
            self.repo.backup(self.source)
            wanted.append(sorted(str(path) for path in self.source.rglob("*7.txt")))

        back_up()
        firnlib.write(self.source / "d01/new-7.txt", "new")
        (self.source / "d07/file-7.txt").unlink()
        back_up()
        firnlib.write(self.source / "d17/file-17.txt", "changed and longer")
        back_up()
        found = self.repo.run("find", "--json", "-R", "*7.txt").json()
        self.assertEqual([sorted(match["path"] for match in one["matches"]) for one in found], wanted)
        self.assertEqual([one["hits"] for one in found], [len(one) for one in wanted])
        sizes = [next(match["size"] for match in one["matches"] if match["path"].endswith("file-17.txt")) for one in found]
        self.assertEqual(sizes, [10, 10, 18])
        for one, snapshot in zip(found, self.repo.snapshots()):
            alone = self.repo.run("find", "--json", "-s", snapshot["id"], "*7.txt").json()
            self.assertEqual(alone[0]["matches"], one["matches"], "in the same order, too")
        self.assertEqual(self.repo.run("find", "--json", "no-such-file").json(), [])


class Ncdu(firnlib.TestCase):
    def test_ncdu_opens_it(self):
        firnlib.mixed_tree(self.source, seed=4)
        self.repo.init().backup(self.source)
        listing = self.repo.run("ls", "latest", "--ncdu").out_bytes
        json.loads(listing.decode("utf-8"))
        export = firnlib.write(self.temp / "export", listing)
        # ncdu wants a terminal; -o writes what it understood.
        main, other = pty.openpty()
        done = subprocess.run(["ncdu", "-0", "-f", str(export), "-o", "-"], stdin=other, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60, check=False)
        os.close(main)
        os.close(other)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        understood = json.loads(done.stdout.decode("utf-8", "replace"))

        def names(node):
            if isinstance(node, dict):
                return 1
            return sum(names(child) for child in node)

        count = sum(1 for _ in self.source.rglob("*"))
        above = len(self.source.relative_to("/").parts)
        self.assertEqual(names(understood[3]), 1 + above + count)


if __name__ == "__main__":
    firnlib.main()
