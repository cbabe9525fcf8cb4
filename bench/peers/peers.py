"""Runs firn and its peers on the same data, in turns, and writes medians, ratios and charts to docs/BENCHMARKS.md.

Each round runs every tool once through all works, so that a machine that drifts drifts for all of them; the order
rotates. All tools use their defaults and a password. Restored trees are compared with their source in the first round.
Beside them stand floors: what the machine needs for the plainest program that does the same. What other processes used of
the machine is recorded, and a run that they disturbed counts only where there is no other. Started by bench/run.
"""
import argparse
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import charts
import datasets
import tools as peers

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MIB = 1 << 20
FIRST, SAME, RESTORE, CHANGED, CHECK, PRUNE = WORKS = (
    "first backup", "no change", "restore", "1 % changed", "check", "prune")
VERSIONS = 6  # snapshots before half of them are forgotten
DISTURBED = 0.15  # share of the machine that others may have used
# The least ratio to the fastest peer that the design asks for; None where it names no figure.
TARGETS = {("source", FIRST): 1.5, ("random", FIRST): 1.5, ("source", RESTORE): 1.5, ("source", CHANGED): 3,
           ("source", CHECK): 3, ("random", CHECK): 3, ("source", PRUNE): 3}
FLOORS = {
    "walk": (SAME, 'find "$0" -printf "%s %T@ %C@ %i\\n"'),
    "tar, zstd -1": (FIRST, 'tar -cf - "$0" 2>/dev/null | zstd -q -1 -T0 -o "$1/floor.zst"'),
    "cp -a": (RESTORE, 'cp -a "$0" "$1/floor"'),
}


def main():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=float(os.environ.get("FIRN_BENCH_SCALE", 1)),
                        help="part of the data, for example 0.1 (or FIRN_BENCH_SCALE)")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the data, one round, nothing written")
    parser.add_argument("--data", nargs="+", default=["source", "random"], choices=["source", "random"])
    parser.add_argument("--tools", nargs="+", choices=sorted(peers.KINDS), help="these beside firn; default: all there are")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "docs/BENCHMARKS.md",
                        help="charts go into benchmarks/ beside it")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.scale = 1, min(options.scale, 0.05)

    with tempfile.TemporaryDirectory(prefix="firn-bench-") as temp:
        temp = pathlib.Path(temp)
        need = int(14 * (1 << 30) * options.scale) + (1 << 30)
        if shutil.disk_usage(temp).free < need:
            sys.exit(f"bench: {temp} has less than {need >> 30} GiB free; name another place in TMPDIR")
        tools = peers.find(options.tools)
        print("tools:", ", ".join(tools), flush=True)
        tables, pictures = [], {}
        for name in options.data:
            print(f"making dataset {name}", flush=True)
            source = temp / name
            files, size = datasets.make(name, source, options.scale)
            results = {tool: [] for tool in [*tools, *FLOORS]}
            for number in range(options.rounds):
                for floor in FLOORS:
                    results[floor].append(floor_round(floor, source, temp / "work"))
                order = list(tools)[number % len(tools):] + list(tools)[:number % len(tools)]
                for tool in order:
                    results[tool].append(one_round(tool, *tools[tool], source, temp / "work", verify=number == 0))
            shutil.rmtree(source)
            tables.append(table(name, files, size, list(tools), results))
            pictures[f"{name}.svg"] = chart(name, list(tools), results)
            print(tables[-1], flush=True)
        page = document(list(tools), tables, options)
    if not options.quick:
        folder = options.output.parent / "benchmarks"
        folder.mkdir(parents=True, exist_ok=True)
        for file_name, picture in pictures.items():
            (folder / file_name).write_text(picture)
        options.output.write_text(page)
        print(f"written: {options.output}, {folder}")


def busy_seconds():
    """Processor seconds that the machine has worked since it started."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, softirq, *_ = map(int, file.readline().split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def measured(commands, env=None):
    """Runs commands one after the other, which must succeed; wall, user and system seconds, peak MiB of the largest, and the
    share of the machine that others used."""
    total = {"seconds": 0.0, "user": 0.0, "system": 0.0, "peak": 0.0}
    others = 0.0
    for command in commands:
        os.sync()
        with tempfile.TemporaryFile() as output:
            busy, began = busy_seconds(), time.monotonic()
            process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - began
            others += max(0.0, busy_seconds() - busy - usage.ru_utime - usage.ru_stime)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                output.seek(0)
                sys.exit(f"bench: {command} failed ({process.returncode}):\n"
                         f"{output.read().decode(errors='replace')[-3000:]}")
        total["seconds"] += seconds
        total["user"] += usage.ru_utime
        total["system"] += usage.ru_stime
        total["peak"] = max(total["peak"], usage.ru_maxrss / 1024)
    total["others"] = others / (max(total["seconds"], 0.01) * os.cpu_count())
    return total


def floor_round(floor, source, work):
    work_name, script = FLOORS[floor]
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    result = {work_name: measured([["sh", "-c", script, str(source), str(work)]])}
    shutil.rmtree(work)
    return result


def one_round(name, kind, binary, source, work, verify):
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    tool = kind(binary, work)
    target = work / "restored"
    measured(tool.init(), tool.env)
    result = {FIRST: measured(tool.backup(source, 1), tool.env)}
    result["stored"] = stored_bytes(tool.repository)
    result[SAME] = measured(tool.backup(source, 2), tool.env)
    result[RESTORE] = measured(tool.restore(source, target), tool.env)
    if verify:
        compare(name, source, tool.restored(source, target))
    shutil.rmtree(target)
    before = stored_bytes(tool.repository)
    changed = datasets.change(source, 3)
    result[CHANGED] = measured(tool.backup(source, 3), tool.env)
    result["added"] = stored_bytes(tool.repository) - before
    if (check := tool.check()) is not None:
        result[CHECK] = measured(check, tool.env)
    for version in range(4, VERSIONS + 1):
        changed += datasets.change(source, version)
        measured(tool.backup(source, version), tool.env)
    if (forget := tool.forget(VERSIONS // 2)) is not None:
        result[PRUNE] = measured(forget, tool.env)
    datasets.undo(changed)
    print(f"  {name}: " + ", ".join(f"{work_name} {result[work_name]['seconds']:.2f} s" for work_name in WORKS
                                    if work_name in result), flush=True)
    shutil.rmtree(work)
    return result


def stored_bytes(repository):
    return sum(path.stat().st_size for path in repository.rglob("*") if path.is_file())


def compare(name, source, restored):
    # Peers need not keep everything of an inode: contents, names and times are compared.
    compared = subprocess.run(["rsync", "-niclrt", "--delete", f"{source}/", f"{restored}/"], capture_output=True, text=True,
                              check=True)
    differing = [line for line in compared.stdout.splitlines() if not line.startswith(".")]
    if differing:
        sys.exit(f"bench: {name} did not restore its source:\n" + "\n".join(differing[:20]))


def median(runs, work, what):
    """Of the runs that nobody disturbed, or of all if there is none; None where a tool does not do the work."""
    there = [run[work] for run in runs if work in run]
    quiet = [one for one in there if one["others"] <= DISTURBED]
    values = [one[what] for one in quiet or there]
    return statistics.median(values) if values else None


def disturbed(runs, work):
    return any(work in run for run in runs) and all(run[work]["others"] > DISTURBED for run in runs if work in run)


def table(name, files, size, tools, results):
    """One dataset as Markdown: seconds and ratios, then CPU seconds, peak memory and stored bytes."""
    rivals = tools[1:]
    lines = [f"## {name}: {files:,} files, {size / MIB:,.0f} MiB", "", f"![{name}](benchmarks/{name}.svg)", "",
             "| seconds (median) | firn | " + " | ".join(f"{peer} | ratio" for peer in rivals) + " | floor | target |",
             "|---|" + "---:|" * (2 * len(rivals) + 3)]
    for work in WORKS:
        own = median(results["firn"], work, "seconds")
        cells = [f"{own:.2f}" + ("~" if disturbed(results["firn"], work) else "")]
        ratios = []
        for peer in rivals:
            theirs = median(results[peer], work, "seconds")
            if theirs is None:
                cells += ["–", "–"]
                continue
            ratios.append(theirs / own)
            cells += [f"{theirs:.2f}" + ("~" if disturbed(results[peer], work) else ""), f"{theirs / own:.1f}×"]
        floors = [f"{floor} {median(results[floor], work, 'seconds'):.2f}" for floor in FLOORS if FLOORS[floor][0] == work]
        target = TARGETS.get((name, work))
        verdict = "" if target is None else f"≥ {target}× {'met' if ratios and min(ratios) >= target else 'missed'}"
        lines.append(f"| {work} | " + " | ".join([*cells, ", ".join(floors), verdict]) + " |")
    lines += ["", "| user + system seconds / peak MiB | " + " | ".join(tools) + " |", "|---|" + "---:|" * len(tools)]
    for work in WORKS:
        cells = []
        for tool in tools:
            user = median(results[tool], work, "user")
            cells.append("–" if user is None else f"{user:.2f} + {median(results[tool], work, 'system'):.2f} / "
                         f"{max(run[work]['peak'] for run in results[tool]):.0f}")
        lines.append(f"| {work} | " + " | ".join(cells) + " |")
    for what, words in (("stored", "stored MiB, first backup"), ("added", "stored MiB more, 1 % changed")):
        cells = [f"{statistics.median(run[what] for run in results[tool]) / MIB:,.1f}" for tool in tools]
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def chart(name, tools, results):
    bars = [*tools, *FLOORS]
    values = {work: {tool: median(results[tool], work, "seconds") for tool in bars} for work in WORKS}
    return charts.bars(f"{name}: seconds, less is better", "s", WORKS, bars, values)


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
        f"Tools: {', '.join(tools)}, all with their defaults, a password and a repository in a local directory. "
        f"The tools took turns within each of {options.rounds} rounds. A ratio is the peer's median over firn's; "
        "absolute times say little about another machine. `check` reads all data. "
        "In the first round each restored tree was compared with its source by rsync's checksums. "
        f"`1 % changed` is the third snapshot; `prune` forgets half of {VERSIONS} and frees their space. Processor seconds are "
        "user + system. ~ marks a median of runs of which other processes used more than "
        f"{DISTURBED:.0%} of the machine.", "",
        *tables])


if __name__ == "__main__":
    main()
