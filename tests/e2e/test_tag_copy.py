"""tag and copy: snapshots again, with other tags or in another repository."""

import firnlib
from firnlib import MIB


@firnlib.firn_only
class Tag(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        firnlib.write(self.source / "file", "content" * 1000)
        self.repo.init()
        self.repo.use_key_file()

    def back_up(self, *args):
        return self.repo.backup(self.source, *args)["snapshot_id"]

    def test_tags_are_set_added_and_removed_and_the_rest_stays(self):
        first = self.back_up("--tag", "a,b", "--time", "2026-01-02 03:04:05")
        before = self.repo.snapshots()[0]
        for flags, tags in ((["--add", "c"], ["a", "b", "c"]), (["--remove", "a,x"], ["b", "c"]),
                            (["--set", "only"], ["only"]), (["--set", ""], [])):
            with self.subTest(flags=flags):
                lines = self.repo.run("tag", "--json", *flags).lines()
                after = self.repo.snapshots()
                self.assertEqual([one["tags"] for one in after], [tags])
                self.assertEqual(after[0]["original"], first)
                for key in ("time", "paths", "hostname", "tree", "username", "summary"):
                    self.assertEqual(after[0][key], before[key], key)
                self.assertEqual(lines[-1], {"message_type": "summary", "changed_snapshots": 1})
                self.assertEqual(lines[0]["new_snapshot_id"], after[0]["id"])
                self.assert_restores_exactly(after[0]["id"])
        self.repo.check("--read-data")

    def test_what_has_the_tags_already_is_left_alone(self):
        first = self.back_up("--tag", "a")
        self.assertEqual(self.repo.run("tag", "--json", "--add", "a").lines()[-1]["changed_snapshots"], 0)
        self.assertEqual([one["id"] for one in self.repo.snapshots()], [first])

    def test_ids_and_filters_choose(self):
        first, second = self.back_up("--host", "a"), self.back_up("--host", "b")
        self.repo.run("tag", "--add", "x", "--host", "a")
        self.repo.run("tag", "--add", "y", second)
        self.repo.run("prune", "--max-unused", "0")
        self.repo.check("--read-data")
        self.assertEqual({one["hostname"]: one["tags"] for one in self.repo.snapshots()}, {"a": ["x"], "b": ["y"]})
        self.assertNotIn(first, [one["id"] for one in self.repo.snapshots()])

    def test_flags_that_make_no_sense_are_refused(self):
        self.back_up()
        self.repo.run("tag", code=1)
        self.repo.run("tag", "--set", "a", "--add", "b", code=1)

    def test_a_key_that_may_not_forget_tags_nothing(self):
        self.back_up()
        key = self.temp / "k"
        self.repo.run("key", "add", "--role", "writer,reader", "--out", key)
        self.assertIn("maintainer", self.repo.run("--key-file", key, "tag", "--add", "x", code=1).err)
        self.assertEqual(self.repo.snapshots()[0]["tags"], [])


@firnlib.firn_only
class Copy(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        firnlib.write(self.source / "large", firnlib.random_bytes(1, 5 * MIB))
        for number in range(40):
            firnlib.write(self.source / "dir" / f"small-{number}", f"{number}\n" * 200)
        firnlib.write(self.source / "empty", "")
        (self.source / "link").symlink_to("large")
        with open(self.source / "sparse", "wb") as sparse:
            sparse.seek(3 * MIB)
            sparse.write(b"end")
        self.repo.init()
        self.repo.use_key_file()
        self.other = firnlib.Repository(self.temp / "other", "another password")

    def copy_from(self, source, *args, code=0):
        return self.other.run("copy", "--json", "--from-repo", source.path, "--from-key-file", source.key_file, *args,
                              code=code)

    def test_a_copy_restores_exactly_and_names_its_original(self):
        first = self.repo.backup(self.source, "--tag", "a", "--time", "2026-01-02 03:04:05")["snapshot_id"]
        self.other.init()
        self.other.use_key_file()
        lines = self.copy_from(self.repo).lines()
        self.assertEqual(lines[-1]["snapshots_copied"], 1)
        copies = self.other.snapshots()
        self.assertEqual([one["original"] for one in copies], [first])
        self.assertEqual(copies[0]["tags"], ["a"])
        self.assertEqual(copies[0]["time"], self.repo.snapshots()[0]["time"])
        target = self.temp / "from-copy"
        self.other.restore(target)
        self.assert_same(self.source, firnlib.pathlib.Path(f"{target}{self.source}"))
        self.other.check("--read-data")

    def test_what_was_copied_is_skipped_and_the_next_adds_little(self):
        self.repo.backup(self.source)
        self.other.init("--copy-chunker-params", "--from-repo", self.repo.path, "--from-key-file", self.repo.key_file)
        self.other.use_key_file()
        self.copy_from(self.repo)
        size = self.other.size_bytes("data")
        self.assertEqual(self.copy_from(self.repo).lines()[-1],
                         {"message_type": "summary", "snapshots_copied": 0, "snapshots_skipped": 1})
        firnlib.write(self.source / "new", "new")
        self.repo.backup(self.source)
        lines = self.copy_from(self.repo).lines()
        self.assertEqual((lines[-1]["snapshots_copied"], lines[-1]["snapshots_skipped"]), (1, 1))
        self.assertLess(self.other.size_bytes("data"), size + MIB)
        # Cut alike: a backup of the same tree finds nearly everything there.
        added = self.other.backup(self.source)
        self.assertLess(added["data_added"], MIB)

    def test_a_tagged_copy_is_recognised_by_its_line(self):
        self.repo.backup(self.source)
        self.other.init()
        self.other.use_key_file()
        self.copy_from(self.repo)
        self.repo.run("tag", "--add", "x")
        self.assertEqual(self.copy_from(self.repo).lines()[-1]["snapshots_copied"], 1)
        self.assertEqual(len({one["original"] for one in self.other.snapshots()}), 1)

    def test_filters_and_ids_choose(self):
        first = self.repo.backup(self.source, "--host", "a")["snapshot_id"]
        self.repo.backup(self.source, "--host", "b")
        self.other.init()
        self.other.use_key_file()
        self.copy_from(self.repo, "--host", "b")
        self.assertEqual([one["hostname"] for one in self.other.snapshots()], ["b"])
        self.copy_from(self.repo, first[:10])
        self.assertEqual(sorted(one["hostname"] for one in self.other.snapshots()), ["a", "b"])

    def test_a_mirror_is_the_same_repository_in_another_place(self):
        first = self.repo.backup(self.source)["snapshot_id"]
        self.copy_from(self.repo, "--mirror")
        self.other.key_file = self.repo.key_file
        self.assertEqual([one["id"] for one in self.other.snapshots()], [first])
        self.other.check("--read-data")
        firnlib.write(self.source / "new", "new")
        second = self.repo.backup(self.source)["snapshot_id"]
        self.repo.run("forget", first)
        lines = self.copy_from(self.repo, "--mirror").lines()
        self.assertGreater(lines[-1]["objects_present"], lines[-1]["objects"])
        self.assertEqual([one["id"] for one in self.other.snapshots()], [second])
        target = self.temp / "from-mirror"
        self.other.restore(target)
        self.assert_same(self.source, firnlib.pathlib.Path(f"{target}{self.source}"))
        # The mirror goes on by itself: it takes backups of its own.
        third = self.other.backup(self.source)["snapshot_id"]
        self.other.run("forget", second)
        self.other.run("prune", "--max-unused", "0")
        self.other.check("--read-data")
        firnlib.remove_tree(target)
        self.other.restore(target, third)
        self.assert_same(self.source, firnlib.pathlib.Path(f"{target}{self.source}"))

    def test_a_mirror_goes_to_no_other_repository(self):
        self.repo.backup(self.source)
        self.other.init()
        self.other.use_key_file()
        before = self.other.objects()
        self.assertIn("another repository", self.copy_from(self.repo, "--mirror", code=1).err)
        self.assertEqual(self.other.objects(), before)

    def test_a_damaged_source_makes_no_copy(self):
        self.repo.backup(self.source)
        for pack in self.repo.objects("data"):
            pack.unlink()
        self.other.init()
        self.other.use_key_file()
        self.copy_from(self.repo, code=1)
        self.assertEqual(self.other.snapshots(), [])

    def test_the_source_must_be_named(self):
        self.other.init()
        self.assertIn("--from-repo", self.other.run("copy", code=1).err)


if __name__ == "__main__":
    firnlib.main()
