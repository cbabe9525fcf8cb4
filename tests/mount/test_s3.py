"""A mount of a repository behind a network: a server that falls silent holds nobody up for good."""
import os
import pathlib
import signal
import subprocess
import sys

import mountlib  # also puts firnlib on the path
import firnlib
from firnlib import MIB

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "proxy"))
import proxy  # noqa: E402

ENDS_WITHIN_S = 60
# Where the kernel holds a process that waits for the answer of a file system, or for a page that one is to fill.
WAITS = ("request_wait_answer", "folio_wait_bit", "wait_on_page_bit")


def waits_for_a_file_system(process):
    try:
        return any(place in pathlib.Path(f"/proc/{process.pid}/wchan").read_text() for place in WAITS)
    except FileNotFoundError:
        return False


class SilentServer(mountlib.TestCase):
    store = "versitygw"

    def setUp(self):
        super().setUp()
        firnlib.write_random(self.source / "large", 7, 3 * MIB)
        self.repo.init().backup(self.source)

    def held_up(self, name):
        """A mount whose server keeps some answers to itself, and a process that wants one of them."""
        fault, look = {"contents": ("GET,/data/=stall", lambda shown: ["cat", shown / "large"]),
                       "pages": ("GET,/meta/=stall", lambda shown: ["ls", "-lR", shown])}[name]
        through = self.enterContext(proxy.start(self.repo.server.port, [fault]))
        mount = self.mount(repo=self.repo.through(through.endpoint), name=name)
        reader = subprocess.Popen([str(part) for part in look(self.shown(mount))], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        self.addCleanup(firnlib.end_process, reader)
        firnlib.wait_until(lambda: reader.poll() is not None or waits_for_a_file_system(reader), "a process that waits")
        # Everybody waits for a moment; one who is held up does so while others come and go.
        for _ in range(20):
            os.listdir(mount.path)
        self.assertTrue(reader.poll() is None and waits_for_a_file_system(reader))
        return mount, reader, through

    def assert_ends(self, mount, through):
        self.assertEqual(mount.end(), 0, mount.log())
        self.assertFalse(os.path.ismount(mount.path))
        self.assertEqual({request.kind for request in through.applied()}, {"stall"})

    def test_who_waits_can_be_killed_and_the_mount_ended(self):
        for name in ("contents", "pages"):
            with self.subTest(name):
                mount, reader, through = self.held_up(name)
                reader.send_signal(signal.SIGKILL)
                self.assertEqual(reader.wait(ENDS_WITHIN_S), -signal.SIGKILL)
                self.assert_ends(mount, through)

    def test_the_mount_ends_while_somebody_waits(self):
        for name in ("contents", "pages"):
            with self.subTest(name):
                mount, reader, through = self.held_up(name)
                self.assert_ends(mount, through)
                self.assertNotEqual(reader.wait(ENDS_WITHIN_S), 0)


if __name__ == "__main__":
    firnlib.main()
