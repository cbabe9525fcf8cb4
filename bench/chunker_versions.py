#!/usr/bin/python3
"""Makes the version sets that chunker_levels measures: one folder a set, one file a version.

usage: chunker_versions.py FOLDER [SET...]

Real sets are consecutive releases from package registries (npm, pip and go must be installed), unpacked into an
uncompressed tar with sorted names and no times. Synthetic sets come from fixed seeds. About 2.6 GB in all.
"""

import io
import json
import pathlib
import random
import subprocess
import sys
import tarfile
import zipfile

NPM = {
    "typescript": ("typescript", ["5.0.2", "5.0.3", "5.0.4", "5.1.3", "5.1.6", "5.2.2"]),
    "esbuild": ("@esbuild/linux-x64", ["0.20.0", "0.20.1", "0.20.2", "0.21.0", "0.21.1"]),
    "swc": ("@swc/core-linux-x64-gnu", ["1.5.0", "1.5.3", "1.5.5", "1.5.7"]),
}
PIP = {"botocore": ("botocore", ["1.34.0", "1.34.1", "1.34.2", "1.34.3", "1.34.4", "1.34.5"])}
GO = {"kubernetes": ("k8s.io/kubernetes", ["v1.34.0", "v1.34.1", "v1.34.2", "v1.34.3"])}


def run(folder, *command):
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def npm(folder, package, version):
    archive = run(folder, "npm", "pack", "--silent", f"{package}@{version}").strip()
    with tarfile.open(folder / archive) as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
    (folder / archive).unlink()
    return files


def unzip(path, strip=""):
    with zipfile.ZipFile(path) as archive:
        return {n.removeprefix(strip): archive.read(n) for n in archive.namelist() if not n.endswith("/")}


def pip(folder, package, version):
    run(folder, "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", ".", f"{package}=={version}")
    wheel = next(folder.glob("*.whl"))
    files = unzip(wheel)
    wheel.unlink()
    return files


def go(_, module, version):
    found = json.loads(run("/", "go", "mod", "download", "-json", f"{module}@{version}"))
    return unzip(found["Zip"], f"{module}@{version}/")


def write_tar(path, files):
    with tarfile.open(path, "w") as tar:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            tar.addfile(member, io.BytesIO(files[name]))


def row(rng, number):
    words = " ".join(rng.choice(("alpha", "beta", "gamma", "delta", "omega")) for _ in range(6))
    return f"INSERT INTO events VALUES ({number}, '{words}', {rng.getrandbits(48):012x});\n".encode()


def database(rng):
    """8 KiB pages rewritten in place: 1 % a version, in runs of eight, and some pages appended."""
    page = lambda n: b"".join(row(rng, n * 100 + i) for i in range(110))[:8192].ljust(8192, b"\0")
    pages = [page(n) for n in range(12_000)]
    for _ in range(5):
        yield b"".join(pages)
        for start in (rng.randrange(len(pages) - 8) for _ in range(len(pages) // 800)):
            pages[start : start + 8] = [page(start + i) for i in range(8)]
        pages += [page(len(pages) + i) for i in range(100)]


def dump(rng):
    """A text dump: 60 places a version where rows are inserted, deleted or changed."""
    rows = [row(rng, n) for n in range(1_000_000)]
    for _ in range(5):
        yield b"".join(rows)
        for at in sorted((rng.randrange(len(rows) - 10) for _ in range(60)), reverse=True):
            rows[at : at + rng.randrange(4)] = [row(rng, rng.randrange(10**7)) for _ in range(rng.randrange(4))]


def log(rng):
    """A rotated log: each version loses its first tenth and gains as much at the end."""
    lines = [row(rng, n) for n in range(800_000)]
    for version in range(5):
        yield b"".join(lines)
        lines = lines[80_000:] + [row(rng, 800_000 + 80_000 * version + n) for n in range(80_000)]


def edits(rng):
    """Incompressible data with 100 insertions or deletions of up to 1 KiB a version."""
    data = bytearray(rng.randbytes(100 << 20))
    for _ in range(5):
        yield bytes(data)
        for _ in range(100):
            at = rng.randrange(len(data) - 1024)
            data[at : at + rng.choice((0, rng.randrange(1024)))] = rng.randbytes(rng.randrange(1024))


def main():
    target = pathlib.Path(sys.argv[1])
    wanted = sys.argv[2:]
    for sets, fetch in ((NPM, npm), (PIP, pip), (GO, go)):
        for name, (package, versions) in sets.items():
            if wanted and name not in wanted:
                continue
            (target / name).mkdir(parents=True, exist_ok=True)
            for i, version in enumerate(versions):
                write_tar(target / name / f"{i}.tar", fetch(target / name, package, version))
    for make in (database, dump, log, edits):
        if wanted and make.__name__ not in wanted:
            continue
        (target / make.__name__).mkdir(parents=True, exist_ok=True)
        for i, content in enumerate(make(random.Random(7))):
            (target / make.__name__ / f"{i}.bin").write_bytes(content)


if __name__ == "__main__":
    main()
