// A directory of a test's own, removed with everything in it.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace firn::testsupport {

class TempDirectory {
 public:
  /// Below `parent`; by default where TMPDIR says, else /tmp.
  explicit TempDirectory(std::string parent = testing::TempDir()) {
    while (parent.size() > 1 && parent.ends_with('/')) {
      parent.pop_back();
    }
    path_ = parent + "/firn-test-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) {
      ADD_FAILURE() << "cannot make a directory in " << parent;
    }
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace firn::testsupport
