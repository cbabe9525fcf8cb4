#!/usr/bin/env python3
"""Measures `firn mount` and `firn find` and prints one line a figure, with its ratio and its target.

Beside restic's mount where restic is at hand. Needs root and /dev/fuse. Everything lies in TMPDIR (about three times
the data). Figures: `find` over many entries, large files in order (from a directory, and from S3 behind a link of 30 ms),
random reads of 4 KiB with a warm cache, memory while ten processes read, `firn find` over snapshots that differ by 1 %. usage: bench/mount/mount.py [--scale 0.1]
"""
import argparse
import mmap
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench/peers"), str(ROOT / "tests/proxy")]
import datasets  # noqa: E402
import proxy  # noqa: E402
MIB = 1 << 20
ENTRIES, LARGE_BYTES, RANDOM_READS, SNAPSHOTS, RTT_MS = 1_000_000, 1 << 30, 100_000, 100, 30
PARTS = ["walk", "find", "read", "s3"]


class Tool:
    def __init__(self, binary, work, server=None):
        self.binary, self.work = binary, pathlib.Path(work)
        self.work.mkdir()
        (self.work / "password").write_text("bench\n")
        values = {"REPOSITORY": self.work / "repository", "PASSWORD_FILE": self.work / "password",
                  "CACHE_DIR": self.work / "cache"}
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(("FIRN", "RESTIC"))}
        self.env |= {f"{brand}_{key}": str(value) for key, value in values.items() for brand in ("FIRN", "RESTIC")}
        if server:
            self.bucket = server.new_bucket()
            self.env |= server.env(FIRN_REPOSITORY=server.location(self.bucket))
        self.run("init")

    def run(self, *args):
        began = time.monotonic()
        subprocess.run([self.binary, *map(str, args)], env=self.env, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        return time.monotonic() - began


class Mounted:
    def __init__(self, tool):
        self.tool, self.path = tool, tool.work / "mnt"

    def __enter__(self):
        self.path.mkdir(exist_ok=True)
        self.process = subprocess.Popen([self.tool.binary, "mount", str(self.path)], env=self.tool.env,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not os.path.ismount(self.path):
            if self.process.poll() is not None:
                sys.exit(f"bench: {self.tool.binary} mount ended with {self.process.returncode}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        # Older restics leave their mount behind at any other signal.
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        if os.path.ismount(self.path):
            subprocess.run(["umount", "-l", str(self.path)], check=False)

    def shown(self, source):
        return f"{self.path}/snapshots/latest{source}"

    def resident_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def seconds_of(command):
    began = time.monotonic()
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def say(what, value, target):
    print(f"{what}: {value} (target {target})", flush=True)


def walk_figures(temp, tools, entries):
    source = temp / "entries"
    for number in range(entries):
        if number % 1000 == 0:
            (source / f"{number // 100_000}/{number // 1000}").mkdir(parents=True)
        (source / f"{number // 100_000}/{number // 1000}/file-{number}").write_bytes(b"%d" % number)
    seconds = {}
    for name, tool in tools.items():
        tool.run("backup", source)
        with Mounted(tool) as mount:
            seconds[name] = seconds_of(["find", mount.shown(source), "-printf", "%s %T@ %p\n"])
            again = seconds_of(["find", mount.shown(source), "-printf", "%s %T@ %p\n"])
            print(f"  {name}: find -printf over {entries:,} files {seconds[name]:.2f} s, again {again:.2f} s, "
                  f"peak {mount.resident_mib():.0f} MiB", flush=True)
    for name in list(seconds)[1:]:
        say(f"find, {name} over firn", f"{seconds[name] / seconds['firn']:.1f}×", "≥ 5×")
    return source


def find_figures(tool, source, snapshots):
    """One snapshot is there; the others change one directory in a hundred each."""
    one = min(tool.run("find", "no-such-file*") for _ in range(3))
    folders = sorted(path for path in source.glob("*/*"))
    choice = random.Random(1)
    for _ in range(snapshots - 1):
        for folder in choice.sample(folders, max(1, len(folders) // 100)):
            for path in folder.iterdir():
                path.write_bytes(b"%d" % choice.getrandbits(60))
        tool.run("backup", source)
    many = min(tool.run("find", "no-such-file*") for _ in range(3))
    say(f"firn find over {snapshots} snapshots ({many:.2f} s) over one ({one:.2f} s)", f"{many / one:.1f}×", "≤ 3×")


def read_figures(temp, binary, size):
    source = temp / "large"
    datasets.make_random(source, size / (datasets.RANDOM_FILES * datasets.RANDOM_FILE_BYTES))
    tool = Tool(binary, temp / "firn-large")
    tool.run("backup", source)
    restore = min(tool.run("restore", "latest", "--target", temp / f"restored-{turn}") for turn in range(2))
    files = sorted(path.name for path in source.iterdir())
    reads = []
    for _ in range(2):
        with Mounted(tool) as mount:
            shown = mount.shown(source)
            reads.append(seconds_of(["dd", f"if={shown}/{files[0]}", "of=/dev/null", "bs=1M", "status=none"]) * len(files))
    say("one file in order, restore's seconds over the mount's", f"{restore / min(reads):.2f}×", "≥ 0.5×")
    with Mounted(tool) as mount:
        path = f"{mount.shown(source)}/{files[0]}"
        seconds_of(["cat", path])
        length = os.path.getsize(path) // 4096
        choice = random.Random(2)
        places = [choice.randrange(length) * 4096 for _ in range(RANDOM_READS)]
        with open(path, "rb", buffering=0) as file:
            began = time.monotonic()
            for place in places:
                os.pread(file.fileno(), 4096, place)
            say("random reads of 4 KiB, warm, the kernel's cache", f"{RANDOM_READS / (time.monotonic() - began):,.0f}/s",
                "≥ 20,000/s")
        say("random reads of 4 KiB, warm, firn's own cache", f"{direct_reads(path):,.0f}/s", "≥ 20,000/s")
    with Mounted(tool) as mount:
        readers = [subprocess.Popen(["cat", f"{mount.shown(source)}/{files[number % len(files)]}"], stdout=subprocess.DEVNULL)
                   for number in range(10)]
        for reader in readers:
            reader.wait()
        say("peak while ten processes read", f"{mount.resident_mib():.0f} MiB", "≤ 128 MiB")


def direct_reads(path):
    """Reads a second of 4 KiB within 8 MiB that firn holds decoded, past the kernel's cache."""
    choice, buffer = random.Random(3), mmap.mmap(-1, 4096)
    file = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        for place in range(0, 8 * MIB, 4096):
            os.preadv(file, [buffer], place)
        began = time.monotonic()
        for _ in range(RANDOM_READS):
            os.preadv(file, [buffer], choice.randrange(8 * MIB // 4096) * 4096)
        return RANDOM_READS / (time.monotonic() - began)
    finally:
        os.close(file)


def s3_figures(temp, binary, size):
    """A link of 30 ms: the repository is written without it, read through it."""
    source = temp / "large-s3"
    datasets.make_random(source, size / (datasets.RANDOM_FILES * datasets.RANDOM_FILE_BYTES))
    with proxy.s3servers.start("versitygw") as server, proxy.start(server.port, rtt_ms=RTT_MS) as through:
        tool = Tool(binary, temp / "firn-s3", server)
        tool.run("backup", source)
        tool.env["FIRN_REPOSITORY"] = server.location(tool.bucket, endpoint=through.endpoint)
        restores, reads = [], []
        for turn in range(2):
            restores.append(tool.run("restore", "latest", "--target", temp / f"restored-s3-{turn}"))
            shutil.rmtree(temp / f"restored-s3-{turn}")
            before = len(through.requests())
            with Mounted(tool) as mount:
                shown = pathlib.Path(mount.shown(source))
                reads.append(seconds_of(["cat", *sorted(shown.iterdir())]))
            requests = len(through.requests()) - before
    say(f"{size / MIB:.0f} MiB in order on S3 at {RTT_MS} ms, restore's seconds ({min(restores):.2f}) over the mount's "
        f"({min(reads):.2f}; {requests} requests)", f"{min(restores) / min(reads):.2f}×", "≥ 0.8×")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    options = parser.parse_args()
    binary = os.environ.get("FIRN") or str(ROOT / "build/release/firn")
    with tempfile.TemporaryDirectory(prefix="firn-bench-") as folder:
        temp = pathlib.Path(folder)
        if "read" in options.parts:
            read_figures(temp, binary, int(LARGE_BYTES * max(options.scale, 0.25)))
        if "s3" in options.parts:
            s3_figures(temp, binary, int(LARGE_BYTES * max(options.scale, 0.25)))
        if {"walk", "find"} & set(options.parts):
            tools = {"firn": Tool(binary, temp / "firn")}
            if restic := shutil.which("restic"):
                tools["restic"] = Tool(restic, temp / "restic")
            source = walk_figures(temp, tools, int(ENTRIES * options.scale))
            if "find" in options.parts:
                find_figures(tools["firn"], source, max(2, int(SNAPSHOTS * min(1, options.scale * 5))))


if __name__ == "__main__":
    main()
