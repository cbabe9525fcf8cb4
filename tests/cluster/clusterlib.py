"""A real Kubernetes on this machine, with firn installed as docs/OPERATING.md says, for the tests beside this file.

The cluster is tests/cluster/kubernetes: several nodes in namespaces of this machine, from source, cached in
~/.cache/firn-tests/cluster. Promises: nothing is left behind; only what was started here is ended.
"""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import firnlib  # noqa: E402  (its folder has to be known first)

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "firn-tests" / "cluster"
PATIENCE_S = 120
GROUP = "backup.firn.io"
BUSYBOX = "localhost/busybox:e2e"
IMAGE = "localhost/firn:e2e"


def why_not():
    """What this machine lacks for a cluster, or None."""
    if os.geteuid() != 0:
        return "needs root (namespaces, mounts)"
    missing = [tool for tool in ("containerd", "ctr", "runc", "socat", "nft", "ip", "unshare", "nsenter", "busybox")
               if not any((pathlib.Path(folder) / tool).exists() for folder in os.environ["PATH"].split(":"))]
    return f"needs {', '.join(missing)} (deploy/packages/test.txt)" if missing else None


class Timeout(AssertionError):
    """What was waited for did not come."""


def wait_for(what, look, seconds=PATIENCE_S):
    """Calls `look` until it gives something true, and gives that."""
    until = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > until:
            raise Timeout(f"after {seconds} s there is still no {what}; last seen: {found!r}")
        time.sleep(0.1)


class Cluster:
    """A started cluster and the commands on it."""

    def __init__(self, folder, workers=1):
        self.state = pathlib.Path(folder) / "c"
        self.workers = workers
        self.nodes = [f"e2e-node-{i}" for i in range(workers + 1)]
        self.serial = 0
        self.helpers = []

    def __enter__(self):
        self.script("build.sh", CACHE, seconds=1100)
        self.script("up.sh", "--workers", self.workers, CACHE, self.state, seconds=180)
        self.env = {**firnlib.CLEAN_ENV, "KUBECONFIG": str(self.state / "kubeconfig/admin"),
                    "PATH": f"{CACHE}/bin:{os.environ['PATH']}"}
        return self

    def __exit__(self, *_):
        for helper in self.helpers:
            helper.terminate()
            helper.wait()
        self.script("down.sh", self.state, seconds=60)

    @staticmethod
    def script(name, *args, seconds):
        subprocess.run([HERE / "kubernetes" / name, *map(str, args)], check=True, timeout=seconds,
                       stdin=subprocess.DEVNULL)

    def kubectl(self, *args, stdin="", code=0):
        done = subprocess.run(["kubectl", *map(str, args)], input=stdin, capture_output=True, text=True, env=self.env,
                              timeout=180, check=False)
        if code is not None and done.returncode != code:
            raise AssertionError(f"kubectl {' '.join(map(str, args))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr if code != 0 else done.stdout

    def apply(self, *objects, code=0):
        return self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List",
                                                                 "items": list(objects)}), code=code)

    def get(self, *args):
        return json.loads(self.kubectl("get", *args, "-o", "json"))

    def enter(self, node, *command, code=0):
        """Runs a command in a node's namespaces."""
        return firnlib.run([self.state / f"enter-{node}", *command], code=code)

    def exec(self, pod, script, namespace="app"):
        return self.kubectl("exec", "-n", namespace, pod, "--", "sh", "-c", script)

    def expose(self, port):
        """Makes a port of this machine's loopback reachable for pods; gives its URL."""
        socket = f"{self.state}/s3.sock"
        self.helpers.append(subprocess.Popen(["socat", f"UNIX-LISTEN:{socket},fork", f"TCP:127.0.0.1:{port}"]))
        self.helpers.append(subprocess.Popen([self.state / "enter-0", "socat",
                                              "TCP-LISTEN:9000,bind=10.231.77.2,reuseaddr,fork",
                                              f"UNIX-CONNECT:{socket}"]))
        return "http://10.231.77.2:9000"

    def load_image(self, archive):
        for node in range(self.workers + 1):
            self.enter(node, "ctr", "-a", "/run/containerd/containerd.sock", "-n", "k8s.io", "images", "import",
                       archive)

    # Requests.

    def request(self, kind, pod, volume, name=None, repository="main", namespace="app", **spec):
        """Makes a PodVolumeBackup or PodVolumeRestore for a pod as `get` shows it; gives its name."""
        self.serial += 1
        name = name or f"r{self.serial}"
        self.apply({"apiVersion": f"{GROUP}/v1alpha1", "kind": kind,
                    "metadata": {"name": name, "namespace": namespace},
                    "spec": {"nodeName": pod["spec"]["nodeName"],
                             "pod": {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]},
                             "volume": volume, "repositoryRef": {"name": repository}, **spec}})
        return name

    def backup(self, pod, volume, **spec):
        return self.request("PodVolumeBackup", pod, volume, **spec)

    def restore(self, pod, volume, snapshot, **spec):
        return self.request("PodVolumeRestore", pod, volume, snapshotID=snapshot, **spec)

    def ended(self, kind, name, namespace="app", seconds=PATIENCE_S):
        """Waits for a request's end; gives (Succeeded condition, object)."""
        def look():
            found = self.get(kind, "-n", namespace, name)
            condition = conditions(found).get("Succeeded")
            return (condition, found) if condition and condition["status"] != "Unknown" else None
        return wait_for(f"end of {kind} {name}", look, seconds)

    def succeeded(self, kind, name, **options):
        condition, found = self.ended(kind, name, **options)
        if condition["status"] != "True":
            raise AssertionError(f"{kind} {name} failed: {condition['reason']}: {condition['message']}\n"
                                 f"{json.dumps(found.get('status'), indent=1)}")
        return found

    def failed(self, kind, name, **options):
        condition, found = self.ended(kind, name, **options)
        if condition["status"] != "False":
            raise AssertionError(f"{kind} {name} succeeded and must not: {json.dumps(found.get('status'))}")
        return condition["reason"], condition["message"]


def conditions(found):
    return {one["type"]: one for one in found.get("status", {}).get("conditions", [])}


class Repository(firnlib.Repository):
    """A repository in a directory, with a writer's and a reader's key file."""

    def make(self):
        self.init()
        for role in ("writer", "reader"):
            self.run("key", "add", "--role", role, "--out", self.folder / f"{role}.key")
        return self


class S3Repository(Repository):
    """The same in a bucket; `inside` is how the agents reach the server."""

    def __init__(self, folder, server, inside):
        super().__init__(folder)
        self.server, self.inside, self.bucket = server, inside, server.new_bucket()
        self.path = f"s3:{server.endpoint}/{self.bucket}/c1"

    def env(self, **more):
        return super().env(**self.server.env(), **more)


def overlay(cluster, repository):
    """A kustomization that is the shipped one with this test's directories, image, nodes and place of snapshots."""
    in_bucket = isinstance(repository, S3Repository)
    folder = cluster.state.parent / "overlay"
    folder.mkdir(exist_ok=True)
    state = cluster.state.parent / "agents"
    state.mkdir(exist_ok=True)
    per_node = [{"op": "replace", "path": f"/spec/template/spec/containers/{i}/volumeMounts/1",
                 "value": {"name": "state", "mountPath": "/var/lib/firn", "subPathExpr": f"{what}-$(NODE_NAME)"}}
                for i, what in enumerate(("backups", "restores"))]
    hosts = [{"op": "add", "path": "/spec/template/spec/volumes/-",
              "value": {"name": "host", "hostPath": {"path": str(cluster.state.parent / "disks"),
                                                     "type": "DirectoryOrCreate"}}}]
    for i in range(2):
        hosts += [{"op": "add", "path": f"/spec/template/spec/containers/{i}/volumeMounts/-",
                   "value": {"name": "host", "mountPath": f"/host{cluster.state.parent}/disks",
                             "mountPropagation": "HostToContainer"}},
                  *[{"op": "add", "path": f"/spec/template/spec/containers/{i}/args/-", "value": word}
                    for word in ("--host-root", "/host", "--allow-host-path", f"{cluster.state.parent}/disks/open")]]
    places = [{"op": "replace", "path": "/spec/template/spec/volumes/1/hostPath/path", "value": str(state)}]
    patches = []
    if in_bucket:
        patches.append({"target": {"kind": "Repository"}, "patch": json.dumps([
            {"op": "replace", "path": f"/spec/s3/{name}", "value": value}
            for name, value in {"endpoint": repository.inside, "bucket": repository.bucket, "prefix": "c1"}.items()])})
    else:
        places.append({"op": "replace", "path": "/spec/template/spec/volumes/4/hostPath/path",
                       "value": str(repository.path)})
        patches.append({"target": {"kind": "PodTemplate", "name": "firn-job"}, "patch": json.dumps([
            {"op": "replace", "path": "/template/spec/volumes/1/hostPath/path", "value": str(repository.path)}])})
    folder.joinpath("kustomization.yaml").write_text(json.dumps({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
        "resources": [os.path.relpath(ROOT / "deploy/overlays" / ("rgw" if in_bucket else "local-path"), folder)],
        "images": [{"name": "localhost/firn", "newName": "localhost/firn", "newTag": "e2e"}],
        "patches": [*patches, {"target": {"kind": "DaemonSet"}, "patch": json.dumps(places + per_node + hosts)}],
    }))
    return folder


@contextlib.contextmanager
def installed(workers=1, server=None):
    """A cluster with firn on it and a repository; gives (cluster, repository). With a server of s3servers, in it."""
    folder = tempfile.mkdtemp(prefix="firn-k-")
    try:
        with Cluster(folder, workers) as cluster:
            archive = pathlib.Path(folder) / "firn.tar"
            subprocess.run([ROOT / "deploy/image/build", "--binary", firnlib.FIRN, "--name", IMAGE, "--out", archive],
                           check=True, stdout=subprocess.DEVNULL, timeout=400)
            cluster.load_image(archive)
            cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "firn-system"}})
            if server:
                repository = S3Repository(pathlib.Path(folder) / "r", server, cluster.expose(server.port)).make()
                cluster.kubectl("create", "secret", "generic", "firn-store", "-n", "firn-system",
                                *[f"--from-literal={name}={value}" for name, value in server.env().items()])
            else:
                repository = Repository(pathlib.Path(folder) / "r").make()
            for role in ("writer", "reader"):
                cluster.kubectl("create", "secret", "generic", f"firn-{role}-keys", "-n", "firn-system",
                                f"--from-file=main.key={repository.folder / f'{role}.key'}")
            # The Repository needs its definition first; a second apply finds it, as an install by hand would.
            if cluster.kubectl("apply", "-k", overlay(cluster, repository), code=None).find("no matches") >= 0:
                cluster.kubectl("wait", "--for=condition=Established", "crd", f"repositories.{GROUP}")
                cluster.kubectl("apply", "-k", overlay(cluster, repository))
            cluster.kubectl("rollout", "status", "-n", "firn-system", "ds/firn-agent", f"--timeout={PATIENCE_S}s")
            cluster.kubectl("rollout", "status", "-n", "firn-system", "deploy/firn-controller",
                            f"--timeout={PATIENCE_S}s")
            yield cluster, repository
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", folder], check=True)
