#!/usr/bin/env python3
"""Volumes that belong to their pod on a real cluster: generic ephemeral ones, those of a static pod; and a restore into a
volume that is too small.
"""
import json
import unittest

import clusterlib
from clusterlib import firnlib, wait_for

SESSION = {}
CONTAINER = {"name": "c", "image": clusterlib.BUSYBOX, "imagePullPolicy": "Never",
             "command": ["sh", "-c", "trap exit TERM; while :; do sleep 1; done"],
             "volumeMounts": [{"name": "v", "mountPath": "/v"}]}


def setUpModule():
    missing = clusterlib.why_not()
    if missing:
        raise unittest.SkipTest(missing)
    context = clusterlib.installed(workers=0)
    SESSION["cluster"], SESSION["repository"] = context.__enter__()
    unittest.addModuleCleanup(context.__exit__, None, None, None)
    SESSION["cluster"].apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app"}})


def pod(name, volume, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "app"},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [CONTAINER],
                     "volumes": [{"name": "v", **volume}], **spec}}


def started(name):
    cluster = SESSION["cluster"]
    cluster.kubectl("wait", "-n", "app", "--for=condition=Ready", f"pod/{name}", f"--timeout={clusterlib.PATIENCE_S}s")
    return cluster.get("pod", "-n", "app", name)


class OfTheirPod(unittest.TestCase):
    def setUp(self):
        self.cluster = SESSION["cluster"]

    def goes_and_comes_back(self, seen):
        name = seen["metadata"]["name"]
        self.cluster.exec(name, "cd /v && mkdir d && echo one > d/1 && head -c 300000 /dev/urandom > big && md5sum big > sum")
        snapshot = self.cluster.succeeded("pvb", self.cluster.backup(seen, "v"))["status"]["snapshotID"]
        self.cluster.exec(name, "rm -rf /v/d /v/big")
        self.cluster.succeeded("pvr", self.cluster.restore(seen, "v", snapshot, mode="Overwrite", verify=True))
        self.assertIn("big: OK", self.cluster.exec(name, "cd /v && md5sum -c sum && cat d/1"))

    def test_a_generic_ephemeral_volume(self):
        where = self.cluster.state.parent / "disks/open/ephemeral"
        where.mkdir(parents=True)
        self.cluster.apply(
            {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "by-hand"},
             "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"},
            {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "ephemeral"},
             "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand",
                      "persistentVolumeReclaimPolicy": "Retain", "local": {"path": str(where)},
                      "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                          {"key": "kubernetes.io/hostname", "operator": "In", "values": self.cluster.nodes[:1]}]}]}}}},
            pod("ephemeral", {"ephemeral": {"volumeClaimTemplate": {"spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand",
                "resources": {"requests": {"storage": "100Mi"}}}}}}))
        self.goes_and_comes_back(started("ephemeral"))

    def test_a_claim_that_only_has_the_name_of_an_ephemeral_volume_is_another(self):
        where = self.cluster.state.parent / "disks/open/foreign"
        where.mkdir(parents=True)
        self.cluster.apply(
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "thief-v", "namespace": "app"},
             "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none",
                      "resources": {"requests": {"storage": "1Mi"}}}},
            pod("thief", {"ephemeral": {"volumeClaimTemplate": {"spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "none",
                "resources": {"requests": {"storage": "1Mi"}}}}}}, nodeName=self.cluster.nodes[0]))
        thief = self.cluster.get("pod", "-n", "app", "thief")
        reason, message = self.cluster.failed("pvb", self.cluster.backup(thief, "v"))
        self.assertEqual("VolumeMismatch", reason, message)
        self.cluster.kubectl("delete", "pod", "-n", "app", "thief", "--force", "--grace-period=0")

    def test_a_static_pod(self):
        folder = self.cluster.state / "static-0"
        name = f"static-{self.cluster.nodes[0]}"
        manifest = folder / "static.json"
        manifest.write_text(json.dumps(pod("static", {"emptyDir": {}})))
        try:
            wait_for("the static pod", lambda: self.cluster.kubectl("get", "pod", "-n", "app", name, code=None).find("Running") > 0)
            self.goes_and_comes_back(started(name))
        finally:
            manifest.unlink()

    def test_a_volume_that_is_too_small_is_said_and_a_larger_one_takes_the_same_snapshot(self):
        self.cluster.apply(pod("large", {"emptyDir": {}}), pod("small", {"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}),
                           pod("enough", {"emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}))
        large, small, enough = started("large"), started("small"), started("enough")
        self.cluster.exec("large", "cd /v && head -c 5000000 /dev/urandom > big && echo x > little && md5sum big > sum")
        snapshot = self.cluster.succeeded("pvb", self.cluster.backup(large, "v"))["status"]["snapshotID"]
        name = self.cluster.restore(small, "v", snapshot)
        condition, found = self.cluster.ended("pvr", name)
        self.assertEqual("False", condition["status"], found)
        self.assertIn(condition["reason"], ("OutOfSpace", "EntriesNotRestored"))
        said = condition["message"] + json.dumps(found["status"].get("firstErrors", []))
        self.assertIn("space", said.lower())
        self.cluster.succeeded("pvr", self.cluster.restore(enough, "v", snapshot))
        self.assertIn("big: OK", self.cluster.exec("enough", "cd /v && md5sum -c sum"))


if __name__ == "__main__":
    firnlib.main()
