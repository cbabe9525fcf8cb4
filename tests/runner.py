#!/usr/bin/env python3
"""Builds firn in the ways that find different bugs, runs every test, and counts cases.

Started by tests/run, which installs the packages first. A suite is either built in (see BUILT_IN) or a folder of
tests/ with test_*.py programs. Promises: a failing program's whole output is shown; every program has a time
limit; temporary files live in one folder that is removed; only processes started here are ended; the last line
printed is "N passed, N failed, N skipped". Not here: what is tested (the suites), which packages (deploy/packages).
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
JOBS = os.cpu_count() or 1
PRODUCT = ("chunker", "crypto", "repo", "agent")
BUILT_IN = {
    "format": "clang-format finds nothing to change",
    "unit": "every test program, built by g++ (preset dev)",
    "asan": "the same programs under ASan and UBSan, built by clang (preset asan)",
    "fuzz": "each fuzz target for 10 s (an hour with --long), starting from its seed corpus",
    "tsan": "the programs of tests/tsan.txt under ThreadSanitizer",
    "tidy": "clang-tidy finds nothing; a file it has passed is not looked at again until it changes",
    "release": "the release preset builds; its binary is what the script suites run",
}
COUNT_LINE = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")


class Counts:
    """Cases of one program, one suite, or the whole run."""

    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def __iadd__(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        return self

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def say(text):
    print(text, flush=True)


def run(command, timeout_s, env=None, cwd=ROOT):
    """Runs a program to its end or its time limit; returns (exit code, output). Code 124 means out of time."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                   cwd=cwd, env={**os.environ, **(env or {})}, start_new_session=True)
        late = ""
        try:
            code = process.wait(timeout_s)
        except BaseException as stopped:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(stopped, subprocess.TimeoutExpired):
                raise
            code, late = 124, f"\nran into its time limit of {timeout_s} s and was ended\n"
        output.seek(0)
        return code, output.read().decode(errors="replace") + late


def in_parallel(function, items):
    """Applies `function` to `items`, as many at once as there are cores; yields results as they come."""
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for done in concurrent.futures.as_completed([pool.submit(function, item) for item in items]):
            yield done.result()


def failed(what, output):
    """Shows a failure whole and counts it once."""
    say(f"FAILED {what}\n{output.rstrip()}\n(end of the output of {what})")
    return Counts(failed=1)


def step(preset, command, timeout_s):
    """One step of a build. Returns (build folder, None) or (build folder, Counts of the failure)."""
    code, output = run(command, timeout_s)
    broken = failed(f"{' '.join(map(str, command))} (exit {code})", output) if code != 0 else None
    return ROOT / "build" / preset, broken


def configure(preset, *options):
    launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    return step(preset, ["cmake", "--preset", preset, *launcher, *options], 300)


def build(preset, *targets):
    return step(preset, ["cmake", "--build", f"build/{preset}", "-j", str(JOBS), "--", "-k", "0", *targets], 2400)


def configure_and_build(preset, *targets):
    folder, broken = configure(preset)
    return (folder, broken) if broken else build(preset, *targets)


def configure_asan():
    # One tree serves asan, fuzz and tidy: the fuzz targets need the same objects with coverage added, and
    # clang-tidy a compilation database with clang's flags.
    return configure("asan", "-DFIRN_FUZZ=ON")


def build_asan():
    folder, broken = configure_asan()
    return (folder, broken) if broken else build("asan")


def run_gtest(name, command, timeout_s, env, cwd, report):
    """Runs one GoogleTest program and counts its cases from its own report."""
    report.unlink(missing_ok=True)
    began = time.monotonic()
    code, output = run(command, timeout_s, {**env, "GTEST_OUTPUT": f"json:{report}"}, cwd)
    counts = Counts()
    if report.exists():
        for suite in json.loads(report.read_text())["testsuites"]:
            for case in suite["testsuite"]:
                if case.get("failures"):
                    counts.failed += 1
                elif case["result"] == "COMPLETED":
                    counts.passed += 1
                else:
                    counts.skipped += 1
                    why = re.search(r"Skipped\n(.*)\n", output)
                    say(f"SKIPPED {name}: {suite['name']}.{case['name']}: {why.group(1) if why else case['result']}")
    elif code == 0:
        counts.passed += 1  # a test that is not a GoogleTest program is one case
    if code != 0:
        say(f"FAILED {name} (exit {code})\n{output.rstrip()}\n(end of the output of {name})")
        counts.failed = max(counts.failed, 1)
    say(f"  {name}: {counts}, {time.monotonic() - began:.1f} s")
    return counts


def ctest_programs(folder):
    """name → (command or None where its program was not built, environment, folder) of each registered test."""
    code, output = run(["ctest", "--test-dir", str(folder), "--show-only=json-v1"], 60)
    if code != 0:
        return {}
    found = {}
    for test in json.loads(output[output.index('{\n'):])["tests"]:
        wanted = {one["name"]: one["value"] for one in test.get("properties", [])}
        env = dict(line.split("=", 1) for line in wanted.get("ENVIRONMENT", []))
        found[test["name"]] = (test.get("command"), env, wanted.get("WORKING_DIRECTORY", ROOT))
    return found


def run_programs(suite, folder, programs, options, env, timeout_s):
    counts = Counts()
    if not programs:
        return failed(suite, "no test program is registered")
    reports = pathlib.Path(options.temp)

    def one(program):
        name, (command, own_env, cwd) = program
        if command is None:
            return failed(f"{suite} {name}", "its program was not built")
        return run_gtest(f"{suite} {name}", command, timeout_s, {**env, **own_env}, cwd, reports / f"{suite}-{name}.json")

    for result in in_parallel(one, programs.items()):
        counts += result
    return counts


def suite_unit(options):
    folder, broken = configure_and_build("dev")
    return broken or run_programs("unit", folder, ctest_programs(folder), options, {}, 300)


SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


def suite_asan(options):
    folder, broken = build_asan()
    return broken or run_programs("asan", folder, ctest_programs(folder), options, SANITIZER_ENV, 600)


def suite_fuzz(options):
    folder, broken = build_asan()
    if broken:
        return broken
    counts = Counts()
    lines = [line.split() for line in (folder / "fuzz-targets.txt").read_text().splitlines() if line.strip()]
    seconds = 3600 if options.level == "long" else 10

    def one(line):
        target, seeds = line
        binary = next((path for path in folder.rglob(target) if path.is_file()), None)
        if binary is None:
            return failed(f"fuzz {target}", "its program was not built")
        if not any(pathlib.Path(seeds).iterdir()):
            return failed(f"fuzz {target}", f"its seed corpus {seeds} is empty")
        work = pathlib.Path(options.temp) / target
        shutil.copytree(seeds, work / "corpus")
        code, output = run([str(binary), f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048",
                            "-print_final_stats=1", f"-artifact_prefix={work}/", str(work / "corpus")],
                           seconds + 120, SANITIZER_ENV)
        if code != 0:
            kept = ROOT / "build" / "fuzz-findings"
            kept.mkdir(parents=True, exist_ok=True)
            for found in [path for path in work.iterdir() if path.is_file()]:
                shutil.copy(found, kept / f"{target}-{found.name}")
                output += f"\nthe input is kept as {kept / f'{target}-{found.name}'}"
            return failed(f"fuzz {target} (exit {code})", output)
        runs = re.search(r"number_of_executed_units:\s*(\d+)", output)
        say(f"  fuzz {target}: clean, {runs.group(1) if runs else '?'} inputs")
        return Counts(passed=1)

    for result in in_parallel(one, lines):
        counts += result
    return counts if lines else failed("fuzz", "no fuzz target is registered")


def suite_tsan(options):
    wanted = read_list(ROOT / "tests" / "tsan.txt")
    folder, broken = configure_and_build("tsan", *[f"test_{name}" for name in wanted])
    if broken:
        return broken
    registered = ctest_programs(folder)
    programs = {name: registered.get(name, (None, {}, ROOT)) for name in wanted}
    return run_programs("tsan", folder, programs, options, SANITIZER_ENV, 600)


def read_list(path):
    return [line.strip() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]


def sources(folders, endings):
    return sorted(path for folder in folders for ending in endings for path in (ROOT / folder).rglob(f"*{ending}"))


def suite_format(_options):
    files = sources((*PRODUCT, "tests", "bench"), (".h", ".cpp"))
    code, output = run(["clang-format-14", "--dry-run", "-Werror", *map(str, files)], 300)
    return failed("clang-format", output) if code != 0 else Counts(passed=1)


INCLUDE = re.compile(rb'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def with_own_headers(path, seen):
    """Adds to `seen` the file and every project header that it reaches."""
    if path in seen or not path.is_file():
        return
    seen[path] = path.read_bytes()
    for name in INCLUDE.findall(seen[path]):
        with_own_headers(ROOT / name.decode(), seen)


def suite_tidy(_options):
    """One case a product source. What passed is remembered by the digest of everything that it was made from."""
    folder, broken = configure_asan()
    if broken:
        return broken
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "firn-clang-tidy"
    cache.mkdir(parents=True, exist_ok=True)
    version = run(["clang-tidy-14", "--version"], 30)[1].encode()
    commands = json.loads((folder / "compile_commands.json").read_text())
    todo, counts = [], Counts()
    for entry in commands:
        path = pathlib.Path(entry["file"])
        if not path.is_relative_to(ROOT) or path.relative_to(ROOT).parts[0] not in PRODUCT:
            continue
        parts = {}
        with_own_headers(path, parts)
        flags = entry["command"].replace(str(ROOT), "").replace("ccache ", "").encode()
        digest = hashlib.sha256(version + flags + (ROOT / ".clang-tidy").read_bytes())
        for part in sorted(parts):
            digest.update(b"\0" + str(part.relative_to(ROOT)).encode() + b"\0" + parts[part])
        mark = cache / digest.hexdigest()
        if mark.exists():
            counts.passed += 1
        else:
            todo.append((path, mark))
    say(f"  tidy: {counts.passed} files are unchanged since they passed, {len(todo)} to look at")

    def one(item):
        path, mark = item
        code, output = run(["clang-tidy-14", "--quiet", "-p", str(folder), str(path)], 600)
        if code != 0:
            return failed(f"clang-tidy {path.relative_to(ROOT)}", output)
        mark.touch()
        return Counts(passed=1)

    for result in in_parallel(one, todo):
        counts += result
    return counts


def suite_release(_options):
    _, broken = configure_and_build("release")
    return broken or Counts(passed=1)


def suite_scripts(name, options):
    """Runs tests/<name>/test_*.py with the release binary; each prints its own count line last."""
    binary = pathlib.Path(os.environ.get("FIRN") or ROOT / "build/release/firn")
    if not binary.is_file():
        broken = configure_and_build("release")[1]
        if broken or not binary.is_file():
            return broken or failed(name, f"there is no {binary}")
    env = {"FIRN": str(binary), "FIRN_TEST_LEVEL": options.level, "PYTHONDONTWRITEBYTECODE": "1"}
    timeout_s = 6 * 3600 if options.level == "long" else 1200
    # Mounts that a script makes are its own and end with it, however it ends.
    own_mounts = ["unshare", "--mount", "--propagation", "private"] if os.geteuid() == 0 else []
    counts = Counts()

    def one(script):
        began = time.monotonic()
        code, output = run([*own_mounts, "/usr/bin/python3", str(script)], timeout_s, env)
        lines = output.rstrip().splitlines()
        match = COUNT_LINE.match(lines[-1]) if lines else None
        found = Counts(*map(int, match.groups())) if match else Counts(failed=1)
        if code != 0 or not match:
            found.failed = max(found.failed, 1)
            say(f"FAILED {name}/{script.name} (exit {code})\n{output.rstrip()}\n(end of the output of {script.name})")
        else:
            for line in [line for line in lines if line.startswith(("SKIPPED", "NOTE"))]:
                say(line)
        say(f"  {name}/{script.name}: {found}, {time.monotonic() - began:.1f} s")
        return found

    for result in in_parallel(one, sorted((ROOT / "tests" / name).glob("test_*.py"))):
        counts += result
    return counts


def main():
    folders = sorted({path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")})
    listing = [f"  {name:10} {text}" for name, text in BUILT_IN.items()]
    listing += [f"  {name:10} tests/{name}, with the release binary" for name in folders]
    parser = argparse.ArgumentParser(prog="tests/run", formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description="Builds firn and runs its tests.",
                                     epilog="suites (all when none is named):\n" + "\n".join(listing))
    parser.add_argument("--quick", dest="level", action="store_const", const="quick", default="normal",
                        help="for the desk: format, unit, release and the scripts with small data")
    parser.add_argument("--long", dest="level", action="store_const", const="long",
                        help="an hour for each fuzz target, every byte flipped, memory figures at full size")
    parser.add_argument("suites", nargs="*", metavar="SUITE")
    options = parser.parse_args()
    unknown = [name for name in options.suites if name not in BUILT_IN and name not in folders]
    if unknown:
        parser.error(f"no such suite: {' '.join(unknown)}")
    quick = ["format", "unit", "release", *folders]
    chosen = options.suites or (quick if options.level == "quick" else [*BUILT_IN, *folders])

    total, began = Counts(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="firn-tests-") as temp:
        options.temp = os.environ["TMPDIR"] = tempfile.tempdir = temp
        os.chmod(temp, 0o711)  # some cases run as another user, below it
        for name in chosen:
            say(f"== {name}: {BUILT_IN.get(name, f'tests/{name}')}")
            suite_began = time.monotonic()
            runner = globals()[f"suite_{name}"] if name in BUILT_IN else lambda o, n=name: suite_scripts(n, o)
            counts = runner(options)
            say(f"== {name}: {counts} in {time.monotonic() - suite_began:.0f} s")
            total += counts
    say(f"The whole run took {(time.monotonic() - began) / 60:.1f} minutes.")
    say(str(total))
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
