"""Several processes on one repository and one cache, and secrets that must stay inside."""
import glob
import os
import pathlib
import resource
import signal
import subprocess
import time

import firnlib
from firnlib import MIB


@firnlib.on_every_store
class Together(firnlib.TestCase):
    def test_backups_at_once_all_succeed_and_share_what_they_can(self):
        self.repo.init()
        sources = []
        shared = firnlib.random_bytes(31, 8 * MIB)
        for number in range(4):
            folder = self.temp / f"source{number}"
            firnlib.mixed_tree(folder, seed=number)
            firnlib.write(folder / "shared", shared)
            sources.append(folder)
        processes = [self.repo.start("backup", folder) for folder in sources]
        for process in processes:
            out, err = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, err)
        self.repo.check("--read-data")
        for snapshot in self.repo.snapshots():
            self.assert_restores_exactly(snapshot["id"], source=pathlib.Path(snapshot["paths"][0]))
        self.assertEqual(len(self.repo.snapshots()), 4)

    def test_reading_beside_a_backup(self):
        firnlib.mixed_tree(self.source, seed=32)
        self.repo.init()
        first = self.repo.backup(self.source)["snapshot_id"]
        firnlib.write_random(self.source / "large", 32, 256 * MIB)
        process = self.repo.start("backup", self.source)
        try:
            for command in (["snapshots"], ["ls", first], ["restore", first, "--target", self.temp / "t"], ["check"]):
                if not (firnlib.IS_STAND_IN and command == ["check"]):
                    self.repo.run(*command)
        finally:
            out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, err)
        self.assert_restores_exactly()

    @firnlib.firn_only
    def test_init_at_once_makes_one_repository(self):
        processes = [self.repo.start("init") for _ in range(4)]
        codes = [process.communicate(timeout=60) and process.returncode for process in processes]
        self.assertIn(0, codes)
        firnlib.write(self.source / "a", "a")
        self.repo.backup(self.source)
        self.repo.check("--read-data")
        self.assert_restores_exactly()


class Caches(firnlib.TestCase):
    def test_a_lost_cache_is_made_again(self):
        firnlib.mixed_tree(self.source, seed=33)
        self.repo.init().backup(self.source)
        firnlib.remove_tree(self.repo.cache)
        second = self.repo.backup(self.source)
        self.assertEqual(second["files_new"] + second["files_changed"], 0)
        self.assert_restores_exactly()

    @firnlib.firn_only
    def test_a_damaged_cache_is_never_believed(self):
        firnlib.mixed_tree(self.source, seed=34)
        self.repo.init().backup(self.source)
        files = [path for path in self.repo.cache.rglob("*") if path.is_file() and path.stat().st_size]
        self.assertTrue(files)
        for number, path in enumerate(files):
            for damage in ("zeroed", "truncated", "flipped"):
                with self.subTest(file=path.name, damage=damage):
                    saved = path.read_bytes() if path.exists() else b""
                    if not saved:
                        continue
                    changed = bytearray(saved)
                    if damage == "zeroed":
                        changed = bytearray(len(saved))
                    elif damage == "truncated":
                        changed = changed[:len(saved) // 2]
                    else:
                        for offset in range(number % 97, len(changed), 97):
                            changed[offset] ^= 0x55
                    path.write_bytes(changed)
                    firnlib.write(self.source / "changes", f"{number} {damage}")
                    self.repo.backup(self.source)
                    self.assert_restores_exactly()
        self.repo.check("--read-data")

    @firnlib.firn_only
    def test_a_cache_older_than_the_repository_is_harmless(self):
        firnlib.mixed_tree(self.source, seed=35)
        self.repo.init().backup(self.source)
        old = self.temp / "old cache"
        firnlib.run(["cp", "-a", self.repo.cache, old])
        for number in range(3):
            firnlib.write(self.source / "changes", firnlib.random_bytes(number, MIB))
            self.repo.backup(self.source)
        firnlib.remove_tree(self.repo.cache)
        firnlib.run(["cp", "-a", old, self.repo.cache])
        self.repo.backup(self.source)
        self.assert_restores_exactly()
        self.repo.check("--read-data")


class Secrets(firnlib.TestCase):
    PASSWORD = "sEcReT-9c1f-pAsSwOrD-77ab"

    def setUp(self):
        super().setUp()
        self.repo = firnlib.Repository(self.temp / "secret store", password=self.PASSWORD)
        self.repo.init()

    def running_backup(self, **options):
        """A backup that waits for its standard input, so that it can be looked at."""
        process = self.repo.start("backup", "--stdin", stdin=subprocess.PIPE, **options)
        process.stdin.write(firnlib.random_bytes(36, 4 * MIB))
        process.stdin.flush()
        time.sleep(0)
        firnlib.wait_until(lambda: process.poll() is not None or (self.repo.path / "sessions").exists()
                           and any((self.repo.path / "sessions").iterdir()) or firnlib.IS_STAND_IN, "the session")
        return process

    def test_the_password_is_in_no_argument_list(self):
        process = self.running_backup()
        try:
            self.assertNotIn(self.PASSWORD.encode(), pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes())
        finally:
            firnlib.end_process(process)

    def test_a_password_on_the_command_line_is_refused(self):
        done = firnlib.run([firnlib.FIRN, "-r", self.repo.path, "--password", self.PASSWORD, "snapshots"], code=None)
        self.assertNotEqual(done.code, 0)

    def test_the_password_is_in_no_output(self):
        firnlib.write(self.source / "a", "a")
        for command in (["backup", "-vv", self.source], ["snapshots", "-vv"], ["check", "-vv"], ["cat", "config"],
                        ["key", "list"], ["restore", "latest", "-t", self.temp / "t", "-vv"], ["backup", "/nowhere"]):
            done = self.repo.run(*command, code=None)
            self.assertNotIn(self.PASSWORD, done.out + done.err, command)

    def test_the_password_and_contents_are_in_no_stored_object_or_cache_file(self):
        firnlib.write(self.source / "a-telling-file-name", b"a telling content " * 5000)
        self.repo.backup(self.source)
        for path in [*self.repo.objects(), *(path for path in self.repo.cache.rglob("*") if path.is_file())]:
            content = path.read_bytes()
            for word in (self.PASSWORD.encode(), b"a telling content", b"a-telling-file-name"):
                self.assertNotIn(word, content, path)

    @firnlib.firn_only
    def test_stored_objects_are_for_their_owner_only(self):
        for path in (self.repo.cache, *self.repo.cache.rglob("*")):
            if path.exists():
                self.assertEqual(firnlib.mode_of(path) & 0o077, 0, path)

    @firnlib.firn_only
    def test_no_core_file_holds_secrets(self):
        """A process that is aborted with unlimited core size leaves no core, or one without its password."""
        pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
        if pattern.startswith("|") or "/" in pattern:
            self.skipTest(f"cores go elsewhere here (core_pattern is {pattern})")
        folder = self.temp / "cores"
        folder.mkdir()
        unlimited = lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
        process = self.running_backup(cwd=folder, preexec_fn=unlimited)
        process.send_signal(signal.SIGABRT)
        process.communicate(timeout=60)
        for core in glob.glob(f"{folder}/*"):
            content = pathlib.Path(core).read_bytes()
            self.assertNotIn(self.PASSWORD.encode(), content, "the core file holds the password")

    @firnlib.firn_only
    @firnlib.needs_root
    def test_the_password_is_wiped_once_the_keys_are_open(self):
        """Looks through the memory of a process at work, as an attacker on its node would."""
        process = self.running_backup()
        try:
            found = self.memory_holds(process.pid, self.PASSWORD.encode())
        except PermissionError:
            self.skipTest("/proc/PID/mem may not be read here")
        finally:
            firnlib.end_process(process)
        self.assertEqual(found, [], "the password lies in memory")

    def memory_holds(self, pid, needle):
        found = []
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line in maps:
                span, rights, *_ = line.split()
                if not rights.startswith("r") or "[v" in line:
                    continue
                start, end = (int(part, 16) for part in span.split("-"))
                try:
                    # Piece by piece: a map may reserve far more than it holds.
                    for at in range(start, min(end, start + (1 << 30)), 1 << 24):
                        memory.seek(at)
                        if needle in memory.read(min(end - at, (1 << 24) + len(needle))):
                            found.append(line.strip())
                except OSError:
                    continue
        return found


if __name__ == "__main__":
    firnlib.main()
