"""prune: what it frees, what it leaves, what its dry run and its limits say, who may, and two at once."""
import firnlib
from firnlib import MIB


@firnlib.firn_only
class Prune(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        firnlib.write(self.source / "stays", firnlib.random_bytes(1, 3 * MIB))
        self.repo.init("--pack-size", "1M")
        self.repo.use_key_file()
        for number in range(3):
            firnlib.write(self.source / "changes", firnlib.random_bytes(10 + number, 3 * MIB))
            self.repo.backup(self.source)

    def forget_old(self):
        self.repo.run("forget", "--keep-last", "1")

    def prune(self, *options, code=0):
        return self.repo.run("prune", "--json", *options, code=code).lines("summary")[-1]

    def packs(self):
        return self.repo.objects("data") + self.repo.objects("meta")

    def assert_all_is_well(self):
        self.repo.check("--read-data")
        for snapshot in self.repo.snapshots():
            self.repo.restore(self.temp / snapshot["short_id"], snapshot["id"])
        self.assert_restores_exactly()

    def test_nothing_goes_while_every_snapshot_is_kept(self):
        before = self.packs()
        report = self.prune("--max-unused", "unlimited")
        self.assertEqual((report["packs_deleted"], report["blobs"]["unused"]), (0, 0))
        self.assertEqual(self.packs(), before)
        self.assert_all_is_well()

    def test_what_was_forgotten_is_freed(self):
        self.forget_old()
        before = self.repo.size_bytes()
        report = self.prune("--max-unused", "0")
        self.assertGreater(report["bytes_deleted"], 5 * MIB)
        self.assertLess(self.repo.size_bytes(), before - 5 * MIB)
        self.assertEqual(self.prune("--max-unused", "0", "--dry-run")["blobs"]["unused"], 0)
        self.assert_all_is_well()

    def test_a_dry_run_writes_nothing_and_tells_what_the_run_does(self):
        self.forget_old()
        before = self.repo.objects()
        told = self.prune("--max-unused", "0", "--dry-run")
        self.assertEqual(self.repo.objects(), before)
        done = self.prune("--max-unused", "0")
        for part in ("blobs", "bytes", "packfiles", "packs_deleted", "bytes_deleted"):
            self.assertEqual(told[part], done[part], part)
        self.assertGreater(done["packs_deleted"], 0)

    def test_the_limits_are_kept(self):
        self.forget_old()
        lenient = self.prune("--max-unused", "unlimited", "--dry-run")
        self.assertEqual(lenient["packfiles"]["repack"], 0)
        strict = self.prune("--max-unused", "0", "--dry-run")
        self.assertGreater(strict["packfiles"]["repack"], 0)
        limited = self.prune("--max-unused", "0", "--max-repack-size", "0", "--dry-run")
        self.assertEqual(limited["packfiles"]["repack"], 0)
        self.assertGreater(limited["packfiles"]["remove"], 0)
        self.assertEqual(strict["packfiles"]["remove"], limited["packfiles"]["remove"])

    def test_delete_after_leaves_condemned_packs_to_readers(self):
        self.forget_old()
        before = self.packs()
        report = self.prune("--max-unused", "0", "--delete-after", "1h")
        self.assertEqual(report["packs_deleted"], 0)
        self.assertGreater(report["packs_waiting"], 0)
        self.assertIn("free_from", report)
        self.assertLessEqual(set(before), set(self.packs()))
        self.repo.check("--read-data")
        self.assertGreater(self.prune("--max-unused", "0", "--delete-after", "0")["packs_deleted"], 0)
        self.assert_all_is_well()

    def test_a_running_backup_keeps_what_it_may_rely_on(self):
        self.forget_old()
        markers = len(self.repo.objects("sessions"))
        feed = self.repo.start("backup", "--stdin", "--stdin-filename", "late", stdin=firnlib.subprocess.PIPE)
        try:
            firnlib.wait_until(lambda: len(self.repo.objects("sessions")) > markers, "the backup's marker")
            waiting = self.prune("--max-unused", "0")
            self.assertEqual(waiting["packs_deleted"], 0)
            self.assertGreater(waiting["packs_waiting"], 0)
            self.assertEqual(len(waiting["waiting_for"]), 1)
            feed.communicate(b"late", timeout=firnlib.TIME_LIMIT_S)
            self.assertEqual(feed.returncode, 0)
        finally:
            firnlib.end_process(feed)
        self.assertGreater(self.prune("--max-unused", "0")["packs_deleted"], 0)
        self.repo.check("--read-data")
        self.assertEqual(self.repo.run("dump", "latest", "/late").out, "late")

    def test_two_at_once(self):
        self.forget_old()
        runs = [self.repo.start("prune", "--max-unused", "0") for _ in range(2)]
        for run in runs:
            out, err = run.communicate(timeout=firnlib.TIME_LIMIT_S)
            # One may have been fenced by the other, and says so.
            self.assertIn(run.returncode, (0, 1), (out, err))
        self.prune("--max-unused", "0")
        self.assertEqual(self.prune("--max-unused", "0", "--dry-run")["blobs"]["unused"], 0)
        self.assert_all_is_well()

    def test_only_a_maintainer_may_and_needs_to_read_nothing(self):
        self.forget_old()
        writer, maintainer = self.temp / "writer.key", self.temp / "maintainer.key"
        self.repo.run("key", "add", "--role", "writer", "--out", writer)
        self.repo.run("key", "add", "--role", "maintainer", "--out", maintainer)
        owner, before = self.repo.key_file, self.repo.objects()
        self.repo.key_file = writer
        self.assertIn("maintainer", self.repo.run("prune", code=1).err)
        self.assertEqual(self.repo.objects(), before)
        self.repo.key_file = maintainer
        self.assertGreater(self.prune("--max-unused", "0")["packs_deleted"], 0)
        self.repo.run("restore", "latest", "--target", self.temp / "denied", code=1)
        self.repo.key_file = owner
        self.assert_all_is_well()

    def test_a_snapshot_that_cannot_be_read_keeps_everything(self):
        self.forget_old()
        for pack in self.repo.objects("meta"):
            pack.chmod(0o600)
            content = bytearray(pack.read_bytes())
            content[200::50] = bytes(byte ^ 1 for byte in content[200::50])
            pack.write_bytes(content)
        before = self.repo.objects("data")
        done = self.repo.run("prune", "--max-unused", "0", code=1)
        self.assertIn("meta/", done.err)
        self.assertEqual(self.repo.objects("data"), before)

    def test_bad_limits_are_named(self):
        for option, value in (("--max-unused", "101%"), ("--max-unused", "much"), ("--max-repack-size", "-1"),
                              ("--delete-after", "soon"), ("--wait", "1")):
            done = self.repo.run("prune", option, value, code={1, 2})
            self.assertIn(option, done.err)


if __name__ == "__main__":
    firnlib.main()
