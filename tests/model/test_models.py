"""The protocol as Promela models: what must hold is explored whole, and every wrong ordering must be refuted.

Quick: the small configurations and all mutants, about a minute. Normal adds several snapshots in a session, two writers
and barriers across runs; long the larger ones of these (up to an hour and 12 GiB).
"""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import firnlib  # noqa: E402
from firnlib import LEVEL  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
LEVELS = ("quick", "normal", "long")

# (level, model, settings): no error may be found.
HOLDS = (
    ("quick", "protocol", "WRITERS=1 RUNS=2 PACKS=3"),
    ("quick", "protocol", "WRITERS=1 SNAPS=2 RUNS=1 PACKS=4"),
    ("quick", "protocol", "WRITERS=1 RUNS=2 PACKS=3 LATER"),
    ("quick", "protocol", "WRITERS=1 RUNS=1 PACKS=4 JUNK"),
    ("quick", "compaction", ""),
    ("normal", "protocol", "WRITERS=1 SNAPS=2 RUNS=2 PACKS=3"),
    ("normal", "protocol", "WRITERS=2 RUNS=1 PACKS=4"),
    ("normal", "protocol", "WRITERS=1 RUNS=2 PACKS=4 JUNK"),
    ("long", "protocol", "WRITERS=1 SNAPS=2 RUNS=2 PACKS=4 LATER"),
    ("long", "protocol", "WRITERS=2 RUNS=2 PACKS=3"),
    ("long", "protocol", "WRITERS=2 SNAPS=2 RUNS=1 PACKS=4"),
    ("long", "protocol", "WRITERS=1 RUNS=3 PACKS=3"),
)
# (model, settings, what is wrong): an error must be found.
WRONG = (
    ("protocol", "", "VIEW_BEFORE_SESSION"),
    ("protocol", "", "PARENT_IS_ENOUGH"),
    ("protocol", "", "CHECK_BEFORE_COMMIT"),
    ("protocol", "", "NO_FENCE_CHECK"),
    ("protocol", "", "LIST_BEFORE_CONDEMN"),
    ("protocol", "", "LIST_BEFORE_FENCE"),
    ("protocol", "LATER", "LIST_BEFORE_FENCE"),
    ("protocol", "", "DO_NOT_WAIT"),
    ("protocol", "LATER", "DO_NOT_WAIT"),
    ("protocol", "", "SEAL_WHAT_IS_FENCED_LATER"),
    ("protocol", "", "NO_SEAL"),
    ("protocol", "", "COUNT_CONDEMNED"),
    ("protocol", "", "RESURRECT"),
    ("protocol", "RUNS=1 PACKS=4 JUNK", "BELIEVE_THE_INDEX"),
    ("compaction", "", "REPLACEMENT_SORTS_FIRST"),
    ("compaction", "", "DELETE_BEFORE_PUT"),
    ("compaction", "", "DROP_WHAT_IS_CONDEMNED"),
    ("compaction", "", "DELETE_WHAT_WAS_NOT_READ"),
    ("compaction", "", "INDEX_OF_THE_COPY_LATER"),
)


def explore(folder, model, settings):
    """(errors, states) of the whole search; with an error, of the search up to it."""
    folder.mkdir()
    shutil.copy(HERE / f"{model}.pml", folder)
    memory_mib = 12000 if LEVEL == "long" else 2500
    for command in (["spin", "-a", *[f"-D{one}" for one in settings.split()], f"{model}.pml"],
                    ["gcc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={memory_mib}", "-o", "pan", "pan.c"]):
        firnlib.run(command, cwd=folder)
    done = firnlib.run(["./pan", "-m1000000"], code=None, cwd=folder, timeout_s=3600 if LEVEL == "long" else 900)
    errors = re.search(r"errors: (\d+)", done.out)
    states = re.search(r"(\d+) states, stored", done.out)
    whole = errors and "Search not completed" not in done.out or errors and int(errors[1]) > 0
    if not whole or "max search depth too small" in done.out:
        raise AssertionError(f"the search did not come to its end:\n{done}")
    return int(errors[1]), int(states[1])


@unittest.skipUnless(shutil.which("spin"), "spin is not installed")
class Models(firnlib.TestCase):
    def setUp(self):
        self.temp = pathlib.Path(firnlib.tempfile.mkdtemp(prefix="firn-model-"))
        self.addCleanup(firnlib.remove_tree, self.temp)

    def explore_all(self, cases):
        """Settings → (errors, states), as many at once as there are cores."""
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            futures = {case: pool.submit(explore, self.temp / str(number), *case) for number, case in enumerate(cases)}
            return {case: future.result() for case, future in futures.items()}

    def test_what_must_hold_holds(self):
        cases = [(model, settings) for level, model, settings in HOLDS if LEVELS.index(level) <= LEVELS.index(LEVEL)]
        for (model, settings), (errors, states) in self.explore_all(cases).items():
            with self.subTest(model=model, settings=settings):
                self.assertEqual(errors, 0)
            print(f"NOTE {model} {settings}: {states:,} states", flush=True)

    def test_every_wrong_ordering_is_refuted(self):
        cases = [(model, f"{settings} WRONG_{wrong}".strip()) for model, settings, wrong in WRONG]
        for (model, settings), (errors, _) in self.explore_all(cases).items():
            with self.subTest(model=model, settings=settings):
                self.assertGreater(errors, 0)

    def test_every_wrong_ordering_in_the_models_is_among_them(self):
        for model in ("protocol", "compaction"):
            named = set(re.findall(r"\bWRONG_([A-Z_]+[A-Z])\b", (HERE / f"{model}.pml").read_text()))
            self.assertEqual(named, {wrong for one, _, wrong in WRONG if one == model})


if __name__ == "__main__":
    firnlib.main()
