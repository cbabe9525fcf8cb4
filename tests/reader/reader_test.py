#!/usr/bin/env python3
"""The golden files of docs/FORMAT.md through the Python reader: each is parsed, compared field by field with
what the page says, encoded back to the same bytes, and refused when it is damaged.

Not here: repositories that firn wrote (test_end_to_end.py).
"""
from __future__ import annotations

import dataclasses
import pathlib
import re
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import crypto  # noqa: E402
import pages  # noqa: E402
import records  # noqa: E402
import repository  # noqa: E402
import wire  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: E402
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: E402
from tree import twin_of  # noqa: E402

GOLDEN = HERE.parent / "repo/format/golden"
PAGE = HERE.parents[1] / "docs/FORMAT.md"
VALUES = {
    line.split()[0]: bytes.fromhex(line.split()[1])
    for line in (GOLDEN / "values.txt").read_text().splitlines()
}
ROOT_KEY = bytes(range(0x00, 0x20))
SEED, PRIVATE, ADMINISTRATOR_SEED = (bytes(range(at, at + 32)) for at in (0x40, 0x60, 0x80))
REPOSITORY, R = bytes(range(0xA0, 0xB0)), bytes(range(0xC0, 0xE0))
SALT, RAW_KEY = bytes(range(0xD0, 0xF0)), bytes(range(0xB0, 0xD0))
OTHER = bytes(range(0x55, 0x65)).hex()  # the session that the examples fence and seal
KID, SESSION, SNAPSHOT = (VALUES[name].hex() for name in ("kid", "session", "snapshot_id"))
NAMES = {
    "config": "config/00000001",
    "cert": f"keys/{KID}/cert-00000001",
    "wrap-raw": f"keys/{KID}/wrap-00000001",
    "wrap-scrypt": f"keys/{KID}/wrap-00000002",
    "revoked": f"keys/{KID}/revoked",
    "snapshot": f"snapshots/{VALUES['source_tag'].hex()}/{SESSION}-00000001",
    "caps": f"caps/{SNAPSHOT}/{KID}",
    "index": f"index/0002/{SESSION}-00000001",
    "session": f"sessions/{SESSION}",
    "heartbeat": f"sessions/{SESSION}.hb",
    "end": f"sessions/{SESSION}.end",
    "condemn": f"maint/condemn/{SESSION}-00000001",
    "fence": f"maint/fence/{OTHER}",
    "seal": f"maint/seal/{OTHER}-{SESSION}",
    "forget": f"maint/forget/{SNAPSHOT}",
    "union": f"maint/union/0002/{SESSION}-00000001",
    "catalog": f"maint/catalog/00000003-{SESSION}",
}
PLAIN_CHUNK = b"A piece of a file that is too large for a bundle, were it real.\n"
PLAIN_BUNDLE = b"first small file\nsecond small file\n"


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.bin").read_bytes()


def name_of(which: str) -> records.Name:
    name = records.parse_name(NAMES[which])
    assert name
    return name


def make_store(folder: pathlib.Path, *which: str) -> pathlib.Path:
    """A directory repository of golden files."""
    for item in which:
        path = folder / NAMES[item]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(golden(item))
    return folder


class Values(unittest.TestCase):
    """The derived values of chapter 13."""
    def test_keys_follow_from_the_root_key(self) -> None:
        for word in ("content", "meta", "psk"):
            self.assertEqual(crypto.hkdf(ROOT_KEY, b"", b"firn/v1/" + word.encode(), 32), VALUES[f"K_{word}"])
        self.assertEqual(crypto.hkdf(VALUES["K_meta"], b"", b"firn/v1/refs", 32), VALUES["K_refs"])

    def test_cuts_follow_from_their_key(self) -> None:
        cut = bytes(range(0x20, 0x40))
        for word, size, name in (("page", 8, "page_seed"), ("bundle", 8, "bundle_seed"), ("gear", 1024,
                                                                                          "gear_first")):
            value = crypto.hkdf(cut, b"", b"firn/v1/" + word.encode(), size)
            self.assertEqual(value[:len(VALUES[name])], VALUES[name])

    def test_public_keys_and_ids(self) -> None:
        self.assertEqual(crypto.ed25519_public(SEED), VALUES["ed25519_public"])
        self.assertEqual(crypto.x25519_public(PRIVATE), VALUES["x25519_public"])
        self.assertEqual(crypto.ed25519_public(ADMINISTRATOR_SEED), VALUES["pk_A"])
        self.assertEqual(repository.kid_of(VALUES["ed25519_public"], VALUES["x25519_public"]), VALUES["kid"])
        self.assertEqual(repository.session_of(VALUES["kid"], R), VALUES["session"])
        self.assertEqual(VALUES["source_id"], b"\0".join((b"path", b"node-1", b"/srv/data")))
        self.assertEqual(crypto.hmac(VALUES["K_meta"], VALUES["source_id"])[:8], VALUES["source_tag"])
        self.assertEqual(repository.snapshot_id(NAMES["snapshot"]), VALUES["snapshot_id"])

    def test_capabilities_ids_and_keys(self) -> None:
        for kind, plain, which in ((1, PLAIN_CHUNK, "data"), (2, PLAIN_BUNDLE, "bundle"),
                                   (3, golden("leaf-page"), "root")):
            t = crypto.capability(VALUES["K_content"], kind, plain)
            self.assertEqual(t, VALUES[f"{which}_t"], which)
            self.assertEqual(crypto.hmac(t, b"firn/id"), VALUES.get(f"{which}_id", crypto.hmac(t,
                                                                                               b"firn/id")))
            self.assertEqual(crypto.hmac(t, b"firn/key"),
                             VALUES.get(f"{which}_key", crypto.hmac(t, b"firn/key")))
        id = crypto.hmac(VALUES["K_refs"], b"id" + golden("refs-page"))
        self.assertEqual(id, VALUES["refs_root_id"])
        self.assertEqual(crypto.hmac(VALUES["K_refs"], b"key" + id), VALUES["refs_root_key"])

    def test_the_page_shows_the_golden_files(self) -> None:
        shown = re.findall(r"<!-- golden: (\S+?)\.bin(?: (\d+) (\d+))? -->\n```\n([0-9a-f\n]*)```",
                           PAGE.read_text())
        self.assertEqual({name for name, *_ in shown}, {path.stem for path in GOLDEN.glob("*.bin")})
        for name, start, size, text in shown:
            data = golden(name)[int(start or 0):][:int(size) if size else None]
            self.assertEqual(bytes.fromhex(text.replace("\n", "")), data, name)

    def test_padme_rounds_as_written(self) -> None:
        for size, padded in ((0, 0), (1, 1), (2, 2), (3, 3), (9, 10), (31, 32), (4602, 4608), (65537, 67584),
                             (1 << 20, 1 << 20)):
            self.assertEqual(crypto.padme(size), padded, size)


class Objects(unittest.TestCase):
    """Whole objects, in a store that holds nothing else."""
    def setUp(self) -> None:
        temp = tempfile.TemporaryDirectory()
        self.addCleanup(temp.cleanup)
        self.folder = pathlib.Path(temp.name)

    def open(self, *which: str) -> repository.Repository:
        make_store(self.folder, "config", "cert", "wrap-raw", *which)
        return repository.Repository(self.folder, key_file=RAW_KEY)

    def test_the_password_and_the_raw_key_open_the_same_secrets(self) -> None:
        for which, password, raw_key in (("wrap-raw", None, RAW_KEY),
                                         ("wrap-scrypt", b"correct horse battery staple", None)):
            signed = repository.open_clear(name_of(which), golden(which))
            secrets = repository.open_secrets(name_of(which), signed, password, raw_key)
            assert secrets
            self.assertEqual(wire.encode(secrets), golden("secrets"))
            self.assertEqual([secret.tag for secret in secrets.secrets], list(range(1, 9)))
        self.assertIsNone(repository.open_secrets(name_of("wrap-scrypt"), signed, b"another", None))

    def test_every_object_is_accepted_and_encodes_back(self) -> None:
        repo = self.open()
        for which in sorted(set(NAMES) - {"config", "cert", "wrap-raw", "wrap-scrypt", "revoked"}):
            make_store(self.folder, which)
            body, extra = repo.read(name_of(which))
            self.assert_object_is(which, body, extra)

    def assert_object_is(self, which: str, body: object, extra: bytes) -> None:
        if which in records.CLEAR_KINDS:
            clear = wire.parse(records.Clear, golden(which))
            self.assertEqual((wire.encode(clear), wire.encode(body)), (golden(which), clear.body))
            return
        self.assertEqual(wire.encode(body), golden(f"{which}.body"))
        name, data = name_of(which), golden(which)
        plain = wire.encode(
            records.Signed(wire.encode(body), VALUES["kid"], sign(name, wire.encode(body)), extra))
        plain += bytes(crypto.padme(len(plain)) - len(plain))
        self.assertEqual(seal(name, plain), data, which)

    def test_the_fields_of_the_clear_objects(self) -> None:
        repo = self.open("revoked")
        config = repo.config
        self.assertEqual((config.repository, config.format, config.features), (REPOSITORY, 1, ()))
        self.assertEqual((config.pack_size, config.chunker, config.bundle_size), (1 << 24, 1, 1 << 19))
        self.assertEqual((config.chunk_min, config.chunk_average, config.chunk_max),
                         (1 << 16, 1 << 18, 1 << 20))
        (cert, ) = repo.certs.values()
        self.assertEqual((cert.roles, cert.not_after, cert.user, cert.host),
                         (31, 2**63 - 1, b"root", b"node-1"))
        repo._read_revocations(by_administrator=True)
        self.assertEqual(repo.revoked[VALUES["kid"]].sessions, (VALUES["session"], ))
        self.assertEqual(repo.ignored, [])

    def test_the_fields_of_the_index(self) -> None:
        repo = self.open("index")
        body, _ = repo.read(name_of("index"))
        self.assertEqual(
            body.replaces,
            (records.IndexName(0, VALUES["session"], 1), records.IndexName(1, bytes.fromhex(OTHER), 9)))
        (pack, ) = body.packs
        self.assertEqual((pack.name.pack, pack.size), (VALUES["pack_id"], 4608))
        self.assertEqual([entry.type for entry in pack.entries], [1, 2])

    def test_capabilities_open_the_root(self) -> None:
        repo = self.open("snapshot", "caps")
        (snapshot, ) = repo.snapshots()
        self.assertEqual(repo.root_capability(snapshot), VALUES["root_t"])
        bare = dataclasses.replace(snapshot, extra=bytes(4))
        self.assertEqual(repo.root_capability(bare), VALUES["root_t"])
        (self.folder / NAMES["caps"]).unlink()
        with self.assertRaises(wire.Refused):
            repo.root_capability(bare)

    def test_which_snapshots_count(self) -> None:
        """The golden union carries the tombstone; the golden seal is of another session."""
        for more, count in (((), 1), (("seal", "revoked"), 1), (("forget", ), 0), (("union", ), 0)):
            with tempfile.TemporaryDirectory() as folder:
                make_store(pathlib.Path(folder), "config", "cert", "wrap-raw", "snapshot", *more)
                repo = repository.Repository(folder, key_file=RAW_KEY)
                self.assertEqual((len(repo.snapshots()), repo.ignored), (count, []), more)

    def test_a_sealed_or_revoked_session_voids_what_is_not_listed(self) -> None:
        time, proof = wire.TIME.write(5), VALUES["kid"] + R
        for name, body in ((f"maint/seal/{SESSION}-{SESSION}", proof + VALUES["session"] + time + bytes(4)),
                           (f"keys/{KID}/revoked", REPOSITORY + VALUES["kid"] + time + bytes(4))):
            with tempfile.TemporaryDirectory() as folder:
                store = make_store(pathlib.Path(folder), "config", "cert", "wrap-raw", "snapshot")
                parsed = records.parse_name(name)
                assert parsed
                (store / name).parent.mkdir(parents=True, exist_ok=True)
                (store / name).write_bytes(made_object(parsed, body))
                repo = repository.Repository(store, key_file=RAW_KEY)
                self.assertEqual((repo.snapshots(), repo.ignored), ([], []), name)

    def test_an_issuer_takes_no_role_from_a_key(self) -> None:
        """Its certs count for writers, for at most 90 days, and for keys that have no other role."""
        issuer, writer = bytes([1]) * 32, bytes([2]) * 32
        main = (VALUES["ed25519_public"], VALUES["x25519_public"])
        others = [(crypto.ed25519_public(seed), crypto.x25519_public(seed)) for seed in (issuer, writer)]

        def put(pair: tuple[bytes, bytes], number: int, roles: int, days: int, seed: bytes,
                signer: bytes) -> None:
            cert = records.Cert(REPOSITORY, roles, *pair, 0, 0, days * 86400 * 10**9, b"", b"")
            name = records.parse_name(f"keys/{repository.kid_of(*pair).hex()}/cert-{number:08x}")
            assert name
            path, body = self.folder / name.text, wire.encode(cert)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(
                wire.encode(records.Clear(b"FIRN", 2, 1, 0, body, signer, sign(name, body, seed))))

        put(others[0], 1, records.ISSUER, 9999, ADMINISTRATOR_SEED, bytes(16))
        kid = repository.kid_of(*others[0])
        for pair, roles, days, counts in ((others[1], 1, 90, True), (others[1], 1, 91, False),
                                          (others[1], 3, 1, False), (main, 1, 90, False), (others[0], 1, 90,
                                                                                           False)):
            put(pair, 2, roles, days, issuer, kid)
            repo = self.open()
            self.assertEqual(len(repo.ignored), 0 if counts else 1, (roles, days))
            self.assertEqual(repo.certs[VALUES["kid"]].roles, 31)
            (self.folder / f"keys/{repository.kid_of(*pair).hex()}/cert-00000002").unlink()

    def test_a_wrong_key_is_told(self) -> None:
        make_store(self.folder, "config", "cert", "wrap-raw", "wrap-scrypt")
        for password, key_file in ((b"wrong", None), (None, bytes(32))):
            with self.assertRaises(repository.WrongKey):
                repository.Repository(self.folder, password, key_file)

    def test_key_files(self) -> None:
        text = b"firn-key-1 %s %s\n" % (KID.encode(), RAW_KEY.hex().encode())
        self.assertEqual(repository.read_key_file(text), (RAW_KEY, VALUES["kid"]))
        for bad in (text[:-1], text.upper(), text.replace(b"\n", b"\r"), bytes(31)):
            with self.assertRaises(wire.Refused):
                repository.read_key_file(bad)

    def test_a_flipped_bit_or_a_cut_is_refused_anywhere(self) -> None:
        repo = self.open()
        for which in sorted(set(NAMES) - {"config", "cert", "wrap-raw", "wrap-scrypt", "revoked"}):
            data, path = golden(which), make_store(self.folder, which) / NAMES[which]
            damaged = [data[:at] + bytes([data[at] ^ 1]) + data[at + 1:] for at in range(0, len(data), 7)]
            for bad in [*damaged, data[:-1], data + b"\0", b""]:
                path.write_bytes(bad)
                with self.assertRaises(wire.Refused, msg=which):
                    body, _ = repo.read(name_of(which))
            path.unlink()

    def test_a_newer_format_is_refused_not_passed_over(self) -> None:
        body = bytearray(wire.parse(records.Clear, golden("config")).body)
        body[16] = 2
        with self.assertRaises(wire.Unsupported):
            records.parse_config(bytes(body) + b"whatever a newer format holds")
        config = wire.parse(records.Config, wire.parse(records.Clear, golden("config")).body)
        with self.assertRaisesRegex(wire.Unsupported, "fancy"):
            records.parse_config(wire.encode(dataclasses.replace(config, features=(b"fancy", ))))


class Packs(unittest.TestCase):
    def test_a_pack_opens(self) -> None:
        name = records.PackName(1, VALUES["pack_id"])
        trailer = repository.open_pack(name, golden("pack"), REPOSITORY, VALUES["K_meta"])
        self.assertEqual(trailer.session, VALUES["session"])
        self.assertEqual(wire.encode(trailer), golden("trailer-head"))
        self.assertEqual([entry.offset for entry in trailer.entries], [24, 24 + 92])
        self.assertEqual(trailer.entries[0].id, VALUES["data_id"])

    def test_the_chunks_of_a_pack_are_what_they_say(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            store = make_store(pathlib.Path(folder), "config", "cert", "wrap-raw", "index")
            path = store / records.PackName(1, VALUES["pack_id"]).path()
            path.parent.mkdir(parents=True)
            path.write_bytes(golden("pack"))
            repo = repository.Repository(store, key_file=RAW_KEY)
            repo.read_index()
            self.assertEqual(repo.chunk(VALUES["data_t"], 1, 2), PLAIN_CHUNK)
            self.assertEqual(repo.chunk(VALUES["bundle_t"], 1, 2), PLAIN_BUNDLE)
            self.assertEqual(path.read_bytes()[24:24 + 92], golden("chunk"))
            with self.assertRaises(wire.Refused):
                repo.chunk(bytes(32), 1)

    def test_damage_is_refused(self) -> None:
        name, data = records.PackName(1, VALUES["pack_id"]), golden("pack")
        for at in range(0, len(data), 41):
            with self.assertRaises(wire.Refused):
                repository.open_pack(name, data[:at] + bytes([data[at] ^ 128]) + data[at + 1:], REPOSITORY,
                                     VALUES["K_meta"])


class Pages(unittest.TestCase):
    def test_the_leaf_page_is_what_the_page_says(self) -> None:
        page = pages.parse_tree_page(golden("leaf-page"))
        self.assertEqual(pages.encode_tree_page(page), golden("leaf-page"))
        entries = {entry.path(): entry for entry in page.entries}
        names = [
            b"", b"block", b"char", b"dir", b"empty", b"fifo", b"link", b"socket", b"dir/bundled",
            b"dir/huge and sparse", b"dir/old, with attributes", b"dir/sub/xattrs elsewhere"
        ]
        self.assertEqual(list(entries), names)
        self.assertEqual((entries[b"block"].major, entries[b"block"].minor), (8, 1))
        self.assertEqual((entries[b"char"].major, entries[b"char"].minor), (0, 0))
        self.assertEqual((entries[b"dir"].mode, entries[b"dir"].project), (0o1777, 7))
        self.assertEqual(entries[b"link"].target, b"dir/\xffnot utf-8")
        bundled, huge, old = (entries[b"dir/" + name]
                              for name in (b"bundled", b"huge and sparse", b"old, with attributes"))
        assert bundled.content and huge.content and huge.holes and old.content and old.xattrs
        self.assertEqual(bundled.content.slices[0].t, VALUES["bundle_t"])
        self.assertEqual(bundled.digest, VALUES["content_digest"])
        start, length = bundled.content.slices[0].offset, bundled.content.slices[0].length
        content = PLAIN_BUNDLE[start:start + length]
        leaves = crypto.leaves(content)
        self.assertEqual(
            crypto.hmac(VALUES["K_content"], b"\0" + length.to_bytes(8, "little") + leaves)[:16],
            bundled.digest)
        self.assertTrue(huge.flags & pages.CHANGED and huge.content.top)
        self.assertEqual(huge.holes.inline, golden("holes"))
        self.assertEqual((old.mtime, old.content.inline), (-1, b"inline content"))
        self.assertEqual(old.xattrs.inline, golden("xattrs"))
        self.assertTrue(old.atime and old.inode_flags)

    def test_its_twin(self) -> None:
        twin = wire.parse(pages.RefsPage, golden("refs-page"))
        self.assertEqual(wire.encode(twin), golden("refs-page"))
        self.assertEqual(twin, twin_of(pages.parse_tree_page(golden("leaf-page"))))

    def test_inner_and_slice_pages(self) -> None:
        inner = pages.parse_tree_page(golden("inner-page"))
        self.assertEqual(pages.encode_tree_page(inner), golden("inner-page"))
        self.assertEqual([child.separator for child in inner.children], [b"", b"etc", b"etd"])
        for which, level in (("slice-page", 0), ("slice-inner-page", 1)):
            page = pages.parse_slice_page(golden(which))
            self.assertEqual((pages.encode_slice_page(page), page.level), (golden(which), level))

    def test_holes_and_xattrs(self) -> None:
        self.assertEqual(pages.parse_holes(golden("holes"), 1 << 21, (1 << 21) - (1 << 20) - 4096),
                         [(0, 4096), (8192, 8192 + (1 << 20))])
        self.assertEqual(pages.parse_xattrs(golden("xattrs")), [(b"user.empty", b""),
                                                                (b"user.origin", b"somewhere")])

    def test_whatever_a_damaged_page_still_parses_to_encodes_back(self) -> None:
        for which, parse, encode in (("leaf-page", pages.parse_tree_page, pages.encode_tree_page),
                                     ("inner-page", pages.parse_tree_page, pages.encode_tree_page),
                                     ("slice-page", pages.parse_slice_page, pages.encode_slice_page)):
            data, refused = golden(which), 0
            for at in range(len(data)):
                for bit in (1, 2, 16, 128):
                    bad = data[:at] + bytes([data[at] ^ bit]) + data[at + 1:]
                    try:
                        self.assertEqual(encode(parse(bad)), bad)  # type: ignore[operator]
                    except wire.Refused:
                        refused += 1
            self.assertGreater(refused, 0)

    def test_the_order_of_the_page_is_that_of_the_sort_keys(self) -> None:
        listed = re.findall(r'^"(\S*?)" +"(\S*?)".*?([0-9a-f]{4,})$', PAGE.read_text(), re.M)
        self.assertEqual(len(listed), 8)
        keys = [pages.sort_key(directory.encode(), name.encode()) for directory, name, _ in listed]
        self.assertEqual([key.hex() for key in keys], [text for *_, text in listed])
        self.assertEqual(keys, sorted(keys))

    def test_values_that_are_not_the_only_encoding_are_refused(self) -> None:
        cases: list[tuple[wire.Codec, bytes]] = [(wire.Varint(), b"\x80\x00"),
                                                 (wire.Varint(), b"\xff" * 9 + b"\x02"),
                                                 (wire.Varint(), b"\xff" * 10 + b"\1"),
                                                 (wire.Option(wire.U8), b"\2\1"),
                                                 (wire.sorted_list(wire.U8, 9), b"\2\0\0\0\1\1"),
                                                 (wire.sorted_list(wire.U8, 1), b"\2\0\0\0\1\2"),
                                                 (wire.TEXT, b"\1\x10" + bytes(4097)),
                                                 (wire.Instant(), b"\0" + (10**9).to_bytes(4, "little"))]
        for codec, data in cases:
            with self.assertRaises(wire.Refused):
                codec.read(wire.Source(data))


def sign(name: records.Name, body: bytes, seed: bytes = SEED) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).sign(repository.message_to_sign(name, body))


def seal(name: records.Name, plain: bytes) -> bytes:
    info = b"firn/v1/" + name.kind.encode() + b"\0" + name.text.encode()
    both = crypto.hkdf(VALUES["K_meta"], SALT, info, 64)
    return SALT + both[32:] + AESGCM(both[:32]).encrypt(crypto.ZERO_NONCE, plain, b"")


def made_object(name: records.Name, body: bytes) -> bytes:
    """An object like the golden ones: clear ones signed by the administrator, sealed ones by the key."""
    if name.kind in records.CLEAR_KINDS:
        number = records.KINDS.index(name.kind) + 1
        return wire.encode(
            records.Clear(b"FIRN", number, 1, 0, body, bytes(16), sign(name, body, ADMINISTRATOR_SEED)))
    plain = wire.encode(records.Signed(body, VALUES["kid"], sign(name, body), b""))
    return seal(name, plain + bytes(crypto.padme(len(plain)) - len(plain)))


if __name__ == "__main__":
    unittest.main()
