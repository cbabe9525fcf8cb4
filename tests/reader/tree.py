"""Walks a snapshot's tree: docs/FORMAT.md, chapters 8 and 9, step 9.

Promise: entries come in order, each below a directory that came before, from pages whose twins name what
they name.
"""
from __future__ import annotations

import dataclasses
from typing import Iterator

import crypto
from pages import (DIRECTORY, Blob, Entry, PageName, RefsPage, Slice, SlicePage, TreePage, parse_holes,
                   parse_slice_page, parse_tree_page, parse_xattrs, sort_key)
from repository import BUNDLE, DATA, SLICES, TREE, Repository
from wire import need, parse


def chunk_id(t: bytes) -> bytes:
    return crypto.hmac(t, b"firn/id")


def twin_of(page: TreePage | SlicePage) -> RefsPage:
    """The refs page that a page must have."""
    chunks, children = set(), set()
    for name in [child.page for child in page.children]:
        chunks.add(chunk_id(name.t))
        children.add(name.refs)
    blobs = page.blobs() if isinstance(page, TreePage) else [Blob(slices=page.slices)]
    for blob in blobs:
        chunks.update(chunk_id(part.t) for part in blob.slices)
        if blob.top:
            chunks.add(chunk_id(blob.top.t))
            children.add(blob.top.refs)
    return RefsPage(tuple(sorted(chunks)), tuple(sorted(children)))


def check_refs(repository: Repository, root: bytes, refs_root: bytes) -> None:
    """With K_meta alone: an index names each chunk that a snapshot needs, from its refs pages (8.6)."""
    needed, todo = {root}, [refs_root]
    seen = set(todo)
    while todo:
        page = parse(RefsPage, repository.refs_chunk(todo.pop()))
        needed.update(page.chunks)
        todo += [child for child in page.children if child not in seen]
        seen.update(page.children)
    missing = sorted(id.hex() for id in needed if id not in repository.index)
    need(not missing, f"{len(missing)} chunks are in no index, such as {missing[:1]}")


@dataclasses.dataclass
class Walk:
    """One walk over the tree of one snapshot."""

    repository: Repository
    last_key: bytes | None = None

    def entries(self, root: PageName) -> Iterator[Entry]:
        directories: set[bytes] = set()
        for entry in self._below(root, None, b""):
            need(entry.name or entry.type == DIRECTORY, "the root is no directory")
            need(not entry.name or entry.directory in directories,
                 f"{entry.path()!r} has no directory before it")
            if entry.type == DIRECTORY:
                directories.add(entry.path())
            yield entry

    def _below(self, name: PageName, level: int | None, separator: bytes) -> Iterator[Entry]:
        need(self.last_key is None or separator > self.last_key,
             "separator is not above the entries before it")
        need(self.last_key is not None or separator == b"", "the first page's separator is not empty")
        page = parse_tree_page(self.repository.chunk(name.t, TREE))
        need(level in (None, page.level), "page of another level than its parent says")
        self._check_twin(page, name)
        for child in page.children:
            yield from self._below(child.page, page.level - 1, child.separator)
        for entry in page.entries:
            key = sort_key(entry.directory, entry.name)
            need(key >= separator, "entry below its page's separator")
            need(self.last_key is None or key > self.last_key, "pages out of order")
            self.last_key = key
            yield entry

    def _check_twin(self, page: TreePage | SlicePage, name: PageName) -> None:
        need(
            parse(RefsPage, self.repository.refs_chunk(name.refs)) == twin_of(page),
            "a page's twin names other things")

    # Blobs.

    def pieces(self, blob: Blob) -> Iterator[bytes]:
        """The bytes of a blob, in order, in pieces."""
        if blob.inline:
            yield blob.inline
        for part in blob.slices or (self._slices(blob.top, None, blob.length) if blob.top else ()):
            plain = self.repository.chunk(part.t, DATA, BUNDLE)
            need(part.offset + part.length <= len(plain), "slice ends outside its chunk")
            yield plain[part.offset:part.offset + part.length]

    def _slices(self, name: PageName, level: int | None, length: int) -> Iterator[Slice]:
        page = parse_slice_page(self.repository.chunk(name.t, SLICES))
        need(level in (None, page.level), "slice page of another level than its parent says")
        self._check_twin(page, name)
        need(
            sum(part.length for part in page.children or page.slices) == length,
            "slice page of another length")
        for child in page.children:
            yield from self._slices(child.page, page.level - 1, child.length)
        yield from page.slices

    def holes(self, entry: Entry) -> list[tuple[int, int]]:
        assert entry.size is not None and entry.content is not None
        data = b"".join(self.pieces(entry.holes)) if entry.holes else b""
        return parse_holes(data, entry.size, entry.content.length)

    def xattrs(self, entry: Entry) -> list[tuple[bytes, bytes]]:
        return parse_xattrs(b"".join(self.pieces(entry.xattrs))) if entry.xattrs else []
