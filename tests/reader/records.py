"""The names, envelopes and bodies of docs/FORMAT.md, chapters 2 to 5 and 7, as dataclasses.

Promise: parse() of a class here refuses what its table refuses. Not here: signatures and keys
(repository.py), tree pages (pages.py).
"""
from __future__ import annotations

import dataclasses
import re

from wire import (ID, TEXT, TIME, U8, U16, U32, U64, Bytes, Codec, Counted, List, Number, Option, Record,
                  Refused, Source, Times, Unsupported, When, encode, need, need_ascending, parse, record,
                  sorted_list, wire)

CHUNK_MAX, PACK_MAX = 1 << 23, 1 << 26
BODY_MAX, EXTRA_MAX, SEALED_MAX, CLEAR_MAX = 1 << 26, 1 << 20, 71303168, 1 << 20
MANY, SOME = 1 << 20, 4096
WRITER, READER, MAINTAINER, ISSUER, ADMIN = 1, 2, 4, 8, 16
ADMINISTRATOR = bytes(16)
KID = Bytes(16)

KINDS = ("config cert wrap revoked caps index snapshot session heartbeat end condemn fence seal forget union "
         "catalog").split()
CLEAR_KINDS = KINDS[:5]


def _pattern(text: str) -> re.Pattern[str]:
    widths = {
        "n": 8, "level": 4, "sequence": 8, "kid": 32, "session": 32, "run": 32, "tag": 16, "snapshot": 64,
        "pack": 64, "hh": 2, "nonce": 32
    }
    return re.compile(
        re.sub(r"<(\w+)>", lambda m: f"(?P<{m[1]}>[0-9a-f]{{{widths[m[1]]}}})", text.replace(".", r"\.")))


OBJECT_NAMES = {
    "config": "config/<n>", "cert": "keys/<kid>/cert-<n>", "wrap": "keys/<kid>/wrap-<n>", "revoked":
    "keys/<kid>/revoked", "data": "data/<hh>/<pack>", "meta": "meta/<hh>/<pack>", "index":
    "index/<level>/<session>-<n>", "snapshot": "snapshots/<tag>/<session>-<n>", "caps":
    "caps/<snapshot>/<kid>", "session": "sessions/<session>", "heartbeat": "sessions/<session>.hb", "end":
    "sessions/<session>.end", "condemn": "maint/condemn/<session>-<n>", "fence": "maint/fence/<session>",
    "seal": "maint/seal/<session>-<run>", "forget": "maint/forget/<snapshot>", "union":
    "maint/union/<level>/<run>-<n>", "catalog": "maint/catalog/<sequence>-<run>", "probe": "probe/<nonce>"
}
PATTERNS = {kind: _pattern(text) for kind, text in OBJECT_NAMES.items()}


@dataclasses.dataclass(frozen=True)
class Name:
    """An object's name, taken apart. Ids are bytes, numbers ints; what a kind does not have is empty or 0."""

    text: str
    kind: str
    kid: bytes = b""
    session: bytes = b""
    run: bytes = b""
    tag: bytes = b""
    snapshot: bytes = b""
    pack: bytes = b""
    hh: bytes = b""
    nonce: bytes = b""
    n: int = 0
    level: int = 0
    sequence: int = 0


def parse_name(text: str) -> Name | None:
    """None for a name that follows no pattern."""
    for kind, pattern in PATTERNS.items():
        if match := pattern.fullmatch(text):
            parts = {
                key: int(value, 16) if key in ("n", "level", "sequence") else bytes.fromhex(value)
                for key, value in match.groupdict().items()
            }
            name = Name(text, kind, **parts)  # type: ignore[arg-type]
            return name if name.hh == name.pack[:1] else None
    return None


def parse_text_name(text: bytes, kinds: tuple[str, ...] = ()) -> Name:
    """The name in a `text` field; it must follow a pattern, of one of `kinds` if any are given."""
    need(1 <= len(text) <= 200, f"object name of {len(text)} bytes")
    name = parse_name(text.decode("latin-1"))
    if name is None or (kinds and name.kind not in kinds):
        raise Refused(f"{text!r} may not be named here")
    return name


@record
class PackName:
    kind: int = wire(Number(1, 1, 2))
    pack: bytes = wire(ID)

    def path(self) -> str:
        return f"{('data', 'meta')[self.kind - 1]}/{self.pack[:1].hex()}/{self.pack.hex()}"


@record
class IndexName:
    level: int = wire(U16)
    session: bytes = wire(KID)
    n: int = wire(U32)


@record
class SnapshotName:
    tag: bytes = wire(Bytes(8))
    session: bytes = wire(KID)
    n: int = wire(U32)

    def path(self) -> str:
        return f"snapshots/{self.tag.hex()}/{self.session.hex()}-{self.n:08x}"


@record
class CondemnName:
    session: bytes = wire(KID)
    n: int = wire(U32)


@record
class UnionName:
    level: int = wire(U16)
    run: bytes = wire(KID)
    n: int = wire(U32)


@record
class CatalogName:
    sequence: int = wire(U32)
    run: bytes = wire(KID)


@record
class Proof:
    kid: bytes = wire(KID)
    r: bytes = wire(Bytes(32))


# Chapter 4: envelopes.


@record
class Clear:
    magic: bytes = wire(Bytes(4))
    kind: int = wire(Number(1, 1, len(CLEAR_KINDS)))
    version: int = wire(Number(1, 1, 1))
    reserved: int = wire(Number(2, 0, 0))
    body: bytes = wire(Counted(Number(4, high=CLEAR_MAX)))
    signer: bytes = wire(KID)
    signature: bytes = wire(Bytes(64))

    def __post_init__(self) -> None:
        need(self.magic == b"FIRN", "no FIRN magic")


@record
class Signed:
    """The plaintext of a sealed object, without its padding."""

    body: bytes = wire(Counted(Number(4, high=BODY_MAX)))
    signer: bytes = wire(KID)
    signature: bytes = wire(Bytes(64))
    extra: bytes = wire(Counted(Number(4, high=EXTRA_MAX)))


# Chapter 3.4: secrets.


@record
class Secret:
    tag: int = wire(Number(1, 1, 8))
    value: bytes = wire(Bytes(32))


class _Secrets(Codec):
    def read(self, source: Source) -> tuple[Secret, ...]:
        secrets = Times(U8.read(source), Record(Secret)).read(source)
        need_ascending([secret.tag for secret in secrets], "tags")
        return secrets

    def write(self, value: tuple[Secret, ...]) -> bytes:
        return U8.write(len(value)) + b"".join(map(encode, value))


@record
class Secrets:
    repository: bytes = wire(KID)
    administrator: bytes = wire(ID)
    secrets: tuple[Secret, ...] = wire(_Secrets())

    def __post_init__(self) -> None:
        tags = {secret.tag for secret in self.secrets}
        need({6, 7} <= tags, "secrets without the key's own pairs")
        need(1 not in tags or {2, 3, 4} <= tags, "K_root without the keys that it gives")


# Chapter 5: bodies.


@record
class Config:
    repository: bytes = wire(KID)
    format: int = wire(U32)
    created: int = wire(TIME)
    features: tuple[bytes, ...] = wire(sorted_list(TEXT, SOME))
    pack_size: int = wire(Number(4, 1 << 20, PACK_MAX))
    chunker: int = wire(Number(1, 1, 1))
    chunk_min: int = wire(Number(4, 1024, CHUNK_MAX))
    chunk_average: int = wire(Number(4, 1024, CHUNK_MAX))
    chunk_max: int = wire(Number(4, 1024, CHUNK_MAX))
    bundle_size: int = wire(Number(4, 4096, 1 << 22))
    administrator: bytes = wire(ID)

    def __post_init__(self) -> None:
        need(self.chunk_min <= self.chunk_average <= self.chunk_max, "chunk sizes out of order")
        need(all(re.fullmatch(rb"[a-z0-9-]{1,64}", name) for name in self.features), "a feature's name")


def parse_config(body: bytes) -> Config:
    """Raises Unsupported for another format, whatever its body looks like, and for unknown features."""
    if int.from_bytes(body[16:20], "little") != 1:
        raise Unsupported(f"repository format {int.from_bytes(body[16:20], 'little')}")
    config = parse(Config, body)
    if config.features:
        raise Unsupported("required features: " + ", ".join(name.decode() for name in config.features))
    return config


@record
class Cert:
    repository: bytes = wire(KID)
    roles: int = wire(Number(1, 1, 31))
    ed25519: bytes = wire(ID)
    x25519: bytes = wire(ID)
    created: int = wire(TIME)
    not_before: int = wire(TIME)
    not_after: int = wire(TIME)
    user: bytes = wire(TEXT)
    host: bytes = wire(TEXT)

    def __post_init__(self) -> None:
        need(self.not_before <= self.not_after, "validity ends before it begins")


@record
class Wrap:
    repository: bytes = wire(KID)
    method: int = wire(Number(1, 1, 3))
    log2_n: int | None = wire(When(lambda wrap: wrap.method == 1, Number(1, 1, 20)))
    r: int | None = wire(When(lambda wrap: wrap.method == 1, Number(4, 1, 32)))
    p: int | None = wire(When(lambda wrap: wrap.method == 1, Number(4, 1, 16)))
    salt: bytes = wire(Bytes(32))
    commitment: bytes = wire(Bytes(32))
    sealed: bytes = wire(Counted(Number(2, 16, 4096)))

    def __post_init__(self) -> None:
        if self.method == 1 and self.log2_n and self.r:
            need((self.r << self.log2_n) * 128 <= 1 << 28, "scrypt costs above the limit")


def parse_wrap(body: bytes) -> Wrap:
    if body[16:17] == b"\3":
        raise Unsupported("a key that a command unwraps")
    return parse(Wrap, body)


@record
class Revoked:
    repository: bytes = wire(KID)
    kid: bytes = wire(KID)
    time: int = wire(TIME)
    sessions: tuple[bytes, ...] = wire(sorted_list(KID, MANY))


@record
class Snapshot:
    repository: bytes = wire(KID)
    name: SnapshotName = wire(Record(SnapshotName))
    proof: Proof = wire(Record(Proof))
    parent: bytes | None = wire(Option(ID))
    original: bytes | None = wire(Option(ID))
    source: bytes = wire(TEXT)
    places: tuple[bytes, ...] = wire(Times(7, TEXT))  # cluster, node, namespace, pod, volume, PVC uid, host
    paths: tuple[bytes, ...] = wire(List(TEXT, SOME))
    tags: tuple[bytes, ...] = wire(List(TEXT, SOME))
    excludes: tuple[bytes, ...] = wire(List(TEXT, SOME))
    user: bytes = wire(TEXT)
    uid: int = wire(U32)
    gid: int = wire(U32)
    program: bytes = wire(TEXT)
    request: bytes = wire(TEXT)
    sequence: int = wire(U64)
    time: int = wire(TIME)
    backup_start: int = wire(TIME)
    backup_end: int = wire(TIME)
    counters: tuple[int, ...] = wire(Times(15, U64))
    root: bytes = wire(ID)
    refs_root: bytes = wire(ID)
    notes: tuple[bytes, ...] = wire(List(TEXT, SOME))

    def __post_init__(self) -> None:
        need(self.source, "empty source id")


@record
class Capability:
    recipient: bytes = wire(KID)
    sealed: bytes = wire(Bytes(80))


@record
class FirstCapabilities:
    """The extra bytes of a snapshot."""

    capabilities: tuple[Capability,
                        ...] = wire(List(Record(Capability), SOME, key=lambda item: item.recipient))


@record
class PackEntry:
    id: bytes = wire(ID)
    offset: int = wire(U32)
    stored: int = wire(U32)
    plain: int = wire(Number(4, 1, CHUNK_MAX))
    type: int = wire(Number(1, 1, 5))
    codec: int = wire(Number(1, 0, 1))

    def __post_init__(self) -> None:
        raw = self.plain + 28
        need(self.stored == raw if self.codec == 0 else 29 <= self.stored < raw,
             "stored length does not fit the codec")


ENTRIES = List(Record(PackEntry), 65536, low=1)


def check_pack_entries(kind: int, entries: tuple[PackEntry, ...], end: int, dense: bool) -> None:
    """5.7 and, if `dense`, the stricter rules of a trailer (chapter 7)."""
    at = 24
    for entry in entries:
        need(entry.offset == at if dense else entry.offset >= at, "pack entries overlap or leave a gap")
        at = entry.offset + entry.stored
    need(at <= end, "pack entry ends outside the pack")
    kinds = [entry.type for entry in entries]
    need(set(kinds) <= ({1, 2} if kind == 1 else {3, 4, 5}), "chunk type in a pack of the wrong kind")
    need([t == 5 for t in kinds] == sorted(t == 5 for t in kinds), "tree chunk after a refs page")
    need(not dense or len({entry.id for entry in entries}) == len(entries), "one id twice in a trailer")


@record
class IndexedPack:
    name: PackName = wire(Record(PackName))
    size: int = wire(Number(4, high=PACK_MAX))
    entries: tuple[PackEntry, ...] = wire(ENTRIES)

    def __post_init__(self) -> None:
        check_pack_entries(self.name.kind, self.entries, self.size, dense=False)


@record
class Index:
    proof: Proof = wire(Record(Proof))
    level: int = wire(U16)
    replaces: tuple[IndexName, ...] = wire(sorted_list(Record(IndexName), MANY))
    packs: tuple[IndexedPack, ...] = wire(List(Record(IndexedPack), MANY, key=lambda pack: pack.name))

    def __post_init__(self) -> None:
        need(all(name.level < self.level for name in self.replaces), "replaces what is not of a lower level")


@record
class Session:
    proof: Proof = wire(Record(Proof))
    kind: int = wire(Number(1, 1, 3))
    machine: bytes = wire(KID)
    boot: bytes = wire(KID)
    pid_namespace: int = wire(U64)
    pid: int = wire(U32)
    process_start: int = wire(U64)
    places: tuple[bytes, ...] = wire(Times(3, TEXT))  # host, node, program
    start: int = wire(TIME)


@record
class Heartbeat:
    proof: Proof = wire(Record(Proof))
    count: int = wire(U64)
    time: int = wire(TIME)


@record
class End:
    proof: Proof = wire(Record(Proof))
    time: int = wire(TIME)


@record
class Condemn:
    proof: Proof = wire(Record(Proof))
    time: int = wire(TIME)
    packs: tuple[PackName, ...] = wire(sorted_list(Record(PackName), MANY, low=1))


@record
class Fence:
    proof: Proof = wire(Record(Proof))
    session: bytes = wire(KID)
    reason: int = wire(Number(1, 1, 5))
    time: int = wire(TIME)


@record
class Seal:
    proof: Proof = wire(Record(Proof))
    session: bytes = wire(KID)
    time: int = wire(TIME)
    snapshots: tuple[bytes, ...] = wire(sorted_list(ID, MANY))


@record
class Forget:
    name: SnapshotName = wire(Record(SnapshotName))
    time: int = wire(TIME)


@record
class Carried:
    name: bytes = wire(TEXT)
    stored: int = wire(TIME)
    body: bytes = wire(Counted(Number(4, high=BODY_MAX)))
    signer: bytes = wire(KID)
    signature: bytes = wire(Bytes(64))


def _carried() -> List:
    return List(Record(Carried), MANY, key=lambda item: item.name)


@record
class Union:
    proof: Proof = wire(Record(Proof))
    level: int = wire(Number(2, 1))
    time: int = wire(TIME)
    replaces: tuple[UnionName, ...] = wire(sorted_list(Record(UnionName), MANY))
    records: tuple[Carried, ...] = wire(_carried())

    def __post_init__(self) -> None:
        need(all(name.level < self.level for name in self.replaces), "replaces what is not of a lower level")
        for carried in self.records:
            parse_text_name(carried.name, ("condemn", "seal", "forget"))


@record
class Barrier:
    time: int = wire(TIME)
    condemns: tuple[CondemnName, ...] = wire(sorted_list(Record(CondemnName), MANY))
    sessions: tuple[bytes, ...] = wire(sorted_list(KID, MANY))


@record
class Gone:
    name: bytes = wire(TEXT)
    reason: int = wire(Number(1, 1, 4))
    because: bytes = wire(TEXT)
    time: int = wire(TIME)

    def __post_init__(self) -> None:
        parse_text_name(self.name)
        parse_text_name(self.because)


@record
class Retained:
    name: bytes = wire(TEXT)
    until: int = wire(TIME)

    def __post_init__(self) -> None:
        parse_text_name(self.name)


@record
class Catalog:
    proof: Proof = wire(Record(Proof))
    sequence: int = wire(U32)
    time: int = wire(TIME)
    supersedes: tuple[CatalogName, ...] = wire(sorted_list(Record(CatalogName), MANY))
    snapshots: tuple[Carried, ...] = wire(_carried())
    indexes: tuple[IndexName, ...] = wire(sorted_list(Record(IndexName), MANY))
    barriers: tuple[Barrier, ...] = wire(List(Record(Barrier), MANY))
    gone: tuple[Gone, ...] = wire(List(Record(Gone), MANY, key=lambda item: item.name))
    retained: tuple[Retained, ...] = wire(List(Record(Retained), MANY, key=lambda item: item.name))

    def __post_init__(self) -> None:
        need(all(name.sequence < self.sequence for name in self.supersedes), "supersedes what is not older")
        for carried in self.snapshots:
            parse_text_name(carried.name, ("snapshot", ))


@record
class PackHeader:
    magic: bytes = wire(Bytes(4))
    version: int = wire(Number(1, 1, 1))
    kind: int = wire(Number(1, 1, 2))
    reserved: int = wire(Number(2, 0, 0))
    repository: bytes = wire(KID)

    def __post_init__(self) -> None:
        need(self.magic == b"FIRN", "no FIRN magic")


@record
class Trailer:
    """Without its padding."""

    session: bytes = wire(KID)
    entries: tuple[PackEntry, ...] = wire(ENTRIES)


BODIES = {
    "config": Config, "cert": Cert, "wrap": Wrap, "revoked": Revoked, "caps": Capability, "index": Index,
    "snapshot": Snapshot, "session": Session, "heartbeat": Heartbeat, "end": End, "condemn": Condemn, "fence":
    Fence, "seal": Seal, "forget": Forget, "union": Union, "catalog": Catalog
}
