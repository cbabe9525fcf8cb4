"""Bad networks and servers that come back: the backup goes on, and what it acknowledges is all there."""
import os

import s3lib
from s3lib import firnlib, s3servers
from firnlib import MIB

SEED = int(os.environ.get("FIRN_TEST_SEED", "1"))


class BadNetwork(s3lib.TestCase):
    def test_a_backup_finishes_though_one_request_in_ten_fails(self):
        firnlib.mixed_tree(self.source, seed=61)
        firnlib.write_random(self.source / "large", 61, (32 if firnlib.LEVEL == "quick" else 256) * MIB)
        self.repo.init()
        rules = ("5%=reset-before", "5%=503")
        with self.by_proxy(*rules, seed=SEED) as (through, repo):
            repo.run("backup", "-o", "s3.connections=8", self.source)
            repo.run("restore", "latest", "--target", self.temp / "t")
            requests, hit = len(through.requests()), len(through.applied())
        print(f"NOTE seed {SEED}: {hit} of {requests} requests failed", flush=True)
        self.assertGreater(hit, 0)
        self.assert_same(self.source, self.restored("t"))
        self.repo.check("--read-data")

    def test_lost_answers_are_not_taken_for_failures_or_successes(self):
        firnlib.mixed_tree(self.source, seed=62)
        self.repo.init()
        with self.by_proxy("PUT,30%=drop-reply", "DELETE,30%=drop-reply", seed=SEED) as (through, repo):
            repo.run("backup", self.source)
            self.assertTrue(through.applied())
        self.repo.check("--read-data")
        self.assert_restores_exactly()

    def test_a_bad_link_tells_the_truth_about_the_bytes(self):
        """Bits that turn on the way: found, and asked for again or declared; never restored."""
        firnlib.mixed_tree(self.source, seed=63)
        self.repo.init().backup(self.source)
        for number in range(4):
            target = f"t{number}"
            firnlib.remove_tree(self.repo.cache)
            with self.by_proxy("GET,20%=corrupt", seed=SEED + number) as (_, repo):
                done = repo.run("restore", "latest", "--target", self.temp / target, code=None)
            if done.code == 0:
                self.assert_same(self.source, self.restored(target))
            else:
                self.assertGreater(len(s3lib.spelled(done)), 20, str(done))


class RgwRestarts(s3lib.TestCase):
    kind = "rgw"

    @classmethod
    def setUpClass(cls):
        # Its own: other cases' server stays as it is.
        try:
            cls.server = s3servers.start("rgw")
        except s3servers.Unavailable as reason:
            raise firnlib.unittest.SkipTest(f"rgw: {reason}") from reason
        cls.addClassCleanup(cls.server.close)

    def test_a_backup_goes_on_when_the_gateway_is_killed_and_comes_back(self):
        firnlib.write_random(self.source / "large", 64, (64 if firnlib.LEVEL == "quick" else 384) * MIB)
        self.repo.init()
        process = self.repo.start("backup", "-o", "s3.connections=4", self.source)
        try:
            firnlib.wait_until(lambda: len(self.repo.objects("data")) >= 1 or process.poll() is not None, "a pack")
            self.server.end_gateway()
            still_at_work = process.poll() is None
            self.server.start()
            out, err = process.communicate(timeout=firnlib.TIME_LIMIT_S)
        finally:
            firnlib.end_process(process)
        self.assertTrue(still_at_work, "the backup ended before the gateway was killed")
        self.assertEqual(process.returncode, 0, f"{out}\n{err}")
        self.repo.check("--read-data")
        self.assert_restores_exactly()


if __name__ == "__main__":
    s3lib.main()
