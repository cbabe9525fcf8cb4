#!/usr/bin/env python3
"""Checks the borders between folders: what the compiler cannot see and reviewers get tired of.

usage: borders.py ROOT      prints one line a violation and exits 1, or prints nothing.

1. Arrows: an include of another folder needs that folder in USES of firn_module(); each USES is needed;
   arrows point from a higher LAYER to a lower one, so there are no cycles.
2. Doors: a third-party header is included only in its DOORS.
3. Seams: clocks, randomness, threads, sleep, files and sockets are touched by SYSTEM_SIDE alone.
4. Form: a file begins with a comment, or a .cpp with its own header; a namespace is its folder's name.

It reads text, not C++: comments and string literals are blanked first. borders_test.py proves that each rule
can fail.
"""

import bisect
import pathlib
import re
import sys

PRODUCT = ("chunker", "crypto", "repo", "agent")

# An arrow points from a larger number to a smaller one. A folder that is not here may not exist.
LAYER = {
    "chunker": 0, "crypto": 0,
    "repo/base": 1,
    "repo/format": 2,
    "repo/kv": 3,
    "repo/index": 4, "repo/store": 4, "repo/tree": 4,
    "repo": 5,
    "agent/retention": 6, "agent/scan": 6, "agent/state": 6, "agent/kube": 6,
    "agent/backup": 7, "agent/restore": 7, "agent/mount": 7, "agent/controller": 7,
    "agent/cli": 8, "agent/service": 8,
    "agent": 9,
}

# Third-party header (a regular expression) → the paths that may include it.
DOORS = [
    (r"immintrin\.h|arm_neon\.h", ["chunker/detail/"]),
    (r"openssl/|intel-ipsec-mb\.h", ["crypto/"]),
    (r"curl/", ["repo/store/", "agent/kube/"]),
    (r"pugixml\.hpp", ["repo/store/"]),
    (r"lmdb\.h", ["repo/kv/"]),
    (r"zstd\.h", ["repo/format/"]),
    (r"xxhash\.h", ["repo/format/", "repo/index/"]),
    (r"tl/expected\.hpp", ["repo/base/"]),
    (r"fuse", ["agent/mount/"]),
    (r"archive(_entry)?\.h", ["agent/cli/"]),
    (r"CLI/", ["agent/cli/"]),
    (r"nlohmann/", ["agent/cli/", "agent/kube/"]),
    (r"yaml-cpp/", ["agent/kube/"]),
    (r"prometheus/", ["agent/service/"]),
    (r"date/", ["agent/service/", "agent/controller/"]),
    (r"gtest/|gmock/|benchmark/", []),
]
STANDARD = re.compile(r"[a-z0-9_]+")  # <vector>, <cstdint>
SYSTEM = re.compile(
    r"(sys|linux|arpa|netinet|sanitizer)/.*|(unistd|fcntl|sched|pthread|poll|signal|dirent|termios|pwd|grp|"
    r"netdb|spawn|endian|errno|limits|getopt|glob|locale|malloc|time|ucontext|cpuid|immintrin|arm_neon)\.h")

# Who may go round the seams: their implementations, and the program's outermost parts.
SYSTEM_SIDE = ["repo/base/", "repo/store/local", "repo/store/s3", "repo/kv/lmdb", "agent/scan/linux_",
               "agent/restore/linux_", "agent/state/linux_", "agent/cli/", "agent/service/", "agent/kube/",
               "agent/mount/", "agent/main.cpp"]


def call(*names):
    """A free function's name before a parenthesis, not a member's; Source.is_declared() tells calls apart."""
    return r"(?:(?<![\w>])::|(?<![\w.:])(?<!->))(?P<name>" + "|".join(names) + r")\s*\("


# What goes round a seam, as a regular expression over code, and the paths beside SYSTEM_SIDE that may do it.
SEAMS = [
    ("clock", r"\b(system|steady|high_resolution|utc|file)_clock\b", []),
    ("clock", call("time", "clock", "clock_gettime", "gettimeofday", "localtime(_r)?", "gmtime(_r)?"), []),
    ("randomness", r"\b(random_device|mt19937(_64)?|default_random_engine)\b|#\s*include\s*<(random|"
                   r"sys/random\.h)>", ["crypto/random.cpp"]),
    ("randomness", call("s?rand", "rand_r", "random", "drand48", "getrandom", "getentropy", "arc4random"),
     ["crypto/random.cpp"]),
    ("threads", r"\bstd::(j?thread|async|this_thread|call_once|(shared_|recursive_|timed_)*mutex|"
                r"condition_variable(_any)?|counting_semaphore|latch|barrier)\b|\bthread_local\b|"
                r"\bpthread_\w+\s*\(",
     ["crypto/", "agent/scan/filter.cpp"]),  # scratch memory that no task switch crosses
    ("sleep", call("u?sleep", "nanosleep", "clock_nanosleep", "p?poll", "select", "epoll_wait"), []),
    ("files", r"\bstd::(filesystem|[io]?fstream)\b|#\s*include\s*<(fcntl|dirent|sys/(stat|file|statfs|xattr|"
              r"vfs|uio|ioctl))\.h>", []),
    ("files", call("f?open(at2?|dir)?", "creat", "close", "p?readv?", "p?writev?", "unlink(at)?",
                   "rename(at2?)?", "mkdir(at)?", "rmdir", "f?truncate", "[fl]?stat(at|x|fs|vfs)?",
                   "f(data)?sync", "fallocate", "flock", "[fl]?getxattr", "[fl]?setxattr", "readlink(at)?",
                   "(sym)?link(at)?", "mkfifo(at)?", "mknod(at)?", "f?chmod(at)?", "[fl]?chown(at)?",
                   "utimensat", "getdents64", "fread", "fwrite", "syscall"), []),
    ("network", r"#\s*include\s*<(sys/socket|netdb|netinet/in|arpa/inet)\.h>", []),
    ("network", call("socket", "connect", "bind", "listen", "accept4?", "getaddrinfo", "recv(from|msg)?",
                     "send(to|msg)?"), []),
]
# After one of these words a name is called; after any other word it is declared.
CALLING_WORDS = {"return", "else", "do", "case", "throw", "not", "and", "or"}


def blank(text):
    """The text with comments and literals blanked; lines and the names of includes stay."""
    pattern = (r'(?m)(?P<include>^[ \t]*#[ \t]*include[^\n]*)|R"(?P<tag>[^(\s]*)\((?s:.)*?\)(?P=tag)"|'
               r'//[^\n]*|/\*(?s:.)*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'')
    return re.sub(pattern, lambda m: m["include"] or re.sub(r"[^\n]", " ", m.group()), text)


def layer_folder(path):
    """The folder of LAYER that a file belongs to, or None. What lies deeper belongs to it too."""
    *folders, _ = pathlib.PurePath(path).parts
    folder = "/".join(folders[: 2 if folders[:1] in (["repo"], ["agent"]) else 1])
    return folder if folder in LAYER else None


class Source:
    """One C++ file of the product."""

    def __init__(self, root, path):
        self.path = path.relative_to(root).as_posix()
        self.text = path.read_text(encoding="utf-8")
        self.code = blank(self.text)
        self.line_starts = [0] + [m.end() for m in re.finditer("\n", self.code)]
        self.folder = layer_folder(self.path)

    def at(self, match):
        return f"{self.path}:{bisect.bisect_right(self.line_starts, match.start())}"

    def is_under(self, places):
        return any(self.path.startswith(place) for place in places)

    def includes(self, opening):
        return re.finditer(r'(?m)^[ \t]*#\s*include\s*' + opening + r'([^>"\n]+)[>"]', self.code)

    def is_declared(self, match):
        """Whether the name stands after a type (`Result<> open(`) and not in a call (`return open(`)."""
        before = re.search(r"(\S+)\s+$", self.code[max(0, match.start("name") - 200) : match.start("name")])
        return bool(before) and before.group(1) not in CALLING_WORDS and bool(
            re.fullmatch(r"\S*\w[<>*&]*", before.group(1)))


def modules(root):
    """{folder: USES as folders} from every firn_module()."""
    uses, folder_of = {}, {}
    for path in sorted(p for top in PRODUCT for p in (root / top).rglob("CMakeLists.txt")):
        folder = path.parent.relative_to(root).as_posix()
        text = re.sub(r"#[^\n]*", "", path.read_text(encoding="utf-8"))
        for name, body in re.findall(r"firn_module\(\s*(\w+)([^)]*)\)", text):
            section = re.search(r"\bUSES\b(.*?)(?=\b(?:LINKS|SOURCES)\b|$)", body, re.S)
            folder_of[name] = folder
            uses[folder] = section.group(1).split() if section else []
            if name != pathlib.PurePath(folder).name:
                yield f"{folder}/CMakeLists.txt: module {name} is not named like its folder"
    for folder, names in uses.items():
        for name in names:
            if name not in folder_of:
                yield f"{folder}/CMakeLists.txt: USES {name}, which is no module"
    yield {folder: {folder_of[n] for n in names if n in folder_of} for folder, names in uses.items()}


def check_arrows(sources, uses):
    needed = {folder: set() for folder in uses}
    for source in sources:
        for match in source.includes('"'):
            target = layer_folder(match.group(1))
            if target is None:
                yield f'{source.at(match)}: "{match.group(1)}" is not in a folder of the product'
            elif target != source.folder:
                needed.setdefault(source.folder, set()).add(target)
                if LAYER[source.folder] <= LAYER[target]:
                    yield f"{source.at(match)}: includes {target}, an arrow that does not point down"
                # A folder without a module is headers only, or agent/ with main.cpp: its layer is its border.
                elif target not in uses.get(source.folder, {target}):
                    yield f"{source.at(match)}: includes {target}, which its module's USES does not name"
    for folder, targets in uses.items():
        for target in sorted(targets):
            if target not in needed[folder]:
                yield f"{folder}/CMakeLists.txt: USES {target}, which no file includes"
            if LAYER.get(folder, -1) <= LAYER.get(target, 99):
                yield f"{folder}/CMakeLists.txt: USES {target}, an arrow that does not point down"


def check_doors(source):
    for match in source.includes("<"):
        header = match.group(1)
        doors = [places for pattern, places in DOORS if re.match(pattern, header)]
        if doors:
            if not any(source.is_under(places) for places in doors):
                yield f"{source.at(match)}: <{header}> is included outside its door"
        elif not (STANDARD.fullmatch(header) or (SYSTEM.fullmatch(header) and source.folder != "chunker")):
            yield f"{source.at(match)}: <{header}> has no door"


def check_seams(source, own_names):
    for kind, pattern, places in SEAMS:
        if source.is_under(SYSTEM_SIDE + places):
            continue
        for match in re.finditer(pattern, source.code):
            name = match.groupdict().get("name")
            qualified = match.group().startswith("::")
            if name and not qualified and (name in own_names or source.is_declared(match)):
                continue
            yield f"{source.at(match)}: {kind} round the seam: {match.group().strip(' (')}"


def check_form(source):
    # A .cpp that begins with its own folder's header is described there.
    own_header = f'#include "{source.folder}/' if source.path.endswith(".cpp") else "// "
    if not source.text.startswith(("// ", own_header)):
        yield f"{source.path}: does not begin with a comment that says what it is"
    own = "firn::" + pathlib.PurePath(source.folder).name
    allowed = {own, "firn"} if source.folder in ("repo/base", "agent") else {own}
    for match in re.finditer(r"(?m)^namespace\s+(firn\b[\w:]*)", source.code):
        if not any(match.group(1) == name or match.group(1).startswith(own + "::") for name in allowed):
            yield f"{source.at(match)}: namespace {match.group(1)} in the folder of {own}"


def violations(root):
    *found, uses = modules(root)
    yield from found
    paths = sorted(p for top in PRODUCT for p in (root / top).rglob("*") if p.suffix in (".h", ".cpp"))
    sources = [Source(root, path) for path in paths]
    for folder in sorted(set(uses) | {s.path.rpartition("/")[0] for s in sources if s.folder is None}):
        if folder not in LAYER:
            yield f"{folder}: has no layer in tests/borders/borders.py"
    sources = [source for source in sources if source.folder]
    yield from check_arrows(sources, uses)
    own_names = {}  # functions and parameters that a folder declares itself and may call unqualified
    seam_names = [re.compile(p.removesuffix(r"\(") + "[,)=;({]") for _, p, _ in SEAMS if "?P<name>" in p]
    for source in sources:
        names = own_names.setdefault(source.folder, set())
        for pattern in seam_names:
            names |= {m.group("name") for m in pattern.finditer(source.code) if source.is_declared(m)}
    for source in sources:
        yield from check_doors(source)
        yield from check_seams(source, own_names[source.folder])
        yield from check_form(source)


def main():
    found = list(violations(pathlib.Path(sys.argv[1]).resolve()))
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
