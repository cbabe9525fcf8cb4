"""Every kind of fault at every request of a small backup, restore and check: the run ends exact or declared.

Declared: a non-zero exit and a message; afterwards, without faults, a backup and a restore work and are exact. Only
the kinds of DECLARED may end so: they look like an answer, all others are healed by asking again. By default a share
of the cells runs, another one for each FIRN_TEST_SEED; with --long all of them do.
"""
import collections
import os
import pathlib

import s3lib
from s3lib import firnlib, proxy

SEED = int(os.environ.get("FIRN_TEST_SEED", "1"))
SHARE = {"quick": 24, "normal": 6, "long": 1}[firnlib.LEVEL]
KINDS = [*proxy.BEFORE, *proxy.AFTER, *proxy.SLOW]
# What a server may mean: a refusal, an absence, another place, an empty folder.
DECLARED = {"403", "403:ExpiredToken", "404", "412", "redirect", "moved", "skew", "empty-list"}
FLAGS = ("--stuck-request-timeout", "2s")


class EveryRequest(s3lib.TestCase):
    def cells(self, count):
        """(kind, index) of this run's share; a smaller one of runs with many requests."""
        share = SHARE if SHARE == 1 else SHARE * (1 + count // 40)
        for row, kind in enumerate(KINDS):
            for index in range(count):
                if (row + index + SEED) % share == 0:
                    yield kind, index

    def count_requests(self, run):
        with self.by_proxy() as (through, repo):
            self.assertEqual(run(repo).code, 0)
            return len(through.requests())

    def go_through(self, run, is_exact):
        """Runs each cell; `run(repo)` gives a finished command, `is_exact(done)` judges an exit of 0."""
        results = collections.Counter()
        for kind, index in self.cells(self.count_requests(run)):
            with self.subTest(fault=kind, request=index), self.by_proxy(f"{index}={kind}") as (through, repo):
                done = run(repo)
                fired = bool(through.applied())
                if done.code == 0:
                    is_exact(done)
                    results["exact" if fired else "not suited"] += 1
                else:
                    self.assertIn(done.code, (1, 3, 10), str(done))
                    self.assertIn(kind, DECLARED, f"this can be healed:\n{done}")
                    self.assertGreater(len(s3lib.spelled(done)), 20, f"a message was wanted:\n{done}")
                    # The proxy writes its log when the exchange is over, which may be after the command's end.
                    firnlib.wait_until(through.applied, f"the fault that it failed of:\n{done}")
                    results[f"declared: {kind}"] += 1
        print(f"NOTE {self._testMethodName}: {dict(results)}", flush=True)

    def test_of_a_backup(self):
        firnlib.mixed_tree(self.source, seed=51, files=12, largest=100_000)
        self.repo.init()
        number = 0

        def run(repo):
            nonlocal number
            number += 1
            firnlib.write(self.source / "changes", firnlib.random_bytes(number, 70_000))
            return repo.run("backup", self.source, *FLAGS, code=None)

        self.go_through(run, lambda _: self.assert_restores_exactly())
        self.repo.backup(self.source)
        self.repo.check("--read-data")
        self.assert_restores_exactly()

    def test_of_a_restore(self):
        firnlib.mixed_tree(self.source, seed=52, files=12, largest=100_000)
        self.repo.init().backup(self.source)
        target = self.temp / "target"

        def run(repo):
            firnlib.remove_tree(target)
            firnlib.remove_tree(repo.cache)
            return repo.run("restore", "latest", "--target", target, *FLAGS, code=None)

        self.go_through(run, lambda _: self.assert_same(self.source, pathlib.Path(f"{target}{self.source}")))

    def test_of_a_check(self):
        firnlib.mixed_tree(self.source, seed=53, files=12, largest=100_000)
        self.repo.init().backup(self.source)

        def run(repo):
            firnlib.remove_tree(repo.cache)
            return repo.run("check", "--read-data", *FLAGS, code=None)

        self.go_through(run, lambda _: None)
        self.repo.check("--read-data")


if __name__ == "__main__":
    s3lib.main()
