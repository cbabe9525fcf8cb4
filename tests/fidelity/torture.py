"""Makes a tree with everything that a file system can hold, on the file system where `root` lies.

What a file system refuses (project ids on btrfs, some inode flags) is left out and returned by name, so that a case
can say what it did not test. Needs root. Everything is the same in every run.
"""
import os
import pathlib
import socket
import stat
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import firnlib  # noqa: E402

TIB = 1 << 40
HUGE = b"sparse-huge"
DEEP = b"deep"


def make(root):
    root = os.fsencode(root)
    refused = []
    for part in (contents, links_and_specials, modes_and_owners, times, attributes, sparse, names, directories):
        part(root)
    refused += flags(root)
    deep(root)
    os.sync()
    return refused


def put(path, content=b"content"):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    return path


def contents(root):
    for size in (0, 1, 256, 257, 4096, 65535, 65536, 65537, 300_000, 3_000_001):
        put(b"%s/contents/random-%d" % (root, size), firnlib.random_bytes(size, size))
        put(b"%s/contents/text-%d" % (root, size), firnlib.text_bytes(size, size))
    put(root + b"/contents/zeros", bytes(1 << 20))
    first = put(root + b"/links/one/name", firnlib.random_bytes("linked", 200_000))
    for name in (b"/links/one/again", b"/links/two/deep/other", b"/zz-last-link"):
        os.makedirs(os.path.dirname(root + name), exist_ok=True)
        os.link(first, root + name)
    small = put(root + b"/links/small", b"s")
    os.link(small, root + b"/links/two/small")


def links_and_specials(root):
    base = root + b"/special/"
    os.makedirs(base)
    for name, target in ((b"to-file", b"../contents/zeros"), (b"dangling", b"/nowhere/at all"), (b"loop", b"loop"),
                         (b"odd", b"\xff\xfe bytes\n\\"), (b"long", b"x" * 1000)):
        os.symlink(target, base + b"link-" + name)
    os.mkfifo(base + b"fifo")
    os.link(base + b"fifo", base + b"fifo-linked")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(base, os.O_RDONLY)
        listener.bind(b"/proc/self/fd/%d/socket" % here)
        os.close(here)
    os.mknod(base + b"block", stat.S_IFBLK | 0o640, os.makedev(7, 200))
    os.mknod(base + b"char", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod(base + b"large-numbers", stat.S_IFCHR | 0o600, os.makedev(511, 200_000))
    os.mknod(base + b"whiteout", stat.S_IFCHR, os.makedev(0, 0))


def modes_and_owners(root):
    for mode in (0o000, 0o400, 0o777, 0o4755, 0o2755, 0o6711, 0o1644, 0o7777):
        os.chmod(put(b"%s/modes/file-%04o" % (root, mode)), mode)
        folder = b"%s/modes/dir-%04o" % (root, mode)
        os.makedirs(folder)
        put(folder + b"/inside")
        os.chmod(folder, mode)
    for uid, gid in ((0, 0), (1000, 100), (65534, 65534), (4_000_000_000, 3_999_999_999), (2**32 - 2, 2**32 - 2)):
        path = put(b"%s/owners/%d-%d" % (root, uid, gid))
        os.chown(path, uid, gid)
        os.chmod(path, 0o6755)  # chown cleared these
        link = b"%s/owners/link-%d-%d" % (root, uid, gid)
        os.symlink(b"x", link)
        os.lchown(link, uid, gid)


def times(root):
    # ext4 with 256-byte inodes and xfs with bigtime both hold 1902 to 2445.
    for name, at in ((b"epoch", 0), (b"one-nanosecond", 1), (b"before-1970", -1), (b"year-1905", -2_051_222_400 * 10**9 + 7),
                     (b"after-2038", 2**31 * 10**9 + 999_999_999), (b"year-2440", 14_831_769_600 * 10**9 + 123_456_789)):
        os.utime(put(b"%s/times/%s" % (root, name)), ns=(at, at))
        link = b"%s/times/link-%s" % (root, name)
        os.symlink(b"x", link)
        os.utime(link, ns=(at, at), follow_symlinks=False)
        folder = b"%s/times/dir-%s" % (root, name)
        os.makedirs(folder)
        put(folder + b"/inside")
        os.utime(folder, ns=(at, at))


def attributes(root):
    base = root + b"/attributes/"
    plain = put(base + b"file")
    folder = base + b"folder"
    os.makedirs(folder)
    for path in (plain, folder):
        os.setxattr(path, b"user.text", b"value")
        os.setxattr(path, b"user.empty", b"")
        os.setxattr(path, b"user.bytes", bytes(range(256)))
        os.setxattr(path, b"user.caf\xc3\xa9 \xff", b"odd name")
        os.setxattr(path, b"trusted.firn", b"trusted")
        os.setxattr(path, b"security.firn", b"secure\0")
    os.setxattr(put(base + b"large"), b"user.large", firnlib.random_bytes("xattr", 3000))
    os.setxattr(put(base + b"shared-value-1"), b"user.same", b"v" * 900)
    os.setxattr(put(base + b"shared-value-2"), b"user.same", b"v" * 900)
    os.symlink(b"x", base + b"link")
    os.setxattr(base + b"link", b"trusted.on-a-link", b"1", follow_symlinks=False)
    os.mkfifo(base + b"fifo")
    os.setxattr(base + b"fifo", b"trusted.on-a-fifo", b"1", follow_symlinks=False)
    for options, name in ((["u:1234:rwx,g:5678:r--,m::rwx"], b"acl"), (["u:4000000000:---"], b"acl-large-uid")):
        subprocess.run(["setfacl", "-m", *options, put(base + name)], check=True)
    os.chmod(base + b"acl", 0o4770)
    os.makedirs(base + b"default-acl")
    subprocess.run(["setfacl", "-d", "-m", "u:1234:rwx,o::---", base + b"default-acl"], check=True)
    put(base + b"default-acl/inherits")
    net_raw = 1 << 13
    version2 = struct.pack("<IIIII", 0x02000001, net_raw, 0, 0, 0)
    version3 = struct.pack("<IIIIII", 0x03000001, net_raw, net_raw, 0, 0, 100_000)
    for name, value in ((b"capability-2", version2), (b"capability-3", version3)):
        path = put(base + name)
        os.chown(path, 1000, 1000)
        os.setxattr(path, b"security.capability", value)


def sparse(root):
    base = root + b"/sparse/"
    os.makedirs(base)
    mib = 1 << 20
    data = firnlib.random_bytes("sparse", mib)
    for name, size, offsets in ((b"leading", 5 * mib, (4 * mib,)), (b"middle", 6 * mib, (0, 5 * mib)),
                                (b"trailing", 8 * mib, (0,)), (b"all-hole", 7 * mib, ()), (b"tiny-hole", 65_536, ()),
                                (b"odd-end", 4 * mib + 77, (2 * mib,)),
                                (b"many", 64 * mib, range(0, 64 * mib, 4 * mib))):
        write_at(base + name, size, offsets, data)
    large = 50 * mib if firnlib.IS_STAND_IN else 5 * TIB  # the stand-in reads holes byte by byte
    write_at(root + b"/" + HUGE, large, (0, large // 2 + 4096, large - mib), data)


def write_at(path, size, offsets, data):
    with open(path, "wb") as file:
        file.truncate(size)
        for offset in offsets:
            file.seek(offset)
            file.write(data)


def names(root):
    base = root + b"/names/"
    for name in (b"n" * 255, b"\xff\xfe\x80", b"new\nline", b" ", b"-rf", b"*", b"a\\b", b"'\"`$(x)", b"\x01\x1b[31m",
                 b"caf\xc3\xa9", b"cafe\xcc\x81", b"...", b"~", b"#"):
        put(base + name)
        put(base + b"folders/" + name + b"/inside")


def directories(root):
    base = root + b"/directories/"
    for number in range(3000):
        put(base + b"many/%05d" % number, b"%d" % number)
    os.makedirs(base + b"empty")
    # Sorted by whole paths these three would stand in another order than sorted by component.
    for name in (b"a/x", b"a!/x", b"a.b/x", b"a"):
        if name != b"a":
            put(base + b"order/" + name)


def flags(root):
    """Inode flags and project ids; returns what this file system refused."""
    refused = []
    base = root + b"/flags/"
    os.makedirs(base)
    for flag in "dASCciaj":
        path = base + b"flag-" + flag.encode()
        with open(path, "wb") as file:
            if flag == "C":  # only on an empty file
                file.flush()
                refused += try_command(["chattr", "+C", path], "inode flag C")
            file.write(b"flagged")
        if flag != "C":
            refused += try_command(["chattr", f"+{flag}", path], f"inode flag {flag}")
    folder = base + b"append-only-folder"
    os.makedirs(folder)
    put(folder + b"/inside")
    refused += try_command(["chattr", "+a", folder], "inode flag a on a directory")
    folder = base + b"immutable-folder"
    os.makedirs(folder)
    put(folder + b"/inside")
    refused += try_command(["chattr", "+i", folder], "inode flag i on a directory")
    refused += try_command(["chattr", "-p", "4242", put(base + b"project")], "project id")
    return sorted(set(refused))


def try_command(command, what):
    return [] if subprocess.run(command, capture_output=True, check=False).returncode == 0 else [what]


def deep(root):
    """A path longer than PATH_MAX, made step by step because no call takes it whole."""
    here = os.open(root, os.O_RDONLY)
    for name in [DEEP, *[b"%03d-" % depth + b"d" * 196 for depth in range(25)]]:
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    bottom = os.open(b"bottom", os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=here)
    os.write(bottom, b"the bottom of a path longer than PATH_MAX")
    os.close(bottom)
    os.close(here)


def data_map(path):
    """[(start, end)] of the parts of a file that hold data."""
    found = []
    with open(path, "rb") as file:
        size, at = os.fstat(file.fileno()).st_size, 0
        while at < size:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found.append((start, at))
    return found
