"""Tree pages, slice pages, refs pages, hole maps and xattrs: docs/FORMAT.md, chapter 8, as pure functions.

Promise: a page is parsed whole and refused whole; its order is checked. Not here: fetching pages
(tree.py).
"""
from __future__ import annotations

import dataclasses
from typing import Any, Callable

from wire import (ID, Bytes, Codec, Counted, Instant, List, Number, Record, Source, Varint, When, encode,
                  need, need_ascending, record, sorted_list, wire)

PAGE_MAX, ENTRY_MAX, PATH_MAX, SEPARATOR_MAX, XATTRS_MAX = 1 << 18, 16384, 32768, 65793, 1 << 23
REGULAR, DIRECTORY, SYMLINK, FIFO, SOCKET, BLOCK, CHARACTER = range(1, 8)
CHANGED, ATIME, HOLES, DIGEST, XATTRS, INODE_FLAGS, PROJECT = 1, 2, 4, 8, 16, 32, 64
VARINT_U32 = Varint(high=2**32 - 1)


@record
class Slice:
    t: bytes = wire(ID)
    offset: int = wire(Varint(high=1 << 23))
    length: int = wire(Varint(1, 1 << 23))

    def __post_init__(self) -> None:
        need(self.offset + self.length <= 1 << 23, "slice ends outside any chunk")


@record
class PageName:
    """How a page is named by what stands above it."""

    t: bytes = wire(ID)
    refs: bytes = wire(ID)


@record
class Blob:
    length: int = 0
    inline: bytes = b""
    slices: tuple[Slice, ...] = ()
    top: PageName | None = None


class BlobCodec(Codec):
    def __init__(self, inline_max: int, low: int = 0, high: int = 2**63 - 1) -> None:
        self.inline_max, self.low, self.high = inline_max, low, high

    def read(self, source: Source) -> Blob:
        form = Number(1, high=3).read(source)
        blob = Blob()
        if form == 1:
            inline = Counted(Varint(1, self.inline_max)).read(source)
            blob = Blob(len(inline), inline=inline)
        elif form == 2:
            slices = tuple(Record(Slice).read(source) for _ in range(Number(1, 1, 32).read(source)))
            blob = Blob(sum(part.length for part in slices), slices=slices)
        elif form == 3:
            length = Varint(1, 2**63 - 1).read(source)
            blob = Blob(length, top=Record(PageName).read(source))
        need(self.low <= blob.length <= self.high, f"blob of {blob.length} bytes")
        return blob

    def write(self, value: Blob) -> bytes:
        if value.top:
            return b"\3" + Varint().write(value.length) + encode(value.top)
        if value.slices:
            return bytes([2, len(value.slices)]) + b"".join(map(encode, value.slices))
        return b"\1" + Counted(Varint()).write(value.inline) if value.inline else b"\0"


def _of(*kinds: int) -> Callable[[Entry], object]:
    return lambda entry: entry.type in kinds


def _with(flag: int) -> Callable[[Entry], object]:
    return lambda entry: entry.flags & flag


@record
class Entry:
    """An E, from its type on. Times are nanoseconds since 1970."""

    type: int = wire(Number(1, 1, 7))
    flags: int = wire(Number(1, high=127))
    mode: int = wire(Number(2, high=0o7777))
    name: bytes = wire(Counted(Number(1)))
    uid: int = wire(VARINT_U32)
    gid: int = wire(VARINT_U32)
    mtime: int = wire(Instant())
    ctime: int = wire(Instant())
    atime: int | None = wire(When(_with(ATIME), Instant()))
    inode: int = wire(Varint())
    device: int = wire(VARINT_U32)
    nlink: int = wire(VARINT_U32)
    size: int | None = wire(When(_of(REGULAR), Varint(high=2**63 - 1)))
    content: Blob | None = wire(When(_of(REGULAR), BlobCodec(256)))
    holes: Blob | None = wire(When(_with(HOLES), BlobCodec(1024, low=1)))
    digest: bytes | None = wire(When(_with(DIGEST), Bytes(16)))
    target: bytes | None = wire(When(_of(SYMLINK), Counted(Varint(1, 4096))))
    major: int | None = wire(When(_of(BLOCK, CHARACTER), VARINT_U32))
    minor: int | None = wire(When(_of(BLOCK, CHARACTER), VARINT_U32))
    xattrs: Blob | None = wire(When(_with(XATTRS), BlobCodec(1024, low=1, high=XATTRS_MAX)))
    inode_flags: int | None = wire(When(_with(INODE_FLAGS), Varint(1, 2**32 - 1)))
    project: int | None = wire(When(_with(PROJECT), Varint(1, 2**32 - 1)))
    directory: bytes = b""

    def __post_init__(self) -> None:
        need(self.type == REGULAR or not self.flags & (CHANGED | HOLES | DIGEST),
             "flag of regular files on another type")
        need(b"/" not in self.name and b"\0" not in self.name and self.name not in (b".", b".."),
             "bad file name")
        if self.content is not None and self.size is not None and (self.holes is None or self.holes.inline):
            parse_holes(self.holes.inline if self.holes else b"", self.size, self.content.length)

    def path(self) -> bytes:
        return self.directory + b"/" + self.name if self.directory else self.name

    def blobs(self) -> list[Blob]:
        return [blob for blob in (self.content, self.holes, self.xattrs) if blob]


@record
class Child:
    """A record of an inner page."""

    separator: bytes
    page: PageName


@record
class SliceChild:
    """A record of an inner slice page."""

    length: int = wire(Varint(1))
    page: PageName = wire(Record(PageName))


@record
class TreePage:
    level: int
    entries: tuple[Entry, ...] = ()  # of level 0
    children: tuple[Child, ...] = ()  # of all others

    def blobs(self) -> list[Blob]:
        return [blob for entry in self.entries for blob in entry.blobs()]


@record
class SlicePage:
    level: int
    slices: tuple[Slice, ...] = ()
    children: tuple[SliceChild, ...] = ()


@record
class RefsPage:
    chunks: tuple[bytes, ...] = wire(sorted_list(ID, 16384))
    children: tuple[bytes, ...] = wire(sorted_list(ID, 16384))


def sort_key(directory: bytes, name: bytes) -> bytes:
    return directory.replace(b"/", b"\0\1") + b"\0\0" + name


def _shared_bytes(one: bytes, other: bytes) -> int:
    return next((at for at, pair in enumerate(zip(one, other)) if pair[0] != pair[1]),
                min(len(one), len(other)))


def _read_prefixed(source: Source, before: bytes, size_max: int) -> bytes:
    shared = Varint(high=len(before)).read(source)
    value: bytes = before[:shared] + Counted(Varint(high=size_max - shared)).read(source)
    need(_shared_bytes(before, value) == shared, "shared prefix is not the longest")
    return value


def _open_page(data: bytes) -> tuple[Source, int]:
    need(len(data) <= PAGE_MAX, f"page of {len(data)} bytes")
    source = Source(data)
    return source, Number(1, high=15).read(source)


def check_path(path: bytes) -> None:
    need(len(path) <= PATH_MAX and b"\0" not in path, "bad directory path")
    need(not path or all(0 < len(part) <= 255 and part not in (b".", b"..") for part in path.split(b"/")),
         "bad directory path")


def parse_tree_page(data: bytes) -> TreePage:
    source, level = _open_page(data)
    if level:
        children: list[Child] = []
        while source.left() or not children:
            separator = _read_prefixed(source, children[-1].separator if children else b"", SEPARATOR_MAX)
            children.append(Child(separator, Record(PageName).read(source)))
        need_ascending([child.separator for child in children], "separators")
        return TreePage(level, children=tuple(children))
    entries: list[Entry] = []
    directory, directory_is_new = None, False
    while source.left() or not entries or directory_is_new:
        start = source.at
        if Number(1, 1, 2).read(source) == 1:
            need(not directory_is_new, "directory record without an entry")
            directory, directory_is_new = _read_prefixed(source, directory or b"", PATH_MAX), True
            check_path(directory)
            continue
        need(directory is not None, "entry before the first directory record")
        length = Varint(high=ENTRY_MAX).read(source)
        need(length <= source.left() and source.at + length - start <= ENTRY_MAX, "entry too long")
        inner = Source(source.data, source.at, source.at + length)
        entries.append(dataclasses.replace(Record(Entry).read(inner), directory=directory))
        need(inner.left() == 0, "bytes left over in an entry")
        need(entries[-1].name or not directory, "entry without a name")
        need(not directory_is_new or len(entries) < 2 or entries[-2].directory != directory,
             "directory named twice")
        source.at, directory_is_new = inner.at, False
    need_ascending([sort_key(entry.directory, entry.name) for entry in entries], "entries")
    return TreePage(0, entries=tuple(entries))


def encode_tree_page(page: TreePage) -> bytes:
    out, before = bytearray([page.level]), b""
    for child in page.children:
        shared = _shared_bytes(before, child.separator)
        out += Varint().write(shared) + Counted(Varint()).write(child.separator[shared:]) + encode(child.page)
        before = child.separator
    for number, entry in enumerate(page.entries):
        if number == 0 or entry.directory != before:
            shared = _shared_bytes(before, entry.directory)
            out += b"\1" + Varint().write(shared) + Counted(Varint()).write(entry.directory[shared:])
            before = entry.directory
        out += b"\2" + Counted(Varint()).write(encode(entry))
    return bytes(out)


def parse_slice_page(data: bytes) -> SlicePage:
    source, level = _open_page(data)
    records: list[Any] = []
    while source.left() or not records:
        records.append(Record(SliceChild if level else Slice).read(source))
    return SlicePage(level, children=tuple(records)) if level else SlicePage(level, slices=tuple(records))


def encode_slice_page(page: SlicePage) -> bytes:
    return bytes([page.level]) + b"".join(map(encode, page.slices or page.children))


def parse_holes(data: bytes, size: int, content_length: int) -> list[tuple[int, int]]:
    """(start, end) of each hole of a file of `size` bytes that holds `content_length` bytes."""
    source, at = Source(data), 0
    holes: list[tuple[int, int]] = []
    while source.left():
        start = at + Varint(low=1 if holes else 0).read(source)
        at = start + Varint(low=1).read(source)
        need(at <= size, "hole ends behind the end of the file")
        holes.append((start, at))
    need(size - sum(end - start for start, end in holes) == content_length,
         "content and holes do not make the size")
    return holes


def parse_xattrs(data: bytes) -> list[tuple[bytes, bytes]]:
    source, xattrs = Source(data), []
    while source.left():
        name = Counted(Number(1, low=1)).read(source)
        need(b"\0" not in name, "NUL in an attribute's name")
        xattrs.append((name, Counted(Varint(high=65536)).read(source)))
    need_ascending([name for name, _ in xattrs], "attributes")
    return xattrs
