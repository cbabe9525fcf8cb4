"""The tools that are measured, each by the commands that a person would give it, all at their defaults.

A Tool makes command lines; it runs nothing but what it needs to know its snapshots. What a tool cannot do is None, and stands
as a dash in the tables. A tool is found by FIRN_BENCH_<NAME> (a path), by PATH, or built from go.mod where there is a Go.
"""
import json
import os
import pathlib
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PASSWORD = "bench"


class Tool:
    """One tool with a repository, cache and home of its own below `work`, which is empty."""

    def __init__(self, binary, work):
        self.binary, self.work = str(binary), work
        self.repository = work / "repository"
        (work / "password").write_text(PASSWORD + "\n")
        kept = {key: value for key, value in os.environ.items()
                if not key.startswith(("FIRN", "RESTIC", "KOPIA", "RUSTIC", "BUPSTASH", "BORG"))}
        self.env = kept | {"HOME": str(work)} | {key: str(value) for key, value in self.settings().items()}

    def ask(self, *arguments):
        return subprocess.run([self.binary, *arguments], env=self.env, check=True, capture_output=True, text=True).stdout

    # Each gives a list of commands, or None.
    def settings(self): return {}
    def init(self): return [[self.binary, "init"]]
    def backup(self, source, number): raise NotImplementedError
    def restore(self, source, target): raise NotImplementedError
    def check(self): return None
    def forget(self, keep): return None

    def restored(self, source, target):
        """Where `source` stands after restore()."""
        return f"{target}{source}"


class Restic(Tool):
    brand = "RESTIC"

    def settings(self):
        return {f"{self.brand}_REPOSITORY": self.repository, f"{self.brand}_PASSWORD_FILE": self.work / "password",
                f"{self.brand}_CACHE_DIR": self.work / "cache"}

    def backup(self, source, number): return [[self.binary, "backup", str(source)]]
    def restore(self, source, target): return [[self.binary, "restore", "latest", "--target", str(target)]]
    def check(self): return [[self.binary, "check", "--read-data"]]
    def forget(self, keep): return [[self.binary, "forget", "--keep-last", str(keep), "--prune"]]


class Firn(Restic):
    brand = "FIRN"


class Rustic(Restic):
    brand = "RUSTIC"

    def restore(self, source, target): return [[self.binary, "restore", "latest", str(target)]]


class Kopia(Tool):
    def settings(self):
        return {"KOPIA_PASSWORD": PASSWORD, "KOPIA_CONFIG_PATH": self.work / "kopia.config", "KOPIA_CHECK_FOR_UPDATES": "false",
                "KOPIA_CACHE_DIRECTORY": self.work / "cache", "KOPIA_LOG_DIR": self.work / "log"}

    def init(self):
        return [[self.binary, "repository", "create", "filesystem", f"--path={self.repository}"]]

    def backup(self, source, number): return [[self.binary, "snapshot", "create", str(source)]]

    def restore(self, source, target):
        newest = json.loads(self.ask("snapshot", "list", "--json", str(source)))[-1]
        return [[self.binary, "restore", newest["id"], str(target)]]

    def restored(self, source, target): return str(target)
    def check(self): return [[self.binary, "snapshot", "verify", "--verify-files-percent=100"]]

    def forget(self, keep):
        none = [f"--keep-{period}=0" for period in ("hourly", "daily", "weekly", "monthly", "annual")]
        return [[self.binary, "policy", "set", "--global", f"--keep-latest={keep}", *none],
                [self.binary, "snapshot", "expire", "--all", "--delete"],
                [self.binary, "maintenance", "run", "--full", "--safety=none"]]


class Bupstash(Tool):
    def settings(self):
        return {"BUPSTASH_REPOSITORY": self.repository, "BUPSTASH_KEY": self.work / "key", "BUPSTASH_SEND_LOG": self.work / "log",
                "BUPSTASH_QUERY_CACHE": self.work / "queries"}

    def init(self): return [[self.binary, "init"], [self.binary, "new-key", "-o", str(self.work / "key")]]
    def backup(self, source, number): return [[self.binary, "put", "-q", f"number={number}", str(source)]]

    def ids(self):
        lines = self.ask("list", "--format", "jsonl1").splitlines()
        items = sorted(map(json.loads, lines), key=lambda item: int(item["tags"]["number"] if "tags" in item else item["number"]))
        return [item["id"] for item in items]

    def restore(self, source, target):
        target.mkdir(parents=True, exist_ok=True)
        return [[self.binary, "restore", "--into", str(target), f"id={self.ids()[-1]}"]]

    def restored(self, source, target): return str(target)

    def forget(self, keep):
        return [[self.binary, "rm", f"id={old}"] for old in self.ids()[:-keep]] + [[self.binary, "gc"]]


class Borg(Tool):
    def settings(self):
        return {"BORG_REPO": self.repository, "BORG_PASSPHRASE": PASSWORD, "BORG_BASE_DIR": self.work}

    def init(self): return [[self.binary, "init", "--encryption=repokey"]]
    def backup(self, source, number): return [[self.binary, "create", f"::{number:03d}", str(source)]]

    def restore(self, source, target):
        target.mkdir(parents=True, exist_ok=True)
        newest = json.loads(self.ask("list", "--json"))["archives"][-1]["name"]
        return [["sh", "-c", 'cd "$1" && exec "$0" extract "::$2"', self.binary, str(target), newest]]

    def check(self): return [[self.binary, "check", "--verify-data"]]
    def forget(self, keep): return [[self.binary, "prune", f"--keep-last={keep}"], [self.binary, "compact"]]


KINDS = {"firn": Firn, "restic": Restic, "rustic": Rustic, "kopia": Kopia, "bupstash": Bupstash, "borg": Borg}


def find(wanted=None):
    """Name (with version) → (kind, binary), firn first. What is not to be had is named, not passed over in silence."""
    found = {}
    for name, kind in KINDS.items():
        if wanted and name != "firn" and name not in wanted:
            continue
        binaries = candidates(name)
        if not binaries:
            print(f"NOT measured: {name}; it is not in PATH, and FIRN_BENCH_{name.upper()} names none", flush=True)
        for binary in binaries:
            found[label(name, binary)] = (kind, binary)
    return found


def candidates(name):
    if name == "firn":
        return [os.environ.get("FIRN") or built_firn()]
    named = os.environ.get(f"FIRN_BENCH_{name.upper()}")
    binaries = [named] if named else list(filter(None, [shutil.which(name)]))
    if name in ("restic", "kopia") and not named:
        binaries += filter(None, [built_by_go(name)])
    return binaries


def label(name, binary):
    if name == "firn":
        return name
    flag = "version" if name in ("restic",) else "--version"
    done = subprocess.run([binary, flag], capture_output=True, text=True, check=False)
    numbers = [word.lstrip("v") for word in done.stdout.split() if word.lstrip("v")[:1].isdigit()]
    version = numbers[0] if numbers else ""
    return f"{name} {version}".strip()


def built_firn():
    for command in (["cmake", "--preset", "release"], ["cmake", "--build", "--preset", "release", "--target", "firn"]):
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return str(ROOT / "build/release/firn")


def built_by_go(name):
    """Builds the release that go.mod names, where there is a Go."""
    folder, package = {"restic": (HERE, "github.com/restic/restic/cmd/restic"),
                       "kopia": (HERE / "kopia", "github.com/kopia/kopia")}[name]
    if shutil.which("go") is None:
        print(f"NOT measured: the newest {name}, because there is no go here", flush=True)
        return None
    target = ROOT / "build/peers" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["go", "build", "-mod=mod", "-o", str(target), package], cwd=folder, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        print(f"NOT measured: the newest {name}, which did not build: {done.stderr[-500:]}", flush=True)
        return None
    return str(target)
