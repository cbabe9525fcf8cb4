"""restore(backup(x)) = x on generated trees that change between snapshots: every snapshot restores exactly.

A tree is made and mutated by a seeded generator; a plain copy of each state is the oracle. The failing seed is
named; FIRN_TEST_SEED=N FIRN_TEST_TREES=1 repeats it alone.
"""
import concurrent.futures
import os
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import firnlib  # noqa: E402

FIRST = int(os.environ.get("FIRN_TEST_SEED", "1000"))
TREES = int(os.environ.get("FIRN_TEST_TREES", {"quick": 10, "normal": 200, "long": 5000}[firnlib.LEVEL]))
SNAPSHOTS = 3
# Around every border: inline, bundle, chunk minimum, page size.
SIZES = (0, 1, 255, 256, 257, 4000, 65535, 65536, 65537, 131072, 300_000)


class Tree:
    """A directory that the generator owns, and the things that can happen to it."""

    def __init__(self, root, seed):
        self.root, self.choice = os.fsencode(root), random.Random(seed)
        self.is_root = os.geteuid() == 0

    def entries(self, wanted):
        found = []
        for folder, folders, files in os.walk(self.root):
            for name in sorted(folders) + sorted(files):
                path = os.path.join(folder, name)
                if wanted == "folder" and os.path.isdir(path) and not os.path.islink(path):
                    found.append(path)
                elif wanted == "file" and os.path.isfile(path) and not os.path.islink(path):
                    found.append(path)
                elif wanted == "any":
                    found.append(path)
        return sorted(found)

    def a(self, wanted):
        found = self.entries(wanted)
        if wanted == "folder":
            found.append(self.root)
        return self.choice.choice(found) if found else None

    def fresh_name(self):
        letters = [b"a", b"b", b"0", b".", b"-", b" ", b"\n", b"\xff", b"\xc3\xa9", b"Z", b"~", b"!", b"\x01"]
        while True:
            name = b"".join(self.choice.choices(letters, k=self.choice.choice((1, 2, 3, 8, 60))))
            path = os.path.join(self.a("folder"), name)
            if name not in (b".", b"..") and not os.path.lexists(path):
                return path

    def content(self):
        size = self.choice.choice(SIZES) if self.choice.random() < 0.6 else self.choice.randrange(2000)
        seed = self.choice.randrange(50)  # few seeds: equal contents are common
        return firnlib.random_bytes(seed, size) if self.choice.random() < 0.5 else firnlib.text_bytes(seed, size)

    def new_file(self):
        with open(self.fresh_name(), "wb") as file:
            file.write(self.content())

    def new_folder(self):
        os.mkdir(self.fresh_name())

    def new_link(self):
        os.symlink(self.choice.choice((b"..", b"nowhere", b"\xff\n", b"x" * 300)), self.fresh_name())

    def new_hard_link(self):
        if path := self.a("file"):
            os.link(path, self.fresh_name())

    def new_special(self):
        os.mkfifo(self.fresh_name())

    def new_sparse(self):
        with open(self.fresh_name(), "wb") as file:
            file.truncate(self.choice.randrange(1, 400_000))
            file.seek(self.choice.randrange(400_000))
            if self.choice.random() < 0.7:
                file.write(b"data")

    def rewrite(self):
        if path := self.a("file"):
            with open(path, "wb") as file:
                file.write(self.content())

    def patch(self):
        if path := self.a("file"):
            with open(path, "r+b") as file:
                file.seek(self.choice.randrange(os.path.getsize(path) + 10))
                file.write(b"patched")

    def truncate(self):
        if path := self.a("file"):
            os.truncate(path, self.choice.randrange(os.path.getsize(path) + 1))

    def move(self):
        if path := self.a("any"):
            target = self.fresh_name()
            if not target.startswith(path + b"/"):
                os.rename(path, target)

    def remove(self):
        if path := self.a("any"):
            firnlib.remove_tree(os.fsdecode(path))

    def kind_changes(self):
        if path := self.a("any"):
            firnlib.remove_tree(os.fsdecode(path))
            self.choice.choice((os.mkdir, os.mkfifo, lambda where: os.symlink(b"t", where)))(path)

    def touch(self):
        if path := self.a("any"):
            at = self.choice.randrange(-(10**18), 4 * 10**18)
            os.utime(path, ns=(at, at), follow_symlinks=False)

    def mode(self):
        if (path := self.a("any")) and not os.path.islink(path):
            os.chmod(path, self.choice.choice((0o600, 0o755, 0o700, 0o4755, 0o2770, 0o1777) + ((0,) if self.is_root else ())))

    def owner(self):
        if self.is_root and (path := self.a("any")):
            os.lchown(path, self.choice.randrange(70_000), self.choice.randrange(70_000))

    def attribute(self):
        if path := self.a("file"):
            if os.access(path, os.W_OK):
                os.setxattr(path, b"user.a%d" % self.choice.randrange(3), self.choice.randbytes(self.choice.choice((0, 3, 400))))

    def happen(self, times):
        growing = (self.new_file,) * 6 + (self.new_folder,) * 3 + (self.new_link, self.new_hard_link, self.new_special, self.new_sparse)
        changing = (self.rewrite, self.patch, self.truncate, self.move, self.remove, self.kind_changes, self.touch,
                    self.mode, self.owner, self.attribute)
        for _ in range(times):
            self.choice.choice(growing if self.choice.random() < 0.5 else changing)()


class Property(firnlib.TestCase):
    def test_every_snapshot_of_a_changing_tree_restores_exactly(self):
        self.repo.init()
        problems = []

        def work(seed):
            try:
                if len(problems) < 5:
                    self.one_tree(seed)
            except Exception as problem:  # whatever it is, it belongs to this seed
                problems.append(f"seed {seed}: {problem}")

        # Several trees at once: the repository and its cache are shared, as on a node.
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(work, range(FIRST, FIRST + TREES)))
        print(f"NOTE seeds {FIRST} to {FIRST + TREES - 1}, {SNAPSHOTS} snapshots each", flush=True)
        self.assertEqual(problems, [])
        self.repo.check("--read-data")

    def one_tree(self, seed):
        folder = self.temp / f"tree{seed}"
        source, states = folder / "source", []
        source.mkdir(parents=True)
        tree = Tree(source, seed)
        tree.happen(25)
        for number in range(SNAPSHOTS):
            copy = folder / f"state{number}"
            firnlib.run(["cp", "-a", "--sparse=always", source, copy])
            states.append((self.repo.backup(source)["snapshot_id"], copy))
            tree.happen(12)
        for number, (snapshot, copy) in enumerate(states):
            target = folder / f"restored{number}"
            self.repo.restore(target, snapshot)
            self.assert_same(copy, f"{target}{source}")
        firnlib.remove_tree(folder)


if __name__ == "__main__":
    firnlib.main()
