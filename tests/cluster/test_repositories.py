#!/usr/bin/env python3
"""Repositories looked after by the controller on a real cluster: made, verified, maintained by the policies' retention,
checked, and what their status says when something is wrong or the store is lost and comes back.
"""
import json
import pathlib
import sys
import time
import unittest

import clusterlib
from clusterlib import firnlib, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "servers"))
import s3servers  # noqa: E402  (its folder has to be known first)

SESSION = {}
SYSTEM = "firn-system"


def setUpModule():
    missing = clusterlib.why_not() or s3servers.missing("versitygw")
    if missing:
        raise unittest.SkipTest(missing)
    serving = s3servers.start("versitygw")
    SESSION["server"] = serving.__enter__()
    unittest.addModuleCleanup(serving.__exit__, None, None, None)
    context = clusterlib.installed(workers=0, server=SESSION["server"])
    SESSION["cluster"], SESSION["repository"] = context.__enter__()
    unittest.addModuleCleanup(context.__exit__, None, None, None)
    cluster = SESSION["cluster"]
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app"}})
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "app", "labels": {"a": "b"}},
                   "spec": {"terminationGracePeriodSeconds": 1, "volumes": [{"name": "v", "emptyDir": {}}],
                            "containers": [{"name": "c", "image": clusterlib.BUSYBOX, "imagePullPolicy": "Never",
                                            "command": ["sh", "-c", "trap exit TERM; while :; do sleep 1; done"],
                                            "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}})
    cluster.kubectl("wait", "-n", "app", "--for=condition=Ready", "pod/p", f"--timeout={clusterlib.PATIENCE_S}s")
    SESSION["pod"] = cluster.get("pod", "-n", "app", "p")


class Case(unittest.TestCase):
    def setUp(self):
        self.cluster, self.main, self.pod = (SESSION[name] for name in ("cluster", "repository", "pod"))

    def put_keys(self, secret, files):
        self.cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret, "namespace": SYSTEM},
                            "stringData": {name: path.read_text() for name, path in files.items()}})

    def add_key(self, role, repository=None):
        repository = repository or self.main
        path = repository.folder / f"{role}.key"
        if not path.exists():
            repository.run("key", "add", "--role", role, "--out", path)
        return path

    def make(self, name, prefix="c1", **s3):
        spec = {"s3": {"endpoint": self.main.inside, "bucket": self.main.bucket, "prefix": prefix, "pathStyle": True, **s3},
                "credentialsRef": {"name": "firn-store"}, "allowedNamespaces": ["*"]}
        self.cluster.apply({"apiVersion": "backup.firn.io/v1alpha1", "kind": "Repository",
                     "metadata": {"name": name, "namespace": SYSTEM}, "spec": spec})
        self.addCleanup(self.cluster.kubectl, "delete", "frepo", "-n", SYSTEM, name)

    def said(self, name, kind, status, reason=None, seconds=clusterlib.PATIENCE_S):
        """Waits until the Repository's condition is so; gives (condition, object)."""
        def look():
            found = self.cluster.get("frepo", "-n", SYSTEM, name)
            condition = clusterlib.conditions(found).get(kind, {})
            look.last = condition
            good = condition.get("status") == status and (reason is None or condition["reason"] == reason)
            return (condition, found) if good else None
        try:
            return wait_for(f"{kind}={status} {reason or ''} of {name}", look, seconds)
        except clusterlib.Timeout as late:
            raise AssertionError(f"{late}; it says {look.last}\n" + self.cluster.kubectl("get", "jobs,pods", "-n", SYSTEM)) from None

    def ask(self, name, task):
        self.cluster.kubectl("annotate", "frepo", "-n", SYSTEM, name, "--overwrite",
                             f"backup.firn.io/run-{task}={time.monotonic_ns()}")

    def asked(self, name, task):
        """Asks for a run and waits for its end; gives the Repository."""
        before = [one.get("job") for one in self.cluster.get("frepo", "-n", SYSTEM, name).get("status", {}).get("tasks", [])]
        self.ask(name, task)

        def look():
            found = self.cluster.get("frepo", "-n", SYSTEM, name)
            record = next((one for one in found["status"].get("tasks", []) if one["task"] == task), {})
            return record.get("job") not in (None, *before) and "endTime" in record and found
        return wait_for(f"the end of {task}", look)

    def metrics(self):
        found = self.cluster.get("pods", "-n", SYSTEM, "-l", "app.kubernetes.io/name=firn-controller")["items"]
        return "".join(self.cluster.enter(0, "curl", "-s", f"http://{pod['status']['podIP']}:9810/metrics").out
                       for pod in found)

    def events(self, name):
        found = self.cluster.get("events", "-n", SYSTEM, "--field-selector", f"involvedObject.name={name}")["items"]
        return {one["reason"] for one in found}


class GoesWell(Case):
    def test_1_a_repository_that_is_there_becomes_ready(self):
        _, found = self.said("main", "Ready", "True")
        self.assertEqual("True", clusterlib.conditions(found)["CredentialsValid"]["status"])
        self.assertIn("nextMaintenanceTime", found["status"])

    def test_2_one_that_is_missing_is_made_by_a_job(self):
        second = clusterlib.S3Repository(pathlib.Path(self.main.folder).parent / "second", SESSION["server"], self.main.inside)
        second.bucket = self.main.bucket
        second.path = f"s3:{SESSION['server'].endpoint}/{second.bucket}/c2"
        self.put_keys("firn-admin-keys", {"second.password": second.password_file})
        self.make("second", "c2")
        self.said("second", "Ready", "True", "KeyNotTried")
        self.assertEqual([], second.snapshots())
        tasks = self.cluster.get("frepo", "-n", SYSTEM, "second")["status"]["tasks"]
        self.assertIn("Made", {one.get("reason") for one in tasks})
        wait_for("the pods of short Jobs to go", lambda: not self.cluster.get(
            "pods", "-n", SYSTEM, "-l", "backup.firn.io/task=init")["items"])

    def test_3_maintenance_forgets_what_the_policy_does_not_keep(self):
        self.put_keys("firn-maintainer-keys", {"main.key": self.add_key("maintainer")})
        for i in range(4):
            self.cluster.exec("p", f"head -c 1000000 /dev/urandom > /v/big; echo {i} > /v/n")
            status = self.cluster.succeeded("pvb", self.cluster.backup(self.pod, "v", tags=["policy=keep2"]))["status"]
        by_hand = self.cluster.succeeded("pvb", self.cluster.backup(self.pod, "v"))["status"]["snapshotID"]
        self.cluster.apply({"apiVersion": "backup.firn.io/v1alpha1", "kind": "BackupPolicy",
                            "metadata": {"name": "keep2", "namespace": "app"},
                            "spec": {"schedule": "0 0 1 1 *", "selector": {}, "repositoryRef": {"name": "main"},
                                     "retention": {"keepLast": 2}}})
        found = self.asked("main", "maintenance")
        said = clusterlib.conditions(found)["MaintenanceSucceeded"]
        self.assertEqual(("True", "Succeeded"), (said["status"], said["reason"]), said)
        self.assertEqual((2, 3), (found["status"]["lastForgotten"], found["status"]["snapshots"]))
        self.assertGreater(found["status"]["sizeBytes"], 1_000_000)
        self.assertIn("lastMaintenanceTime", found["status"])
        left = {one["id"] for one in self.main.snapshots()}
        self.assertLessEqual({status["snapshotID"], by_hand}, left)
        self.assertIn('firn_repository_snapshots{repository="main"} 3', self.metrics())

    def test_3b_a_policy_that_is_due_makes_snapshots_that_carry_its_name(self):
        self.cluster.apply({"apiVersion": "backup.firn.io/v1alpha1", "kind": "BackupPolicy",
                            "metadata": {"name": "often", "namespace": "app"},
                            "spec": {"schedule": "* * * * *", "selector": {"matchLabels": {"a": "b"}}, "volumes": ["v"],
                                     "repositoryRef": {"name": "main"}, "retention": {"keepLast": 1}}})
        def succeeded():
            found = self.cluster.get("bpol", "-n", "app", "often")
            said = clusterlib.conditions(found).get("LastRunSucceeded", {})
            return said.get("status") == "True" and found["status"]
        status = wait_for("a run that succeeded", succeeded, 240)
        self.assertEqual((1, 0, []), (status["selected"], status["unprotected"], status["unprotectedVolumes"]))
        self.cluster.kubectl("delete", "bpol", "-n", "app", "often")
        self.assertTrue([one for one in self.main.snapshots() if "policy=often" in one.get("tags", [])])

    def test_4_a_check_reads_what_is_stored(self):
        self.put_keys("firn-check-keys", {"main.key": self.add_key("reader")})
        found = self.asked("main", "check")
        said = clusterlib.conditions(found)["CheckSucceeded"]
        self.assertEqual(("True", "Succeeded"), (said["status"], said["reason"]), said)
        self.assertEqual(0, found["status"]["checkErrors"])
        self.assertIn("lastCheckTime", found["status"])
        self.assertIn("Succeeded", self.events("main"))

    def test_5_a_job_holds_one_secret_and_no_token(self):
        self.ask("main", "maintenance")
        pod = wait_for("the pod of a Job", lambda: self.cluster.get("pods", "-n", SYSTEM, "-l", "backup.firn.io/task=maintenance")["items"])[0]
        self.assertEqual(["firn-maintainer-keys"], [one["secret"]["secretName"] for one in pod["spec"]["volumes"] if "secret" in one])
        self.assertFalse([one for one in pod["spec"]["volumes"] if "projected" in one], "a token is mounted")
        self.assertTrue(pod["spec"]["securityContext"]["runAsNonRoot"])


class Restores(Case):
    """Into claims that no pod mounts."""

    CLASS = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "by-hand"},
             "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}

    def setUp(self):
        super().setUp()
        self.cluster.exec("p", "rm -rf /v/* && mkdir -p /v/d && echo one > /v/d/1 && head -c 100000 /dev/urandom > /v/big && cd /v && md5sum big > sum")
        self.snapshot = self.cluster.succeeded("pvb", self.cluster.backup(self.pod, "v"))["status"]["snapshotID"]

    def volume(self, name):
        """A directory of the node as a PersistentVolume, for claims of class by-hand."""
        where = self.cluster.state.parent / "disks" / "open" / name
        where.mkdir(parents=True)
        node = self.cluster.nodes[0]
        self.cluster.apply(self.CLASS, {
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand",
                     "persistentVolumeReclaimPolicy": "Retain", "local": {"path": str(where)},
                     "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                         {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}}}})
        return where

    def into_claim(self, claim, namespace="app", **spec):
        self.cluster.serial += 1
        name = f"c{self.cluster.serial}"
        self.cluster.apply({"apiVersion": "backup.firn.io/v1alpha1", "kind": "PodVolumeRestore",
                            "metadata": {"name": name, "namespace": namespace},
                            "spec": {"claim": claim, "repositoryRef": {"name": "main"}, "snapshotID": self.snapshot, **spec}})
        return name

    def helpers(self):
        return self.cluster.get("pods", "-A", "-l", "backup.firn.io/restore-uid")["items"]

    def test_1_into_a_claim_that_is_made_for_it(self):
        where = self.volume("fresh")
        name = self.into_claim({"name": "fresh", "size": "500Mi", "storageClassName": "by-hand"}, verify=True)
        status = self.cluster.succeeded("pvr", name)["status"]
        self.assertGreater(status["stats"]["filesRestored"], 0)
        self.assertEqual("one\n", (where / "d/1").read_text())
        firnlib.run(["md5sum", "-c", "sum"], cwd=where)
        wait_for("the helper to go", lambda: not self.helpers())
        self.assertEqual("Bound", self.cluster.get("pvc", "-n", "app", "fresh")["status"]["phase"])

    def test_2_into_another_namespace_as_the_repository_allows(self):
        self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
        where = self.volume("elsewhere")
        claim = {"name": "elsewhere", "size": "500Mi", "storageClassName": "by-hand"}
        self.assertEqual("SnapshotNotAllowed", self.cluster.failed("pvr", self.into_claim(claim, "other"), namespace="other")[0])
        self.cluster.kubectl("patch", "frepo", "-n", SYSTEM, "main", "--type=merge", "-p", '{"spec":{"crossNamespaceRestores":true}}')
        self.cluster.succeeded("pvr", self.into_claim(claim, "other"), namespace="other")
        self.assertEqual("one\n", (where / "d/1").read_text())

    def test_3_a_claim_that_is_missing_is_said_and_nothing_is_left(self):
        reason, message = self.cluster.failed("pvr", self.into_claim({"name": "nowhere"}))
        self.assertEqual("ClaimNotFound", reason)
        self.assertIn("app/nowhere", message)
        self.assertEqual([], self.helpers())

    def test_4_one_that_cannot_be_mounted_waits_says_why_and_can_be_cancelled(self):
        name = self.into_claim({"name": "unbound", "size": "500Gi", "storageClassName": "by-hand"})
        def waits():
            said = clusterlib.conditions(self.cluster.get("pvr", "-n", "app", name)).get("Succeeded", {})
            return "no node takes" in said.get("message", "")
        wait_for("a word about the volume", waits)
        self.cluster.kubectl("patch", "pvr", "-n", "app", name, "--type=merge", "-p", '{"spec":{"cancel":true}}')
        self.assertEqual("Cancelled", self.cluster.failed("pvr", name)[0])
        wait_for("the helper to go", lambda: not self.helpers())

    def test_5_claim_and_pod_exclude_each_other(self):
        self.assertIn("give claim, or nodeName, pod and volume", self.cluster.apply(
            {"apiVersion": "backup.firn.io/v1alpha1", "kind": "PodVolumeRestore",
             "metadata": {"name": "both", "namespace": "app"},
             "spec": {"claim": {"name": "x"}, "nodeName": "n", "repositoryRef": {"name": "main"},
                      "snapshotID": self.snapshot}}, code=1))

    def test_6_the_controller_makes_no_pods_but_helpers(self):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "evil", "namespace": "app"},
               "spec": {"containers": [{"name": "c", "image": clusterlib.BUSYBOX}]}}
        said = self.cluster.kubectl("create", "-f", "-", "--as=system:serviceaccount:firn-system:firn-controller",
                                    stdin=json.dumps(pod), code=1)
        self.assertIn("no pods but its helpers", said)


class GoesWrong(Case):
    def test_a_bucket_that_is_missing_is_named(self):
        self.make("nobucket", bucket="no-such-bucket")
        condition, _ = self.said("nobucket", "Ready", "False", "StoreNotFound")
        self.assertIn("no-such-bucket", condition["message"])
        self.assertIn("StoreNotFound", self.events("nobucket"))
        metrics = self.metrics()
        self.assertIn('firn_repository_ready{repository="nobucket"} 0', metrics)
        self.assertIn('reason="StoreNotFound"', metrics)

    def test_a_store_that_cannot_be_reached_is_unavailable(self):
        self.make("far", endpoint="http://10.231.77.2:9")
        condition, _ = self.said("far", "Ready", "False", "Unavailable")
        self.assertIn("10.231.77.2:9", condition["message"])

    def test_a_secret_that_is_missing_is_named(self):
        self.make("nosecret")
        self.cluster.kubectl("patch", "frepo", "-n", SYSTEM, "nosecret", "--type=merge", "-p",
                             json.dumps({"spec": {"credentialsRef": {"name": "not-there"}}}))
        condition, _ = self.said("nosecret", "Ready", "False", "CredentialsMissing")
        self.assertIn("not-there", condition["message"])

    def test_a_key_of_another_repository_is_a_wrong_key(self):
        other = firnlib.Repository(pathlib.Path(self.main.folder).parent / "third").init()
        keys = {"main.key": self.add_key("maintainer"), "wrong.key": self.add_key("maintainer", other)}
        self.put_keys("firn-maintainer-keys", keys)
        self.make("wrong")
        condition, _ = self.said("wrong", "Ready", "False", "WrongKey")
        self.assertIn("Secret", condition["message"])

    def test_a_store_that_is_lost_and_comes_back(self):
        server = SESSION["server"]
        self.said("main", "Ready", "True")
        server.end()
        try:
            self.ask("main", "verify")
            self.said("main", "Ready", "False", "Unavailable")
            name = self.cluster.backup(self.pod, "v")
        finally:
            server.start()
        self.said("main", "Ready", "True")
        condition, _ = self.cluster.ended("pvb", name, seconds=240)
        self.assertIn(condition["reason"], ("SnapshotMade", "Unavailable"))
        self.cluster.succeeded("pvb", self.cluster.backup(self.pod, "v"), seconds=240)


if __name__ == "__main__":
    firnlib.main()
