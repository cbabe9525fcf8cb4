#!/usr/bin/env python3
"""Proves that borders.py can fail: each rule is broken once in a small tree, and only that is named."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).with_name("borders.py")
CLEAN = {
    "chunker/CMakeLists.txt": "firn_module(chunker SOURCES chunker.cpp)",
    "chunker/chunker.h": "// Cuts.\n#include <vector>\nnamespace firn::chunker {}\n",
    "repo/base/CMakeLists.txt": "firn_module(base SOURCES clock.cpp)",
    "repo/base/result.h": "// Results.\n#include <tl/expected.hpp>\nnamespace firn {}\n",
    "repo/base/clock.cpp": '#include "repo/base/result.h"\n#include <time.h>\nnamespace firn::base {\n'
                           "long now() { return ::time(nullptr) + std::chrono::system_clock::now(); }\n}\n",
    "repo/format/CMakeLists.txt": "firn_module(format\n  USES base\n  LINKS zstd\n  SOURCES page.cpp)",
    "repo/format/page.cpp": '// Pages.\n#include <zstd.h>\n#include "repo/base/result.h"\n'
                            "namespace firn::format {}\n",
    "agent/restore/linux_target.cpp": "// Files.\n#include <fcntl.h>\nnamespace firn::restore {\n"
                                      "int f() { return ::open(0, 0); }\n}\n",
}
CUTS_FILE = "chunker/chunker.h"
PAGE_FILE = "repo/format/page.cpp"


def page(code):
    return CLEAN[PAGE_FILE] + code + "\n"


# what, file, its content, what must be said
BROKEN = [
    ("an include that USES does not name", PAGE_FILE,
     page('#include "chunker/chunker.h"'),
     "page.cpp:5: includes chunker, which its module's USES does not name"),
    ("an include that points up", CUTS_FILE,
     CLEAN[CUTS_FILE] + '#include "repo/base/result.h"\n', "chunker.h:4: includes repo/base, an arrow"),
    ("a USES that nobody needs", "repo/format/CMakeLists.txt",
     "firn_module(format USES base chunker SOURCES page.cpp)", "USES chunker, which no file includes"),
    ("a USES of no module", "repo/format/CMakeLists.txt",
     "firn_module(format USES base bse SOURCES page.cpp)", "USES bse, which is no module"),
    ("a module with another name", "chunker/CMakeLists.txt",
     "firn_module(cutter SOURCES chunker.cpp)", "module cutter is not named like its folder"),
    ("an include relative to its folder", PAGE_FILE,
     page('#include "page.h"'), '"page.h" is not in'),
    ("a folder without a layer", "agent/extra/x.h",
     "// X.\nnamespace firn::extra {}\n", "agent/extra: has no layer"),
    ("zstd outside its door", CUTS_FILE,
     "// Cuts.\n#include <zstd.h>\nnamespace firn::chunker {}\n", "chunker.h:2: <zstd.h> is included"),
    ("an unknown library", PAGE_FILE, page("#include <boost/any.hpp>"), "<boost/any.hpp> has no door"),
    ("a system header in chunker", CUTS_FILE,
     "// Cuts.\n#include <unistd.h>\nnamespace firn::chunker {}\n", "<unistd.h> has no door"),
    ("gtest in the product", PAGE_FILE, page("#include <gtest/gtest.h>"), "<gtest/gtest.h> is included"),
    ("another folder's namespace", PAGE_FILE, page("namespace firn::base {}"), "namespace firn::base"),
    ("no namespace of its own", CUTS_FILE,
     "// Cuts.\nnamespace firn {}\n", "namespace firn in the folder"),
    ("no comment at the beginning", CUTS_FILE, "#pragma once\n", "chunker.h: does not begin with"),
] + [
    (code, PAGE_FILE, page(code), f"page.cpp:5: {kind} round the seam: ") for kind, code in [
        ("clock", "auto a = std::chrono::steady_clock::now();"),
        ("clock", "using Clock = std::chrono::system_clock;"),
        ("clock", "auto a = time(nullptr);"),
        ("clock", "void f() { clock_gettime(CLOCK_MONOTONIC, &now); }"),
        ("clock", "void f() { ::gettimeofday(&now, nullptr); }"),
        ("randomness", "std::random_device device;"),
        ("randomness", "auto a = 1 + rand();"),
        ("randomness", "void f() { if (::getrandom(p, 1, 0) != 1) {} }"),
        ("randomness", "std::mt19937 engine;"),
        ("randomness", "#include <random>"),
        ("threads", "std::thread worker;"),
        ("threads", "std::jthread worker;"),
        ("threads", "std::mutex mutex;"),
        ("threads", "std::shared_mutex mutex;"),
        ("threads", "std::condition_variable ready;"),
        ("threads", "auto a = std::async(f);"),
        ("threads", "void f() { pthread_self(); }"),
        ("threads", "thread_local int a;"),
        ("sleep", "void f() { ::usleep(1); }"),
        ("threads", "void f() { std::this_thread::sleep_for(1s); }"),
        ("files", "int f() { return open(path, 0); }"),
        ("files", "void f() { ::openat(fd, path, 0); }"),
        ("files", "auto a = fopen(path, mode);"),
        ("files", "std::ifstream in(path);"),
        ("files", "std::ofstream out(path);"),
        ("files", "bool a = std::filesystem::exists(path);"),
        ("files", "void f() { if (x || pread(fd, p, 1, 0) < 0) {} }"),
        ("files", "void f() { (void)::read(fd, p, 1); }"),
        ("files", "void f() { ::unlink(path); }"),
        ("files", "void f() { rename(a, b); }"),
        ("files", "#include <fcntl.h>"),
        ("network", "auto a = socket(AF_INET, SOCK_STREAM, 0);"),
        ("network", "#include <sys/socket.h>"),
    ]
]

# What looks like a violation and is none.
INNOCENT = [
    "// open(path), std::mutex, #include <random>",
    "/* std::mutex\n   rand() */",
    'const char* text = "std::thread and open(";',
    'const char* text = R"x(std::thread " rand( )x";',
    "struct S { virtual Result<> open(int name) = 0; };",
    "struct S { std::vector<int>& read(int n); int f() { return read(1); } };",
    "int f(S& s) { return s.open(1) + p->read(2) + s.clock->time(); }",
    "template <class Read> auto twice(Read read) { return read() + read(); }",
    "int S::rename(int a) { return 1; }",
    "int uptime(int a); int b = uptime(1) + reopen(2);",
    "std::chrono::nanoseconds delay{1'000'000};",
    "char quote = '\"'; int after = 1'000;",
]


def violations(files):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name in ("crypto", "agent"):
            (root / name).mkdir()
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content, encoding="utf-8")
        run = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True, check=False)
        found = run.stdout.split("\n")[:-1] if run.stdout.strip() else []
        assert not run.stderr and run.returncode == (1 if found else 0), (run.stderr, run.returncode, found)
        return found


class Borders(unittest.TestCase):
    def test_a_clean_tree_passes(self):
        self.assertEqual(violations(CLEAN), [])

    def test_each_broken_rule_is_named(self):
        for what, file, content, message in BROKEN:
            with self.subTest(what):
                found = violations({**CLEAN, file: content})
                self.assertEqual(len(found), 1, found)
                self.assertIn(message, found[0])
                self.assertIn(pathlib.PurePath(file).parent.as_posix(), found[0])

    def test_innocent_code_passes(self):
        for code in INNOCENT:
            with self.subTest(code):
                self.assertEqual(violations({**CLEAN, PAGE_FILE: page(code)}), [])

    def test_an_upward_arrow_that_uses_allows_is_still_refused(self):
        found = violations({
            **CLEAN,
            "repo/base/CMakeLists.txt": "firn_module(base USES format SOURCES clock.cpp)",
            "repo/base/up.h": '// Up.\n#include "repo/format/page.h"\nnamespace firn::base {}\n',
        })
        self.assertEqual(len(found), 2, found)
        for line in found:
            self.assertIn("an arrow that does not point down", line)


if __name__ == "__main__":
    unittest.main()
