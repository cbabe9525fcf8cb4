"""The fault proxy does what its rules say, on a real server, or the suites that count on it prove nothing."""
import http.client
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
import firnlib  # noqa: E402
import proxy  # noqa: E402
from proxy import s3servers  # noqa: E402

BODY = firnlib.random_bytes("proxy", 300_000)


class Faults(firnlib.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = s3servers.shared("versitygw")

    def setUp(self):
        super().setUp()
        self.bucket = self.server.new_bucket()
        self.server.client().put(self.bucket, "there", BODY)

    def through(self, *faults, **options):
        started = proxy.start(self.server.port, faults, **options)
        self.addCleanup(started.close)
        client = s3servers.Client(started.endpoint, self.server.access_key, self.server.secret_key, self.server.region)
        return started, client

    def get(self, client, name="there", **options):
        return client.request("GET", f"/{self.bucket}/{name}", wanted=None, **options)

    def test_without_faults_bytes_pass_both_ways_unchanged(self):
        started, client = self.through()
        client.put(self.bucket, "new", BODY)
        self.assertEqual(client.get(self.bucket, "new"), BODY)
        self.assertEqual(client.objects(self.bucket), {"new": len(BODY), "there": len(BODY)})
        logged = [(r.method, r.status, r.up, r.down) for r in started.requests()[:2]]
        self.assertEqual(logged, [("PUT", 200, len(BODY), 0), ("GET", 200, 0, len(BODY))])

    def test_statuses_come_without_the_server(self):
        started, client = self.through("0=503", "1=403:ExpiredToken", "2=404")
        answers = [self.get(client) for _ in range(4)]
        self.assertEqual([status for status, _, _ in answers], [503, 403, 404, 200])
        self.assertIn(b"<Code>SlowDown</Code>", answers[0][2])
        self.assertIn(b"<Code>ExpiredToken</Code>", answers[1][2])
        self.assertEqual([r.kind for r in started.requests()], ["503", "403:ExpiredToken", "404", "-"])

    def test_resets_before_and_in_the_request_keep_the_object_away(self):
        for kind in ("reset-before", "reset-request"):
            with self.subTest(kind):
                _, client = self.through(f"0={kind}")
                with self.assertRaises(OSError):
                    client.put(self.bucket, kind, BODY)
                self.assertNotIn(kind, client.objects(self.bucket))

    def test_a_dropped_reply_and_an_applied_error_leave_the_object_there(self):
        for kind in ("drop-reply", "applied:500"):
            with self.subTest(kind):
                _, client = self.through(f"0={kind}")
                with self.assertRaises((OSError, AssertionError)):
                    client.put(self.bucket, kind, BODY)
                self.assertEqual(self.server.client().get(self.bucket, kind), BODY)

    def test_a_corrupted_request_is_refused_by_the_server(self):
        _, client = self.through("0=corrupt-request")
        status, _, _ = client.request("PUT", f"/{self.bucket}/bad", body=BODY, wanted=None)
        self.assertEqual(status, 400)

    def test_bodies_are_cut_grown_and_changed(self):
        _, client = self.through("0=truncated", "1=longer", "2=corrupt")
        short, longer, corrupt = (self.get(client)[2] for _ in range(3))
        self.assertEqual(short, BODY[:len(BODY) // 2])
        self.assertTrue(longer.startswith(BODY) and len(longer) > len(BODY))
        self.assertEqual(sum(a != b for a, b in zip(corrupt, BODY, strict=True)), 1)

    def test_answers_break_off(self):
        _, client = self.through("0=reset-reply", "1=short")
        with self.assertRaises(OSError):
            self.get(client)
        with self.assertRaises(http.client.IncompleteRead):
            self.get(client)

    def test_lists_lie_and_rubbish_comes(self):
        _, client = self.through("0=empty-list", "1=garbage", "2=redirect", "3=moved", "4=skew", "5=lie")
        self.assertEqual(client.objects(self.bucket), {})
        self.assertIn(b"<<&&", self.get(client)[2])
        self.assertEqual([self.get(client)[0] for _ in range(3)], [307, 301, 403])
        client.put(self.bucket, "never", BODY)
        self.assertNotIn("never", client.objects(self.bucket))

    def test_rules_choose_by_method_word_range_and_share(self):
        _, client = self.through("PUT,new,1=500", "3-=404", "GET,0=429")
        statuses = [client.request(method, f"/{self.bucket}/{name}", wanted=None)[0]
                    for method, name in (("PUT", "new1"), ("GET", "there"), ("PUT", "new2"), ("GET", "there"))]
        self.assertEqual(statuses, [200, 429, 500, 404])
        drawn = []
        for _ in range(2):
            started, client = self.through("20%=503", seed=7)
            for _ in range(60):
                self.get(client, "nothing")
            drawn.append([r.index for r in started.applied()])
        self.assertEqual(drawn[0], drawn[1])
        self.assertTrue(4 <= len(drawn[0]) <= 20, drawn[0])

    def test_the_round_trip_and_the_bandwidth_are_what_was_asked_for(self):
        began = time.monotonic()
        _, client = self.through(rtt_ms=50, mbit=8)
        self.get(client)  # 300,000 bytes at 1 MB/s, after a connection and a request of 50 ms each
        self.assertGreaterEqual(time.monotonic() - began, 0.4)


if __name__ == "__main__":
    firnlib.main()
