"""The data that tools are measured on, the same on every machine: made from fixed seeds.

`source`: text files that compress and share lines as source code does, in a tree as deep as a large project's.
`random`: files that neither compress nor repeat. A scale below 1 makes fewer files, not smaller ones.
"""
import bisect
import hashlib
import itertools
import pathlib
import random

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

MIB = 1 << 20
SOURCE_FILES = 64_000
RANDOM_FILES, RANDOM_FILE_BYTES = 16, 256 * MIB


def make(name, root, scale):
    """Makes a dataset below `root`; returns (files, bytes)."""
    {"source": make_source, "random": make_random}[name](pathlib.Path(root), scale)
    sizes = [path.stat().st_size for path in pathlib.Path(root).rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def make_random(root, scale):
    for number in range(max(1, round(RANDOM_FILES * scale))):
        root.mkdir(parents=True, exist_ok=True)
        key = hashlib.sha256(b"firn bench %d" % number).digest()
        stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
        with open(root / f"{number:03d}.bin", "wb") as file:
            for _ in range(RANDOM_FILE_BYTES // (8 * MIB)):
                file.write(stream.update(bytes(8 * MIB)))


class Zipf:
    """Draws from a list, early items far more often than late ones."""

    def __init__(self, items, choice):
        self.items, self.choice = items, choice
        self.bounds = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(items))))

    def draw(self):
        return self.items[bisect.bisect(self.bounds, self.choice.random() * self.bounds[-1])]

    def draws(self, count):
        return self.choice.choices(self.items, cum_weights=self.bounds, k=count)


def make_source(root, scale):
    choice = random.Random(8)
    letters = "etaoinshrdlucmfwypvbgkqjxz"
    words = Zipf(["".join(choice.choices(letters, k=choice.randrange(2, 12))) for _ in range(30_000)], choice)
    shapes = ["{0} = {1}({2}, {3});", "if ({0}->{1} < {2}) {{", "return {0} + {1}[{2}];", "}}", "",
              "/* {0} {1} {2} {3} {4} */", "static int {0}_{1}(struct {2} *{3})", "#include <{0}/{1}.h>",
              "{0}->{1}.{2} |= {3}_{4};", "\tcase {0}_{1}:", "for (int {0} = 0; {0} < {1}; ++{0})", "goto {0};",
              '{0}("{1} {2} {3}: %d", {4});', "const {0}_t {1} = {2}::{3}({4});"]

    def line():
        indent = "\t" * choice.choice((0, 1, 1, 1, 2, 2, 3))
        return (indent + choice.choice(shapes).format(*words.draws(5)) + "\n").encode()

    common = Zipf([line() for _ in range(60_000)], choice)
    folders = [root]
    for number in range(round(SOURCE_FILES * scale / 14)):
        folders.append(choice.choice(folders[-200:]) / f"{words.draw()}{number % 97}")
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for number in range(round(SOURCE_FILES * scale)):
        lines = min(6000, max(3, int(choice.lognormvariate(5.2, 1.2))))
        # A third of the lines are the file's own, made of two halves; the others repeat across the tree.
        own = [head[:-1] + tail for head, tail in zip(common.draws(lines // 3), common.draws(lines // 3))]
        text = own + common.draws(lines - len(own))
        choice.shuffle(text)
        (choice.choice(folders) / f"{words.draw()}_{number}.{choice.choice('chh')}").write_bytes(b"".join(text))


def change(root, number):
    """Changes one per cent of the data in place, version `number`; returns what undo() needs."""
    choice = random.Random(1000 + number)
    files = sorted(path for path in pathlib.Path(root).rglob("*") if path.is_file())
    done = []
    if len(files) >= 100:
        for path in choice.sample(files, len(files) // 100):
            content = path.read_bytes()
            done.append((path, 0, content, len(content)))
            path.write_bytes(content + b"/* version %d */\n" % number)
        return done
    for path in files:
        size = path.stat().st_size
        length = size // 100
        offset = choice.randrange(size - length)
        with open(path, "r+b") as file:
            file.seek(offset)
            done.append((path, offset, file.read(length), size))
            file.seek(offset)
            file.write(choice.randbytes(length))
    return done


def undo(done):
    for path, offset, before, size in reversed(done):
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(before)
            file.truncate(size)
