#!/usr/bin/env python3
"""A cluster whose repository is in a bucket: the shipped overlay for S3 servers, and what a request says when the server
goes away or the credentials are wrong.
"""
import pathlib
import sys
import unittest

import clusterlib
from clusterlib import firnlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "servers"))
import s3servers  # noqa: E402  (its folder has to be known first)

SESSION = {}


def setUpModule():
    missing = clusterlib.why_not() or s3servers.missing("versitygw")
    if missing:
        raise unittest.SkipTest(missing)
    serving = s3servers.start("versitygw")
    server = serving.__enter__()
    unittest.addModuleCleanup(serving.__exit__, None, None, None)
    context = clusterlib.installed(workers=0, server=server)
    SESSION["server"] = server
    SESSION["cluster"], SESSION["repository"] = context.__enter__()
    unittest.addModuleCleanup(context.__exit__, None, None, None)
    SESSION["cluster"].apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app"}})


class InABucket(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = SESSION["cluster"]
        cls.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "app"},
                           "spec": {"terminationGracePeriodSeconds": 1, "volumes": [{"name": "v", "emptyDir": {}}],
                                    "containers": [{"name": "c", "image": clusterlib.BUSYBOX, "imagePullPolicy": "Never",
                                                    "command": ["sh", "-c", "trap exit TERM; while :; do sleep 1; done"],
                                                    "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}})
        cls.cluster.kubectl("wait", "-n", "app", "--for=condition=Ready", "pod/p",
                            f"--timeout={clusterlib.PATIENCE_S}s")
        cls.pod = cls.cluster.get("pod", "-n", "app", "p")

    def test_1_a_volume_goes_to_the_bucket_and_comes_back(self):
        self.cluster.exec("p", "cd /v && mkdir d && echo one > d/1 && head -c 2000000 /dev/urandom > big && md5sum big > sum")
        status = self.cluster.succeeded("pvb", self.cluster.backup(self.pod, "v"))["status"]
        self.cluster.exec("p", "rm -rf /v/*")
        self.cluster.succeeded("pvr", self.cluster.restore(self.pod, "v", status["snapshotID"], verify=True))
        self.assertIn("big: OK", self.cluster.exec("p", "cd /v && md5sum -c sum && cat d/1"))
        SESSION["repository"].run("check", "--read-data")

    def test_2_wrong_credentials_are_named(self):
        env = {**SESSION["server"].env(), "AWS_SECRET_ACCESS_KEY": "wrong"}
        self.cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "firn-store",
                                                                              "namespace": "firn-system"},
                            "stringData": env})
        self.cluster.kubectl("rollout", "restart", "-n", "firn-system", "ds/firn-agent")
        self.cluster.kubectl("rollout", "status", "-n", "firn-system", "ds/firn-agent",
                             f"--timeout={clusterlib.PATIENCE_S}s")
        reason, message = self.cluster.failed("pvb", self.cluster.backup(self.pod, "v"))
        self.assertEqual("AccessDenied", reason, message)


if __name__ == "__main__":
    firnlib.main()
