#!/usr/bin/env python3
"""`firn tend`, as a cluster's Jobs run it: each task's report, and what it says when something is wrong."""
import json

import firnlib


@firnlib.firn_only
class Tend(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        self.repo = firnlib.Repository(self.temp / "r")
        self.keys = self.temp / "keys"
        self.keys.mkdir()
        self.told = self.temp / "report"

    def tend(self, task, *args, repo=None, code=0):
        done = self.repo.run("--repo", repo or self.repo.path, "tend", "--task", task, "--name", "main", "--key-dir", self.keys,
                             "--report", self.told, *args, code=code, env={"FIRN_PASSWORD_FILE": None,
                                                                          "RESTIC_PASSWORD_FILE": None})
        report = json.loads(self.told.read_text())
        self.assertEqual(report, json.loads(done.out))
        self.assertEqual(code == 0, report["ok"])
        self.assertLess(len(self.told.read_bytes()), 4096)
        return report

    def put_key(self, role, name="main"):
        self.repo.run("key", "add", "--role", role, "--out", self.keys / f"{name}.key")

    def test_a_repository_is_made_verified_maintained_and_checked(self):
        self.repo.path.mkdir()
        self.assertEqual("RepositoryNotFound", self.tend("verify", code=1)["reason"])
        self.assertEqual("RepositoryNotFound", self.tend("init", code=1)["reason"])
        (self.keys / "main.password").write_text(self.repo.password_file.read_text())
        made = self.tend("init")
        self.assertEqual("Made", made["reason"])
        self.assertEqual("ThereAlready", self.tend("init")["reason"])
        (self.keys / "main.password").unlink()
        verified = self.tend("verify")
        self.assertEqual(("KeyNotTried", True, 0), (verified["reason"], verified["credentialsValid"], verified["snapshots"]))

        self.put_key("maintainer")
        self.repo.backup(firnlib.write(self.temp / "source/a", "x" * 100_000).parent)
        verified = self.tend("verify")
        self.assertEqual(("Verified", 1, made["repositoryID"]),
                         (verified["reason"], verified["snapshots"], verified["repositoryID"]))
        maintained = self.tend("maintenance")
        self.assertEqual((1, 0), (maintained["snapshots"], maintained["forgotten"]))
        self.assertGreater(maintained["sizeBytes"], 0)
        checked = self.tend("check", "--read-data-subset", "1/1")
        self.assertEqual((0, False), (checked["errors"], checked["contentsOpened"]))
        self.assertGreater(checked["packsRead"], 0)

    def test_a_rule_keeps_its_hands_off_what_other_clusters_and_people_stored(self):
        self.repo.init()
        self.put_key("maintainer")
        source = firnlib.write(self.temp / "source/a", "x").parent
        for _ in range(3):
            self.repo.backup("--tag", "policy=nightly", source)
        done = self.tend("maintenance", "--cluster-id", "c", "--retain", "shop/nightly:last=1")
        self.assertEqual((3, 0), (done["snapshots"], done["forgotten"]))

    def test_rules_that_keep_nothing_or_are_none_are_refused(self):
        self.repo.init()
        self.put_key("maintainer")
        for rule in ("shop/nightly:", "shop/nightly:last=0", "nightly:last=1", "shop/:last=1", "shop/nightly:last",
                     "shop/nightly:often=1", "shop/nightly:last=x", "shop/nightly"):
            with self.subTest(rule=rule):
                report = self.tend("maintenance", "--cluster-id", "c", "--retain", rule, code=1)
                self.assertEqual("Invalid", report["reason"])
                self.assertIn(rule, report["message"])
        self.assertEqual("Invalid", self.tend("maintenance", "--retain", "shop/p:last=1", code=1)["reason"])

    def test_what_is_wrong_has_a_reason(self):
        self.assertEqual("StoreNotFound", self.tend("verify", repo=self.temp / "nowhere", code=1)["reason"])
        self.repo.init()
        self.assertEqual("KeyMissing", self.tend("maintenance", code=1)["reason"])
        self.assertEqual("KeyMissing", self.tend("check", code=1)["reason"])
        self.put_key("writer")
        self.assertEqual("AccessDenied", self.tend("maintenance", code=1)["reason"])
        (self.keys / "main.key").unlink()
        (self.keys / "main.password").write_text("another\n")
        self.assertEqual("WrongKey", self.tend("verify", code=1)["reason"])

    def test_damage_is_found_and_named(self):
        self.repo.init()
        self.put_key("reader")
        self.repo.backup(firnlib.write(self.temp / "source/a", "x" * 100_000).parent)
        pack = next(path for path in sorted((self.repo.path / "data").rglob("*")) if path.is_file())
        stored = bytearray(pack.read_bytes())
        stored[10] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(stored)
        report = self.tend("check", "--read-data-subset", "100%", code=1)
        self.assertEqual("DamageFound", report["reason"])
        self.assertGreater(report["errors"], 0)
        self.assertIn(pack.name[:8], report["message"])


if __name__ == "__main__":
    firnlib.main()
