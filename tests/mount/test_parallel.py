"""Many readers while snapshots are added and forgotten, and readers under a memory ceiling.

Six rounds in the test command, ten minutes with `tests/run --long mount`. Every file that is
read is compared with a copy of what was backed up. A file of a snapshot that was forgotten meanwhile may be gone, but
never wrong: nothing is pruned here.
"""
import hashlib
import os
import pathlib
import random
import sys
import threading
import time

import mountlib  # also puts firnlib on the path
import firnlib
from firnlib import MIB

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "memory"))
import test_ceiling  # noqa: E402

# As many rounds, or as many as there are in so many seconds.
ROUNDS_MIN, SECONDS_MIN = {"quick": (3, 0), "normal": (6, 0), "long": (20, 600)}[firnlib.LEVEL]
READERS = 6
KEPT = 3


def resident_bytes(pid):
    """Anonymous memory: the pages of the index's map are the kernel's to take back."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]) * 1024


def digests(root):
    """Relative path → digest of every regular file."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = pathlib.Path(folder) / name
            if path.is_file() and not path.is_symlink():
                found[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@firnlib.on_every_store
class Parallel(mountlib.TestCase):
    def change(self, number):
        choice = random.Random(number)
        for _ in range(20):
            firnlib.write(self.source / f"d{choice.randrange(5)}/f{choice.randrange(40)}",
                          firnlib.random_bytes(choice.random(), choice.choice((0, 100, 5000, 70_000, 700_000))))

    def test_readers_see_no_difference_while_snapshots_come_and_go(self):
        self.repo.init()
        known, problems, read = {}, [], [0]
        lock, over = threading.Lock(), threading.Event()

        def back_up(number):
            self.change(number)
            wanted = digests(self.source)
            known[self.repo.backup(self.source)["snapshot_id"][:8]] = wanted

        back_up(0)
        mount = self.mount()

        def reader(number):
            choice = random.Random(1000 + number)
            while not over.is_set():
                try:
                    name = choice.choice([name for name in os.listdir(mount.path / "ids") if name != "latest"])
                    wanted = known.get(name)
                    for path in choice.sample(sorted(wanted), min(10, len(wanted))) if wanted else ():
                        with open(mount.path / f"ids/{name}{self.source}/{path}", "rb") as file:
                            if hashlib.sha256(file.read()).hexdigest() != wanted[path]:
                                problems.append(f"{name}: {path} differs")
                    with lock:
                        read[0] += 1
                except FileNotFoundError:
                    pass  # forgotten between two looks
                except OSError as error:
                    problems.append(str(error))

        readers = [threading.Thread(target=reader, args=(number,)) for number in range(READERS)]
        for one in readers:
            one.start()
        sizes = []
        try:
            end = time.monotonic() + SECONDS_MIN
            while len(sizes) < ROUNDS_MIN or time.monotonic() < end:
                back_up(len(sizes) + 1)
                self.repo.run("forget", "--keep-last", KEPT)
                seen = read[0]
                firnlib.wait_until(lambda: read[0] > seen + READERS or problems, "the readers to go on", 120)
                sizes.append(resident_bytes(mount.process.pid))
        finally:
            over.set()
            for one in readers:
                one.join()
        self.assertEqual(problems, [])
        print(f"NOTE {read[0]} walks over {len(sizes) + 1} snapshots; resident MiB after each round: "
              f"{', '.join(str(size // MIB) for size in sizes[:: max(1, len(sizes) // 10)])}", flush=True)
        self.assertLess(max(sizes), 200 * MIB, "the default budget is 256 MiB for everything")
        if len(sizes) >= 20:
            half = len(sizes) // 2
            self.assertLess(max(sizes[half:]), max(sizes[:half]) + 24 * MIB, "no growth")


class Ceiling(mountlib.TestCase):
    def test_ten_readers_in_128_mib(self):
        try:
            group = self.enterContext(test_ceiling.Cgroup(f"firn-mount-{os.getpid()}"))
        except OSError as refused:
            self.skipTest(f"no memory cgroup can be made here ({refused}); the memory ceiling was NOT tested")
        sizes = {f"file-{number}": 48 * MIB for number in range(10)}
        for name, size in sizes.items():
            firnlib.write_random(self.source / name, name, size)
        self.repo.init().backup(self.source)
        mount = self.mount(prefix=group.prefix())
        problems = []

        def read(name):
            with open(self.shown(mount) / name, "rb") as shown, open(self.source / name, "rb") as source:
                while piece := shown.read(MIB):
                    if piece != source.read(MIB):
                        problems.append(name)
                        return

        readers = [threading.Thread(target=read, args=(name,)) for name in sizes]
        for one in readers:
            one.start()
        for one in readers:
            one.join()
        self.assertEqual(problems, [])
        self.assertIsNone(mount.process.poll(), "the kernel killed it")
        print(f"NOTE ten readers: {resident_bytes(mount.process.pid) // MIB} MiB resident at the end", flush=True)
        self.assertEqual(mount.end(), 0)


if __name__ == "__main__":
    firnlib.main()
