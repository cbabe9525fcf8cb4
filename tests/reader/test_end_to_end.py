"""What firn backs up, the Python reader of docs/FORMAT.md extracts: the same trees, seen by independent eyes.

Needs the firn binary (see firnlib). Not here: the golden files (reader_test.py), firn's restore (tests/e2e).
"""
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "e2e"), str(HERE.parent / "fidelity")]

import firnlib  # noqa: E402
import torture  # noqa: E402
from firnlib import MIB  # noqa: E402

READER = HERE / "firn_reader.py"
LARGE_BYTES = 40 * MIB if firnlib.LEVEL == "quick" else 160 * MIB  # the larger: levels of slice pages


@firnlib.firn_only
class Reader(firnlib.TestCase):
    def reader(self, *args, code=0, key=None):
        key = key or ["--password-file", self.repo.password_file]
        return firnlib.run(["/usr/bin/python3", READER, self.repo.path, *key, *args],
                           code=code,
                           timeout_s=600)

    def extract(self, snapshot, target, **options):
        """Extracts a snapshot; returns where its source's tree is then."""
        done = self.reader("extract", snapshot, target, **options)
        self.assertEqual(done.err, "")
        return pathlib.Path(f"{target}{self.source}")

    def assert_extracts_exactly(self, snapshot, source=None, **options):
        target = self.temp / "extracted"
        self.assert_same(source or self.source, self.extract(snapshot, target, **options))
        firnlib.remove_tree(target)

    def assert_nothing_wrong(self):
        done = self.reader("check")
        self.assertEqual(done.out + done.err, "")

    def test_every_snapshot_is_listed_and_extracted(self):
        """Bundles, a large file with slice pages, a wide directory, changes between three snapshots."""
        self.repo.init("--chunk-size", "128K")
        firnlib.mixed_tree(self.source, seed=11)
        firnlib.write_random(self.source / "large", 11, LARGE_BYTES)
        for number in range(700):
            firnlib.write(self.source / "wide" / f"entry {number}", f"{number}" * (number % 150))
        kept, ids = [], []
        for version in range(3):
            firnlib.write(self.source / "wide" / f"entry {version}", f"version {version}" * 1000)
            firnlib.write(self.source / f"new in {version}", firnlib.random_bytes(version, 300_000))
            with open(self.source / "large", "r+b") as file:
                file.seek(version * 9 * MIB)
                file.write(b"changed" * 1000)
            (self.source / f"new in {version - 2}").unlink(missing_ok=True)
            ids.append(self.repo.backup(self.source)["snapshot_id"])
            kept.append(self.temp / f"kept {version}")
            firnlib.run(["cp", "-a", self.source, kept[-1]])
        listed = [line.split()[0] for line in self.reader("list").out.splitlines()]
        self.assertEqual(listed, ids)
        for snapshot, copy in zip(ids, kept):
            self.assert_extracts_exactly(snapshot, copy)
        self.assert_nothing_wrong()

    @firnlib.needs_root
    def test_a_tree_with_everything(self):
        for name in ("source", "target"):
            try:
                self.enterContext(firnlib.mounted(self.temp / name, "ext4", 512 * MIB))
            except AssertionError as refused:
                self.skipTest(f"no ext4 loop mount here: {str(refused)[:200]}")
        self.source = self.temp / "source/tree"
        self.source.mkdir()
        torture.make(self.source)
        self.repo.init()
        snapshot = self.repo.backup(self.source)["snapshot_id"]
        extracted = self.extract(snapshot, self.temp / "target/out")
        self.check_torture(extracted)
        self.assert_nothing_wrong()

    def check_torture(self, extracted):
        unusual = [os.fsdecode(name) for name in (torture.HUGE, torture.DEEP)]
        self.assertEqual(
            firnlib.tree_differences(self.source, extracted, leave_out=[f"/{name}" for name in unusual]), "")
        self.assertEqual(firnlib.find_listing(self.source), firnlib.find_listing(extracted))
        self.assertEqual(firnlib.link_groups(self.source), firnlib.link_groups(extracted))
        for folder in ("attributes", "flags", "special"):
            one, other = (firnlib.attribute_listing(root / folder) for root in (self.source, extracted))
            self.assertEqual(one, other)
        one, other = (sorted(
            firnlib.run(["lsattr", "-R", "-p", "flags"], cwd=root, code=None).out.splitlines())
                      for root in (self.source, extracted))
        self.assertEqual(one, other)
        for path in [*(self.source / "sparse").iterdir(), self.source / unusual[0]]:
            self.assertEqual(torture.data_map(path),
                             torture.data_map(extracted / path.relative_to(self.source)), path)

    def test_a_hole_map_too_long_to_be_inline(self):
        self.repo.init()
        with open(self.source / "holes", "wb") as file:
            for number in range(1500):
                file.seek(number * 64 * 1024)
                file.write(firnlib.random_bytes(number, 4096))
            file.truncate(1500 * 64 * 1024 + 12345)
        self.assertLess((self.source / "holes").stat().st_blocks * 512, 8 * MIB, "no sparse files here")
        target = self.temp / "extracted"
        extracted = self.extract(self.repo.backup(self.source)["snapshot_id"], target)
        self.assert_same(self.source, extracted)
        self.assertEqual(torture.data_map(self.source / "holes"), torture.data_map(extracted / "holes"))
        self.assert_nothing_wrong()

    def test_small_content_and_nothing_at_all(self):
        self.repo.init()
        firnlib.write(self.source / "empty")
        firnlib.write(self.source / "inline", b"i" * 256)
        firnlib.write(self.source / "just not inline", b"b" * 257)
        (self.source / "an empty folder").mkdir()
        self.assert_extracts_exactly(self.repo.backup(self.source)["snapshot_id"])
        self.assert_nothing_wrong()

    def test_a_key_file_opens_too(self):
        self.repo.init()
        firnlib.mixed_tree(self.source, seed=12, files=5)
        key_file = self.temp / "reader.key"
        self.repo.run("key", "add", "--role", "reader,writer", "--out", key_file)
        snapshot = self.repo.backup(self.source)["snapshot_id"]
        self.assert_extracts_exactly(snapshot, key=["--key-file", key_file])

    def test_each_role_sees_what_it_may(self):
        self.repo.init()
        firnlib.mixed_tree(self.source, seed=14, files=5)
        keys = {}
        for role in ("writer", "reader", "maintainer", "issuer", "admin"):
            keys[role] = ["--key-file", self.temp / role]
            self.repo.run("key", "add", "--role", role, "--out", keys[role][1])
        writer = {f"{brand}_PASSWORD_FILE": "" for brand in ("FIRN", "RESTIC")}
        snapshot = self.repo.backup("--key-file", keys["writer"][1], self.source, env=writer)["snapshot_id"]
        for role, key in keys.items():
            with self.subTest(role):
                self.assertIn(snapshot, self.reader("list", key=key).out)
                if role in ("reader", "admin"):  # capabilities are sealed to these
                    self.assert_extracts_exactly(snapshot, key=key)
                else:
                    self.reader("extract", snapshot, self.temp / f"not for {role}", key=key, code=1)
        self.assertEqual(self.reader("check", key=keys["maintainer"]).err, "")

    def test_a_wrong_password_is_told(self):
        self.repo.init()
        self.repo.password_file.write_text("wrong\n")
        self.reader("list", code=12)

    def test_damage_is_refused(self):
        self.repo.init()
        firnlib.write_random(self.source / "file", 13, MIB)
        self.repo.backup(self.source)
        for folder in ("data", "meta", "index", "snapshots"):
            path = self.repo.objects(folder)[0]
            good = path.read_bytes()
            path.write_bytes(good[:100] + bytes([good[100] ^ 1]) + good[101:])
            with self.subTest(folder):
                self.assertIn(path.name, self.reader("check", code=1).err)
            path.write_bytes(good)
        self.assert_nothing_wrong()


if __name__ == "__main__":
    firnlib.main()
