"""A mount beside a living repository: snapshots come, packs are damaged, processes and servers die."""
import contextlib
import errno
import os
import pathlib
import signal
import subprocess
import threading

import mountlib  # also puts firnlib on the path
import firnlib
from firnlib import MIB

FRESH_S = 30  # what the mount promises is five seconds


@firnlib.on_every_store
class Shown(mountlib.TestCase):
    """What is shown, wherever the repository is."""

    def ids(self, mount):
        return sorted(name for name in os.listdir(mount.path / "ids") if name != "latest")

    def damage_largest_pack(self, offset):
        """Changes one byte, and so one chunk: the order of chunks in a pack is nobody's promise. The pack's name."""
        if self.store == "local":
            pack = max(self.repo.objects("data"), key=lambda path: path.stat().st_size)
            content = bytearray(pack.read_bytes())
            content[offset] ^= 1
            pack.write_bytes(content)
            return pack.name
        sizes = self.repo.sizes("data")
        pack = max(sizes, key=sizes.get)
        client = self.repo.server.client()
        content = bytearray(client.get(self.repo.bucket, pack))
        content[offset] ^= 1
        client.put(self.repo.bucket, pack, bytes(content))
        return pack.rsplit("/", 1)[1]

    def test_layout_has_every_place_and_latest(self):
        firnlib.write(self.source / "file", "content")
        self.repo.init()
        self.repo.backup(self.source, "--tag", "daily", "--host", "web", "--time", "2026-03-04 05:06:07")
        newest = self.repo.backup(self.source, "--tag", "daily,a/b", "--host", "web", "--time", "2026-03-05 05:06:07",
                                  env={"TZ": "UTC"})["snapshot_id"]
        mount = self.mount()
        places = ["snapshots", "ids", "hosts/web", "tags/daily", "tags/a_b", f"paths{self.source}"]
        for place in places:
            with self.subTest(place):
                self.assertEqual((mount.path / place / f"latest{self.source}/file").read_text(), "content")
        self.assertEqual(os.readlink(mount.path / "ids/latest"), newest[:8])
        self.assertEqual(len(os.listdir(mount.path / "snapshots")), 3)
        self.assertEqual(sorted(os.listdir(mount.path)), ["hosts", "ids", "paths", "snapshots", "tags", "volumes"])

    def test_new_snapshots_appear_without_another_mount(self):
        firnlib.write(self.source / "file", "one")
        self.repo.init().backup(self.source)
        mount = self.mount()
        self.assertEqual((self.shown(mount) / "file").read_text(), "one")
        firnlib.write(self.source / "file", "two, which is longer")
        firnlib.write_random(self.source / "new", 1, MIB)
        self.repo.backup(self.source)
        firnlib.wait_until(lambda: len(self.ids(mount)) == 2, "the new snapshot", FRESH_S)
        firnlib.wait_until(lambda: (self.shown(mount) / "file").read_text() != "one", "latest to move", FRESH_S)
        self.assert_same(self.source, self.shown(mount))

    def test_a_damaged_chunk_is_an_error_where_it_is_and_named(self):
        path = firnlib.write_random(self.source / "large", 4, 12 * MIB)
        self.repo.init().backup(self.source)
        firnlib.write_random(self.source / "other", 5, 2 * MIB)
        snapshot = self.repo.backup(self.source)["snapshot_id"]
        pack = self.damage_largest_pack(5 * MIB)
        mount = self.mount()
        content, bad = path.read_bytes(), []
        with open(self.shown(mount) / "large", "rb", buffering=0) as file:
            for start in range(0, len(content), 4096):
                try:
                    self.assertEqual(os.pread(file.fileno(), 4096, start), content[start : start + 4096])
                except OSError as error:
                    self.assertEqual(error.errno, errno.EIO)
                    bad.append(start)
        self.assertTrue(bad, "the damage was not noticed")
        self.assertLessEqual(bad[-1] - bad[0], MIB + 4096, "one chunk has at most 1 MiB")
        self.assertEqual(bad, list(range(bad[0], bad[-1] + 1, 4096)), "all of it, and nothing else")
        line = next(line for line in mount.log().splitlines() if pack in line)
        self.assertIn("/large", line)
        self.assertIn(snapshot[:8], line)
        self.assertLess(mount.log().count(pack), 5, "the same is not said again and again")
        self.assertEqual((self.shown(mount) / "other").read_bytes(), (self.source / "other").read_bytes())

    def test_ten_readers_at_once_read_what_is_there(self):
        files = {f"file-{number}": firnlib.write_random(self.source / f"file-{number}", number, 3 * MIB) for number in range(4)}
        self.repo.init().backup(self.source)
        shown = self.shown(self.mount())
        problems = []

        def read(number):
            for turn in range(4):
                name = f"file-{(number + turn) % 4}"
                if (shown / name).read_bytes() != files[name].read_bytes():
                    problems.append(name)

        readers = [threading.Thread(target=read, args=(number,)) for number in range(10)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        self.assertEqual(problems, [])

    def test_forgotten_snapshots_vanish_and_what_is_open_stays(self):
        path = firnlib.write_random(self.source / "file", 8, 2 * MIB)
        self.repo.init()
        first = self.repo.backup(self.source)["snapshot_id"]
        mount = self.mount()
        content = path.read_bytes()
        with open(mount.path / f"ids/{first[:8]}{path}", "rb", buffering=0) as file:
            self.assertEqual(os.pread(file.fileno(), 4096, 0), content[:4096])
            firnlib.write(self.source / "file", "changed")
            self.repo.backup(self.source)
            self.repo.run("forget", first)
            firnlib.wait_until(lambda: first[:8] not in os.listdir(mount.path / "ids"), "it to vanish", FRESH_S)
            firnlib.wait_until(lambda: not (mount.path / f"ids/{first[:8]}").exists(), "its name to vanish", FRESH_S)
            self.assertEqual(os.pread(file.fileno(), len(content), 0), content)
        self.assertEqual((self.shown(mount) / "file").read_text(), "changed")


class Process(mountlib.TestCase):
    """How a mount begins and ends, who may look in, and what a silent store does to it."""

    def test_templates(self):
        firnlib.write(self.source / "file", "content")
        self.repo.init()
        self.repo.backup(self.source, "--host", "web", "--time", "2026-03-04 05:06:07")
        mount = self.mount("--path-template", "%h/by-time/%T", "--path-template", "all/%I",
                           "--time-template", "2006-01-02_15-04-05")
        self.assertEqual(sorted(os.listdir(mount.path)), ["all", "web"])
        self.assertEqual(sorted(os.listdir(mount.path / "web/by-time")), ["2026-03-04_05-06-07", "latest"])

    def test_bad_arguments_are_refused_before_anything_is_mounted(self):
        self.repo.init()
        folder = self.temp / "mnt"
        folder.mkdir()
        for bad in (["--path-template", "%x"], ["--time-template", "a/b"], ["--allow-other", "--no-default-permissions"]):
            self.repo.run("mount", *bad, folder, code=1)
        self.repo.run("mount", self.temp / "missing", code=1)
        self.assertFalse(os.path.ismount(folder))

    def test_each_way_to_end_it_leaves_nothing(self):
        firnlib.write(self.source / "file", "content")
        self.repo.init().backup(self.source)
        for how in ("SIGTERM", "SIGINT", "SIGHUP", "fusermount3"):
            with self.subTest(how):
                mount = self.mount(name=how)
                self.assertTrue((self.shown(mount) / "file").exists())
                if how == "fusermount3":
                    firnlib.run(["fusermount3", "-u", mount.path])
                    code = mount.process.wait(60)
                else:
                    code = mount.end(getattr(signal, how))
                self.assertEqual(code, 0, mount.log())
                self.assertFalse(os.path.ismount(mount.path))

    def test_it_ends_while_a_file_is_open(self):
        firnlib.write(self.source / "file", "content")
        self.repo.init().backup(self.source)
        mount = self.mount()
        file = os.open(self.shown(mount) / "file", os.O_RDONLY)
        try:
            self.assertEqual(mount.end(), 0)
            self.assertFalse(os.path.ismount(mount.path))
        finally:
            with contextlib.suppress(OSError):  # there is nobody left to tell
                os.close(file)

    def test_a_killed_process_leaves_a_mount_that_fusermount_removes(self):
        self.repo.init()
        mount = self.mount()
        mount.end(signal.SIGKILL)
        with self.assertRaises(OSError) as gone:
            os.listdir(mount.path)
        self.assertEqual(gone.exception.errno, errno.ENOTCONN)
        firnlib.run(["fusermount3", "-u", mount.path])
        self.assertEqual(os.listdir(mount.path), [])

    def test_mounted_read_only_without_devices_and_set_user_id(self):
        self.repo.init()
        mount = self.mount()
        line = next(line for line in pathlib.Path("/proc/mounts").read_text().splitlines() if f" {mount.path} " in line)
        options = line.split()[3].split(",")
        for wanted in ("ro", "nosuid", "nodev", "default_permissions"):
            self.assertIn(wanted, options)
        self.assertNotIn("allow_other", options)
        self.assertIn("fuse.firn", line)

    def test_others_see_nothing_unless_allowed_and_then_what_permissions_say(self):
        firnlib.write(self.source / "open", "for all", 0o644)
        firnlib.write(self.source / "secret", "for root", 0o600)
        firnlib.write(self.source / "by-acl", "for nobody", 0o600)
        firnlib.run(["setfacl", "-m", "u:65534:r", self.source / "by-acl"])
        for folder in (self.temp, self.source):
            folder.chmod(0o755)
        self.repo.init().backup(self.source)

        def as_nobody(mount, name):
            done = firnlib.run(firnlib.as_nobody("cat", self.shown(mount) / name), code=None)
            return done.out if done.code == 0 else None

        mount = self.mount()
        self.assertIsNone(as_nobody(mount, "open"))
        shared = self.mount("--allow-other", name="shared")
        self.assertEqual(as_nobody(shared, "open"), "for all")
        self.assertIsNone(as_nobody(shared, "secret"))
        self.assertEqual(as_nobody(shared, "by-acl"), "for nobody")

    def test_owner_root(self):
        os.chown(firnlib.write(self.source / "file", "content"), 1234, 5678)
        self.repo.init().backup(self.source)
        status = os.stat(self.shown(self.mount("--owner-root")) / "file")
        self.assertEqual((status.st_uid, status.st_gid), (0, 0))

    def test_an_open_file_is_readable_as_long_as_its_packs_are(self):
        path = firnlib.write_random(self.source / "large", 6, 40 * MIB)
        self.repo.init().backup(self.source)
        mount = self.mount("--memory", "64M")
        content = path.read_bytes()
        with open(self.shown(mount) / "large", "rb", buffering=0) as file:
            self.assertEqual(os.pread(file.fileno(), 4096, 0), content[:4096])
            packs = self.repo.objects("data")
            for pack in packs:
                pack.rename(f"{pack}.away")
            with self.assertRaises(OSError) as gone:
                os.pread(file.fileno(), 4096, 30 * MIB)
            self.assertEqual(gone.exception.errno, errno.EIO)
            self.assertTrue(any(pack.name in mount.log() for pack in packs), mount.log())
            for pack in packs:
                pathlib.Path(f"{pack}.away").rename(pack)
            self.assertEqual(os.pread(file.fileno(), 4096, 30 * MIB), content[30 * MIB : 30 * MIB + 4096])

    def test_who_waits_for_a_silent_store_can_be_killed(self):
        """A store that does not answer: strace holds up every read of some packs for longer than the case lasts."""
        firnlib.write_random(self.source / "large", 7, 3 * MIB)
        self.repo.init().backup(self.source)
        for kind, look in (("data", lambda mount: ["cat", self.shown(mount) / "large"]),
                           ("meta", lambda mount: ["ls", "-lR", self.shown(mount)])):
            with self.subTest(kind):
                trace = self.temp / f"{kind}.strace"
                paths = [part for pack in self.repo.objects(kind) for part in ("-P", pack)]
                mount = self.mount(name=kind, prefix=["strace", "-f", "-o", trace, *paths, "-e", "trace=pread64",
                                                      "-e", "inject=pread64:delay_enter=1000000000"])
                reader = subprocess.Popen(look(mount), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                try:
                    firnlib.wait_until(lambda: "pread64" in trace.read_text(), "the store to be asked")
                    self.assertIsNone(reader.poll())
                    reader.send_signal(signal.SIGKILL)
                    self.assertEqual(reader.wait(30), -signal.SIGKILL)
                finally:
                    reader.kill()
                    # Whoever mounted is told first: strace alone would leave it held up.
                    for child in pathlib.Path(f"/proc/{mount.process.pid}/task/{mount.process.pid}/children").read_text().split():
                        os.kill(int(child), signal.SIGKILL)
                    mount.process.kill()


if __name__ == "__main__":
    firnlib.main()
