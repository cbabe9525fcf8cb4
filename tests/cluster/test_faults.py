#!/usr/bin/env python3
"""What goes wrong on a real cluster of two nodes, and what a request says then: cancelled, too late, its pod deleted,
its agent killed, the API server killed, many at once, the wrong node.
"""
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import time
import unittest
import urllib.error
import urllib.request

import clusterlib
from clusterlib import firnlib, wait_for

SESSION = {}
# Slow to back up: so many files of so many bytes that nobody has seen before.
FILES, FILE_BYTES = 200, 1 << 20


def setUpModule():
    missing = clusterlib.why_not()
    if missing:
        raise unittest.SkipTest(missing)
    context = clusterlib.installed(workers=1)
    SESSION["cluster"], SESSION["repository"] = context.__enter__()
    unittest.addModuleCleanup(context.__exit__, None, None, None)
    SESSION["cluster"].apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app"}})


def start_pod(name, node, volumes=("data",)):
    cluster = SESSION["cluster"]
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "app"},
                   "spec": {"nodeSelector": {"kubernetes.io/hostname": node}, "terminationGracePeriodSeconds": 1,
                            "containers": [{"name": "c", "image": clusterlib.BUSYBOX, "imagePullPolicy": "Never",
                                            "command": ["sh", "-c", "trap exit TERM; while :; do sleep 1; done"],
                                            "volumeMounts": [{"name": one, "mountPath": f"/v/{one}"} for one in volumes]}],
                            "volumes": [{"name": one, "emptyDir": {}} for one in volumes]}})
    cluster.kubectl("wait", "-n", "app", "--for=condition=Ready", f"pod/{name}", f"--timeout={clusterlib.PATIENCE_S}s")
    return cluster.get("pod", "-n", "app", name)


def fill(pod):
    """Fills the volume anew from the host, which is faster than by the container."""
    cluster = SESSION["cluster"]
    node = cluster.nodes.index(pod["spec"]["nodeName"])
    where = f"/var/lib/kubelet/pods/{pod['metadata']['uid']}/volumes/kubernetes.io~empty-dir/data"
    cluster.enter(node, "/usr/bin/python3", "-c",
                  f"import os\nfor i in range({FILES}):\n open(f'{where}/{{i}}', 'wb').write(os.urandom({FILE_BYTES}))")


def agent_of(node):
    cluster = SESSION["cluster"]
    found = cluster.get("pods", "-n", "firn-system", "--field-selector", f"spec.nodeName={node}")["items"]
    return found[0]


def processes(what):
    """The agents' processes of this machine that serve `what`: one a node."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    words = file.read().decode().split("\0")
                with open(f"/proc/{entry}/environ", "rb") as file:
                    environment = dict(one.split("=", 1) for one in file.read().decode().split("\0") if "=" in one)
            except (OSError, ValueError):
                continue
            if words[:2] == ["/usr/bin/firn", "agent"] and what in words:
                found.append((int(entry), environment.get("NODE_NAME")))
    return found


def running(name):
    def look():
        found = SESSION["cluster"].get("pvb", "-n", "app", name)
        said = clusterlib.conditions(found)
        assert said.get("Succeeded", {}).get("status") in (None, "Unknown"), f"it ended before: {said}"
        return said.get("Running", {}).get("status") == "True"
    wait_for(f"{name} to run", look)


class Ends(unittest.TestCase):
    """Requests that are ended from outside."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = SESSION["cluster"]
        cls.pod = start_pod("slow", cls.cluster.nodes[0])

    def test_a_cancelled_request_says_so_and_the_next_one_uses_what_was_stored(self):
        fill(self.pod)
        name = self.cluster.backup(self.pod, "data")
        running(name)
        self.cluster.kubectl("patch", "pvb", "-n", "app", name, "--type=merge", "-p", '{"spec":{"cancel":true}}')
        self.assertEqual("Cancelled", self.cluster.failed("pvb", name)[0])
        self.assertEqual(FILES, self.cluster.succeeded("pvb", self.cluster.backup(self.pod, "data"))["status"]["progress"]
                         ["files"])

    def test_a_request_that_was_not_begun_in_time_fails(self):
        agents = [pid for pid, node in processes("backups") if node == self.cluster.nodes[0]]
        for pid in agents:
            os.kill(pid, signal.SIGSTOP)
        try:
            name = self.cluster.backup(self.pod, "data", deadlineSeconds=1)
            created = time.monotonic()
            wait_for("the deadline", lambda: time.monotonic() - created > 2.5)
        finally:
            for pid in agents:
                os.kill(pid, signal.SIGCONT)
        self.assertEqual("DeadlineExceeded", self.cluster.failed("pvb", name)[0])

    def test_a_request_that_is_deleted_is_gone_at_once_and_its_work_ends(self):
        fill(self.pod)
        name = self.cluster.backup(self.pod, "data")
        running(name)
        self.cluster.kubectl("delete", "pvb", "-n", "app", name, "--timeout=10s")
        wait_for("an agent at rest", lambda: "firn_running 0" in self.metrics())

    def metrics(self):
        agent = agent_of(self.cluster.nodes[0])
        return self.cluster.enter(0, "curl", "-s", f"http://{agent['status']['podIP']}:9808/metrics").out

    def test_a_pod_that_is_deleted_is_let_go_at_once(self):
        pod = start_pod("going", self.cluster.nodes[0])
        fill(pod)
        name = self.cluster.backup(pod, "data")
        running(name)
        self.cluster.kubectl("delete", "pod", "-n", "app", "going", "--timeout=30s")
        self.assertIn(self.cluster.failed("pvb", name)[0], ("PodDeleted", "VolumeUnmounted"))

    def test_another_pod_of_the_same_name_is_not_backed_up(self):
        other = {**self.pod, "metadata": {**self.pod["metadata"], "uid": "11111111-2222-3333-4444-555555555555"}}
        self.assertEqual("PodNotFound", self.cluster.failed("pvb", self.cluster.backup(other, "data"))[0])


class Crashes(unittest.TestCase):
    """Programs that are killed while a request runs."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = SESSION["cluster"]
        cls.pod = start_pod("crash", cls.cluster.nodes[1])

    def kill_agent(self):
        victims = [pid for pid, node in processes("backups") if node == self.cluster.nodes[1]]
        self.assertEqual(1, len(victims))
        os.kill(victims[0], signal.SIGKILL)

    def test_an_agent_that_is_killed_leaves_its_request_to_the_next_one(self):
        fill(self.pod)
        name = self.cluster.backup(self.pod, "data")
        running(name)
        self.kill_agent()
        status = self.cluster.succeeded("pvb", name, seconds=240)["status"]
        self.assertEqual(FILES, status["progress"]["files"])
        listed = SESSION["repository"].run("snapshots", "--json").json()
        self.assertEqual(1, len([one for one in listed if one["id"] == status["snapshotID"]]))

    def test_the_api_server_may_be_killed_while_a_request_runs(self):
        fill(self.pod)
        name = self.cluster.backup(self.pod, "data")
        running(name)
        pid = int((self.cluster.state / "node-0/run/kube-apiserver.pid").read_text())
        self.cluster.enter(0, "kill", "-9", str(pid))
        subprocess.Popen([self.cluster.state / "enter-0", "setsid", "sh", "-c",
                          f"{self.cluster.state}/etc/run-component {self.cluster.state} kube-apiserver & "
                          f"echo $! >{self.cluster.state}/node-0/run/kube-apiserver.pid"], stdin=subprocess.DEVNULL)
        wait_for("the API server", lambda: self.cluster.kubectl("get", "--raw", "/readyz", code=None) == "ok")
        self.cluster.succeeded("pvb", name, seconds=240)

    def test_an_agent_that_is_told_to_stop_leaves_its_request_to_the_next_one(self):
        fill(self.pod)
        name = self.cluster.backup(self.pod, "data")
        running(name)
        agent = agent_of(self.cluster.nodes[1])["metadata"]["name"]
        self.cluster.kubectl("delete", "pod", "-n", "firn-system", agent, "--timeout=60s")
        self.cluster.succeeded("pvb", name, seconds=240)


class Rights(unittest.TestCase):
    """What an agent's token allows."""

    def test_an_agent_writes_no_status_of_another_nodes_request(self):
        cluster = SESSION["cluster"]
        pods = [start_pod(f"right-{i}", node) for i, node in enumerate(cluster.nodes)]
        names = [cluster.backup(pod, "data") for pod in pods]
        for name in names:
            cluster.succeeded("pvb", name)
        agent = agent_of(cluster.nodes[0])["metadata"]
        token = cluster.kubectl("create", "token", "firn-agent", "-n", "firn-system", "--bound-object-kind", "Pod",
                                "--bound-object-name", agent["name"], "--bound-object-uid", agent["uid"]).strip()
        self.token = token
        status = json.dumps({"status": {"notes": ["written by the test"]}})
        of = "/apis/backup.firn.io/v1alpha1/namespaces/app/podvolumebackups/"
        code, body = self.ask("PATCH", f"{of}{names[1]}/status", status)
        self.assertEqual(422, code, body)
        self.assertIn("own node", body)
        self.assertEqual(200, self.ask("PATCH", f"{of}{names[0]}/status", status)[0])
        for method, path in (("PATCH", of + names[0]), ("DELETE", of + names[0]), ("GET", "/api/v1/secrets"),
                             ("GET", "/api/v1/nodes"), ("GET", "/api/v1/namespaces/app/configmaps")):
            self.assertEqual(403, self.ask(method, path, "{}" if method == "PATCH" else None)[0], (method, path))

    def ask(self, method, path, body=None):
        """A request with the agent's token; gives (status, body)."""
        cluster = SESSION["cluster"]
        server = re.search(r"server: (\S+)", (cluster.state / "kubeconfig/admin").read_text()).group(1)
        request = urllib.request.Request(server + path, body and body.encode(), method=method, headers={
            "Authorization": f"Bearer {self.token}", "Content-Type": "application/merge-patch+json"})
        try:
            with urllib.request.urlopen(request, timeout=30, context=ssl.create_default_context(
                    cafile=cluster.state / "pki/ca.crt")) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()


class Left(unittest.TestCase):
    """Requests that no agent ends."""

    def test_a_request_for_a_node_that_is_not_there_fails(self):
        cluster = SESSION["cluster"]
        pod = {"metadata": {"name": "p", "uid": "u"}, "spec": {"nodeName": "e2e-node-9"}}
        name = cluster.backup(pod, "data")
        self.assertEqual("NodeGone", cluster.failed("pvb", name, seconds=180)[0])

    def test_a_request_that_ended_goes_when_it_says_so_and_its_snapshot_stays(self):
        cluster = SESSION["cluster"]
        name = cluster.backup(start_pod("short", cluster.nodes[0]), "data", ttlSecondsAfterFinished=5)
        snapshot = cluster.succeeded("pvb", name)["status"]["snapshotID"]
        wait_for("the request to go", lambda: "NotFound" in cluster.kubectl("get", "pvb", "-n", "app", name, code=None))
        self.assertIn(snapshot, [one["id"] for one in SESSION["repository"].run("snapshots", "--json").json()])

    def test_a_policy_makes_requests_when_it_is_due(self):
        cluster = SESSION["cluster"]
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "policy"}},
                      {"apiVersion": "v1", "kind": "Pod",
                       "metadata": {"name": "p", "namespace": "policy", "labels": {"app": "db"}},
                       "spec": {"terminationGracePeriodSeconds": 1, "volumes": [{"name": "v", "emptyDir": {}}],
                                "containers": [{"name": "c", "image": clusterlib.BUSYBOX, "imagePullPolicy": "Never",
                                                "command": ["sh", "-c", "trap exit TERM; while :; do sleep 1; done"],
                                                "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}})
        cluster.kubectl("wait", "-n", "policy", "--for=condition=Ready", "pod/p",
                        f"--timeout={clusterlib.PATIENCE_S}s")
        cluster.apply({"apiVersion": f"{clusterlib.GROUP}/v1alpha1", "kind": "BackupPolicy",
                       "metadata": {"name": "often", "namespace": "policy"},
                       "spec": {"schedule": "* * * * *", "timeZone": "Europe/Berlin", "volumes": ["v"],
                                "selector": {"matchLabels": {"app": "db"}}, "repositoryRef": {"name": "main"}}},
                      {"apiVersion": f"{clusterlib.GROUP}/v1alpha1", "kind": "BackupPolicy",
                       "metadata": {"name": "wrong", "namespace": "policy"},
                       "spec": {"schedule": "61 * * * *", "selector": {}, "repositoryRef": {"name": "main"}}})
        made = wait_for("a request of the policy", lambda: cluster.get(
            "pvb", "-n", "policy", "-l", "backup.firn.io/policy=often")["items"])[0]["metadata"]["name"]
        cluster.succeeded("pvb", made, namespace="policy")
        status = wait_for("a status", lambda: cluster.get("bpol", "-n", "policy", "often")["status"].get("lastRunTime"))
        self.assertRegex(status, r":00Z$")
        wrong = clusterlib.conditions(cluster.get("bpol", "-n", "policy", "wrong"))["Ready"]
        self.assertEqual(("False", "InvalidSchedule"), (wrong["status"], wrong["reason"]))
        cluster.kubectl("delete", "bpol", "-n", "policy", "--all")

    def test_another_controller_takes_over(self):
        cluster = SESSION["cluster"]

        def holder():
            return cluster.get("lease", "-n", "firn-system", "firn-controller")["spec"].get("holderIdentity")
        first = wait_for("a leader", holder)
        cluster.kubectl("delete", "pod", "-n", "firn-system", first, "--timeout=60s")
        wait_for("another leader", lambda: holder() not in (None, "", first))


class Crowd(unittest.TestCase):
    """Many requests at once."""

    def test_two_hundred_requests_all_end_well(self):
        cluster = SESSION["cluster"]
        volumes = [f"v{i}" for i in range(8)]
        pod = start_pod("crowd", cluster.nodes[0], volumes)
        began = time.monotonic()
        names = [f"crowd-{i}" for i in range(200)]
        cluster.apply(*[{"apiVersion": f"{clusterlib.GROUP}/v1alpha1", "kind": "PodVolumeBackup",
                         "metadata": {"name": name, "namespace": "app"},
                         "spec": {"nodeName": pod["spec"]["nodeName"], "volume": volumes[i % len(volumes)],
                                  "pod": {"name": "crowd", "uid": pod["metadata"]["uid"]},
                                  "repositoryRef": {"name": "main"}}} for i, name in enumerate(names)])

        def look():
            found = [one for one in cluster.get("pvb", "-n", "app")["items"] if one["metadata"]["name"] in names]
            ended = [clusterlib.conditions(one).get("Succeeded", {}).get("status") for one in found]
            self.assertNotIn("False", ended)
            return ended.count("True") == len(names)
        wait_for("200 requests", look, 240)
        for pid, node in processes("backups"):
            peak = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) // 1024
            print(f"NOTE the agent of {node} used at most {peak} MiB")
            self.assertLessEqual(peak, 192)
        print(f"NOTE 200 requests ended {time.monotonic() - began:.0f} s after the first was made")


if __name__ == "__main__":
    firnlib.main()
