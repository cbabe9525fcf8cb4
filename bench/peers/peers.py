"""Runs firn and its peers on the same data, in turns, and writes medians and ratios to docs/BENCHMARKS.md.

Each round runs every tool once through init, first backup, backup without a change, restore and check, so that a
machine that drifts drifts for all of them; the order rotates. All tools use their defaults and a password file.
Restored trees are compared with their source in the first round. Started by bench/run.
"""
import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import datasets

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MIB = 1 << 20
WORKS = ("first backup", "no change", "restore", "check")
# What issue 3 asks for against restic; None where it names no figure.
TARGETS = {("source", "first backup"): 2, ("random", "first backup"): 2, ("source", "no change"): 5,
           ("random", "no change"): 5, ("source", "restore"): 2, ("random", "restore"): 2}


def main():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=float(os.environ.get("FIRN_BENCH_SCALE", 1)),
                        help="part of the data, for example 0.1 (or FIRN_BENCH_SCALE)")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the data, one round, nothing written")
    parser.add_argument("--data", nargs="+", default=["source", "random"], choices=["source", "random"])
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "docs/BENCHMARKS.md")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.scale = 1, 0.05

    with tempfile.TemporaryDirectory(prefix="firn-bench-") as temp:
        temp = pathlib.Path(temp)
        need = int(14 * (1 << 30) * options.scale) + (1 << 30)
        if shutil.disk_usage(temp).free < need:
            sys.exit(f"bench: {temp} has less than {need >> 30} GiB free; name another place in TMPDIR")
        tools = find_tools()
        tables = []
        for name in options.data:
            print(f"making dataset {name}", flush=True)
            source = temp / name
            files, size = datasets.make(name, source, options.scale)
            results = {tool: [] for tool in tools}
            for number in range(options.rounds):
                order = list(tools)[number % len(tools):] + list(tools)[:number % len(tools)]
                for tool in order:
                    results[tool].append(one_round(tool, tools[tool], source, temp / "work", verify=number == 0))
            shutil.rmtree(source)
            tables.append(table(name, files, size, tools, results))
            print(tables[-1], flush=True)
        page = document(tools, tables, options)
    if not options.quick:
        options.output.write_text(page)
        print(f"written: {options.output}")


def find_tools():
    """Name (with version) → binary, firn first. A peer that is not to be had is named, not passed over in silence."""
    firn = os.environ.get("FIRN")
    if not firn:
        subprocess.run(["cmake", "--preset", "release"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cmake", "--build", "--preset", "release"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        firn = ROOT / "build/release/firn"
    found = {"firn": str(firn)}
    binaries = [shutil.which("restic"), newest_restic()]
    for binary in filter(None, binaries):
        words = subprocess.run([binary, "version"], check=True, capture_output=True, text=True).stdout.split()
        found[f"restic {words[1]}"] = binary
    print("tools:", ", ".join(found), flush=True)
    return found


def newest_restic():
    """Builds the restic that go.mod names, where there is a Go."""
    if shutil.which("go") is None:
        print("NOT measured: the newest restic, because there is no go here", flush=True)
        return None
    target = ROOT / "build/peers/restic"
    target.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["go", "build", "-mod=mod", "-o", str(target), "github.com/restic/restic/cmd/restic"], cwd=HERE,
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"NOT measured: the newest restic, which did not build: {done.stderr[-500:]}", flush=True)
        return None
    return str(target)


def measured(command, env):
    """Runs a command; returns seconds, CPU seconds and peak MiB. It must succeed."""
    os.sync()
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            sys.exit(f"bench: {command} failed ({process.returncode}):\n{output.read().decode(errors='replace')[-3000:]}")
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss / 1024}


def one_round(tool, binary, source, work, verify):
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    (work / "password").write_text("bench\n")
    values = {"REPOSITORY": work / "repository", "PASSWORD_FILE": work / "password", "CACHE_DIR": work / "cache"}
    env = {key: value for key, value in os.environ.items() if not key.startswith(("FIRN", "RESTIC"))}
    env |= {f"{brand}_{key}": str(value) for key, value in values.items() for brand in ("FIRN", "RESTIC")}
    subprocess.run([binary, "init"], env=env, check=True, stdout=subprocess.DEVNULL)
    target = work / "restored"
    result = {"first backup": measured([binary, "backup", str(source)], env)}
    result["stored"] = sum(path.stat().st_size for path in values["REPOSITORY"].rglob("*") if path.is_file())
    result["no change"] = measured([binary, "backup", str(source)], env)
    result["restore"] = measured([binary, "restore", "latest", "--target", str(target)], env)
    if verify:
        compared = subprocess.run(["rsync", "-aniHAX", "--numeric-ids", "--checksum", "--delete", f"{source}/",
                                   f"{target}{source}/"], capture_output=True, text=True, check=True)
        if compared.stdout:
            sys.exit(f"bench: {tool} did not restore its source:\n{compared.stdout[:2000]}")
    shutil.rmtree(target)
    result["check"] = measured([binary, "check", "--read-data"], env)
    print(f"  {tool}: " + ", ".join(f"{work_name} {result[work_name]['seconds']:.2f} s" for work_name in WORKS), flush=True)
    shutil.rmtree(work)
    return result


def median(runs, work, what):
    return statistics.median(run[work][what] for run in runs)


def table(name, files, size, tools, results):
    """One dataset as Markdown: seconds and ratios, then CPU seconds, peak memory and stored bytes."""
    peers = [tool for tool in tools if tool != "firn"]
    lines = [f"## {name}: {files:,} files, {size / MIB:,.0f} MiB", "",
             "| seconds (median) | firn | " + " | ".join(f"{peer} | ratio" for peer in peers) + " | target |",
             "|---|" + "---:|" * (2 * len(peers) + 2)]
    for work in WORKS:
        own = median(results["firn"], work, "seconds")
        cells = [f"{own:.2f}"]
        ratios = []
        for peer in peers:
            theirs = median(results[peer], work, "seconds")
            ratios.append(theirs / own)
            cells += [f"{theirs:.2f}", f"{theirs / own:.1f}×"]
        target = TARGETS.get((name, work))
        verdict = "" if target is None else f"≥ {target}× {'met' if ratios and min(ratios) >= target else 'missed'}"
        lines.append(f"| {work} | " + " | ".join(cells) + f" | {verdict} |")
    lines += ["", "| CPU seconds / peak MiB | " + " | ".join(tools) + " |", "|---|" + "---:|" * len(tools)]
    for work in WORKS:
        cells = [f"{median(results[tool], work, 'cpu'):.2f} / {max(run[work]['peak'] for run in results[tool]):.0f}"
                 for tool in tools]
        lines.append(f"| {work} | " + " | ".join(cells) + " |")
    stored = [f"{statistics.median(run['stored'] for run in results[tool]) / MIB:,.1f}" for tool in tools]
    lines.append("| stored MiB | " + " | ".join(stored) + " |")
    return "\n".join(lines) + "\n"


def document(tools, tables, options):
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
                 platform.machine())
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    file_system = subprocess.run(["stat", "-f", "-c", "%T", tempfile.gettempdir()], capture_output=True, text=True,
                                 check=True).stdout.strip()
    revision = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True,
                              check=False).stdout.strip()
    return "\n".join([
        "# Benchmarks", "",
        f"Written by `bench/run --rounds {options.rounds} --scale {options.scale:g}` at revision {revision or 'unknown'}. "
        f"Machine: {os.cpu_count()} × {model}, {memory_gib:.0f} GiB, Linux {platform.release()}, {file_system}. "
        f"Tools: {', '.join(tools)}, all with their defaults, a password file and a repository in a local directory. "
        f"The tools took turns within each of {options.rounds} rounds. A ratio is the peer's median over firn's; "
        "absolute times say little about another machine. `check` reads all data. "
        "In the first round each restored tree was compared with its source by rsync's checksums.", "",
        *tables])


if __name__ == "__main__":
    main()
