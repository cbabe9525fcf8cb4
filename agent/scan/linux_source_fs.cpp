#include "agent/scan/linux_source_fs.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>

#include "agent/scan/linux_calls.h"

namespace firn::scan {

namespace {

constexpr int kReadFlags = O_RDONLY | O_NONBLOCK | O_NOATIME;

class LinuxSourceFile final : public SourceFile {
 public:
  explicit LinuxSourceFile(base::FileDescriptor fd) : fd_(std::move(fd)) {}

  Result<Stat> stat() override { return stat_below(fd_.get(), ""); }

  Result<std::size_t> read_at(std::uint64_t offset, MutableBytes out) override {
    for (;;) {
      const ssize_t length = ::pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset));
      if (length >= 0) {
        return static_cast<std::size_t>(length);
      }
      if (errno != EINTR) {
        return fail_errno(errno, "read at byte", std::to_string(offset));
      }
    }
  }

  Result<std::optional<Extent>> next_data(std::uint64_t offset) override {
    return next_data_of_fd(fd_.get(), offset);
  }
  Result<std::vector<Xattr>> xattrs() override { return xattrs_of_fd(fd_.get()); }
  Result<Attributes> attributes() override { return attributes_of_fd(fd_.get()); }

  void done_with(std::uint64_t offset, std::uint64_t length) override {
    (void)::posix_fadvise(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(length),
                          POSIX_FADV_DONTNEED);
  }

 private:
  base::FileDescriptor fd_;
};

class LinuxSourceDir final : public SourceDir {
 public:
  explicit LinuxSourceDir(base::FileDescriptor fd, OpenFor use = OpenFor::Reading)
      : fd_(std::move(fd)), may_list_(use == OpenFor::Reading) {}

  Result<> list(const std::function<Result<>(std::span<const ListedName>)>& visit) override {
    if (!may_list_) {
      return fail_errno(EACCES, "list", "directory");
    }
    return list_names(fd_.get(), visit);
  }

  Result<Stat> stat(const std::string& name) override {
    if (!is_plain_name(name)) {
      return fail(ErrorCode::Invalid, "stat " + printable(name) + ": not a plain name");
    }
    return stat_below(fd_.get(), name);
  }

  Result<Stat> stat_self() override { return stat_below(fd_.get(), ""); }

  Result<std::unique_ptr<SourceDir>> open_dir(const std::string& name) override {
    FIRN_LET(base::FileDescriptor fd, open_below(fd_.get(), name, kReadFlags | O_DIRECTORY));
    return std::make_unique<LinuxSourceDir>(std::move(fd));
  }

  Result<std::unique_ptr<SourceFile>> open_file(const std::string& name) override {
    FIRN_LET(base::FileDescriptor fd, open_below(fd_.get(), name, kReadFlags));
    return std::make_unique<LinuxSourceFile>(std::move(fd));
  }

  Result<std::string> read_link(const std::string& name) override { return read_link_below(fd_.get(), name); }

  Result<std::vector<Xattr>> xattrs(const std::string& name, FileType) override {
    if (!name.empty()) {
      return xattrs_below(fd_.get(), name);
    }
    return may_list_ ? xattrs_of_fd(fd_.get()) : xattrs_of_path(proc_path(fd_.get(), {}));
  }

  Result<Attributes> attributes(const std::string& name, FileType type) override {
    return attributes_below(fd_.get(), name, type);
  }

 private:
  base::FileDescriptor fd_;
  bool may_list_;
};

}  // namespace

Result<std::unique_ptr<SourceDir>> LinuxSourceFs::open_root(const std::string& path) {
  auto readable = open_directory_path(path, OpenFor::Reading);
  if (readable || readable.error().code != ErrorCode::Denied) {
    FIRN_LET(base::FileDescriptor fd, std::move(readable));
    return std::make_unique<LinuxSourceDir>(std::move(fd));
  }
  FIRN_LET(base::FileDescriptor fd, open_directory_path(path, OpenFor::Passage));
  return std::make_unique<LinuxSourceDir>(std::move(fd), OpenFor::Passage);
}

std::string LinuxSourceFs::user_name(std::uint32_t uid) {
  auto users = users_.lock();
  const auto known = users->find(uid);
  if (known != users->end()) {
    return known->second;
  }
  struct passwd entry;
  struct passwd* found = nullptr;
  std::string buffer(16384, '\0');
  (void)::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found);
  return users->emplace(uid, found != nullptr ? found->pw_name : "").first->second;
}

std::string LinuxSourceFs::group_name(std::uint32_t gid) {
  auto groups = groups_.lock();
  const auto known = groups->find(gid);
  if (known != groups->end()) {
    return known->second;
  }
  struct group entry;
  struct group* found = nullptr;
  std::string buffer(65536, '\0');  // a group's line holds all its members
  (void)::getgrgid_r(gid, &entry, buffer.data(), buffer.size(), &found);
  return groups->emplace(gid, found != nullptr ? found->gr_name : "").first->second;
}

}  // namespace firn::scan
