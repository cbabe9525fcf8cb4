#!/usr/bin/env python3
"""Reads firn repositories, written from docs/FORMAT.md alone: where it had to guess, that page was wrong.

    firn_reader.py REPOSITORY (--password-file F | --password-env NAME | --key-file F) COMMAND
    COMMAND: list | extract SNAPSHOT DIR | check

SNAPSHOT is an id, the beginning of one, or "latest". Exit code 0: done; 1: something was refused or
differs; 12: no key of the repository opens. It never writes to the repository. Not here: the format (wire,
records, pages), keys and signatures (repository, crypto), the walk (tree), writing files (extract).
"""
from __future__ import annotations

import argparse
import datetime
import os
import pathlib
import sys

from extract import Extraction
from pages import PageName
from records import PackName
from repository import K_CONTENT, Listed, Repository, WrongKey
from tree import Walk, check_refs
from wire import Refused, need


def list_snapshots(repository: Repository) -> None:
    for snapshot in repository.snapshots():
        seconds, nanoseconds = divmod(snapshot.body.time, 10**9)
        when = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
        paths = " ".join(os.fsdecode(path) for path in snapshot.body.paths)
        print(f"{snapshot.id.hex()} {when:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z {paths}")


def choose(repository: Repository, wanted: str) -> Listed:
    all_snapshots = repository.snapshots()
    chosen = all_snapshots[-1:] if wanted == "latest" else [
        s for s in all_snapshots if s.id.hex().startswith(wanted)
    ]
    need(len(chosen) == 1, f"{len(chosen)} snapshots are called {wanted}")
    return chosen[0]


def root_of(repository: Repository, snapshot: Listed) -> PageName:
    return PageName(repository.root_capability(snapshot), snapshot.body.refs_root)


def extract(repository: Repository, wanted: str, target: str) -> list[str]:
    repository.read_index()
    snapshot = choose(repository, wanted)
    return Extraction(Walk(repository), target).run(root_of(repository, snapshot))


def check(repository: Repository) -> list[str]:
    """Every signed object, every pack, what every snapshot needs, and every byte of it with a key that may
    read it."""
    problems: list[str] = []
    repository.read_index()
    for name in repository.names("session", "heartbeat", "end", "condemn", "fence", "catalog", "caps"):
        try:
            body, _ = repository.read(name)
            if name.kind == "catalog":
                list(repository.carried(body.snapshots))
        except Refused as why:
            problems.append(f"{name.text}: {why}")
    in_index = {(pack, entry) for places in repository.index.values() for pack, entry in places}
    for name in repository.names("data", "meta"):
        pack = PackName(1 if name.kind == "data" else 2, name.pack)
        try:
            trailer = repository.check_pack(pack)
            size = (repository.folder / name.text).stat().st_size
            need(repository.pack_sizes.get(pack, size) == size, "the index says another length")
            indexed = {entry for where, entry in in_index if where == pack}
            need(indexed <= set(trailer.entries), "the index names what the trailer does not")
        except Refused as why:
            problems.append(f"{name.text}: {why}")
    for snapshot in repository.snapshots():
        try:
            check_refs(repository, snapshot.body.root, snapshot.body.refs_root)
            if K_CONTENT not in repository.keys:
                continue  # the maintainer's view ends here
            walk = Walk(repository)
            for entry in walk.entries(root_of(repository, snapshot)):
                for blob in entry.blobs():
                    size = sum(map(len, walk.pieces(blob)))
                    need(size == blob.length, f"{entry.path()!r}: a blob of {size} bytes, not {blob.length}")
                walk.xattrs(entry)
                if entry.content:
                    walk.holes(entry)
        except Refused as why:
            problems.append(f"{snapshot.id.hex()}: {why}")
    return problems + repository.ignored


def main() -> int:
    parser = argparse.ArgumentParser(description="Reads firn repositories from docs/FORMAT.md alone.")
    parser.add_argument("repository")
    key = parser.add_mutually_exclusive_group(required=True)
    key.add_argument("--password-file", type=pathlib.Path)
    key.add_argument("--password-env", metavar="NAME")
    key.add_argument("--key-file", type=pathlib.Path)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    extract_parser = commands.add_parser("extract")
    extract_parser.add_argument("snapshot")
    extract_parser.add_argument("target")
    commands.add_parser("check")
    options = parser.parse_args()
    password = key_file = None
    if options.password_file:
        password = options.password_file.read_bytes().rstrip(b"\r\n")
    elif options.password_env:
        password = os.environb[os.fsencode(options.password_env)]
    else:
        key_file = options.key_file.read_bytes()
    try:
        repository = Repository(options.repository, password, key_file)
        problems: list[str] = []
        if options.command == "list":
            list_snapshots(repository)
        elif options.command == "extract":
            problems = extract(repository, options.snapshot, options.target)
        else:
            problems = check(repository)
    except WrongKey as why:
        print(f"firn_reader: {why}", file=sys.stderr)
        return 12
    except Refused as why:
        print(f"firn_reader: {why}", file=sys.stderr)
        return 1
    for problem in problems or repository.ignored:
        print(f"firn_reader: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
