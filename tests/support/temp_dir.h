// A directory of a test's own, with short ways to put things into it. Gone, with everything below it, at the
// end.
#pragma once

#include <string>
#include <string_view>

namespace firn::test {

class TempDir {
 public:
  /// In `base`, or in $TMPDIR or /tmp when it is empty.
  explicit TempDir(const std::string& base = {});
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string path(std::string_view below) const { return path_ + "/" + std::string(below); }

  /// Writes a file, making the directories above it.
  void write(std::string_view name, std::string_view content) const;
  void make_dirs(std::string_view name) const;
  void symlink(std::string_view target, std::string_view name) const;
  /// The content of a file; a failed expectation and "" when it cannot be read.
  std::string read(std::string_view name) const;

 private:
  std::string path_;
};

}  // namespace firn::test
