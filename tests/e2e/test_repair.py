"""repair index, packs and snapshots: after each kind of damage check is clean and what is left restores."""
import pathlib

import firnlib
from firnlib import MIB


def flip(path, at):
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@firnlib.firn_only
class Repair(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        for number in range(4):
            firnlib.write(self.source / f"large-{number}", firnlib.random_bytes(number, 3 * MIB))
        for number in range(60):
            firnlib.write(self.source / "dir" / f"small-{number:02}", f"{number}\n" * 300)
        self.repo.init("--pack-size", "1M")
        self.repo.use_key_file()
        self.snapshot = self.repo.backup(self.source)["snapshot_id"]

    def summary(self, *command, code=0):
        return self.repo.run("repair", *command, "--json", code=code).lines("summary")[-1]

    def largest(self, folder):
        return max(self.repo.objects(folder), key=lambda path: path.stat().st_size)

    def restored_files(self, snapshot):
        target = self.temp / f"restored-{snapshot[:8]}"
        self.repo.restore(target, snapshot)
        root = pathlib.Path(f"{target}{self.source}")
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def source_files(self):
        return {path.relative_to(self.source).as_posix(): path.read_bytes()
                for path in self.source.rglob("*") if path.is_file()}

    def test_a_sound_repository_is_left_as_it_is(self):
        before = [path for path in self.repo.objects() if "sessions" not in path.parts]
        self.assertEqual(self.summary("index")["index_objects_replaced"], 0)
        self.assertEqual(self.summary("packs")["packs_damaged"], 0)
        self.assertEqual(self.summary("snapshots")["repaired_snapshots"], 0)
        self.assertEqual([path for path in self.repo.objects() if "sessions" not in path.parts], before)

    def test_a_lost_index_is_made_from_the_trailers(self):
        for lost in self.repo.objects("index"):
            lost.unlink()
        self.repo.check(code=1)
        packs = len(self.repo.objects("data")) + len(self.repo.objects("meta"))
        self.assertEqual(self.summary("index")["packs_added"], packs)
        self.repo.check("--read-data")
        self.assert_restores_exactly(self.snapshot)

    def test_a_damaged_index_object_is_replaced(self):
        flip(self.repo.objects("index")[0], 200)
        report = self.summary("index")
        self.assertEqual(report["index_objects_replaced"], 1)
        self.assertGreater(report["packs_added"], 0)
        self.repo.check("--read-data")
        self.assert_restores_exactly(self.snapshot)
        self.assertEqual(self.summary("index")["index_objects_replaced"], 0)

    def test_a_missing_pack_leaves_the_index_and_its_files_leave_the_snapshot(self):
        self.largest("data").unlink()
        # The index still names the pack: snapshots cannot be judged.
        self.assertIn("repair index", self.repo.run("repair", "snapshots", code=1).err)
        self.assertEqual(self.summary("index")["packs_missing"], 1)
        dry = self.summary("snapshots", "--dry-run")
        self.assertEqual(dry["repaired_snapshots"], 1)
        self.assertEqual([one["id"] for one in self.repo.snapshots()], [self.snapshot])
        done = self.repo.run("repair", "snapshots", "--json", "--forget")
        self.assertEqual(done.lines("summary")[-1]["repaired_snapshots"], 1)
        kept = self.repo.snapshots()
        self.assertEqual([one["original"] for one in kept], [self.snapshot])
        self.repo.check("--read-data")
        restored, source = self.restored_files(kept[0]["id"]), self.source_files()
        lost = set(source) - set(restored)
        self.assertTrue(lost)
        self.assertEqual(restored, {name: content for name, content in source.items() if name not in lost})
        for name in lost:
            self.assertIn(name, done.err, "a lost file was not named")
        # What is lost can be backed up again.
        self.repo.backup(self.source, "--force")
        self.assert_restores_exactly()

    def test_a_repaired_snapshot_stands_beside_the_damaged_one(self):
        self.largest("data").unlink()
        self.summary("index")
        self.summary("snapshots")
        self.assertCountEqual([one["tags"] for one in self.repo.snapshots()], [[], ["repaired"]])

    def test_a_flipped_bit_costs_one_chunk(self):
        for damaged, folder in enumerate(("data", "meta"), 1):
            with self.subTest(folder=folder):
                flip(self.largest(folder), 5000)
                self.repo.check("--read-data", code=1)
                report = self.summary("packs", code={0, 1})
                self.assertEqual(report["packs_damaged"], damaged, "until a prune the condemned ones are there")
                self.assertEqual(report["chunks_lost"] + report["chunks_salvaged"] + report["chunks_elsewhere"],
                                 report["chunks_needed"])
                self.assertLessEqual(report["chunks_lost"], 1)
                if report["chunks_lost"]:
                    self.summary("snapshots", "--forget")
        self.repo.run("prune", "--max-unused", "0")
        self.repo.check("--read-data")
        self.assertEqual(self.summary("packs")["packs_damaged"], 0, "prune left the condemned packs")
        newest = self.repo.snapshots()[-1]["id"]
        source = self.source_files()
        restored = self.restored_files(newest)
        self.assertLessEqual(set(restored), set(source))
        self.assertTrue(all(source[name] == content for name, content in restored.items()))
        self.assertGreater(len(restored), 0)

    def test_a_prune_frees_packs_whose_chunks_were_salvaged(self):
        for pack in self.repo.objects("data"):
            flip(pack, 5000)
        report = self.summary("packs", code={0, 1})
        self.assertGreater(report["chunks_salvaged"], 0)
        self.summary("snapshots", "--forget")
        self.repo.run("prune", "--max-unused", "0")
        self.assertEqual(self.summary("packs")["packs_damaged"], 0)

    def test_what_was_lost_can_be_backed_up_again_and_pruned(self):
        flip(self.largest("data"), 5000)
        self.assertEqual(self.summary("packs", code=1)["chunks_lost"], 1)
        self.summary("snapshots", "--forget")
        again = self.repo.backup(self.source, "--force")["snapshot_id"]
        # The damaged pack may stay, since no key of a prune tells which copy of the lost chunk is the good one.
        for _ in range(2):
            self.repo.run("prune", "--max-unused", "0")
            self.repo.check("--read-data")
        self.assert_restores_exactly(again)

    def test_a_pack_without_its_trailer_is_read_by_the_index(self):
        pack = self.largest("data")
        flip(pack, pack.stat().st_size - 100)
        report = self.summary("packs", pack.name)
        self.assertEqual((report["packs_damaged"], report["chunks_lost"]), (1, 0))
        self.assertGreater(report["chunks_salvaged"], 0)
        self.assert_restores_exactly(self.snapshot)
        pack.unlink()
        self.assert_restores_exactly(self.snapshot)

    def test_a_snapshot_without_a_root_is_named(self):
        for pack in self.repo.objects("meta"):
            pack.unlink()
        self.summary("index")
        done = self.repo.run("repair", "snapshots", "--json", code=1)
        self.assertIn(self.snapshot[:8], done.err)
        self.assertEqual(done.lines("summary")[-1]["unreadable_snapshots"], 1)
        self.repo.run("repair", "snapshots", "--forget")
        self.assertEqual(self.repo.snapshots(), [])


if __name__ == "__main__":
    firnlib.main()
