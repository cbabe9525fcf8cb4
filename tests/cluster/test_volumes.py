#!/usr/bin/env python3
"""Every kind of volume on a real cluster of two nodes: backed up, restored, compared; and what is refused, and how.
"""
import unittest

import clusterlib
from clusterlib import firnlib

SESSION = {}


def setUpModule():
    missing = clusterlib.why_not()
    if missing:
        raise unittest.SkipTest(missing)
    context = clusterlib.installed(workers=1)
    SESSION["cluster"], SESSION["repository"] = context.__enter__()
    unittest.addModuleCleanup(context.__exit__, None, None, None)
    SESSION["cluster"].apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app"}})


def persistent(name, source, claim, node=None):
    """A PersistentVolume and the claim that it is bound to."""
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
              "spec": {"claimRef": {"namespace": "app", "name": claim}, "capacity": {"storage": "64Mi"},
                       "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
                       "storageClassName": "manual", **source}}
    if node:
        volume["spec"]["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}}
    return [volume, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim, "namespace": "app"},
                     "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "manual", "volumeName": name,
                              "resources": {"requests": {"storage": "64Mi"}}}}]


def pod(name, node, volumes):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "app"},
            "spec": {"nodeSelector": {"kubernetes.io/hostname": node}, "terminationGracePeriodSeconds": 1,
                     "containers": [{"name": "c", "image": clusterlib.BUSYBOX, "imagePullPolicy": "Never",
                                     "command": ["sh", "-c", "trap exit TERM; while :; do sleep 1; done"],
                                     "volumeMounts": [{"name": one["name"], "mountPath": f"/v/{one['name']}"}
                                                      for one in volumes]}],
                     "volumes": volumes}}


def started(name):
    cluster = SESSION["cluster"]
    cluster.kubectl("wait", "-n", "app", "--for=condition=Ready", f"pod/{name}", f"--timeout={clusterlib.PATIENCE_S}s")
    return cluster.get("pod", "-n", "app", name)


FILL = """cd /v/{0} && mkdir -p d/e && echo first {0} > a && head -c 300000 /dev/urandom > d/big && echo x > d/e/x &&
  ln -s a link && chmod 640 a && chown 1000:2000 d/big && touch -d '2020-02-03 04:05:06' d/e/x"""
# What of a tree a container can see: names, types, modes, owners, times, link targets and content.
SHOW = """cd /v/{0} && find . -path ./lost+found -prune -o -print | sort | while read f; do stat -c '%n %F %a %u %g' "$f";
  done; find . -type f | sort | xargs md5sum; readlink link; stat -c %Y d/e/x"""


class Rows(unittest.TestCase):
    """One pod with a volume of each kind, on node 0 and on node 1."""

    @classmethod
    def setUpClass(cls):
        cluster = SESSION["cluster"]
        cluster.apply({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "csi.e2e.test"},
                       "spec": {"attachRequired": False, "volumeLifecycleModes": ["Persistent"]}})
        disks = cluster.state.parent / "disks"
        objects, cls.pods = [], {}
        for number, node in enumerate(cluster.nodes):
            (disks / f"open/local-{number}").mkdir(parents=True)
            for kind, source in {
                    "csi": {"csi": {"driver": "csi.e2e.test", "volumeHandle": f"plain-{number}"}},
                    "ext4": {"csi": {"driver": "csi.e2e.test", "volumeHandle": f"disk-{number}",
                                     "volumeAttributes": {"fs": "ext4", "size": "64M"}}},
                    "local": {"local": {"path": str(disks / f"open/local-{number}")}},
                    "hostpv": {"hostPath": {"path": str(disks / f"open/hostpv-{number}"), "type": "DirectoryOrCreate"}},
            }.items():
                objects += persistent(f"{kind}-{number}", source, f"{kind}-{number}", node)
            volumes = [{"name": "disk", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}},
                       {"name": "path", "hostPath": {"path": str(disks / f"open/path-{number}"),
                                                     "type": "DirectoryOrCreate"}},
                       {"name": "closed", "hostPath": {"path": str(disks / f"closed-{number}"),
                                                       "type": "DirectoryOrCreate"}},
                       {"name": "config", "configMap": {"name": "kube-root-ca.crt"}},
                       *[{"name": kind, "persistentVolumeClaim": {"claimName": f"{kind}-{number}"}}
                         for kind in ("csi", "ext4", "local", "hostpv")]]
            objects.append(pod(f"rows-{number}", node, volumes))
        cluster.apply(*objects)
        for number in range(len(cluster.nodes)):
            cls.pods[number] = started(f"rows-{number}")

    def test_every_row_comes_back_as_it_was_on_both_nodes(self):
        cluster = SESSION["cluster"]
        rows = ("disk", "memory", "path", "csi", "ext4", "local", "hostpv")
        requests, before = {}, {}
        for number, one in self.pods.items():
            cluster.exec(f"rows-{number}", " && ".join(FILL.format(row) for row in rows))
            for row in rows:
                before[number, row] = cluster.exec(f"rows-{number}", SHOW.format(row))
                requests[number, row] = cluster.backup(one, row)
        snapshots = {}
        for key, name in requests.items():
            status = cluster.succeeded("pvb", name)["status"]
            snapshots[key] = status["snapshotID"]
            self.assertEqual(4, status["stats"]["filesNew"], status)
            self.assertEqual("Done", status["progress"]["phase"])
        for (number, row), snapshot in snapshots.items():
            cluster.exec(f"rows-{number}", f"cd /v/{row} && rm -rf a d link && echo other > stray")
            requests[number, row] = cluster.restore(self.pods[number], row, snapshot, mode="Overwrite", deleteExtra=True,
                                                    verify=True)
        for (number, row), name in requests.items():
            with self.subTest(node=number, row=row):
                status = cluster.succeeded("pvr", name)["status"]
                self.assertEqual(0, status["stats"]["notKept"], status)
                self.assertEqual(before[number, row], cluster.exec(f"rows-{number}", SHOW.format(row)))
        SESSION["repository"].run("check", "--read-data")

    def test_what_cannot_be_backed_up_is_refused_with_a_reason(self):
        cluster = SESSION["cluster"]
        for volume, reason in {"closed": "HostPathNotAllowed", "config": "VolumeKindNotSupported",
                               "none": "VolumeNotFound"}.items():
            with self.subTest(volume):
                self.assertEqual(reason, cluster.failed("pvb", cluster.backup(self.pods[0], volume))[0])
        self.assertEqual("RepositoryNotFound",
                         cluster.failed("pvb", cluster.backup(self.pods[0], "disk", repository="none"))[0])

    def test_an_unmounted_directory_is_no_empty_backup(self):
        cluster = SESSION["cluster"]
        uid = self.pods[0]["metadata"]["uid"]
        where = f"/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~csi/csi-0/mount"
        cluster.enter(0, "umount", "-l", where)
        try:
            self.assertEqual("VolumeNotMounted", cluster.failed("pvb", cluster.backup(self.pods[0], "csi"))[0])
        finally:
            cluster.enter(0, "mount", "--bind", f"{cluster.state}/node-0/csi/plain-0", where)

    def test_a_full_volume_takes_no_restore_in_mode_new(self):
        cluster = SESSION["cluster"]
        cluster.exec("rows-1", "echo x > /v/memory/x")
        name = cluster.backup(self.pods[1], "memory")
        snapshot = cluster.succeeded("pvb", name)["status"]["snapshotID"]
        self.assertEqual("VolumeNotEmpty", cluster.failed("pvr", cluster.restore(self.pods[1], "memory", snapshot))[0])

    def test_the_second_backup_reads_only_what_changed(self):
        cluster = SESSION["cluster"]
        cluster.exec("rows-1", "mkdir -p /v/disk/many && cd /v/disk/many && for i in $(seq 50); do echo $i > $i; done")
        first = cluster.succeeded("pvb", cluster.backup(self.pods[1], "disk"))["status"]
        cluster.exec("rows-1", "echo changed > /v/disk/many/7; echo new > /v/disk/many/51")
        second = cluster.succeeded("pvb", cluster.backup(self.pods[1], "disk"))["status"]
        self.assertEqual(first["snapshotID"], second["parentSnapshotID"])
        self.assertEqual((1, 1), (second["stats"]["filesNew"], second["stats"]["filesChanged"]))


if __name__ == "__main__":
    firnlib.main()
