"""The JSON of every command: each field of the contract is there and has its type."""
import re

import firnlib

NUMBER = (int, float)
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$")
ID = re.compile(r"^[0-9a-f]{64}$")

BACKUP_SUMMARY = {
    "dry_run": bool, "files_new": int, "files_changed": int, "files_unmodified": int, "dirs_new": int,
    "dirs_changed": int, "dirs_unmodified": int, "data_blobs": int, "tree_blobs": int, "data_added": int,
    "data_added_packed": int, "total_files_processed": int, "total_bytes_processed": int, "backup_start": TIME,
    "backup_end": TIME,
}
SNAPSHOT = {
    "time": TIME, "tree": ID, "paths": list, "hostname": str, "username": str, "uid": int, "gid": int,
    "tags": list, "excludes": list, "program_version": str, "id": ID,
    "summary": {name: kind for name, kind in BACKUP_SUMMARY.items() if name != "dry_run"},
    "short_id": re.compile(r"^[0-9a-f]{8,}$"),
}
NODE = {
    "struct_type": "node", "name": str, "type": str, "path": str, "uid": int, "gid": int, "mode": int,
    "permissions": str, "atime": TIME, "mtime": TIME, "ctime": TIME, "inode": int,
}
FOUND = {
    "path": str, "permissions": str, "name": str, "type": str, "atime": TIME, "mtime": TIME, "ctime": TIME,
    "user": str, "group": str, "inode": int, "mode": int, "device_id": int, "links": int, "uid": int, "gid": int,
}
COUNTS = {"files": int, "dirs": int, "others": int, "data_blobs": int, "tree_blobs": int, "bytes": int}


def problems(document, shape, where=""):
    """What is missing or wrong in `document`, one line each."""
    found = []
    for name, wanted in shape.items():
        place = f"{where}.{name}".lstrip(".")
        if name not in document:
            found.append(f"{place} is missing")
            continue
        value = document[name]
        if isinstance(wanted, dict):
            found += problems(value, wanted, place)
        elif isinstance(wanted, re.Pattern):
            if not isinstance(value, str) or not wanted.match(value):
                found.append(f"{place} is {value!r}")
        elif isinstance(wanted, (type, tuple)):
            if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
                found.append(f"{place} is {value!r}")
        elif value != wanted:
            found.append(f"{place} is {value!r}, not {wanted!r}")
    return found


@firnlib.firn_only
class Json(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        firnlib.mixed_tree(self.source, seed=11, files=20)
        self.repo.init()
        self.first = self.repo.run("backup", "--json", "--tag", "one", "--exclude", "*.tmp", self.source)
        firnlib.write(self.source / "added", "added" * 1000)
        (self.source / "a hard link").chmod(0o640)
        self.second = self.repo.run("backup", "--json", "-vv", "--tag", "one", "--exclude", "*.tmp", self.source)

    def assert_shape(self, document, shape):
        self.assertEqual(problems(document, shape), [], document)

    def test_init(self):
        other = firnlib.Repository(self.temp / "other")
        done = other.run("init", "--json")
        self.assert_shape(done.lines()[-1], {"message_type": "initialized", "id": str, "repository": str})

    def test_backup_summary(self):
        for done in (self.first, self.second):
            summary = done.lines()[-1]
            self.assert_shape(summary, {**BACKUP_SUMMARY, "message_type": "summary", "total_duration": NUMBER,
                                        "snapshot_id": ID})
        self.assertEqual(self.second.lines()[-1]["files_new"], 1)
        self.assertGreaterEqual(self.second.lines()[-1]["files_changed"], 1)

    def test_backup_status_lines(self):
        shape = {"percent_done": NUMBER, "total_files": int, "files_done": int, "total_bytes": int, "bytes_done": int}
        done = self.repo.run("backup", "--json", "--force", self.source, env={"RESTIC_PROGRESS_FPS": "1000"})
        for line in done.lines("status"):
            self.assert_shape(line, shape)
            self.assertLessEqual(line["percent_done"], 1)

    def test_backup_verbose_lines(self):
        actions = set()
        for line in self.second.lines("verbose_status"):
            self.assert_shape(line, {"action": str, "item": str, "duration": NUMBER, "data_size": int,
                                     "data_size_in_repo": int, "metadata_size": int, "metadata_size_in_repo": int,
                                     "total_files": int})
            actions.add(line["action"])
        self.assertLessEqual({"new", "unchanged", "modified"}, actions)
        self.assertLessEqual(actions, {"new", "unchanged", "modified", "scan_finished"})
        # Reading takes its time.
        self.assertTrue(any(line["duration"] > 0 for line in self.second.lines("verbose_status")
                            if line["action"] == "modified"))

    def test_snapshots(self):
        found = self.repo.snapshots()
        self.assertEqual(len(found), 2)
        for snapshot in found:
            self.assert_shape(snapshot, SNAPSHOT)
            self.assertEqual(snapshot["paths"], [str(self.source)])
            self.assertEqual(snapshot["tags"], ["one"])
        self.assertEqual(found[1]["parent"], found[0]["id"])
        self.assertTrue(found[0]["id"].startswith(found[0]["short_id"]))

    def test_snapshots_grouped(self):
        groups = self.repo.run("snapshots", "--json", "-g", "host").json()
        self.assertEqual(len(groups), 1)
        self.assertEqual(len(groups[0]["snapshots"]), 2)
        self.assertIn("hostname", groups[0]["group_key"])

    def test_ls(self):
        lines = self.repo.run("ls", "--json", "latest").lines()
        self.assertEqual(lines[0]["struct_type"], "snapshot")
        self.assert_shape(lines[0], {name: shape for name, shape in SNAPSHOT.items() if name != "summary"})
        for line in lines[1:]:
            self.assert_shape(line, NODE)
            if line["type"] == "file":
                self.assertIsInstance(line["size"], int)
        self.assertIn(str(self.source / "added"), [line["path"] for line in lines[1:]])

    def test_restore(self):
        done = self.repo.run("restore", "latest", "--target", self.temp / "t", "--json", "-vv")
        self.assert_shape(done.lines()[-1], {"message_type": "summary", "total_files": int, "files_restored": int,
                                             "total_bytes": int, "bytes_restored": int})
        for line in done.lines("verbose_status"):
            self.assert_shape(line, {"action": re.compile("^(restored|updated|unchanged|deleted)$"), "item": str})

    def test_restore_twice_skips_and_says_so(self):
        self.repo.restore(self.temp / "t")
        summary = self.repo.run("restore", "latest", "--target", self.temp / "t", "--json").lines()[-1]
        self.assert_shape(summary, {"files_skipped": int, "bytes_skipped": int})
        self.assertGreater(summary["files_skipped"], 0)

    def test_find(self):
        found = self.repo.run("find", "--json", "added").json()
        self.assertEqual(len(found), 1)
        self.assert_shape(found[0], {"hits": 1, "snapshot": ID, "matches": list})
        self.assert_shape(found[0]["matches"][0], {**FOUND, "size": int})

    def test_diff(self):
        ids = [snapshot["id"] for snapshot in self.repo.snapshots()]
        lines = self.repo.run("diff", "--json", *ids).lines()
        changes = [line for line in lines if line["message_type"] == "change"]
        self.assertIn({"message_type": "change", "path": str(self.source / "added"), "modifier": "+"}, changes)
        self.assert_shape(lines[-1], {"message_type": "statistics", "source_snapshot": str, "target_snapshot": str,
                                      "changed_files": int, "added": COUNTS, "removed": COUNTS})

    def test_check(self):
        summary = self.repo.run("check", "--json").lines("summary")[-1]
        self.assert_shape(summary, {"num_errors": 0, "suggest_repair_index": bool, "suggest_prune": bool})
        self.assertIn(summary["broken_packs"], (None, []))

    def test_stats(self):
        self.assert_shape(self.repo.run("stats", "--json").json(),
                          {"total_size": int, "total_file_count": int, "snapshots_count": 2})
        self.assert_shape(self.repo.run("stats", "--json", "--mode", "raw-data").json(),
                          {"total_size": int, "total_blob_count": int, "snapshots_count": 2,
                           "total_uncompressed_size": int, "compression_ratio": NUMBER,
                           "compression_space_saving": NUMBER})

    def test_key_list(self):
        keys = self.repo.run("key", "list", "--json").json()
        self.assertEqual([key["current"] for key in keys], [True])
        self.assert_shape(keys[0], {"id": str, "userName": str, "hostName": str, "created": str})

    def test_cat_config_and_version(self):
        self.assert_shape(self.repo.run("cat", "config", "--json").json(), {"version": int, "id": str})
        self.assert_shape(self.repo.run("version", "--json").json(), {"version": str})

    def test_cat_snapshot(self):
        self.assert_shape(self.repo.run("cat", "snapshot", self.first.lines()[-1]["snapshot_id"]).json(),
                          {"time": TIME, "paths": list, "hostname": str})

    def test_json_output_holds_nothing_else(self):
        for command in (["snapshots"], ["ls", "latest"], ["check"], ["stats"], ["key", "list"]):
            with self.subTest(command=command):
                done = self.repo.run(*command, "--json")
                self.assertTrue(done.out.startswith(("{", "[")), done)
                self.assertEqual(done.err, "")


if __name__ == "__main__":
    firnlib.main()
