#include "repo/base/scratch.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <deque>
#include <mutex>

#include "repo/base/files.h"

namespace firn::base {
namespace {

class UnlinkedFile final : public ScratchFile {
 public:
  UnlinkedFile(FileDescriptor file, std::string where) : file_(std::move(file)), where_(std::move(where)) {}

  Result<> append(ByteView bytes) override {
    const std::uint64_t offset = size_.load(std::memory_order_relaxed);
    FIRN_TRY(write_all_at(file_.get(), offset, bytes, where_));
    size_.store(offset + bytes.size(), std::memory_order_release);
    return {};
  }
  Result<> read_at(std::uint64_t offset, MutableBytes out) override {
    if (offset > size() || out.size() > size() - offset) {
      return fail(ErrorCode::Corrupt, "read of " + where_ + ": it ends too early");
    }
    return read_exactly_at(file_.get(), offset, out, where_);
  }
  std::uint64_t size() const override { return size_.load(std::memory_order_acquire); }

 private:
  FileDescriptor file_;
  std::string where_;
  std::atomic<std::uint64_t> size_{0};
};

class MemoryFile final : public ScratchFile {
 public:
  Result<> append(ByteView bytes) override {
    const std::scoped_lock lock(mutex_);
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return {};
  }
  Result<> read_at(std::uint64_t offset, MutableBytes out) override {
    const std::scoped_lock lock(mutex_);
    if (offset > bytes_.size() || out.size() > bytes_.size() - offset) {
      return fail(ErrorCode::Corrupt, "read of a temporary file: it ends too early");
    }
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
    return {};
  }
  std::uint64_t size() const override {
    const std::scoped_lock lock(mutex_);
    return bytes_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::deque<std::byte> bytes_;
};

/// For file systems without O_TMPFILE (overlayfs on old kernels, some network file systems).
Result<FileDescriptor> create_and_unlink(const std::string& directory) {
  std::string path = directory + "/firn-scratch-XXXXXX";
  FileDescriptor file(::mkostemp(path.data(), O_CLOEXEC));
  if (!file.valid()) {
    return fail_errno(errno, "create a temporary file in", directory);
  }
  if (::unlink(path.c_str()) != 0) {
    return fail_errno(errno, "unlink", path);
  }
  return file;
}

Result<FileDescriptor> create_unnamed(const std::string& directory) {
  const int fd = ::open(directory.c_str(), O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) {
    return FileDescriptor(fd);
  }
  if (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL) {
    return create_and_unlink(directory);
  }
  return fail_errno(errno, "create a temporary file in", directory);
}

}  // namespace

DirectoryScratch::DirectoryScratch(std::string directory) : directory_(std::move(directory)) {}

Result<std::unique_ptr<ScratchFile>> DirectoryScratch::create() {
  FIRN_LET(FileDescriptor file, create_unnamed(directory_));
  return std::make_unique<UnlinkedFile>(std::move(file), "a temporary file in " + directory_);
}

Result<std::unique_ptr<ScratchFile>> MemoryScratch::create() { return std::make_unique<MemoryFile>(); }

}  // namespace firn::base
