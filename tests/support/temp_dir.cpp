#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace firn::test {

namespace fs = std::filesystem;

TempDir::TempDir(const std::string& base) {
  path_ = (base.empty() ? fs::temp_directory_path().string() : base) + "/firn-test-XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr) {
    ADD_FAILURE() << "cannot make " << path_;
    std::abort();
  }
}

TempDir::~TempDir() {
  // rm, because std::filesystem takes no path longer than PATH_MAX; chattr, for flags that forbid it.
  const std::string command = "rm -rf '" + path_ + "' 2>/dev/null || { chattr -R -f -ia '" + path_ +
                              "' 2>/dev/null; rm -rf '" + path_ + "'; }";
  EXPECT_EQ(std::system(command.c_str()), 0) << path_;
}

void TempDir::write(std::string_view name, std::string_view content) const {
  const fs::path file = path(name);
  fs::create_directories(file.parent_path());
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << content;
  out.close();
  EXPECT_TRUE(out.good()) << file;
}

void TempDir::make_dirs(std::string_view name) const { fs::create_directories(path(name)); }

void TempDir::symlink(std::string_view target, std::string_view name) const {
  fs::create_symlink(std::string(target), path(name));
}

std::string TempDir::read(std::string_view name) const {
  std::ifstream in(path(name), std::ios::binary);
  EXPECT_TRUE(in.good()) << name;
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace firn::test
