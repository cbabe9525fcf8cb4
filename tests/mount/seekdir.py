"""usage: seekdir.py DIR: walks a directory with telldir/seekdir of the C library, goes back to places in a shuffled
order, and says `same` when each goes on as it did the first time."""
import ctypes
import random
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.opendir.restype = ctypes.c_void_p
libc.opendir.argtypes = [ctypes.c_char_p]
libc.readdir64.restype = ctypes.c_void_p
libc.readdir64.argtypes = [ctypes.c_void_p]
libc.telldir.restype = ctypes.c_long
libc.telldir.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
NAME_AT = 19  # of struct dirent64: d_ino 8, d_off 8, d_reclen 2, d_type 1


def next_name(folder):
    entry = libc.readdir64(folder)
    return ctypes.string_at(entry + NAME_AT) if entry else None


folder = libc.opendir(sys.argv[1].encode())
walk = []
while True:
    place = libc.telldir(folder)
    name = next_name(folder)
    walk.append((place, name))
    if name is None:
        break
for place, name in random.Random(1).sample(walk, min(50, len(walk))):
    libc.seekdir(folder, place)
    again = next_name(folder)
    if again != name:
        print(f"place {place} gave {name!r}, then {again!r}")
        sys.exit(1)
print("same")
