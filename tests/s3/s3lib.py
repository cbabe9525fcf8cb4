"""What the S3 suites share: a repository on a server, and the same one by way of the fault proxy.

The key file makes each command cheap (a password costs scrypt each time).
"""
import contextlib
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "tests/proxy")]
import firnlib  # noqa: E402
import proxy  # noqa: E402,F401 (for those who import this)
from proxy import s3servers  # noqa: E402,F401


class KeyFileRepository(firnlib.S3Repository):
    """Opened by a raw key."""

    def __init__(self, folder, server, endpoint=None):
        super().__init__(folder, server, endpoint)
        self.key_file = self.folder / "key"
        self.key_file.write_bytes(os.urandom(32))
        self.key_file.chmod(0o600)

    def env(self, **more):
        mine = {key: value for key, value in super().env(**more).items() if not key.endswith("_PASSWORD_FILE")}
        return {**mine, "FIRN_KEY_FILE": str(self.key_file)}

    def through(self, endpoint):
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.path = self.server.location(self.bucket, "repository", endpoint)
        return other


class TestCase(firnlib.TestCase):
    """A case on one server: `kind` in a subclass."""

    kind = "versitygw"

    @classmethod
    def setUpClass(cls):
        cls.server = firnlib.shared_server(cls.kind)

    def setUp(self):
        super().setUp()
        self.repo = KeyFileRepository(self.temp / "s3", self.server)

    @contextlib.contextmanager
    def by_proxy(self, *faults, **options):
        """(the proxy, the repository by way of it)"""
        with proxy.start(self.server.port, faults, **options) as through:
            yield through, self.repo.through(through.endpoint)


def spelled(done):
    """The last line that a person reads."""
    lines = done.err.strip().splitlines()
    return lines[-1] if lines else ""


main = firnlib.main
