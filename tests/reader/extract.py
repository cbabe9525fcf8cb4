"""Writes the entries of a snapshot into a directory, exactly, as far as the caller's rights go.

Promise: nothing is written outside the target: every path is walked by descriptors, without following
links. Errors of single attributes are returned, not raised; contents that cannot be read stop the
extraction.
"""
from __future__ import annotations

import fcntl
import os
import stat
import struct

import crypto
from pages import BLOCK, CHARACTER, DIGEST, DIRECTORY, FIFO, REGULAR, SOCKET, SYMLINK, Entry, PageName
from repository import K_CONTENT
from tree import Walk
from wire import need

FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602
FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR = 0x801C581F, 0x401C5820
# What chattr can set (s u c S i a d A j t D T C); the rest says how a file system stores something.
FLAGS_TO_SET = 0x000000FF | 0x0003C000 | 0x00800000
NODE_KINDS = {FIFO: stat.S_IFIFO, SOCKET: stat.S_IFSOCK, BLOCK: stat.S_IFBLK, CHARACTER: stat.S_IFCHR}


class Extraction:
    def __init__(self, walk: Walk, target: str | os.PathLike[str]) -> None:
        self.walk, self.problems = walk, list[str]()
        os.makedirs(target, exist_ok=True)
        self.top = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
        self.links: dict[tuple[int, int], Entry] = {}
        self.here: tuple[bytes, int] | None = None  # the directory that is open, and its descriptor

    def run(self, root: PageName) -> list[str]:
        late: list[Entry] = []  # directories and what has inode flags, in list order
        for entry in self.walk.entries(root):
            if self._create(entry) and entry.type != DIRECTORY:
                self._set_attributes(entry)
            if entry.type == DIRECTORY or entry.inode_flags or entry.project:
                late.append(entry)
        for entry in reversed(late):  # children before their directory
            if entry.type == DIRECTORY:
                self._set_attributes(entry)
            self._set_flags(entry)
        if self.here:
            os.close(self.here[1])
        os.close(self.top)
        return self.problems

    def _open(self, directory: bytes) -> int:
        if self.here is None or self.here[0] != directory:
            descriptor = os.dup(self.top)
            for part in directory.split(b"/") if directory else ():
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            if self.here:
                os.close(self.here[1])
            self.here = directory, descriptor
        return self.here[1]

    def _create(self, entry: Entry) -> bool:
        """False for a further link to what is there already."""
        if not entry.name:
            return True
        if entry.nlink > 1 and entry.type != DIRECTORY:
            first = self.links.setdefault((entry.device, entry.inode), entry)
            if first is not entry:
                source = os.dup(self._open(first.directory))
                os.link(first.name,
                        entry.name,
                        src_dir_fd=source,
                        dst_dir_fd=self._open(entry.directory),
                        follow_symlinks=False)
                os.close(source)
                return False
        folder = self._open(entry.directory)
        if entry.type == DIRECTORY:
            os.mkdir(entry.name, 0o700, dir_fd=folder)
        elif entry.type == REGULAR:
            self._write_content(entry, folder)
        elif entry.type == SYMLINK:
            assert entry.target is not None
            os.symlink(entry.target, entry.name, dir_fd=folder)
        else:
            os.mknod(entry.name,
                     NODE_KINDS[entry.type] | 0o600,
                     os.makedev(entry.major or 0, entry.minor or 0),
                     dir_fd=folder)
        return True

    def _write_content(self, entry: Entry, folder: int) -> None:
        assert entry.size is not None and entry.content is not None
        leaves = _Leaves()
        holes = iter(self.walk.holes(entry) + [(entry.size, entry.size)])
        with open(os.open(entry.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder),
                  "wb") as file:
            os.ftruncate(file.fileno(), entry.size)
            at, hole = 0, next(holes)
            for piece in self.walk.pieces(entry.content):
                leaves.add(piece)
                while piece:
                    while at == hole[0] and at < entry.size:
                        at, hole = hole[1], next(holes)
                        file.seek(at)
                    part, piece = piece[:hole[0] - at], piece[hole[0] - at:]
                    file.write(part)
                    at += len(part)
        if entry.flags & DIGEST:
            made = leaves.digest(self.walk.repository.keys[K_CONTENT])
            need(made == entry.digest, f"{entry.path()!r}: the digest is another's")

    def _set_attributes(self, entry: Entry) -> None:
        """Owner first (it clears suid and capabilities), then attributes, mode, times."""
        folder, name = self._open(entry.directory), entry.name or b"."
        if os.geteuid() == 0:
            os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
        for attribute, value in self.walk.xattrs(entry):
            try:
                os.setxattr(b"/proc/self/fd/%d/%s" % (folder, name), attribute, value, follow_symlinks=False)
            except OSError as error:
                self.problems.append(f"{entry.path()!r}: {attribute!r}: {error.strerror}")
        if entry.type != SYMLINK:
            os.chmod(name, entry.mode, dir_fd=folder)
        times = (entry.mtime if entry.atime is None else entry.atime, entry.mtime)
        os.utime(name, ns=times, dir_fd=folder, follow_symlinks=False)

    def _set_flags(self, entry: Entry) -> None:
        if not (entry.inode_flags or entry.project) or entry.type not in (REGULAR, DIRECTORY):
            return
        file = os.open(entry.name or b".",
                       os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK,
                       dir_fd=self._open(entry.directory))
        try:
            if entry.project:
                attributes = bytearray(fcntl.ioctl(file, FS_IOC_FSGETXATTR, bytes(28)))
                attributes[12:16] = entry.project.to_bytes(4, "little")
                fcntl.ioctl(file, FS_IOC_FSSETXATTR, bytes(attributes))
            if entry.inode_flags:
                (now, ) = struct.unpack("<i", fcntl.ioctl(file, FS_IOC_GETFLAGS, bytes(4)))
                wanted = now & ~FLAGS_TO_SET | entry.inode_flags & FLAGS_TO_SET
                fcntl.ioctl(file, FS_IOC_SETFLAGS, struct.pack("<I", wanted & 0xFFFFFFFF))
        except OSError as error:
            self.problems.append(f"{entry.path()!r}: inode flags or project id: {error.strerror}")
        finally:
            os.close(file)


class _Leaves:
    """The digest of content that comes in pieces (8.2)."""
    def __init__(self) -> None:
        self.hashes, self.rest, self.length = bytearray(), b"", 0

    def add(self, piece: bytes) -> None:
        self.length += len(piece)
        self.rest += piece
        whole = len(self.rest) // crypto.LEAF_BYTES * crypto.LEAF_BYTES
        self.hashes += crypto.leaves(self.rest[:whole])
        self.rest = self.rest[whole:]

    def digest(self, content_key: bytes) -> bytes:
        hashes = bytes(self.hashes) + crypto.leaves(self.rest)
        return crypto.hmac(content_key, b"\0" + self.length.to_bytes(8, "little") + hashes)[:16]
