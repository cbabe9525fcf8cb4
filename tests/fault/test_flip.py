"""Every stored byte flipped in turn, objects cut to every length, swapped, replaced and deleted.

Each mutation is found by check --read-data, or is proven harmless: everything restores exactly. A restore of a
damaged repository is exact, or says with a non-zero exit code what it lacks, and never gives other bytes. In a
normal run objects up to SMALL_BYTES are mutated at every byte and larger ones at a stride (the strides of two runs
with different FIRN_TEST_SEED differ); --long does all.
"""
import collections
import concurrent.futures
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import firnlib  # noqa: E402
from firnlib import LEVEL  # noqa: E402

SEED = int(os.environ.get("FIRN_TEST_SEED", "30"))
MUTATIONS = {"quick": 60, "normal": 1200, "long": 10**9}[LEVEL]
SECONDS = {"quick": 30, "normal": 240, "long": 10**6}[LEVEL]


@firnlib.firn_only
class Damage(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        print(f"NOTE seed {SEED}", flush=True)
        self.choice = random.Random(SEED)
        for name, size in (("inline", 100), ("bundled", 5000), ("bundled too", 40_000), ("chunked", 150_000)):
            firnlib.write(self.source / name, firnlib.random_bytes(name, size))
        # Opening with a key file costs no scrypt, which would be nearly all of the time of thousands of checks.
        self.repo.init()
        self.repo.backup(self.source)
        firnlib.write(self.source / "second", firnlib.random_bytes("second", 30_000))
        self.second = self.repo.backup(self.source)["snapshot_id"]
        self.key_options = self.cheap_key()
        self.password_env = {f"{brand}_PASSWORD_FILE": None for brand in ("FIRN", "RESTIC")} if self.key_options else {}
        self.objects = [path for path in self.repo.objects() if path.parent.name != "sessions"]
        self.results = collections.Counter()

    def cheap_key(self):
        raw = self.temp / "raw.key"
        done = self.repo.run("key", "add", "--role", "admin,reader,writer,maintainer,issuer", "--out", raw, code=None)
        if done.code != 0:
            print("NOTE key add --out does not work: each check pays for the password", flush=True)
            return []
        return ["--key-file", str(raw)]

    def copies(self):
        """A copy of the repository for each worker."""
        found = []
        for number in range(os.cpu_count() or 1):
            copy = firnlib.Repository(self.temp / f"worker{number}")
            shutil.copy(self.repo.password_file, copy.password_file)
            shutil.copytree(self.repo.path, copy.path)
            found.append(copy)
        return found

    def judge(self, copy, what):
        """Finds out whether a damaged copy is noticed. Returns a word, or raises."""
        checked = copy.run(*self.key_options, "--no-cache", "check", "--read-data", code=None, timeout_s=120,
                           env=self.password_env)
        if checked.code in (1, 10, 12):
            if not checked.err.strip():
                raise AssertionError(f"{what}: found, but not a word about it\n{checked}")
            verdict = "found"
        elif checked.code == 0:
            verdict = "harmless"
        else:
            raise AssertionError(f"{what}: neither found nor harmless\n{checked}")
        if verdict == "harmless" or self.choice.random() < 0.1:
            target = copy.folder / "restored"
            # With the password, so that damage to its key counts, whatever key did the check.
            done = copy.run("--no-cache", "restore", self.second, "--target", target, code=None)
            differences = firnlib.tree_differences(self.source, f"{target}{self.source}") if done.code == 0 else ""
            firnlib.remove_tree(target)
            if done.code not in (0, 1, 10, 12):
                raise AssertionError(f"{what}: a restore must be exact or declared\n{done}")
            if differences or (verdict == "harmless" and done.code != 0):
                raise AssertionError(f"{what}: check said {verdict}, restore exit {done.code}, {differences}\n{checked}\n{done}")
        return verdict

    def run_all(self, mutations):
        """Applies each (what, mutate, undo) to a copy, judges it, and puts the copy back."""
        pool = self.copies()
        began, problems = time.monotonic(), []

        def work(copy, share):
            for kind, what, mutate, names in share:
                if time.monotonic() - began > SECONDS or len(problems) > 20:
                    self.results["left out for time"] += 1
                    continue
                saved = {name: (copy.path / name).read_bytes() for name in names if (copy.path / name).exists()}
                mutate(copy.path)
                try:
                    self.results[f"{kind}: {self.judge(copy, what)}"] += 1
                except (AssertionError, subprocess.TimeoutExpired) as problem:
                    problems.append(f"{what}: {problem}")
                for name in names:
                    if name in saved:
                        (copy.path / name).parent.mkdir(parents=True, exist_ok=True)
                        (copy.path / name).write_bytes(saved[name])
                    else:
                        (copy.path / name).unlink(missing_ok=True)

        with concurrent.futures.ThreadPoolExecutor(len(pool)) as executor:
            for done in [executor.submit(work, copy, mutations[number::len(pool)]) for number, copy in enumerate(pool)]:
                done.result()
        print(f"NOTE {sum(self.results.values())} mutations: {dict(sorted(self.results.items()))}", flush=True)
        self.assertEqual(problems[:5], [], f"{len(problems)} problems")
        judged = [count for key, count in self.results.items() if key != "left out for time"]
        self.assertGreater(sum(judged), min(20, len(mutations) - 1))

    def sample(self, mutations):
        """As many as the level allows, from all objects alike, in an order that a cut by time does not skew."""
        chosen = mutations if len(mutations) <= MUTATIONS else self.choice.sample(mutations, MUTATIONS)
        self.choice.shuffle(chosen)
        return chosen

    def test_every_byte_flipped(self):
        mutations = []
        per_object = max(1, MUTATIONS // len(self.objects))
        for path in self.objects:
            name, size = path.relative_to(self.repo.path), path.stat().st_size
            offsets = range(size) if size <= per_object else sorted(self.choice.sample(range(size), per_object))
            for offset in offsets:
                bit = 1 << self.choice.randrange(8)
                mutations.append(("flip", f"{name} byte {offset} ^ {bit}", self.flip(name, offset, bit), [name]))
        print(f"NOTE {len(self.objects)} objects, {sum(path.stat().st_size for path in self.objects)} bytes", flush=True)
        self.run_all(self.sample(mutations))

    @staticmethod
    def flip(name, offset, bit):
        def mutate(root):
            content = bytearray((root / name).read_bytes())
            content[offset] ^= bit
            (root / name).write_bytes(content)
        return mutate

    def test_cut_to_every_length(self):
        mutations = []
        per_object = max(4, MUTATIONS // 4 // len(self.objects))
        for path in self.objects:
            name, size = path.relative_to(self.repo.path), path.stat().st_size
            lengths = set(range(size)) if size <= per_object else {0, 1, size - 1, *self.choice.sample(range(size), per_object)}
            for length in sorted(lengths):
                mutations.append(("cut", f"{name} cut to {length} of {size}", self.cut(name, length), [name]))
            mutations.append(("grown", f"{name} grown by a byte", self.grow(name), [name]))
        self.run_all(self.sample(mutations))

    @staticmethod
    def cut(name, length):
        return lambda root: os.truncate(root / name, length)

    @staticmethod
    def grow(name):
        def mutate(root):
            with open(root / name, "ab") as file:
                file.write(b"\0")
        return mutate

    def test_swapped_replaced_and_deleted(self):
        mutations = []
        for path in self.objects:
            name = path.relative_to(self.repo.path)
            # A deleted snapshot, capability or key looks like one that was forgotten or removed.
            if name.parts[0] not in ("snapshots", "caps", "keys"):
                mutations.append(("deleted", f"{name} deleted", lambda root, name=name: (root / name).unlink(), [name]))
            for other in self.objects:
                if other != path:
                    source = other.relative_to(self.repo.path)
                    mutations.append(("replaced", f"{name} replaced by {source}", self.replace(name, source), [name]))
        self.run_all(self.sample(mutations))

    @staticmethod
    def replace(name, source):
        return lambda root: (root / name).write_bytes((root / source).read_bytes())

    def test_foreign_files_are_harmless(self):
        for name in ("data/ab/" + "ab" * 32, "data/zz/what", "snapshots/readme.txt", "index/0000/junk", "config/junk",
                     "keys/junk", "maint/condemn/junk", "meta/.DS_Store", "lost+found/x"):
            path = firnlib.write(self.repo.path / name, b"not an object of this repository")
            with self.subTest(name=name):
                self.assert_restores_exactly()
                done = self.repo.run("check", "--read-data", code={0, 1})
                if done.code == 1:
                    self.assertIn(path.name, done.err)
            path.unlink()


if __name__ == "__main__":
    firnlib.main()
