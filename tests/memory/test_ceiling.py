"""Backup, restore, check, forget and prune inside a 128 MiB memory cgroup: many files, and one large file.

In the test command 200,000 files and 2 GiB; the full size, 1,000,000 files and 20 GiB, with
`tests/run --long memory` (needs 45 GiB of disk in TMPDIR and half an hour). The kernel's own ceiling is the judge:
a process that needs more is killed. Page cache counts too, but the kernel takes that back before it kills.
"""
import contextlib
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import firnlib  # noqa: E402
from firnlib import LEVEL, MIB  # noqa: E402

LIMIT = 128 * MIB
FILES = {"quick": 20_000, "normal": 200_000, "long": 1_000_000}[LEVEL]
LARGE_BYTES = {"quick": 256 * MIB, "normal": 2 << 30, "long": 20 << 30}[LEVEL]
HOUR_S = 3600


class Cgroup:
    """A memory cgroup of version 1 or 2, whichever this machine has."""

    def __init__(self, name):
        own = dict(line.strip().split(":", 2)[1:] for line in open("/proc/self/cgroup"))
        if os.path.isdir("/sys/fs/cgroup/memory"):
            self.path = pathlib.Path("/sys/fs/cgroup/memory") / own.get("memory", "/").strip("/") / name
            self.limit, self.peak = "memory.limit_in_bytes", "memory.max_usage_in_bytes"
        else:
            parent = pathlib.Path("/sys/fs/cgroup") / own.get("", "/").strip("/")
            with contextlib.suppress(OSError):
                (parent / "cgroup.subtree_control").write_text("+memory")
            self.path = parent / name
            self.limit, self.peak = "memory.max", "memory.peak"

    def __enter__(self):
        self.path.mkdir()
        try:
            (self.path / self.limit).write_text(str(LIMIT))
            for name in ("memory.swap.max", "memory.memsw.limit_in_bytes"):
                with contextlib.suppress(OSError):
                    (self.path / name).write_text("0" if name.endswith("max") else str(LIMIT))
            return self
        except OSError:
            self.path.rmdir()
            raise

    def __exit__(self, *_):
        for _ in range(100):
            try:
                self.path.rmdir()
                return
            except OSError:
                time.sleep(0.05)

    def prefix(self):
        return ["sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "sh"]


class Ceiling(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        try:
            self.group = self.enterContext(Cgroup(f"firn-test-{os.getpid()}-{self._testMethodName[-10:]}"))
        except OSError as refused:
            self.skipTest(f"no memory cgroup can be made here ({refused}); the memory ceiling was NOT tested")
        self.repo.init()

    def limited(self, *args):
        began = time.monotonic()
        done = self.repo.run(*args, prefix=self.group.prefix(), timeout_s=HOUR_S)
        print(f"NOTE {args[0]} within {LIMIT // MIB} MiB: {time.monotonic() - began:.1f} s", flush=True)
        return done

    def all_within_the_limit(self):
        self.limited("backup", self.source)
        self.limited("backup", self.source)
        self.limited("check", "--read-data")
        self.limited("restore", "latest", "--target", self.temp / "t")

    def test_many_files(self):
        for number in range(FILES):
            folder = self.source / f"{number // 10_000}" / f"{number // 200 % 50}"
            if number % 200 == 0:
                folder.mkdir(parents=True)
            with open(folder / f"file-{number}", "wb") as file:
                file.write((b"%d\n" % number) * (number % 40))
        self.all_within_the_limit()
        self.assert_same(self.source, self.restored("t"))
        for number in range(0, FILES, 3):
            folder = self.source / f"{number // 10_000}" / f"{number // 200 % 50}"
            (folder / f"file-{number}").write_bytes(b"%d changed\n" % number * 30)
        self.limited("backup", self.source)
        self.limited("forget", "--keep-last", "1")
        self.limited("prune", "--max-unused", "0")
        self.repo.check()

    def test_one_large_file(self):
        firnlib.write_random(self.source / "large", 60, LARGE_BYTES)
        self.all_within_the_limit()
        firnlib.run(["cmp", self.source / "large", self.restored("t") / "large"], timeout_s=HOUR_S)

    def test_many_files_in_one_directory(self):
        for number in range(FILES // 2):
            (self.source / f"{number:07d}-{'x' * (number % 100)}").touch()
        self.all_within_the_limit()


if __name__ == "__main__":
    firnlib.main()
