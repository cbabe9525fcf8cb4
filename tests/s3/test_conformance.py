"""The object-store suite, which every store must pass, on each real server."""
import os
import re

import s3lib
from s3lib import firnlib


class OnVersitygw(firnlib.TestCase):
    kind = "versitygw"

    def test_the_object_store_suite(self):
        server = firnlib.shared_server(self.kind)
        binary = firnlib.ROOT / "build/dev/tests/conformance/test_conformance"
        if not (firnlib.ROOT / "build/dev/build.ninja").exists():
            firnlib.run(["cmake", "--preset", "dev"], cwd=firnlib.ROOT)
        firnlib.run(["cmake", "--build", "build/dev", "-j", str(os.cpu_count()), "--target", binary.name],
                    cwd=firnlib.ROOT, timeout_s=2400)
        done = firnlib.run([binary, "--gtest_filter=Servers/*"], code=None, timeout_s=900,
                           env={**server.env(), "FIRN_TEST_S3_URL": server.location(server.new_bucket())})
        self.assertEqual(done.code, 0, done.out[-8000:])
        passed = re.search(r"\[  PASSED  \] (\d+) tests", done.out)
        print(f"NOTE {self.kind}: {passed.group(1)} cases of the suite pass", flush=True)


class OnRgw(OnVersitygw):
    kind = "rgw"


if __name__ == "__main__":
    s3lib.main()
