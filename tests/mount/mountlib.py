"""Mounting for the cases: `mounted(repo)` runs firn mount, waits until it serves, and ends it whatever happens."""
import contextlib
import os
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import firnlib  # noqa: E402

can_mount = os.path.exists("/dev/fuse") and os.geteuid() == 0


class Mount:
    """A running `firn mount`. Its messages are in `log` (a file, so that no pipe fills)."""

    def __init__(self, repo, folder, *args, prefix=()):
        self.path = pathlib.Path(folder)
        self.path.mkdir(parents=True, exist_ok=True)
        self.log_path = pathlib.Path(f"{folder}.log")
        with open(self.log_path, "wb") as log:
            self.process = repo.start("mount", *args, self.path, stdout=log, stderr=log, prefix=prefix)
        firnlib.wait_until(lambda: self.process.poll() is not None or os.path.ismount(self.path), "the mount")
        assert self.process.poll() is None, f"firn mount ended with {self.process.returncode}: {self.log()}"

    def log(self):
        return self.log_path.read_text(errors="replace")

    def end(self, how=signal.SIGTERM):
        """Sends the signal and waits; the exit code."""
        self.process.send_signal(how)
        return self.process.wait(60)

    def close(self):
        """For the end of a case: gone, however it is now."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        firnlib.end_process(self.process)
        subprocess.run(["umount", "-l", str(self.path)], stderr=subprocess.DEVNULL, check=False)


class TestCase(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        if not can_mount:
            self.skipTest("needs root and /dev/fuse")

    def mount(self, *args, repo=None, name="mnt", prefix=()):
        mount = Mount(repo or self.repo, self.temp / name, *args, prefix=prefix)
        self.addCleanup(mount.close)
        return mount

    def shown(self, mount, snapshot="latest"):
        """The backed-up source inside of the mount."""
        return pathlib.Path(f"{mount.path}/snapshots/{snapshot}{self.source}")
