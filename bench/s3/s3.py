#!/usr/bin/env python3
"""First backup and restore over a slow link, beside a local repository and beside restic: a table in Markdown.

    bench/s3/s3.py [--scale 0.2] [--rounds 3] [--data source random] [--rtt 30] [--mbit 200]

A versitygw on loopback (tests/servers) behind the fault proxy (tests/proxy), which makes the round trip and the
bandwidth. Medians of the rounds; the tools run one after the other in each round, the first one another each time.
Caches are cold for restores and the page cache is warm for sources. "of the link" compares with the bytes that the
tool itself sent or fetched: what it stores of the same data differs.
"""
import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/proxy"), str(ROOT / "bench/peers")]
import datasets  # noqa: E402
import proxy  # noqa: E402
from proxy import s3servers  # noqa: E402

MIB = 1 << 20


def timed(command, env):
    start = time.monotonic()
    done = subprocess.run([str(word) for word in command], env={**os.environ, **env}, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return time.monotonic() - start


class Run:
    """One tool's backup and restore of one source in one place: seconds, and bytes on the wire each way."""

    def __init__(self, tool, binary, work, source):
        self.tool, self.binary, self.work, self.source = tool, binary, work, source
        (work / "password").write_text("bench\n")

    def go(self, location, server, through=None):
        brand = self.tool.upper()
        cache = self.work / "cache"
        env = {f"{brand}_REPOSITORY": str(location), f"{brand}_PASSWORD_FILE": str(self.work / "password"),
               f"{brand}_CACHE_DIR": str(cache), **(server.env() if server else {})}
        timed([self.binary, "init"], env)
        seen = self.moved(through)
        backup = timed([self.binary, "backup", self.source], env)
        sent = self.moved(through) - seen
        shutil.rmtree(cache, ignore_errors=True)
        seen = self.moved(through)
        target = self.work / "target"
        restore = timed([self.binary, "restore", "latest", "--target", target], env)
        fetched = self.moved(through) - seen
        shutil.rmtree(target)
        shutil.rmtree(cache, ignore_errors=True)
        return {"backup": backup, "restore": restore, "sent": sent, "fetched": fetched}

    @staticmethod
    def moved(through):
        return sum(request.up + request.down for request in through.requests()) if through else 0


def measure(options, binaries, server, source, work):
    """(tool, link) → list of results; link: "local", "rtt", "link"."""
    results = {}
    links = {"rtt": {"rtt_ms": options.rtt}, "link": {"rtt_ms": options.rtt, "mbit": options.mbit}}
    for number in range(options.rounds):
        jobs = [("firn", "local"), *((tool, link) for link in links for tool in binaries)]
        for tool, link in jobs[number % len(jobs):] + jobs[:number % len(jobs)]:
            run = Run(tool, binaries[tool], work, source)
            if link == "local":
                result = run.go(work / "local", None)
                shutil.rmtree(work / "local")
            else:
                with proxy.start(server.port, **links[link]) as through:
                    bucket = server.new_bucket()
                    result = run.go(server.location(bucket, "repo", through.endpoint), server, through)
                # What versitygw holds is of no more use, and the next bucket needs the room.
                shutil.rmtree(server.folder / "data" / bucket, ignore_errors=True)
            results.setdefault((tool, link), []).append(result)
            print(f"  {tool} {link}: {result['backup']:.1f} s, {result['restore']:.1f} s", file=sys.stderr, flush=True)
    return {key: {what: statistics.median(one[what] for one in all) for what in all[0]} for key, all in results.items()}


def table(name, size, results, options):
    local = results["firn", "local"]
    lines = [f"### {name}: {size / MIB:.0f} MiB", "",
             "| | backup s | restore s | sent MiB | of local, backup / restore | of the link, backup / restore |",
             "|---|---|---|---|---|---|"]
    places = {"local": "local directory", "rtt": f"{options.rtt} ms", "link": f"{options.rtt} ms, {options.mbit} Mbit/s"}
    for (tool, link), one in sorted(results.items(), key=lambda item: (list(places).index(item[0][1]), item[0][0])):
        compared = linked = ""
        if tool == "firn" and link == "rtt":
            compared = f"{local['backup'] / one['backup']:.0%} / {local['restore'] / one['restore']:.0%}"
        if link == "link":
            rate = options.mbit * 1e6 / 8
            linked = f"{one['sent'] / rate / one['backup']:.0%} / {one['fetched'] / rate / one['restore']:.0%}"
        lines.append(f"| {tool}, {places[link]} | {one['backup']:.1f} | {one['restore']:.1f} | {one['sent'] / MIB:.0f} | "
                     f"{compared} | {linked} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.2, help="of the datasets of bench/peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", nargs="+", choices=["source", "random"], default=["source", "random"])
    parser.add_argument("--rtt", type=int, default=30, help="milliseconds")
    parser.add_argument("--mbit", type=int, default=200)
    options = parser.parse_args()
    binaries = {"firn": os.environ.get("FIRN", str(ROOT / "build/release/firn"))}
    if shutil.which("restic"):
        binaries["restic"] = shutil.which("restic")
    print(f"{options.rounds} rounds, medians; load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    with tempfile.TemporaryDirectory(prefix="firn-bench-s3-") as folder, s3servers.start("versitygw") as server:
        for name in options.data:
            source = pathlib.Path(folder) / name
            _, size = datasets.make(name, source, options.scale)
            print(table(name, size, measure(options, binaries, server, source, pathlib.Path(folder)), options), flush=True)
            shutil.rmtree(source)


if __name__ == "__main__":
    main()
