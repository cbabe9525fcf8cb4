"""What is wrong with a bucket, a key, a clock or a certificate is said in one sentence that says what to do."""
import contextlib
import os
import shutil
import unittest

import s3lib
from s3lib import firnlib, s3servers

FAST = ("--stuck-request-timeout", "2s")


class Sentences(s3lib.TestCase):
    def setUp(self):
        super().setUp()
        self.said = {}

    def says(self, *wanted, path=None, env=None, args=(), command="snapshots"):
        """The command fails soon with one sentence that holds each of `wanted`, and no secret."""
        named = {**({"FIRN_REPOSITORY": path} if path else {}), **(env or {})}
        done = self.repo.run(command, *FAST, *args, code=None, env=named, timeout_s=120)
        self.assertIn(done.code, (1, 10), str(done))
        text = s3lib.spelled(done)
        for word in wanted:
            self.assertIn(word, text)
        self.assertNotIn(self.server.secret_key, done.out + done.err)
        return text

    def test_no_such_bucket(self):
        self.says("no bucket nowhere-at-all", "make it first", path=self.server.location("nowhere-at-all"))
        self.says("no bucket nowhere-at-all", path=self.server.location("nowhere-at-all"), command="init")

    def test_an_unknown_access_key(self):
        self.says("does not know the access key stranger", "environment",
                  env={"AWS_ACCESS_KEY_ID": "stranger"})

    def test_a_wrong_secret(self):
        self.says("the secret key does not belong to the access key", env={"AWS_SECRET_ACCESS_KEY": "wrong-secret"})

    def test_no_credentials(self):
        self.says("no credentials for S3", "AWS_ACCESS_KEY_ID",
                  env={"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "HOME": str(self.temp)})

    def test_an_expired_token(self):
        with self.by_proxy("0-=403:ExpiredToken") as (_, repo):
            self.says("has expired", "get new", path=repo.path)

    def test_a_clock_that_is_wrong(self):
        with self.by_proxy("0-=skew") as (_, repo):
            self.says("clock", "set it", path=repo.path)

    @unittest.skipUnless(shutil.which("faketime"), "faketime is not installed")
    def test_a_clock_that_is_really_wrong(self):
        done = firnlib.run(["faketime", "-f", "+3h", firnlib.FIRN, "snapshots", *FAST], code=None, env=self.repo.env())
        self.assertEqual(done.code, 1, str(done))
        self.assertIn("clock", s3lib.spelled(done))

    def test_another_region(self):
        with self.by_proxy("0-=moved") as (_, repo):
            self.says("region eu-other-1", "s3.region", path=repo.path)

    def test_http_on_a_port_that_speaks_https(self):
        cert = s3servers.certificate(self.temp)
        with s3servers.start("versitygw", tls=cert) as server:
            self.says("https", path=f"s3:http://127.0.0.1:{server.port}/bucket/x")

    def test_https_on_a_port_that_speaks_http(self):
        self.says("TLS", path=f"s3:https://127.0.0.1:{self.server.port}/bucket/x")

    def test_a_certificate_that_nobody_signed(self):
        cert, key = s3servers.certificate(self.temp)
        with s3servers.start("versitygw", tls=(cert, key)) as server:
            bucket = server.new_bucket()
            self.says("certificate", "--cacert", path=server.location(bucket))
            repo = firnlib.S3Repository(self.temp / "tls", server)
            repo.run("init", "--cacert", cert)
            repo.run("snapshots", "--cacert", cert)
            repo.run("snapshots", "--insecure-tls")

    def test_a_host_that_has_no_address(self):
        self.says("nowhere.invalid", path="s3:http://nowhere.invalid/bucket/x")

    def test_a_port_where_nobody_listens(self):
        self.says(f"127.0.0.1:{1}", path="s3:http://127.0.0.1:1/bucket/x")

    def test_a_bucket_without_a_repository(self):
        text = self.says("there is no repository at", "firn init")
        self.assertIn(self.repo.bucket, text)

    def test_two_servers_at_one_place_do_not_share_a_sentence(self):
        """Distinct causes, distinct sentences."""
        with self.by_proxy("0-=403:ExpiredToken") as (_, expired), self.by_proxy("0-=skew") as (_, skewed), \
                self.by_proxy("0-=403") as (_, denied), self.by_proxy("0-=moved") as (_, moved):
            said = [self.says(path=repo.path) for repo in (expired, skewed, denied, moved)]
        without_ports = {"".join(c for c in text if not c.isdigit()) for text in said}
        self.assertEqual(len(without_ports), 4, said)


class Quota(s3lib.TestCase):
    kind = "rgw"

    def test_a_full_quota_is_told_and_with_more_room_the_backup_works(self):
        server, client = self.server, self.server.client()
        self.repo.init()
        firnlib.mixed_tree(self.source, seed=71)
        filler = server.new_bucket()
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(server.set_user_quota, None)
            server.set_user_quota(1 << 20)
            # The gateway counts what is stored some moments later.
            firnlib.wait_until(lambda: client.request("PUT", f"/{filler}/{os.urandom(4).hex()}", body=bytes(600_000),
                                                      wanted=None)[0] == 403, "the quota to take effect")
            done = self.repo.run("backup", self.source, code=None, timeout_s=240)
            self.assertEqual(done.code, 1, str(done))
            self.assertIn("quota", s3lib.spelled(done).lower())
        self.repo.backup(self.source)
        self.assert_restores_exactly()


if __name__ == "__main__":
    s3lib.main()
