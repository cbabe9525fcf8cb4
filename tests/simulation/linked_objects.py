"""The simulator plays the product's own code: linked_objects.py PROGRAM ARCHIVE.

Every function that the session, maintenance and reading objects of the archive define stands in the program, with the
same size, and these objects are the ones that docs/PROTOCOL.md speaks of. Ends with 1 and the names that differ.
"""
import subprocess
import sys

OBJECTS = ("session", "pack_uploader", "view", "snapshots", "chunk_reader", "forget", "maintenance_run", "maintenance_plan",
           "maintenance_mark", "maintenance_copy", "maintenance_records", "maintenance_tidy")
MUST_BE = ("firn::repo::WriteSession::commit", "firn::repo::WriteSession::may_refer", "firn::repo::MaintenanceRun::run",
           "firn::repo::MaintenanceRun::condemn", "firn::repo::MaintenanceRun::fence_dead", "firn::repo::copy_out",
           "firn::repo::ChunkReader::read", "firn::repo::load_maintenance", "firn::repo::forget_snapshots")


def functions(path):
    """object → {name: size} of the functions defined in a program or an archive (a program is one object, "")."""
    found, current = {}, ""
    listing = subprocess.run(["nm", "--defined-only", "-S", "-C", path], check=True, capture_output=True, text=True).stdout
    for line in listing.splitlines():
        if line.endswith(".cpp.o:"):
            current = line.removesuffix(".cpp.o:")
            continue
        words = line.split(maxsplit=3)
        if len(words) == 4 and words[2] == "T":
            found.setdefault(current, {})[words[3]] = int(words[1], 16)
    return found


def main(program, archive):
    played = functions(program).get("", {})
    product = functions(archive)
    wrong = [f"the archive has no object {name}" for name in OBJECTS if name not in product]
    count = 0
    for name in OBJECTS:
        for function, size in product.get(name, {}).items():
            count += 1
            if played.get(function) != size:
                wrong.append(f"{name}: {function}: {size} bytes in the product, {played.get(function)} in the simulator")
    for wanted in MUST_BE:
        if not any(function.split("(")[0].split("[")[0] == wanted for function in played):
            wrong.append(f"{wanted} is not in the simulator")
    print("\n".join(wrong) or f"{count} functions of {len(OBJECTS)} objects are the product's own")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
