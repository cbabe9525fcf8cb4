"""What the script suites share: running the firn binary, making trees, comparing them with independent eyes.

A suite is a folder of test_*.py programs made of unittest classes, each ending in `firnlib.main()`, which prints
one line a case and "N passed, N failed, N skipped" last. The binary is $FIRN (tests/run sets it); FIRN=restic runs
those cases whose interface restic shares, which tests the tests. Promises: nothing is left behind (folders, mounts,
processes), everything runs with a time limit. Random data comes from seeds that the failing case names.
"""
import contextlib
import hashlib
import importlib
import json
import os
import pathlib
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import traceback
import unittest

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIRN = os.environ.get("FIRN") or str(ROOT / "build/release/firn")
LEVEL = os.environ.get("FIRN_TEST_LEVEL", "normal")  # quick, normal or long
IS_STAND_IN = pathlib.Path(FIRN).name == "restic"
MIB = 1 << 20
TIME_LIMIT_S = 300
# The caller's own settings must not reach the binary under test.
CLEAN_ENV = {key: value for key, value in os.environ.items()
             if not key.startswith(("FIRN_", "RESTIC_", "AWS_")) and key != "FIRN"}

firn_only = unittest.skipIf(IS_STAND_IN, "the stand-in does this differently")
needs_root = unittest.skipUnless(os.geteuid() == 0, "needs root (mounts, devices, owners)")


class Done:
    """A finished command."""

    def __init__(self, command, code, out, err):
        self.command, self.code, self.out_bytes, self.err_bytes = command, code, out, err
        self.out, self.err = out.decode(errors="replace"), err.decode(errors="replace")

    def __str__(self):
        out = "\n".join(line for line in self.out.splitlines() if '"message_type":"status"' not in line)
        return f"{' '.join(map(str, self.command))}\nexit {self.code}\nstdout: {out[-6000:]}\nstderr: {self.err[-6000:]}"

    def json(self):
        return json.loads(self.out)

    def lines(self, kind=None):
        return json_lines(self.out, kind)

    def err_lines(self, kind=None):
        return json_lines(self.err, kind)


def json_lines(text, kind=None):
    """The JSON objects among the lines of `text`, all or those of one message_type."""
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in found if kind is None or line.get("message_type") == kind]


def run(command, code=0, env=None, stdin=b"", cwd=None, timeout_s=TIME_LIMIT_S):
    """Runs a command; `code` is the exit code, or the set of codes, or None for any, that it must end with.

    A variable whose value in `env` is None is taken away.
    """
    process = subprocess.Popen([str(part) if not isinstance(part, bytes) else part for part in command],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd,
                               env={key: value for key, value in {**CLEAN_ENV, **(env or {})}.items()
                                    if value is not None})
    try:
        out, err = process.communicate(stdin, timeout_s)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    done = Done(command, process.returncode, out, err)
    allowed = code if isinstance(code, (set, frozenset, tuple)) else {code}
    if code is not None and done.code not in allowed:
        raise AssertionError(f"wanted exit code {code}:\n{done}")
    return done


class Repository:
    """A repository in a local directory with its password file and cache, and the firn commands on it."""

    def __init__(self, folder, password="correct horse"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / "repository"
        self.cache = self.folder / "cache"
        self.password_file = self.folder / "password"
        self.password_file.write_text(password + "\n")
        self.key_file = None

    def env(self, **more):
        named = {"REPOSITORY": self.path, "CACHE_DIR": self.cache}
        named |= {"KEY_FILE": self.key_file} if self.key_file else {"PASSWORD_FILE": self.password_file}
        return {f"{brand}_{key}": str(value) for key, value in named.items() for brand in ("FIRN", "RESTIC")} | more

    def run(self, *args, code=0, env=None, prefix=(), **options):
        return run([*prefix, FIRN, *args], code=code, env={**self.env(), **(env or {})}, **options)

    def start(self, *args, prefix=(), **options):
        """Starts a command and returns its Popen; the caller waits for it."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
        return subprocess.Popen([*prefix, FIRN, *map(str, args)], env={**CLEAN_ENV, **self.env()}, **options)

    def init(self, *args):
        self.run("init", *args)
        return self

    def use_key_file(self):
        """From now on a key of all roles opens the repository: no password's scrypt in every command."""
        key_file = self.folder / "all.key"
        self.run("key", "add", "--out", key_file)
        self.key_file = key_file
        return self

    def backup(self, *args, code=0, **options):
        """Backs up; returns the summary line."""
        done = self.run("backup", "--json", *args, code=code, **options)
        summaries = done.lines("summary")
        assert len(summaries) == 1, f"one summary line was wanted:\n{done}"
        return summaries[0]

    def restore(self, target, snapshot="latest", *args, code=0, **options):
        return self.run("restore", snapshot, "--target", target, *args, code=code, **options)

    def check(self, *args, code=0):
        return self.run("check", *args, code=code)

    def snapshots(self, *args):
        return self.run("snapshots", "--json", *args).json()

    def objects(self, folder=""):
        """The stored objects below a folder of the repository, as paths, sorted."""
        return sorted(path for path in (self.path / folder).rglob("*") if path.is_file())

    def size_bytes(self, folder=""):
        return sum(path.stat().st_size for path in self.objects(folder))


class S3Repository(Repository):
    """A repository in a bucket of its own on a real server (tests/servers); endpoint: another way to that server."""

    def __init__(self, folder, server, endpoint=None, password="correct horse"):
        super().__init__(folder, password)
        self.server = server
        self.bucket = server.new_bucket()
        self.path = server.location(self.bucket, "repository", endpoint)

    def through(self, endpoint):
        """The same repository, password and cache, by way of another endpoint (a proxy)."""
        other = object.__new__(S3Repository)
        other.__dict__.update(self.__dict__)
        other.path = self.server.location(self.bucket, "repository", endpoint)
        return other

    def env(self, **more):
        return super().env(**{**self.server.env(), **more})

    def sizes(self, folder=""):
        """name → bytes of the stored objects below a folder."""
        return self.server.client().objects(self.bucket, f"repository/{folder}")

    def objects(self, folder=""):
        return sorted(self.sizes(folder))

    def size_bytes(self, folder=""):
        return sum(self.sizes(folder).values())


def s3servers():
    """The module that starts servers, loaded by those who need one."""
    folder = str(ROOT / "tests/servers")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module("s3servers")


def shared_server(kind):
    """The server of this kind that this program's cases share. Skips the case where it cannot run."""
    servers = s3servers()
    try:
        return servers.shared(kind)
    except servers.Unavailable as reason:
        raise unittest.SkipTest(f"{kind}: {reason}") from reason


def on_every_store(case):
    """Makes further classes of a TestCase that do the same on each real server; quickly, on one of them."""
    if not IS_STAND_IN:
        for kind in ("versitygw",) if LEVEL == "quick" else ("rgw", "versitygw"):
            name = f"{case.__name__}On{kind.capitalize()}"
            setattr(sys.modules[case.__module__], name, type(name, (case,), {"store": kind, "__module__": case.__module__}))
    return case


class TestCase(unittest.TestCase):
    """Gives each case a folder of its own that is removed afterwards, and a repository in it or on a server."""

    longMessage = True
    maxDiff = None
    store = "local"

    def setUp(self):
        self.temp = pathlib.Path(tempfile.mkdtemp(prefix="firn-case-"))
        self.addCleanup(remove_tree, self.temp)
        self.repo = (Repository(self.temp / "store") if self.store == "local"
                     else S3Repository(self.temp / "store", shared_server(self.store)))
        self.source = self.temp / "source"
        self.source.mkdir()

    def restored(self, name="restored"):
        """Where a restore to temp/<name> puts the source."""
        return pathlib.Path(f"{self.temp / name}{self.source}")

    def assert_restores_exactly(self, snapshot="latest", source=None, **options):
        target = self.temp / f"restored-{random.SystemRandom().getrandbits(32):08x}"
        self.repo.restore(target, snapshot, **options)
        source = source or self.source
        self.assert_same(source, pathlib.Path(f"{target}{source}"))
        remove_tree(target)

    def assert_same(self, source, restored):
        differences = tree_differences(source, restored)
        self.assertEqual(differences, "", f"{restored} differs from {source}")


def remove_tree(path):
    """Removes a tree whatever modes or flags it has."""
    if os.geteuid() == 0:
        subprocess.run(["chattr", "-R", "-f", "-i", "-a", str(path)], stderr=subprocess.DEVNULL, check=False)
    else:
        subprocess.run(["chmod", "-R", "u+rwx", str(path)], stderr=subprocess.DEVNULL, check=False)
    subprocess.run(["rm", "-rf", str(path)], check=False)


# Comparison.

def tree_differences(source, restored, leave_out=()):
    """Every difference between two trees as independent tools see it; "" when they are the same.

    rsync: contents, type, mode, owner, mtime, hard links, ACLs, extended attributes, devices. find: the same facts
    with full nanoseconds, and link counts. getfattr: every attribute's bytes.
    """
    excludes = [option for name in leave_out for option in ("--exclude", name)]
    by_rsync = run(["rsync", "-aniHAXS", "--numeric-ids", "--checksum", "--delete", *excludes,
                    f"{source}/", f"{restored}/"], code=None)
    if by_rsync.code != 0 or by_rsync.out_bytes:
        return str(by_rsync)
    if leave_out:
        return ""
    for what, listing in (("find", find_listing), ("getfattr", attribute_listing), ("links", link_groups)):
        one, other = listing(source), listing(restored)
        if one != other:
            only_one, only_other = sorted({*one} - {*other})[:10], sorted({*other} - {*one})[:10]
            return f"{what}: only in the source {only_one}, only in the restored tree {only_other}"
    return ""


def find_listing(root):
    # Directories' sizes and link counts belong to the file system, not to the tree.
    done = run(["find", ".", "(", "-type", "d", "-printf", r"%P\t%y\t%m\t%U:%G\t%T@\0", ")", "-o", "-printf",
                r"%P\t%y\t%m\t%U:%G\t%T@\t%s\t%n\t%l\0"], cwd=root)
    return sorted(done.out_bytes.split(b"\0"))


def attribute_listing(root):
    return sorted(run(["getfattr", "-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", "."], cwd=root).out_bytes.split(b"\n\n"))


def link_groups(root):
    """Sets of paths that are one file."""
    groups = {}
    for folder, _, names in os.walk(os.fsencode(root)):
        for name in names:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            if status.st_nlink > 1:
                groups.setdefault((status.st_dev, status.st_ino), []).append(os.path.relpath(path, os.fsencode(root)))
    return sorted(sorted(group) for group in groups.values())


# Making things.

def random_bytes(seed, size):
    """Incompressible bytes, as fast as AES makes them."""
    key = hashlib.sha256(repr(seed).encode()).digest()
    return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(size))


def write_random(path, seed, size):
    """A file of incompressible bytes of any size, in little memory."""
    with open(path, "wb") as file:
        for start in range(0, size, 8 * MIB):
            file.write(random_bytes((seed, start), min(8 * MIB, size - start)))
    return pathlib.Path(path)


def text_bytes(seed, size):
    """Compressible bytes of a known size."""
    words = [f"word{number:03x}" for number in range(400)]
    chosen = random.Random(seed).choices(words, k=size // 8 + 1)
    return (" ".join(chosen) + "\n").encode()[:size].ljust(size, b".")


def write(path, content=b"", mode=None):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if mode is not None:
        path.chmod(mode)
    return path


def mixed_tree(root, seed, files=60, largest=MIB):
    """A small tree of everything ordinary: sizes from 0 to `largest`, links, odd names, modes, old times."""
    choice = random.Random(seed)
    root = pathlib.Path(root)
    made = []
    for number in range(files):
        folder = root / "/".join(f"d{choice.randrange(4)}" for _ in range(choice.randrange(4)))
        size = choice.choice((0, 1, 200, 257, 5000, 65536, 65537, 70000, choice.randrange(largest)))
        content = random_bytes(choice.random(), size) if choice.random() < 0.5 else text_bytes(choice.random(), size)
        made.append(write(folder / f"file {number}", content, choice.choice((0o644, 0o600, 0o755))))
    os.symlink("d0/nowhere", root / "dangling")
    os.link(made[0], root / "a hard link")
    (root / "empty").mkdir()
    write(os.fsdecode(os.path.join(os.fsencode(root), b"n\xffame\n")), b"odd name")
    for path in made[::3]:
        os.utime(path, ns=(choice.randrange(10**18), choice.randrange(10**18)))
    return made


def wait_until(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.01)


def end_process(process):
    """Kills a process that may still run, and collects it."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    process.communicate()


@contextlib.contextmanager
def mounted(folder, kind, size_bytes):
    """A fresh file system of `kind` (tmpfs, ext4, xfs, btrfs) mounted on `folder`, with project ids if it can."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    image = None
    if kind == "tmpfs":
        run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "none", folder])
    else:
        image = pathlib.Path(f"{folder}.{kind}")
        ways = {"ext4": [(["-O", "project,quota"], ",prjquota"), (["-O", "project"], ""), ([], "")],
                "xfs": [([], ",prjquota"), ([], "")], "btrfs": [([], "")]}[kind]
        for make, options in ways:
            image.unlink(missing_ok=True)
            with open(image, "wb") as file:
                file.truncate(size_bytes)
            run([f"mkfs.{kind}", "-q", *make, image])
            done = run(["mount", "-o", f"loop{options}", image, folder], code=None)
            if done.code == 0:
                break
        else:
            raise AssertionError(str(done))
    try:
        yield folder
    finally:
        for _ in range(50):
            if run(["umount", folder], code=None).code == 0:
                break
            time.sleep(0.1)
        if image:
            image.unlink()


def as_nobody(*command):
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


# Running the cases.

class _Report(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.passed = 0
        self.failed = 0

    def startTest(self, test):
        self.began = time.monotonic()
        self.current_failed = False

    def _say(self, word, test, text=""):
        print(f"{word} {type(test).__name__}.{getattr(test, '_testMethodName', test)}{text}", flush=True)

    def addSuccess(self, test):
        if not self.current_failed:
            self.passed += 1
            self._say("ok", test, f" ({time.monotonic() - self.began:.1f} s)")

    def _failed(self, test, error, detail=""):
        if not self.current_failed:
            self.failed += 1
        self.current_failed = True
        self._say("FAILED", test, f" {detail}\n" + "".join(traceback.format_exception(*error)))

    addError = addFailure = _failed

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self._failed(test, error, str(dict(subtest.params)))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._say("SKIPPED", test, f": {reason}")


def main():
    if shutil.which(FIRN) is None:
        print(f"there is no binary {FIRN}: build the release preset, or name one in FIRN\n0 passed, 1 failed, 0 skipped")
        sys.exit(1)
    os.umask(0o022)
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    if len(sys.argv) > 1:
        suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:], sys.modules["__main__"])
    report = _Report()
    suite.run(report)
    print(f"{report.passed} passed, {report.failed} failed, {len(report.skipped)} skipped")
    sys.exit(1 if report.failed else 0)
