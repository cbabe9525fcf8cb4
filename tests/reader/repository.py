"""Opens a firn repository in a local directory: docs/FORMAT.md, chapter 9, steps 1 to 8.

Promise: what a member returns was signed by who may sign it, and a chunk is the one that its capability
names. What must be ignored (an object that anybody could have put there) is noted in `ignored` and left
out. Read only.
"""
from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
from typing import Any, Iterator

import crypto
import hashlib
from records import (ADMIN, ADMINISTRATOR, BODIES, CLEAR_KINDS, CLEAR_MAX, ISSUER, KINDS, MAINTAINER,
                     OBJECT_NAMES, PACK_MAX, READER, SEALED_MAX, WRITER, Capability, Carried, Cert, Clear,
                     Config, FirstCapabilities, Name, PackEntry, PackHeader, PackName, Revoked, Secrets,
                     Signed, Snapshot, Trailer, check_pack_entries, parse_config, parse_name, parse_text_name,
                     parse_wrap)
from wire import Record, Refused, Source, Unsupported, encode, need, parse

NINETY_DAYS = 90 * 86400 * 10**9
K_ROOT, K_CONTENT, K_META, K_PSK, K_CUT, SEED, PRIVATE, ADMINISTRATOR_SEED = range(1, 9)
DATA, BUNDLE, TREE, SLICES, REFS = range(1, 6)
CACHE_BYTES_MAX = 64 << 20


class WrongKey(Exception):
    """No wrap opens with this password or key."""


def message_to_sign(name: Name, body: bytes) -> bytes:
    return b"firn/v1/sig/" + name.kind.encode() + b"\0" + name.text.encode() + b"\0" + crypto.sha256(body)


def open_clear(name: Name, data: bytes) -> Signed:
    """Parses; does not verify."""
    need(len(data) <= CLEAR_MAX, "clear object too long")
    clear = parse(Clear, data)
    need(clear.kind == KINDS.index(name.kind) + 1, "clear object of another kind than its name")
    return Signed(clear.body, clear.signer, clear.signature, b"")


def open_sealed(name: Name, data: bytes, meta_key: bytes) -> Signed:
    """Decrypts and parses; does not verify."""
    need(64 <= len(data) <= SEALED_MAX, "sealed object of a wrong length")
    info = b"firn/v1/" + name.kind.encode() + b"\0" + name.text.encode()
    plain = crypto.open_committed(meta_key, data[:32], data[32:64], info, b"", data[64:])
    source = Source(plain)
    signed: Signed = Record(Signed).read(source)
    need(len(plain) == crypto.padme(source.at) and not any(plain[source.at:]), "wrong padding")
    need(name.kind == "snapshot" or not signed.extra, "extra bytes where there are none")
    return signed


def open_secrets(name: Name, signed: Signed, password: bytes | None, raw_key: bytes | None) -> Secrets | None:
    """The secrets of a wrap, None if it is for another password or key."""
    wrap = parse_wrap(signed.body)
    if wrap.method == 1 and password is not None and wrap.log2_n and wrap.r and wrap.p:
        key = hashlib.scrypt(password,
                             salt=wrap.salt,
                             n=1 << wrap.log2_n,
                             r=wrap.r,
                             p=wrap.p,
                             maxmem=1 << 30,
                             dklen=32)
    elif wrap.method == 2 and raw_key is not None:
        key = raw_key
    else:
        return None
    both = crypto.hkdf(key, wrap.salt, b"firn/v1/wrap\0" + name.text.encode(), 64)
    if both[32:] != wrap.commitment:
        return None
    aad = signed.body[:len(signed.body) - 32 - 2 - len(wrap.sealed)]
    secrets = parse(Secrets, crypto.gcm_open(both[:32], crypto.ZERO_NONCE, aad, wrap.sealed, "wrap"))
    keys = {secret.tag: secret.value for secret in secrets.secrets}
    ed25519, x25519 = crypto.ed25519_public(keys[SEED]), crypto.x25519_public(keys[PRIVATE])
    need(
        kid_of(ed25519, x25519) == name.kid == signed.signer, "the wrap holds another key than its name says")
    crypto.verify(ed25519, signed.signature, message_to_sign(name, signed.body))
    if ADMINISTRATOR_SEED in keys:
        need(
            crypto.ed25519_public(keys[ADMINISTRATOR_SEED]) == secrets.administrator,
            "another administrator's pair")
    if K_ROOT in keys:
        for tag, word in ((K_CONTENT, b"content"), (K_META, b"meta"), (K_PSK, b"psk")):
            need(keys[tag] == crypto.hkdf(keys[K_ROOT], b"", b"firn/v1/" + word, 32),
                 f"K_{word.decode()} is not K_root's")
    need(wrap.repository == secrets.repository, "wrap of another repository")
    return secrets


def kid_of(ed25519: bytes, x25519: bytes) -> bytes:
    return crypto.sha256(ed25519 + x25519)[:16]


def read_key_file(data: bytes) -> tuple[bytes, bytes | None]:
    """(raw key, kid if the file says it)."""
    if len(data) == 32:
        return data, None
    need(
        len(data) == 109 and data.startswith(b"firn-key-1 ") and data[43:44] == b" " and data[-1:] == b"\n",
        "not a key file")
    need(not set(data[11:43] + data[44:108]) - set(b"0123456789abcdef"), "not a key file")
    return bytes.fromhex(data[44:108].decode()), bytes.fromhex(data[11:43].decode())


def session_of(kid: bytes, r: bytes) -> bytes:
    return crypto.sha256(b"firn/v1/session" + kid + r)[:16]


@dataclasses.dataclass(frozen=True)
class Listed:
    """A snapshot that counts."""

    id: bytes
    name: Name
    body: Snapshot
    extra: bytes


class Repository:
    def __init__(self,
                 folder: str | os.PathLike[str],
                 password: bytes | None = None,
                 key_file: bytes | None = None) -> None:
        self.folder = pathlib.Path(folder)
        self.ignored: list[str] = []
        self.certs: dict[bytes, Cert] = {}  # by kid, the highest that counts
        self.revoked: dict[bytes, Revoked] = {}
        self.index: dict[bytes, list[tuple[PackName, PackEntry]]] = {}
        self.pack_sizes: dict[PackName, int] = {}
        self._chunks: collections.OrderedDict[bytes, bytes] = collections.OrderedDict()
        self._unlock(password, key_file)
        self.config = self._read_config()
        self._read_certs()
        self._read_revocations(by_administrator=False)

    # The store.

    def names(self, *kinds: str) -> list[Name]:
        """What the store holds of these kinds, by name."""
        found = []
        for top in sorted({OBJECT_NAMES[kind].split("/")[0] for kind in kinds}):
            for path in sorted((self.folder / top).rglob("*")):
                name = parse_name(path.relative_to(self.folder).as_posix())
                if name and name.kind in kinds and path.is_file():
                    found.append(name)
        return sorted({name.text: name for name in found}.values(), key=lambda name: name.text.encode())

    def get(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        try:
            with open(self.folder / name, "rb") as file:
                file.seek(offset)
                return file.read(-1 if size is None else size)
        except FileNotFoundError:
            raise Refused(f"{name} does not exist") from None

    # Steps 1 to 3: keys, config, roles.

    def _unlock(self, password: bytes | None, key_file: bytes | None) -> None:
        raw_key, wanted = read_key_file(key_file) if key_file is not None else (None, None)
        for name in self.names("wrap"):
            if wanted in (None, name.kid):
                try:
                    secrets = open_secrets(name, open_clear(name, self.get(name.text)), password, raw_key)
                except Refused as why:
                    self.ignored.append(f"{name.text}: {why}")
                    continue
                if secrets:
                    self.kid, self.secrets = name.kid, secrets
                    self.keys = {secret.tag: secret.value for secret in secrets.secrets}
                    need(K_META in self.keys, "the key holds no K_meta")
                    self.refs_key = crypto.hkdf(self.keys[K_META], b"", b"firn/v1/refs", 32)
                    return
        raise WrongKey("wrong password or key" if self.names("wrap") else f"no repository in {self.folder}")

    def _read_config(self) -> Config:
        for name in reversed(self.names("config")):
            try:
                signed = open_clear(name, self.get(name.text))
                need(signed.signer == ADMINISTRATOR, "config not signed by the administrator")
                self._verify(name, signed)
                need(signed.body[:16] == self.secrets.repository, "config of another repository")
                config = parse_config(signed.body)
                need(config.administrator == self.secrets.administrator, "config names another administrator")
                return config
            except Unsupported:
                raise
            except Refused as why:
                self.ignored.append(f"{name.text}: {why}")
        raise Refused("no config is signed by this key's administrator: the store has been tampered with")

    def _read_certs(self) -> None:
        """First what the administrator signed, which alone makes issuers; then what issuers signed."""
        parsed = []
        for name in self.names("cert"):
            try:
                signed = open_clear(name, self.get(name.text))
                cert = parse(Cert, signed.body)
                need(cert.repository == self.config.repository, "cert of another repository")
                need(kid_of(cert.ed25519, cert.x25519) == name.kid, "cert of another key than its name says")
                parsed.append((name, signed, cert))
            except Refused as why:
                self.ignored.append(f"{name.text}: {why}")
        parsed.sort(key=lambda item: item[0].n)
        for name, signed, cert in parsed:
            if signed.signer == ADMINISTRATOR:
                self._keep(name, lambda: self._verify(name, signed),
                           lambda: self.certs.__setitem__(name.kid, cert))
        self._read_revocations(by_administrator=True)  # a revoked issuer vouches for nobody
        by_administrator, numbers = dict(
            self.certs), {n.kid: n.n
                          for n, s, _ in parsed if s.signer == ADMINISTRATOR}
        for name, signed, cert in parsed:
            if signed.signer != ADMINISTRATOR:

                def check() -> None:
                    issuer = by_administrator.get(signed.signer)
                    need(issuer and issuer.roles & ISSUER, "cert signed by a key that may not")
                    need(signed.signer not in self.revoked, "cert signed by a revoked issuer")
                    earlier = by_administrator.get(name.kid, cert)
                    need(earlier.roles == WRITER, "an issuer takes no role from a key")
                    need(cert.roles == WRITER and cert.not_after - cert.not_before <= NINETY_DAYS,
                         "more than an issuer may grant")
                    assert issuer
                    crypto.verify(issuer.ed25519, signed.signature, message_to_sign(name, signed.body))
                    if name.n >= numbers.get(name.kid, 0):
                        self.certs[name.kid] = cert

                self._keep(name, check)

    def _keep(self, name: Name, *steps: Any) -> None:
        try:
            for step in steps:
                step()
        except Refused as why:
            self.ignored.append(f"{name.text}: {why}")

    def _read_revocations(self, by_administrator: bool) -> None:
        for name in self.names("revoked"):
            try:
                signed = open_clear(name, self.get(name.text))
                if (signed.signer == ADMINISTRATOR) != by_administrator:
                    continue
                revoked = parse(Revoked, signed.body)
                need(revoked.kid == name.kid and revoked.repository == self.config.repository,
                     "revokes something else")
                if signed.signer != ADMINISTRATOR:
                    issuer = self.certs.get(signed.signer)
                    need(issuer and issuer.roles & ISSUER, "revoked by a key that may not")
                    need(signed.signer not in self.revoked, "revoked by a revoked issuer")
                    need(name.kid in self.certs and self.certs[name.kid].roles == WRITER,
                         "an issuer revokes only writers")
                self._verify(name, signed)
                self.revoked[name.kid] = revoked
            except Refused as why:
                self.ignored.append(f"{name.text}: {why}")

    def _need_role(self, kid: bytes, roles: int) -> None:
        may = kid == ADMINISTRATOR or (kid in self.certs and self.certs[kid].roles & (roles | ADMIN))
        need(may, f"signer {kid.hex()} may not sign this")

    def _verify(self, name: Name, signed: Signed) -> None:
        if signed.signer == ADMINISTRATOR:
            key = self.secrets.administrator
        else:
            need(signed.signer in self.certs, f"signer {signed.signer.hex()} has no certificate")
            key = self.certs[signed.signer].ed25519
        crypto.verify(key, signed.signature, message_to_sign(name, signed.body))

    # Signed objects.

    def read(self, name: Name) -> tuple[Any, bytes]:
        """(body, extra bytes) of an object, checked by all rules of chapters 2 to 5."""
        data = self.get(name.text, size=SEALED_MAX + 1)
        signed = open_clear(name, data) if name.kind in CLEAR_KINDS else open_sealed(
            name, data, self.keys[K_META])
        if name.kind == "snapshot":
            parse(FirstCapabilities, signed.extra)
        return self.check_signed(name, signed), signed.extra

    def check_signed(self, name: Name, signed: Signed) -> Any:
        body: Any = parse(BODIES[name.kind], signed.body)
        proof = getattr(body, "proof", None)
        if name.kind == "snapshot":
            need(body.name.path() == name.text, "snapshot under another name")
            need(body.repository == self.config.repository, "snapshot of another repository")
            self._need_role(signed.signer, WRITER | READER)
        elif name.kind == "caps":
            need(body.recipient == name.kid, "capability for another key than its name says")
            self._need_role(signed.signer, READER)
        elif name.kind in ("condemn", "fence", "seal", "forget", "union", "catalog"):
            self._need_role(signed.signer, MAINTAINER)
        if proof:
            need(proof.kid == signed.signer, "signed by another key than the proof's")
            need(name.kind == "fence" or session_of(proof.kid, proof.r) == (name.run or name.session),
                 "proof of another session")
        self._verify(name, signed)
        if name.kind in ("fence", "seal"):
            need(body.session == name.session, f"{name.kind} of another session than its name says")
        elif name.kind == "forget":
            need(snapshot_id(body.name.path()) == name.snapshot, "tombstone of another snapshot")
        elif name.kind in ("index", "union"):
            need(body.level == name.level, "level differs from the name")
        elif name.kind == "catalog":
            need(body.sequence == name.sequence, "sequence differs from the name")
        return body

    def _readable(self, *kinds: str) -> Iterator[tuple[Name, Any, bytes]]:
        for name in self.names(*kinds):
            try:
                yield name, *self.read(name)
            except Refused as why:
                self.ignored.append(f"{name.text}: {why}")

    def carried(self, items: tuple[Carried, ...]) -> Iterator[tuple[Name, Any]]:
        for item in items:
            name = parse_text_name(item.name)
            try:
                yield name, self.check_signed(name, Signed(item.body, item.signer, item.signature, b""))
            except Refused as why:
                self.ignored.append(f"carried {name.text}: {why}")

    # Steps 4 and 5: which snapshots count.

    def snapshots(self) -> list[Listed]:
        forgotten: set[bytes] = set()
        sealed: dict[bytes, set[bytes]] = {}
        for name, body, _ in self._readable("forget", "seal", "union"):
            for inner, record in self.carried(body.records) if name.kind == "union" else [(name, body)]:
                if inner.kind == "forget":
                    forgotten.add(inner.snapshot)
                elif inner.kind == "seal":
                    kept = set(record.snapshots)
                    sealed[record.session] = sealed.get(record.session, kept) & kept
        found = []
        for name, body, extra in self._readable("snapshot"):
            id = snapshot_id(name.text)
            revoked = self.revoked.get(body.proof.kid)
            void = id not in sealed.get(name.session, {id}) or (revoked
                                                                and name.session not in revoked.sessions)
            if id not in forgotten and not void:
                found.append(Listed(id, name, body, extra))
        return sorted(found, key=lambda item: (item.body.time, item.id))

    # Step 6: the capability of a root page.

    def root_capability(self, snapshot: Listed) -> bytes:
        need(K_PSK in self.keys, "a key of this role reads no snapshots")
        first: tuple[Capability, ...] = parse(FirstCapabilities, snapshot.extra).capabilities
        candidates = [item for item in first if item.recipient == self.kid]
        later = parse_name(f"caps/{snapshot.id.hex()}/{self.kid.hex()}")
        assert later
        why = "this key has no capability for the snapshot"
        if (self.folder / later.text).exists():
            candidates.append(self.read(later)[0])
        for candidate in candidates:
            try:
                return self._open_capability(snapshot, candidate)
            except Refused as refused:
                why = str(refused)
        raise Refused(f"{snapshot.id.hex()}: {why}")

    def _open_capability(self, snapshot: Listed, sealed: Capability) -> bytes:
        info = b"firn/v1/cap" + self.config.repository + snapshot.name.text.encode() + sealed.recipient
        t = crypto.hpke_psk_open(self.keys[PRIVATE], self.keys[K_PSK], b"firn/v1/psk", info, sealed.sealed)
        need(crypto.hmac(t, b"firn/id") == snapshot.body.root, "capability of another root")
        return t

    # Steps 7 and 8: index, packs, chunks.

    def read_index(self) -> None:
        for _, body, _ in self._readable("index"):
            for pack in body.packs:
                self.pack_sizes.setdefault(pack.name, pack.size)
                for entry in pack.entries:
                    places = self.index.setdefault(entry.id, [])
                    if (pack.name, entry) not in places:
                        places.append((pack.name, entry))

    def chunk(self, t: bytes, *types: int) -> bytes:
        """The plaintext of the chunk with capability t."""
        return self._read_chunk(crypto.hmac(t, b"firn/id"), crypto.hmac(t, b"firn/key"), types,
                                lambda kind, plain: crypto.capability(self.keys[K_CONTENT], kind, plain) == t)

    def refs_chunk(self, id: bytes) -> bytes:
        return self._read_chunk(id, crypto.hmac(self.refs_key, b"key" + id), (REFS, ),
                                lambda _, plain: crypto.hmac(self.refs_key, b"id" + plain) == id)

    def _read_chunk(self, id: bytes, key: bytes, types: tuple[int, ...], is_right: Any) -> bytes:
        if id in self._chunks:
            self._chunks.move_to_end(id)
            return self._chunks[id]
        why = ["no index names it"]
        for pack, entry in self.index.get(id, []):
            try:
                need(entry.type in types, f"it is of type {entry.type}")
                plain = self._open_chunk(pack, entry, key)
                need(is_right(entry.type, plain), "its plaintext is another's")
            except Refused as refused:
                why.append(f"{pack.path()}: {refused}")
                continue
            self._chunks[id] = plain
            while sum(map(len, self._chunks.values())) > CACHE_BYTES_MAX:
                self._chunks.popitem(last=False)
            return plain
        raise Refused(f"chunk {id.hex()} is lost: {'; '.join(why[-3:])}")

    def _open_chunk(self, pack: PackName, entry: PackEntry, key: bytes) -> bytes:
        stored = self.get(pack.path(), entry.offset, entry.stored)
        need(len(stored) == entry.stored, "the pack ends inside the chunk")
        aad = (b"firn/v1/chunk" + self.config.repository + entry.id + bytes([entry.type, entry.codec]) +
               entry.plain.to_bytes(4, "little"))
        encoded = crypto.gcm_open(key, stored[:12], aad, stored[12:], "chunk")
        plain = crypto.unzstd(encoded, entry.plain) if entry.codec else encoded
        need(len(plain) == entry.plain, "chunk of another length")
        return plain

    def check_pack(self, name: PackName) -> Trailer:
        """Reads a whole pack: its name, its body hash, its trailer."""
        data = self.get(name.path(), size=PACK_MAX + 1)
        need(len(data) <= PACK_MAX, "pack too long")
        return open_pack(name, data, self.config.repository, self.keys[K_META])


def open_pack(name: PackName, data: bytes, repository: bytes, meta_key: bytes) -> Trailer:
    """Checks all of a pack but the insides of its chunks (chapter 7)."""
    need(crypto.tree_hash(b"firn/v1/pack", data) == name.pack, "the pack's bytes are not those of its name")
    header: PackHeader = Record(PackHeader).read(Source(data))
    need(header.kind == name.kind and header.repository == repository, "header of another pack")
    need(len(data) >= 24 + 8 and data[-4:] == b"NRIF", "no NRIF at the end")
    size = int.from_bytes(data[-8:-4], "little")
    body_end = len(data) - 8 - size
    need(size >= 112 and body_end >= 24, "trailer length")
    body_hash, sealed = data[body_end:body_end + 32], data[body_end + 32:-8]
    need(crypto.tree_hash(b"firn/v1/pack-body", data[:body_end]) == body_hash, "body hash")
    plain = crypto.open_committed(meta_key, sealed[:32], sealed[32:64], b"firn/v1/trailer\0" + repository,
                                  body_hash, sealed[64:])
    source = Source(plain)
    trailer: Trailer = Record(Trailer).read(source)
    need(len(plain) == -(-source.at // 4096) * 4096 and not any(plain[source.at:]), "trailer padding")
    check_pack_entries(name.kind, trailer.entries, body_end, dense=True)
    need(encode(trailer) == plain[:source.at], "trailer does not encode back")
    return trailer


def snapshot_id(path: str) -> bytes:
    return crypto.sha256(b"firn/v1/snapshot" + path.encode())
