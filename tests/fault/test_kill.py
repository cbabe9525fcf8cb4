"""SIGKILL at random moments of a backup, and at system calls that change the store; and errors from such calls.

After every fault: the next backup succeeds, check --read-data is clean, and what is restored is the source.
The seed is printed; FIRN_TEST_SEED repeats a run.
"""
import collections
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import firnlib  # noqa: E402
from firnlib import LEVEL, MIB  # noqa: E402

SEED = int(os.environ.get("FIRN_TEST_SEED", "20"))
KILLS = {"quick": 10, "normal": 50, "long": 500}[LEVEL]
CALLS = {"quick": 2, "normal": 4, "long": 200}[LEVEL]


class Kill(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        print(f"NOTE seed {SEED}", flush=True)
        self.choice = random.Random(SEED)

    def change(self, number):
        """Makes the source differ from what any earlier backup saw."""
        firnlib.write_random(self.source / f"large-{number % 3}", (SEED, number), 20 * MIB)
        for _ in range(20):
            firnlib.write(self.source / f"small/{self.choice.randrange(500)}",
                          firnlib.text_bytes(self.choice.random(), self.choice.randrange(40_000)))

    def test_killed_at_random_moments(self):
        for number in range(3):
            self.change(number)
        self.repo.init()
        began = time.monotonic()
        self.repo.backup(self.source)
        usual_s = time.monotonic() - began
        acknowledged, killed, number = 1, 0, 0
        phases = collections.Counter()
        while killed < KILLS:
            number += 1
            self.assertLess(number, 5 * KILLS, "too few backups were killed before they ended")
            self.change(number)
            before, began = self.counts(), time.monotonic()
            process = self.repo.start("backup", self.source, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            # A third at any time; the others shortly after an object of a kind that is drawn has appeared.
            awaited = self.choice.choice((None, "sessions", "data"))
            while awaited and process.poll() is None and self.counts()[awaited] <= before[awaited]:
                time.sleep(0.001)
            try:
                process.wait(self.choice.uniform(0, usual_s if awaited is None else usual_s / 4))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
            if process.returncode == 0:
                acknowledged += 1
                usual_s = (usual_s + time.monotonic() - began) / 2
                continue
            self.assertEqual(process.returncode, -signal.SIGKILL)
            phases[self.phase(before)] += 1
            killed += 1
            if firnlib.IS_STAND_IN:
                self.repo.run("unlock", "--remove-all")
            if killed % 10 == 0:
                # Every tenth time all is looked at; until then the remains of the killed pile up.
                self.repo.backup(self.source)
                acknowledged += 1
                self.repo.check("--read-data")
                self.assert_restores_exactly()
        # A snapshot that was put but not acknowledged may count; an acknowledged one must.
        found = len(self.repo.snapshots())
        self.assertGreaterEqual(found, acknowledged)
        self.assertLessEqual(found, acknowledged + killed)
        print(f"NOTE {killed} killed; the last thing that they had stored: {dict(phases)}", flush=True)

    def counts(self):
        names = ("sessions", "data", "index", "meta", "snapshots")
        return {name: len(self.repo.objects(name)) for name in names}

    def phase(self, before):
        """The last kind of object that a backup had added when it ended."""
        grown = [name for name, count in self.counts().items() if count > before[name]]
        return grown[-1] if grown else "nothing"

    def test_a_killed_restore_can_be_repeated(self):
        for number in range(3):
            self.change(number)
        self.repo.init().backup(self.source)
        target = self.temp / "t"
        for number in range(5):
            process = self.repo.start("restore", "latest", "--target", target, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
            try:
                process.wait(self.choice.uniform(0, 1.5))
            except subprocess.TimeoutExpired:
                firnlib.end_process(process)
        self.repo.restore(target)
        self.assert_same(self.source, self.restored("t"))


@firnlib.firn_only
class AtSystemCalls(firnlib.TestCase):
    """strace breaks the n-th call of a kind; n is drawn from what an unbroken run does."""

    STORE_CALLS = ("openat", "write", "pwrite64", "fsync", "fdatasync", "rename", "renameat", "renameat2", "linkat",
                   "mkdirat", "mkdir", "unlinkat")
    READ_CALLS = ("read", "pread64", "getdents64", "statx", "newfstatat", "fstat", "mmap")

    def setUp(self):
        super().setUp()
        self.choice = random.Random(SEED)
        firnlib.mixed_tree(self.source, seed=SEED, files=30, largest=MIB // 2)
        self.repo.init().backup(self.source)
        probe = firnlib.run(["strace", "-o", "/dev/null", "true"], code=None)
        if probe.code != 0:
            self.skipTest(f"strace may not trace here: {probe.err.strip()}")

    def calls_of(self, *command):
        """How often each system call happens in a command."""
        log = self.temp / "strace"
        self.repo.run(*command, prefix=["strace", "-f", "-c", "-o", log, "-U", "name,calls"])
        counted = {}
        for line in log.read_text().splitlines():
            words = line.split()
            if len(words) == 2 and words[1].isdigit():
                counted[words[0]] = int(words[1])
        return counted

    def broken(self, call, fault, when, *command):
        return self.repo.run(*command, code=None,
                             prefix=["strace", "-f", "-o", "/dev/null", "-e", f"inject={call}:{fault}:when={when}"])

    def moments(self, counted, calls):
        for call in calls:
            total = counted.get(call, 0)
            for when in sorted(self.choice.sample(range(1, total + 1), min(CALLS, total))):
                yield call, when

    def test_killed_at_a_call_that_changes_the_store(self):
        fired = 0
        counted = self.calls_of("backup", self.change())
        for call, when in self.moments(counted, self.STORE_CALLS):
            with self.subTest(call=call, when=when):
                self.broken(call, "signal=KILL", when, "backup", self.change())
                self.repo.backup(self.source)
                self.assert_restores_exactly()
                fired += 1
        self.repo.check("--read-data")
        self.assertGreater(fired, 0)
        print(f"NOTE {fired} kills at system calls", flush=True)

    def test_errors_of_a_backups_calls_are_exact_or_declared(self):
        fired = collections.Counter()
        counted = self.calls_of("backup", self.change())
        for call, when in self.moments(counted, self.STORE_CALLS + self.READ_CALLS):
            error = self.choice.choice(("EIO", "ENOSPC", "ENOMEM") if call != "mmap" else ("ENOMEM",))
            with self.subTest(call=call, error=error, when=when):
                before = {snapshot["id"] for snapshot in self.repo.snapshots()}
                done = self.broken(call, f"error={error}", when, "backup", self.change())
                new = {snapshot["id"] for snapshot in self.repo.snapshots()} - before
                self.declared_or_exact(done, new)
                fired[done.code] += 1
        self.repo.check("--read-data")
        print(f"NOTE errors of a backup's system calls, by exit code: {dict(fired)}", flush=True)

    def declared_or_exact(self, done, new):
        if done.code == 0:
            self.assertEqual(len(new), 1, done)
            self.assert_restores_exactly(new.pop())
        elif done.code not in (1, 3, 10, 12, 127):
            self.fail(f"neither exact nor declared:\n{done}")
        else:
            self.assertTrue(done.err.strip(), done)

    def test_errors_of_a_restores_calls_are_exact_or_declared(self):
        counted = self.calls_of("restore", "latest", "--target", self.temp / "t")
        fired = collections.Counter()
        for number, (call, when) in enumerate(self.moments(counted, (
                "openat", "openat2", "pwrite64", "write", "ftruncate", "fchownat", "fchown", "fchmod", "utimensat",
                "linkat", "symlinkat", "mkdirat", *self.READ_CALLS))):
            with self.subTest(call=call, when=when):
                target = self.temp / f"t{number}"
                done = self.broken(call, "error=EIO", when, "restore", "latest", "--target", target)
                if done.code == 0:
                    self.assert_same(self.source, self.restored(f"t{number}"))
                else:
                    self.assertIn(done.code, (1, 10, 12, 127), done)
                    self.assertTrue(done.err.strip(), done)
                fired[done.code] += 1
        print(f"NOTE errors of a restore's system calls, by exit code: {dict(fired)}", flush=True)

    def test_metadata_that_could_not_be_set_is_a_failure(self):
        for call in ("utimensat", "fchmod", "fchown"):
            with self.subTest(call=call):
                done = self.broken(call, "error=EIO", 1, "restore", "latest", "--target", self.temp / call)
                self.assertEqual(done.code, 1, done)
                self.assertIn("Input/output error", done.err)

    def change(self):
        firnlib.write(self.source / "changes", firnlib.random_bytes(self.choice.random(), 200_000))
        return self.source


if __name__ == "__main__":
    firnlib.main()
