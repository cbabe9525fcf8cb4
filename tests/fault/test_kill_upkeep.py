"""SIGKILL at every system call that changes the store, of prune, forget, tag, copy and repair; and errors from them.

After each fault: the repository checks clean, every snapshot that should be there restores exactly, and the command run
again finishes its work.
"""
import collections
import pathlib
import re
import shutil
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import firnlib  # noqa: E402
from firnlib import LEVEL, MIB  # noqa: E402

# Each commits or removes one object of a local store, or makes it durable.
CALLS = ("renameat2", "unlinkat", "fsync")
ERROR_CALLS = (*CALLS, "openat", "write", "pwrite64", "pread64", "getdents64")
ERROR_STEP = {"quick": 60, "normal": 25, "long": 1}[LEVEL]
STEP = {"quick": 7, "normal": 3, "long": 1}[LEVEL]  # every so many-th call


class KillUpkeep(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        firnlib.write(self.source / "large", firnlib.random_bytes(3, 3 * MIB))
        for number in range(30):
            firnlib.write(self.source / f"small/{number}", f"{number}\n" * 300)
        self.repo.init("--pack-size", "1M")
        self.repo.use_key_file()
        self.ids = []
        for number in range(4):
            firnlib.write(self.source / "changing", f"{number}" * 1000)
            self.ids.append(self.repo.backup(self.source)["snapshot_id"])
        self.pristine = self.temp / "pristine"
        shutil.copytree(self.repo.path, self.pristine, symlinks=True)

    def back_to_start(self, repo=None, pristine=None):
        repo, pristine = repo or self.repo, pristine or self.pristine
        firnlib.remove_tree(repo.path)
        shutil.copytree(pristine, repo.path, symlinks=True)

    def calls_of(self, repo, command, codes, calls=CALLS):
        """How often the command makes each of the calls."""
        log = self.temp / "calls"
        repo.run(*command, code=codes, prefix=["strace", "-f", "-qq", "-o", log, "-e", "trace=" + ",".join(calls)])
        text = log.read_text()
        return {call: len(re.findall(rf"\b{call}\(", text)) for call in calls}

    def kill_everywhere(self, repo, command, before_each, judge, codes=(0,)):
        before_each()
        counts = self.calls_of(repo, command, codes)
        cells = 0
        for call, count in counts.items():
            for number in range(1, count + 1, STEP):
                before_each()
                done = repo.run(*command, code=None, prefix=[
                    "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:signal=SIGKILL:when={number}"])
                with self.subTest(command=command[0], call=call, number=number):
                    self.assertIn(done.code, (*codes, -signal.SIGKILL, 128 + signal.SIGKILL), done)
                    judge()
                    cells += 1
        self.assertGreater(cells, 3)
        print(f"NOTE {command[0]}: killed at {cells} calls ({counts})", flush=True)

    def assert_pruned(self):
        """What a prune that was broken off left: every snapshot restores, and the next prunes finish the work."""
        left = [one["id"] for one in self.repo.snapshots()]
        self.assertEqual(left, self.ids)
        self.repo.check("--read-data")
        for _ in range(2):
            self.repo.run("prune", "--max-unused", "0")
        rest = self.repo.run("prune", "--max-unused", "0", "--dry-run", "--json").lines("summary")[-1]
        self.assertEqual((rest["blobs"]["unused"], rest["packs_waiting"], rest["packfiles"]["unreferenced"]), (0, 0, 0))
        self.repo.check("--read-data")
        self.assert_restores_exactly(self.ids[-1])

    def forget_some(self):
        """The pristine state of the prunes: old snapshots are forgotten, and much of the packs is not needed."""
        firnlib.write(self.source / "large", firnlib.random_bytes(4, 3 * MIB))
        old, self.ids = self.ids, [self.repo.backup(self.source)["snapshot_id"] for _ in range(2)]
        self.repo.run("forget", *old)
        firnlib.remove_tree(self.pristine)
        shutil.copytree(self.repo.path, self.pristine, symlinks=True)

    def test_prune(self):
        self.forget_some()
        self.kill_everywhere(self.repo, ("prune", "--max-unused", "0"), self.back_to_start, self.assert_pruned)

    def test_errors_of_a_prunes_calls(self):
        self.forget_some()
        command = ("prune", "--max-unused", "0")
        counts = self.calls_of(self.repo, command, (0,), ERROR_CALLS)
        ended = collections.Counter()
        for call, count in counts.items():
            for number in range(1, count + 1, ERROR_STEP):
                self.back_to_start()
                error = "ENOSPC" if number % 2 and call != "getdents64" else "EIO"
                done = self.repo.run(*command, code=None, prefix=[
                    "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:error={error}:when={number}"])
                with self.subTest(call=call, number=number, error=error):
                    self.assertIn(done.code, (0, 1, 10, 12, 127), done)
                    self.assertTrue(done.code == 0 or done.err.strip(), done)
                    self.assert_pruned()
                    ended[done.code] += 1
        self.assertGreater(sum(ended.values()), 5)
        print(f"NOTE errors of a prune's system calls, by exit code: {dict(ended)}", flush=True)

    def test_forget(self):
        command = ("forget", "--keep-last", "1")

        def judge():
            left = [one["id"] for one in self.repo.snapshots()]
            self.assertIn(self.ids[-1], left)
            self.assertLessEqual(set(left), set(self.ids))
            self.repo.check()
            self.assert_restores_exactly(self.ids[-1])
            self.repo.run(*command)
            self.assertEqual([one["id"] for one in self.repo.snapshots()], self.ids[-1:])

        self.kill_everywhere(self.repo, command, self.back_to_start, judge)

    def test_tag(self):
        command = ("tag", "--add", "x", self.ids[-1])

        def judge():
            of_line = [one for one in self.repo.snapshots()
                       if one["id"] == self.ids[-1] or one.get("original") == self.ids[-1]]
            self.assertIn(len(of_line), (1, 2))
            self.repo.check()
            self.assert_restores_exactly(of_line[-1]["id"])
            if any(one["id"] == self.ids[-1] for one in of_line):
                self.repo.run(*command)
            after = [one for one in self.repo.snapshots() if one.get("original") == self.ids[-1]]
            self.assertEqual([one["tags"] for one in after], [["x"]])
            self.assertEqual(len(self.repo.snapshots()), len(self.ids))

        self.kill_everywhere(self.repo, command, self.back_to_start, judge)

    def test_copy(self):
        other = firnlib.Repository(self.temp / "other")
        other.init()
        other.use_key_file()
        empty = self.temp / "empty"
        shutil.copytree(other.path, empty, symlinks=True)
        command = ("copy", "--from-repo", self.repo.path, "--from-key-file", self.repo.key_file, self.ids[0],
                   self.ids[-1])

        def judge():
            self.assertLessEqual({one["original"] for one in other.snapshots()}, {self.ids[0], self.ids[-1]})
            other.run(*command)
            copies = {one["original"]: one["id"] for one in other.snapshots()}
            self.assertEqual(set(copies), {self.ids[0], self.ids[-1]})
            other.check("--read-data")
            target = self.temp / "from-copy"
            other.restore(target, copies[self.ids[-1]])
            self.assert_same(self.source, pathlib.Path(f"{target}{self.source}"))
            firnlib.remove_tree(target)

        self.kill_everywhere(other, command, lambda: self.back_to_start(other, empty), judge)

    def test_mirror(self):
        other = firnlib.Repository(self.temp / "mirror")
        other.key_file = self.repo.key_file
        command = ("copy", "--mirror", "--from-repo", self.repo.path, "--from-key-file", self.repo.key_file)

        def judge():
            other.run(*command)
            self.assertEqual([one["id"] for one in other.snapshots()], self.ids)
            other.check("--read-data")

        self.kill_everywhere(other, command, lambda: firnlib.remove_tree(other.path), judge)

    def test_repair_index(self):
        def damage():
            self.back_to_start()
            self.repo.objects("index")[0].unlink()
            largest = max(self.repo.objects("index"))
            largest.chmod(0o600)
            content = bytearray(largest.read_bytes())
            content[100] ^= 1
            largest.write_bytes(content)

        def judge():
            self.repo.run("repair", "index")
            self.repo.check("--read-data")
            self.assert_restores_exactly(self.ids[-1])

        self.kill_everywhere(self.repo, ("repair", "index"), damage, judge)

    def test_repair_packs_and_snapshots(self):
        def damage():
            self.back_to_start()
            largest = max(self.repo.objects("data"), key=lambda path: path.stat().st_size)
            largest.chmod(0o600)
            content = bytearray(largest.read_bytes())
            content[5000] ^= 1
            largest.write_bytes(content)

        def damage_and_salvage():
            damage()
            self.repo.run("repair", "packs", code={0, 1})

        def judge():
            self.repo.run("repair", "packs", code={0, 1})
            self.repo.run("repair", "snapshots", "--forget")
            self.repo.restore(self.temp / "t", self.repo.snapshots()[-1]["id"])
            root = pathlib.Path(f"{self.temp / 't'}{self.source}")
            for path in (path for path in root.rglob("*") if path.is_file()):
                self.assertEqual(path.read_bytes(), (self.source / path.relative_to(root)).read_bytes())
            self.assertGreater(len(list(root.rglob("*"))), 20, "more was given up than one damaged chunk")
            firnlib.remove_tree(self.temp / "t")

        self.kill_everywhere(self.repo, ("repair", "packs"), damage, judge, codes=(0, 1))
        self.kill_everywhere(self.repo, ("repair", "snapshots", "--forget"), damage_and_salvage, judge)


if __name__ == "__main__":
    firnlib.main()
