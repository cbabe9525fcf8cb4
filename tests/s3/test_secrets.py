"""The secret key and the session token are nowhere but in the requests' signatures and headers."""
import glob
import pathlib
import resource
import signal
import subprocess

import s3lib
from s3lib import firnlib

SECRET = "sEcReT-kEy-5f1c-bUcKeT-e1b2"
TOKEN = "tOkEn-9d0e-sEsSiOn-33aa"


class Secrets(s3lib.TestCase):
    """A server whose key is the one that is looked for."""

    @classmethod
    def setUpClass(cls):
        cls.server = s3lib.s3servers.start("versitygw", secret_key=SECRET)
        cls.addClassCleanup(cls.server.close)

    def assert_silent(self, content, where):
        self.assertNotIn(SECRET.encode(), content, where)
        self.assertNotIn(TOKEN.encode(), content, where)

    def test_in_no_output_not_even_when_everything_fails(self):
        self.repo.init()
        firnlib.write(self.source / "a", "a")
        for command in (["backup", "-vv", self.source], ["snapshots", "--json"], ["check", "-vv"], ["check", "--posture"],
                        ["cat", "config"], ["restore", "latest", "-t", self.temp / "t", "-vv"], ["backup", "/nowhere"]):
            for env in ({}, {"AWS_ACCESS_KEY_ID": "stranger"}, {"AWS_SESSION_TOKEN": TOKEN},
                        {"AWS_SECRET_ACCESS_KEY": SECRET + "x"}):
                done = self.repo.run(*command, "--stuck-request-timeout", "2s", code=None, env=env)
                self.assert_silent(done.out_bytes + done.err_bytes, f"{command} {sorted(env)}")

    def test_in_no_stored_object_and_no_cache_file(self):
        self.repo.init()
        firnlib.write(self.source / "a", "a")
        self.repo.backup(self.source)
        client = self.server.client()
        for name in self.repo.objects():
            self.assert_silent(client.get(self.repo.bucket, name), name)
        for path in self.repo.cache.rglob("*"):
            if path.is_file():
                self.assert_silent(path.read_bytes(), path)

    def running_backup(self, **options):
        process = self.repo.start("backup", "--stdin", stdin=subprocess.PIPE, **options)
        process.stdin.write(firnlib.random_bytes(72, 4 << 20))
        process.stdin.flush()
        firnlib.wait_until(lambda: process.poll() is not None or self.repo.objects("sessions"), "the session")
        return process

    def test_in_no_argument_list(self):
        self.repo.init()
        process = self.running_backup()
        try:
            self.assert_silent(pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes(), "argv")
        finally:
            firnlib.end_process(process)

    def test_in_no_core_file(self):
        pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
        if pattern.startswith("|") or "/" in pattern:
            self.skipTest(f"cores go elsewhere here (core_pattern is {pattern})")
        self.repo.init()
        folder = self.temp / "cores"
        folder.mkdir()
        unlimited = lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
        process = self.running_backup(cwd=folder, preexec_fn=unlimited)
        process.send_signal(signal.SIGABRT)
        process.communicate(timeout=60)
        for core in glob.glob(f"{folder}/*"):
            self.assert_silent(pathlib.Path(core).read_bytes(), core)

    @firnlib.needs_root
    def test_in_no_memory_that_is_not_locked_away(self):
        """What lies in the process's memory lies in pages that cores and swap leave out.

        The key comes from a file here: where the environment holds it, the kernel put a copy on the stack.
        """
        self.repo.init()
        profile = firnlib.write(self.temp / "credentials",
                                f"[default]\naws_access_key_id = firn\naws_secret_access_key = {SECRET}\n", 0o600)
        env = {key: value for key, value in self.repo.env().items() if not key.startswith("AWS_")}
        env |= {"AWS_SHARED_CREDENTIALS_FILE": str(profile), "AWS_CONFIG_FILE": "/nonexistent/config"}
        self.repo.env = lambda **more: {**env, **more}
        process = self.running_backup()
        try:
            loose = loose_pages_with(process.pid, SECRET.encode())
        except PermissionError:
            self.skipTest("/proc/PID/mem may not be read here")
        finally:
            firnlib.end_process(process)
        self.assertEqual(loose, [], "the secret key lies in ordinary memory")


def loose_pages_with(pid, needle):
    """The mappings that hold `needle` and would be part of a core (no "dd" among their VmFlags)."""
    found, mapping = [], None
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
            words = line.split()
            if line[:1] in "0123456789abcdef" and "-" in words[0]:
                mapping = words
            elif words and words[0] == "VmFlags:" and "rd" in words and "dd" not in words:
                start, end = (int(part, 16) for part in mapping[0].split("-"))
                if holds(memory, start, end, needle):
                    found.append(" ".join(mapping))
    return found


def holds(memory, start, end, needle):
    step, tail = 16 << 20, b""
    while start < end:
        try:
            memory.seek(start)
            piece = memory.read(min(step, end - start))
        except (OSError, ValueError, OverflowError):
            return False
        if not piece:
            return False
        if needle in tail + piece:
            return True
        tail, start = piece[-len(needle):], start + len(piece)
    return False


if __name__ == "__main__":
    s3lib.main()
