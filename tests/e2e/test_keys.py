"""Keys, their roles, other passwords, and revocation."""
import firnlib


@firnlib.firn_only
class Keys(firnlib.TestCase):
    def setUp(self):
        super().setUp()
        firnlib.write(self.source / "file", "content")
        self.repo.init()
        self.repo.use_key_file()

    def add(self, role, by=None):
        key = self.temp / f"{role.replace(',', '-')}.key"
        more = ["--key-file", by] if by else []
        added = self.repo.run(*more, "key", "add", "--json", "--role", role, "--out", key).lines()[-1]
        self.assertEqual(added["role"], role)
        return key, added["id"]

    def as_key(self, key, *command, code=0):
        return self.repo.run("--key-file", key, *command, code=code)

    def keys(self):
        return {one["id"]: one for one in self.repo.run("key", "list", "--json").json()}

    def test_each_role_does_its_own_and_no_more(self):
        self.repo.backup(self.source)
        commands = {
            "backup": ["backup", self.source],
            "restore": ["restore", "latest", "--target", self.temp / "t"],
            "snapshots": ["snapshots"],
            "forget": ["forget", "--keep-last", "1"],
            "check": ["check"],
            "add": ["key", "add", "--role", "maintainer", "--out", self.temp / "never"],
        }
        may = {"writer": {"backup", "snapshots", "check"}, "reader": {"restore", "snapshots", "check"},
               "maintainer": {"snapshots", "forget", "check"}, "issuer": {"snapshots", "check"},
               "admin": {"backup", "restore", "snapshots", "forget", "check", "add"}}
        for role, allowed in may.items():
            key, _ = self.add(role)
            for name, command in commands.items():
                with self.subTest(role=role, command=name):
                    done = self.as_key(key, *command, code=None)
                    self.assertEqual(done.code == 0, name in allowed, done)

    def test_a_new_reader_reads_old_snapshots(self):
        self.repo.backup(self.source)
        key, _ = self.add("reader")
        self.as_key(key, "restore", "latest", "--target", self.temp / "t")
        self.assert_same(self.source, firnlib.pathlib.Path(f"{self.temp / 't'}{self.source}"))

    def test_passwd_closes_the_old_password(self):
        self.repo.key_file = None
        new = firnlib.write(self.temp / "new", "another\n")
        self.repo.run("key", "passwd", "--new-password-file", new)
        self.repo.run("snapshots", code=12)
        self.repo.run("--password-file", new, "snapshots")

    def test_a_removed_writer_keeps_its_snapshots_and_makes_no_more(self):
        key, kid = self.add("writer")
        self.as_key(key, "backup", self.source)
        kept = [one["id"] for one in self.repo.snapshots()]
        wraps = {path: path.read_bytes() for path in self.repo.objects(f"keys/{kid}") if "wrap" in path.name}
        self.repo.run("key", "remove", kid[:12])
        self.assertTrue(self.keys()[kid]["revoked"])
        self.as_key(key, "backup", self.source, code=12)
        # Somebody who kept the key's objects puts them back.
        for path, content in wraps.items():
            path.write_bytes(content)
        self.assertIn("revoked", self.as_key(key, "backup", self.source, code=1).err)
        self.assertEqual([one["id"] for one in self.repo.snapshots()], kept)
        self.assert_restores_exactly(kept[0])
        self.repo.check("--read-data")

    def test_an_issuer_adds_and_removes_writers_only(self):
        issuer, _ = self.add("issuer")
        writer, kid = self.add("writer", by=issuer)
        self.assertIn("expires", self.keys()[kid])
        self.as_key(writer, "backup", self.source)
        reader, reader_kid = self.add("reader")
        self.as_key(issuer, "key", "remove", reader_kid, code=1)
        self.as_key(issuer, "key", "add", "--role", "reader", "--out", self.temp / "never", code=1)
        self.as_key(issuer, "key", "remove", kid)
        self.assertTrue(self.keys()[kid]["revoked"])
        self.assertFalse(self.keys()[reader_kid]["revoked"])
        self.assertEqual(len(self.repo.snapshots()), 1)
        self.as_key(reader, "snapshots")

    def test_a_removed_issuer_takes_no_honest_writer_with_it(self):
        issuer, issuer_kid = self.add("issuer")
        writer, writer_kid = self.add("writer", by=issuer)
        thief = self.temp / "thief.key"
        thief_kid = self.as_key(issuer, "key", "add", "--json", "--role", "writer", "--out", thief).lines()[-1]["id"]
        kept_issuer = {path: path.read_bytes() for path in self.repo.objects(f"keys/{issuer_kid}")}
        honest = self.repo.run("--key-file", writer, "backup", "--json", self.source).lines("summary")[0]["snapshot_id"]
        self.as_key(thief, "backup", self.source)
        self.repo.run("key", "remove", issuer_kid, "--drop", thief_kid)
        self.assertEqual([one["id"] for one in self.repo.snapshots()], [honest])
        self.as_key(writer, "backup", self.source)
        self.assertEqual(len(self.repo.snapshots()), 2)
        # The thief has the issuer's key file still, and its wrap: nothing that it signs counts.
        for path, content in kept_issuer.items():
            if not path.exists():
                path.write_bytes(content)
        self.as_key(issuer, "key", "add", "--role", "writer", "--out", self.temp / "again", code=1)
        self.as_key(issuer, "key", "remove", writer_kid, code=1)

    def test_the_key_in_use_and_unknown_keys_are_not_removed(self):
        own = next(one["id"] for one in self.repo.run("key", "list", "--json").json() if one["current"])
        self.repo.run("key", "remove", own, code=1)
        self.repo.run("key", "remove", "0" * 32, code=1)


if __name__ == "__main__":
    firnlib.main()
