"""Starts fault_proxy, and reads what it logged.

    with proxy.start(server.port, faults=["5%=503"], rtt_ms=30) as through:
        … server.location(bucket, endpoint=through.endpoint) …
        through.requests()

The program is compiled once into ~/.cache/firn-tests/bin. The kinds of faults are in README.md.
"""
import collections
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "servers"))
import s3servers  # noqa: E402 (beside this folder)

Request = collections.namedtuple("Request", "index connection method target kind applied status up down")

# Every kind with an argument that suits a test of each request in turn.
BEFORE = ["reset-before", "reset-request", "corrupt-request", "500", "502", "503", "429", "403", "403:ExpiredToken",
          "404", "409", "412", "redirect", "moved", "skew", "garbage", "empty-list", "delay:300"]
AFTER = ["drop-reply", "applied:500", "applied:503", "reset-reply", "reset-after", "short", "truncated", "longer",
         "corrupt"]
SLOW = ["stall", "drip:20"]


def program():
    source = HERE / "fault_proxy.cpp"

    def build(target):
        done = subprocess.run(["g++", "-std=c++20", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-pthread",
                               str(source), "-o", str(target)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(done.stderr)

    return s3servers.built("fault_proxy", source.read_bytes(), build)


class Proxy:
    def __init__(self, upstream_port, faults=(), rtt_ms=0, mbit=0, seed=1, listen=0):
        # pylint: disable=consider-using-with
        self.log = tempfile.NamedTemporaryFile(prefix="proxy-", suffix=".log")
        command = [program(), "--upstream", upstream_port, "--log", self.log.name, "--rtt-ms", rtt_ms, "--mbit", mbit,
                   "--seed", seed, "--listen", listen]
        for fault in faults:
            command += ["--fault", fault]
        self.process = s3servers.spawn(command, subprocess.PIPE, stdin=subprocess.PIPE, stderr=None)
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("the proxy did not start")
        self.port = int(line)
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        s3servers.stop(self.process)
        self.process.stdin.close()
        self.process.stdout.close()
        self.log.close()

    def requests(self):
        """What passed so far, in order of arrival; requests that are not over are not in it."""
        found = []
        for line in pathlib.Path(self.log.name).read_text().splitlines():
            index, connection, method, target, kind, applied, status, up, down = line.split("\t")
            found.append(Request(int(index), int(connection), method, target, kind, applied == "1", int(status),
                                 int(up), int(down)))
        return sorted(found)

    def applied(self):
        return [request for request in self.requests() if request.applied]


start = Proxy
