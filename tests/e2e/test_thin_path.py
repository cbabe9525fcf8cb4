"""The path that everything stands on: init, backup, kill, backup, restore; and what a killed backup leaves."""
import os
import signal

import firnlib
from firnlib import MIB


@firnlib.on_every_store
class ThinPath(firnlib.TestCase):
    def test_a_restored_tree_is_its_source(self):
        firnlib.mixed_tree(self.source, seed=1)
        self.repo.init()
        summary = self.repo.backup(self.source)
        self.assert_restores_exactly(summary["snapshot_id"])

    def test_each_snapshot_keeps_its_own_state(self):
        self.repo.init()
        ids = []
        for version in range(3):
            firnlib.write(self.source / "changes", f"version {version}" * 100)
            firnlib.write(self.source / f"only since {version}", "x")
            ids.append(self.repo.backup(self.source)["snapshot_id"])
        os.unlink(self.source / "only since 0")
        for version, snapshot in enumerate(ids):
            target = self.temp / f"v{version}"
            self.repo.restore(target, snapshot)
            restored = self.restored(f"v{version}")
            self.assertEqual((restored / "changes").read_text(), f"version {version}" * 100)
            names = sorted(path.name for path in restored.iterdir())
            self.assertEqual(names, ["changes", *(f"only since {number}" for number in range(version + 1))])

    def test_an_unchanged_tree_adds_no_data(self):
        firnlib.mixed_tree(self.source, seed=2)
        self.repo.init()
        self.repo.backup(self.source)
        data_before = self.repo.size_bytes("data")
        second = self.repo.backup(self.source)
        self.assertEqual((second["files_new"], second["files_changed"]), (0, 0))
        self.assertEqual(self.repo.size_bytes("data"), data_before)
        self.assert_restores_exactly()

    def kill_when_packs_lie_there(self, packs):
        process = self.repo.start("backup", self.source)
        try:
            firnlib.wait_until(lambda: len(self.repo.objects("data")) >= packs or process.poll() is not None,
                               f"{packs} packs")
        finally:
            firnlib.end_process(process)
        self.assertEqual(process.returncode, -signal.SIGKILL, "the backup ended before it was killed")

    def test_a_killed_backup_then_a_backup_restores_exactly(self):
        firnlib.mixed_tree(self.source, seed=3)
        firnlib.write_random(self.source / "large", 3, 256 * MIB)
        self.repo.init()
        self.kill_when_packs_lie_there(2)
        self.assertEqual(self.repo.snapshots(), [])
        self.repo.backup(self.source)
        self.repo.check("--read-data")
        self.assert_restores_exactly()

    @firnlib.firn_only
    def test_what_a_killed_backup_stored_is_not_stored_again(self):
        firnlib.write_random(self.source / "large", 4, 512 * MIB)
        self.repo.init()
        self.kill_when_packs_lie_there(12)
        added = self.repo.backup(self.source)["data_added"]
        # Twelve packs of 16 MiB were there; a few of them may not have been noted yet.
        self.assertLess(added, (512 - 8 * 16) * MIB)
        self.assert_restores_exactly()

    def test_no_partial_object_is_left_after_a_kill_and_a_check(self):
        firnlib.write_random(self.source / "large", 5, 256 * MIB)
        self.repo.init()
        self.kill_when_packs_lie_there(1)
        self.repo.check("--read-data")


if __name__ == "__main__":
    firnlib.main()
