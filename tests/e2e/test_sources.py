"""Sources that resist: unreadable, changing, vanishing, linked, huge; and the ways to choose what is backed up."""
import io
import os
import pathlib
import socket
import subprocess
import sys
import tarfile
import zipfile

import firnlib
from firnlib import MIB


def listed(repo, snapshot="latest"):
    """Paths of the files in a snapshot."""
    lines = repo.run("ls", "--json", snapshot).lines()
    return sorted(line["path"] for line in lines if line.get("struct_type") == "node" and line["type"] != "dir")


class Unreadable(firnlib.TestCase):
    def as_nobody(self, *args, code):
        for folder in (self.temp, self.repo.folder):
            folder.chmod(0o711)  # to be passed through, not listed
        return firnlib.run(firnlib.as_nobody(firnlib.FIRN, *args), code=code,
                           env={**self.repo.env(), "HOME": str(self.repo.folder)})

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("needs root to become an unprivileged user")
        firnlib.run(["chown", "-R", "65534:65534", self.repo.folder])
        firnlib.write(self.source / "readable", "readable")
        self.as_nobody("init", code=0)

    def test_an_unreadable_file_is_named_and_the_exit_code_is_3(self):
        firnlib.write(self.source / "secret", "secret", 0o000)
        done = self.as_nobody("backup", "--json", self.source, code=3)
        errors = done.err_lines("error")
        self.assertEqual([line["item"] for line in errors], [str(self.source / "secret")])
        for line in errors:
            self.assertTrue(line["error"]["message"])
            self.assertTrue(line["during"])
        self.assertEqual(len(done.lines("summary")), 1)
        self.assertIn(str(self.source / "readable"), listed(self.repo))

    def test_an_unreadable_directory_is_named_and_the_exit_code_is_3(self):
        firnlib.write(self.source / "closed/inside", "inside")
        (self.source / "closed").chmod(0o700)
        done = self.as_nobody("backup", self.source, code=3)
        self.assertIn(str(self.source / "closed"), done.err)
        self.assertIn(str(self.source / "readable"), listed(self.repo))

    def test_what_became_unreadable_is_not_taken_from_the_parent_in_silence(self):
        secret = firnlib.write(self.source / "was open", "x" * 5000)
        self.as_nobody("backup", self.source, code=0)
        firnlib.write(secret, "y" * 5000)
        secret.chmod(0o000)
        done = self.as_nobody("backup", self.source, code=3)
        self.assertIn("was open", done.err)


@firnlib.firn_only
class Moving(firnlib.TestCase):
    WRITER = """
import os, sys
with open(sys.argv[1], "r+b", buffering=0) as file:
    print("writing", flush=True)
    number = 0
    while True:
        number += 1
        for offset in range(0, os.fstat(file.fileno()).st_size, 1 << 20):
            os.pwrite(file.fileno(), str(number).encode() * 16, offset)
"""

    def test_a_file_that_never_rests_is_kept_and_named(self):
        path = firnlib.write_random(self.source / "database", 1, 128 * MIB)
        firnlib.write(self.source / "calm", "calm")
        self.repo.init()
        writer = subprocess.Popen([sys.executable, "-c", self.WRITER, path], stdout=subprocess.PIPE)
        try:
            writer.stdout.readline()
            done = self.repo.run("backup", "--json", self.source)
        finally:
            firnlib.end_process(writer)
        summary = done.lines("summary")[0]
        self.assertEqual(summary["files_changed_while_reading"], 1)
        self.assertTrue([line for line in done.lines() + done.err_lines() if line.get("message_type") == "warning"
                         and str(path) in line.get("item", line.get("message", ""))], done)
        # The next backup sees that it differs from what was kept, whatever its times say.
        self.repo.backup(self.source)
        self.assert_restores_exactly()

    def test_vanishing_files_are_no_failure(self):
        for number in range(4000):
            firnlib.write(self.source / f"{number % 50}" / f"{number}", str(number) * 50)
        self.repo.init()
        process = self.repo.start("backup", "--json", self.source)
        for number in range(0, 4000, 2):
            (self.source / f"{number % 50}" / f"{number}").unlink()
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, err)
        for number in range(1, 4000, 2):
            self.assertTrue((self.source / f"{number % 50}" / f"{number}").exists())
        kept = {path for path in listed(self.repo)}
        self.assertGreaterEqual(kept, {str(self.source / f"{number % 50}" / f"{number}") for number in range(1, 4000, 2)})
        self.repo.backup(self.source)
        self.assert_restores_exactly()

    def test_a_directory_swapped_for_a_link_is_not_followed(self):
        outside = self.temp / "outside"
        firnlib.write(outside / "secret", "outside")
        for number in range(300):
            firnlib.write(self.source / f"d{number}" / "secret", "inside")
        self.repo.init()
        swapper = subprocess.Popen([sys.executable, "-c", """
import os, sys
source, outside = sys.argv[1:]
while True:
    for number in range(300):
        path = f"{source}/d{number}"
        os.rename(path, f"{path}.moved"); os.symlink(outside, path)
        os.unlink(path); os.rename(f"{path}.moved", path)
""", self.source, outside])
        try:
            for _ in range(5):
                self.repo.run("backup", "--force", self.source, code={0, 3})
        finally:
            firnlib.end_process(swapper)
        for snapshot in self.repo.snapshots():
            target = self.temp / snapshot["short_id"]
            self.repo.restore(target, snapshot["id"])
            for path in target.rglob("secret"):
                self.assertEqual(path.read_text(), "inside")


class Shapes(firnlib.TestCase):
    def test_hard_links_across_directories_are_one_file_again(self):
        names = [self.source / folder / f"link{number}" for folder in ("a", "b/c", "d") for number in range(3)]
        firnlib.write(names[0], firnlib.random_bytes(1, 300000))
        for name in names[1:]:
            name.parent.mkdir(parents=True, exist_ok=True)
            os.link(names[0], name)
        firnlib.write(self.source / "small", "small")
        os.link(self.source / "small", self.source / "d/small too")
        self.repo.init().backup(self.source)
        self.assert_restores_exactly()

    def test_a_link_whose_other_names_lie_outside_is_a_file(self):
        firnlib.write(self.temp / "elsewhere", "shared content")
        os.link(self.temp / "elsewhere", self.source / "inside")
        self.repo.init().backup(self.source)
        self.repo.restore(self.temp / "t")
        self.assertEqual((self.restored("t") / "inside").read_text(), "shared content")

    def test_a_directory_of_fifty_thousand(self):
        for number in range(50_000):
            (self.source / f"entry-{number:05d}-{'x' * (number % 60)}").touch()
        self.repo.init()
        first = self.repo.backup(self.source)
        self.assertEqual(first["files_new"], 50_000)
        (self.source / "entry-new").touch()
        second = self.repo.backup(self.source)
        self.assertEqual((second["files_new"], second["files_unmodified"]), (1, 50_000))
        self.assert_restores_exactly()

    def test_a_deep_tree(self):
        folder = self.source
        for depth in range(60):
            folder = folder / f"level{depth:02d}"
        firnlib.write(folder / "bottom", "bottom")
        self.repo.init().backup(self.source)
        self.assert_restores_exactly()

    def test_sizes_around_every_border(self):
        for size in (0, 1, 255, 256, 257, 4095, 4096, 65535, 65536, 65537, 131072, 262144, 1048575, 1048576, 1048577,
                     4 * MIB + 1):
            firnlib.write(self.source / f"random {size}", firnlib.random_bytes(size, size))
            firnlib.write(self.source / f"text {size}", firnlib.text_bytes(size, size))
            firnlib.write(self.source / f"zeros {size}", bytes(size))
        self.repo.init().backup(self.source)
        self.repo.check("--read-data")
        self.assert_restores_exactly()

    def test_several_sources_and_a_single_file(self):
        other = self.temp / "other"
        firnlib.write(other / "b", "b")
        firnlib.write(self.source / "a", "a")
        single = firnlib.write(self.temp / "single", "single")
        self.repo.init().backup(self.source, other, single)
        self.repo.restore(self.temp / "t")
        for path in (self.source / "a", other / "b", single):
            self.assertEqual(pathlib.Path(f"{self.temp / 't'}{path}").read_bytes(), path.read_bytes())

    def test_sockets_and_fifos_do_not_stop_a_backup(self):
        os.mkfifo(self.source / "fifo")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.source / "socket"))
            self.repo.init().backup(self.source)
            self.assert_restores_exactly()


class Choice(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        for name in ("keep.txt", "junk.tmp", "JUNK.TMP", "sub/keep.c", "sub/keep.o", "sub/cache/x", "sub/deep/a.o",
                     "cachedir/data", "marked/inside", "marked/.nobackup", "big", "node_modules/x/y"):
            firnlib.write(self.source / name, name)
        firnlib.write(self.source / "cachedir/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n")
        firnlib.write(self.source / "big", bytes(3 * MIB))
        self.all = {str(path.relative_to(self.source)) for path in self.source.rglob("*") if path.is_file()}
        self.repo.init()

    def kept(self, *flags):
        self.repo.backup(*flags, self.source)
        prefix = str(self.source) + "/"
        return {path.removeprefix(prefix) for path in listed(self.repo)}

    def test_excludes(self):
        cases = [
            (["--exclude", "*.tmp"], {"junk.tmp"}),
            (["--iexclude", "*.tmp"], {"junk.tmp", "JUNK.TMP"}),
            (["--exclude", "sub/*.o"], {"sub/keep.o"}),
            (["--exclude", "sub/**/*.o"], {"sub/keep.o", "sub/deep/a.o"}),
            (["--exclude", "node_modules"], {"node_modules/x/y"}),
            (["--exclude", f"{self.source}/sub"], {"sub/keep.c", "sub/keep.o", "sub/cache/x", "sub/deep/a.o"}),
            (["--exclude", "*.o", "--exclude", "!sub/deep/a.o"], {"sub/keep.o"}),
            (["--exclude-caches"], {"cachedir/data"}),
            (["--exclude-if-present", ".nobackup"], {"marked/inside"}),
            (["--exclude-larger-than", "1M"], {"big"}),
        ]
        for flags, gone in cases:
            with self.subTest(flags=flags):
                self.assertEqual(self.all - self.kept(*flags), gone)

    def test_an_exclude_file_has_comments_and_blank_lines(self):
        path = firnlib.write(self.temp / "excludes", "# comment\n\n*.tmp\nnode_modules\n")
        self.assertEqual(self.all - self.kept("--exclude-file", path), {"junk.tmp", "node_modules/x/y"})

    def test_lists_of_files(self):
        names = [str(self.source / "keep.txt"), str(self.source / "sub/keep.c")]
        lists = {"--files-from": "\n".join(["# comment", f"{self.source}/*.txt", names[1]]).encode(),
                 "--files-from-verbatim": "\n".join(names).encode() + b"\n",
                 "--files-from-raw": b"".join(os.fsencode(name) + b"\0" for name in names)}
        for flag, content in lists.items():
            with self.subTest(flag=flag):
                self.repo.backup(flag, firnlib.write(self.temp / "list", content))
                self.assertEqual(listed(self.repo), names)

    @firnlib.needs_root
    def test_one_file_system_stops_at_a_mount(self):
        with firnlib.mounted(self.source / "mount", "tmpfs", MIB):
            firnlib.write(self.source / "mount/inside", "inside")
            self.assertNotIn("mount/inside", self.kept("--one-file-system"))
            self.assertIn("mount/inside", self.kept())

    def test_standard_input(self):
        content = firnlib.random_bytes(7, 3 * MIB + 5)
        self.repo.run("backup", "--stdin", "--stdin-filename", "stream.bin", stdin=content)
        self.assertEqual(self.repo.run("dump", "latest", "/stream.bin").out_bytes, content)

    @firnlib.firn_only
    def test_a_commands_output(self):
        self.repo.run("backup", "--stdin-filename", "out", "--stdin-from-command", "--", "echo", "said")
        self.assertEqual(self.repo.run("dump", "latest", "/out").out, "said\n")
        count = len(self.repo.snapshots())
        self.repo.run("backup", "--stdin-from-command", "--", "sh", "-c", "echo half; exit 7", code={1, 3})
        self.assertEqual(len(self.repo.snapshots()), count, "a failed command's output was kept")

    def test_dump_of_a_file_and_of_a_folder(self):
        self.repo.backup(self.source)
        self.assertEqual(self.repo.run("dump", "latest", self.source / "keep.txt").out, "keep.txt")
        archive = tarfile.open(fileobj=io.BytesIO(self.repo.run("dump", "latest", self.source / "sub").out_bytes))
        contents = {os.path.basename(member.name): archive.extractfile(member).read() for member in archive if member.isfile()}
        self.assertEqual(contents, {name: (self.source / "sub" / where).read_bytes() for name, where in
                                    (("keep.c", "keep.c"), ("keep.o", "keep.o"), ("x", "cache/x"), ("a.o", "deep/a.o"))})
        zipped = self.repo.run("dump", "-a", "zip", "latest", self.source / "sub").out_bytes
        self.assertIsNone(zipfile.ZipFile(io.BytesIO(zipped)).testzip())

    @firnlib.firn_only
    def test_dump_of_a_range(self):
        content = firnlib.random_bytes(8, 3 * MIB)
        firnlib.write(self.source / "ranged", content)
        self.repo.backup(self.source)
        for start, end in ((0, 0), (0, 9), (65530, 65540), (MIB - 1, 2 * MIB), (3 * MIB - 1, 3 * MIB - 1)):
            with self.subTest(start=start, end=end):
                done = self.repo.run("dump", "--range", f"{start}-{end}", "latest", self.source / "ranged")
                self.assertEqual(done.out_bytes, content[start:end + 1])  # both ends are included


if __name__ == "__main__":
    firnlib.main()
