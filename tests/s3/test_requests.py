"""How many requests each operation makes, by the proxy's count. docs/OPERATING.md has the table that people pay by."""
import collections
import pathlib
import re
import tempfile

import s3lib
from s3lib import firnlib


def told(requests):
    """"GET index 2, LIST maint 1, …" of a run's requests."""
    counted = collections.Counter()
    for request in requests:
        path, _, query = request.target.partition("?")
        if "list-type=2" in query:
            prefix = re.search(r"prefix=([^&]*)", query)
            where = re.sub(r".*repository(/|%2F)", "", prefix.group(1)) if prefix else ""
            counted["LIST " + where.split("%2F")[0].split("/")[0]] += 1
        else:
            counted[f"{request.method} {re.sub(r'^/[^/]*/repository/', '', path).split('/')[0]}"] += 1
    return ", ".join(f"{name} {count}" for name, count in sorted(counted.items()))


class Requests(s3lib.TestCase):
    """The most that an operation may take; a figure that rises is somebody's bill."""

    def setUp(self):
        super().setUp()
        # Not below /tmp, whose own times change all the time: they stand in the tree of a command-line backup.
        home = pathlib.Path(tempfile.mkdtemp(prefix="firn-requests-", dir=pathlib.Path.home()))
        self.addCleanup(firnlib.remove_tree, home)
        self.source = home / "source"
        self.source.mkdir()

    def counted(self, *command, code=0, most):
        with self.by_proxy() as (through, repo):
            repo.run(*command, code=code)
            requests = through.requests()
        print(f"NOTE {command[0]} ({self._testMethodName}): {len(requests)} requests: {told(requests)}", flush=True)
        self.assertLessEqual(len(requests), most, told(requests))
        self.assertEqual([r for r in requests if r.status >= 400 and r.status not in (404, 412)], [])
        return requests

    def one_mebibyte(self):
        for number in range(16):
            firnlib.write(self.source / f"file {number}", firnlib.random_bytes(number, 65536))

    def test_a_first_backup_of_a_mebibyte(self):
        self.one_mebibyte()
        self.repo.init()
        self.counted("backup", self.source, most=15)
        self.assert_restores_exactly()

    def test_a_backup_without_a_change(self):
        self.one_mebibyte()
        self.repo.init().backup(self.source)
        self.counted("backup", self.source, most=12)

    def test_a_backup_of_a_small_change(self):
        self.one_mebibyte()
        self.repo.init().backup(self.source)
        firnlib.write(self.source / "file 3", b"changed")
        self.counted("backup", self.source, most=15)

    def test_reading_commands(self):
        self.one_mebibyte()
        self.repo.init().backup(self.source)
        self.counted("snapshots", most=7)
        self.counted("restore", "latest", "--target", self.temp / "t", most=10)
        checked = self.counted("check", most=40)
        self.assertEqual({request.method for request in checked}, {"GET"}, "a check writes nothing")

    def test_check_of_the_store_itself(self):
        self.repo.init()
        self.counted("check", "--posture", most=70)

    def test_init(self):
        self.counted("init", most=70)


if __name__ == "__main__":
    s3lib.main()
