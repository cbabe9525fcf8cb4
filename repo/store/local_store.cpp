#include "repo/store/local_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <vector>

namespace firn::store {
namespace {

constexpr mode_t kFileMode = 0400;
constexpr mode_t kFolderMode = 0700;
// No part of an object's name begins with a dot.
constexpr const char* kTemporaryFolder = ".tmp";
// A process that has been writing one object for longer is dead or stopped; if it goes on, its rename fails.
constexpr std::int64_t kStaleAfterNanoseconds = 24LL * 3600 * 1'000'000'000;
// Between making folders and renaming into them, or between finding an object there and comparing with it,
// somebody may remove what was found. More often than this it is no accident.
constexpr int kPlaceAttemptsMax = 4;

base::WallTime modification_time(const struct stat& status) {
  return {static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec};
}

std::string folder_of(std::string_view name) {
  const auto slash = name.rfind('/');
  return slash == std::string_view::npos ? std::string() : std::string(name.substr(0, slash));
}

/// "a/b/c" → "a", "a/b", "a/b/c".
std::vector<std::string> chain_of(const std::string& folder) {
  std::vector<std::string> chain;
  for (std::size_t end = folder.find('/'); end != std::string::npos; end = folder.find('/', end + 1)) {
    chain.push_back(folder.substr(0, end));
  }
  if (!folder.empty()) {
    chain.push_back(folder);
  }
  return chain;
}

Failure read_failure(int errno_value, std::string_view call, const std::string& object) {
  Failure failure = fail_errno(errno_value, call, object);
  switch (failure.value().code) {
    case ErrorCode::NotFound:
    case ErrorCode::Denied:
    case ErrorCode::Exhausted:
      return failure;
    default:
      return fail(ErrorCode::Unavailable, std::move(failure.value().message));
  }
}

Failure write_failure(int errno_value, std::string_view call, const std::string& object) {
  Failure failure = fail_errno(errno_value, call, object);
  switch (failure.value().code) {
    case ErrorCode::Denied:
    case ErrorCode::Exhausted:
      return failure;
    default:
      return fail(ErrorCode::Unavailable, std::move(failure.value().message));
  }
}

Outcome not_done(Failure failure) { return NotDone{std::move(failure.value())}; }
Outcome unknown(Failure failure) { return Unknown{std::move(failure.value())}; }

Result<> sync_folder(int root, const std::string& folder, const std::string& shown) {
  const auto directory = base::open_at(root, folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY);
  if (!directory) {
    return Failure(directory.error());
  }
  // Some file systems have nothing to sync for a directory and say EINVAL.
  if (::fsync(directory->get()) != 0 && errno != EINVAL) {
    return fail_errno(errno, "fsync folder of", shown);
  }
  return {};
}

/// 0 or an errno; EEXIST when `to` is there.
int rename_without_replacing(int root, const std::string& from, const std::string& to) {
  if (::renameat2(root, from.c_str(), root, to.c_str(), RENAME_NOREPLACE) == 0) {
    return 0;
  }
  if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) {
    return errno;
  }
  // NFS and some FUSE file systems: a hard link never replaces either.
  if (::linkat(root, from.c_str(), root, to.c_str(), 0) == 0) {
    ::unlinkat(root, from.c_str(), 0);
    return 0;
  }
  if (errno != EPERM && errno != ENOSYS && errno != EOPNOTSUPP && errno != EMLINK) {
    return errno;
  }
  struct stat status {};
  if (::fstatat(root, to.c_str(), &status, 0) == 0) {
    return EEXIST;
  }
  return ::renameat(root, from.c_str(), root, to.c_str()) == 0 ? 0 : errno;
}

/// Whether a rename that failed so has surely not happened. EIO, a lost server and the like leave it open.
bool is_definite(int errno_value) {
  constexpr std::array kDefinite = {ENOENT, ENOTDIR, EISDIR, EEXIST,       EACCES, EPERM,  EROFS, ENOSPC,
                                    EDQUOT, EXDEV,   ELOOP,  ENAMETOOLONG, ENOMEM, EINVAL, EBUSY, EMLINK};
  return std::find(kDefinite.begin(), kDefinite.end(), errno_value) != kDefinite.end();
}

Result<bool> equals_file(int fd, ByteView bytes, const std::string& shown) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) {
    return read_failure(errno, "stat", shown);
  }
  if (static_cast<std::uint64_t>(status.st_size) != bytes.size()) {
    return false;
  }
  constexpr std::size_t kStepBytes = 256 << 10;
  Bytes buffer(std::min(kStepBytes, bytes.size()));
  for (std::size_t offset = 0; offset < bytes.size(); offset += buffer.size()) {
    const MutableBytes step(buffer.data(), std::min(buffer.size(), bytes.size() - offset));
    FIRN_TRY(base::read_exactly_at(fd, offset, step, shown));
    if (!equal(step, bytes.subspan(offset, step.size()))) {
      return false;
    }
  }
  return true;
}

struct CloseDirectory {
  void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

Result<Directory> open_directory(int root, const std::string& folder) {
  const std::string path = folder.empty() ? "." : folder;
  const int fd = ::openat(root, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return read_failure(errno, "open folder", folder);
  }
  Directory directory(::fdopendir(fd));
  if (!directory) {
    const int error = errno;
    ::close(fd);
    return read_failure(error, "open folder", folder);
  }
  return directory;
}

}  // namespace

/// A file in the temporary folder, removed unless it was given its final name.
struct LocalStore::TemporaryFile {
  TemporaryFile(int root_fd, std::string name, base::FileDescriptor descriptor)
      : root(root_fd), path(std::move(name)), file(std::move(descriptor)) {}
  TemporaryFile(TemporaryFile&& other) noexcept
      : root(other.root), path(std::exchange(other.path, {})), file(std::move(other.file)) {}
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  ~TemporaryFile() {
    if (!path.empty()) {
      ::unlinkat(root, path.c_str(), 0);
    }
  }

  int root;
  std::string path;  // empty once it has been renamed
  base::FileDescriptor file;
};

Result<> LocalStore::init(const std::string& path) {
  FIRN_TRY(base::make_directories(path, kFolderMode));
  return {};
}

Result<std::unique_ptr<LocalStore>> LocalStore::open(const std::string& path, base::Rng& rng,
                                                     const base::Clock& clock) {
  auto root = base::open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  if (!root && root.error().code == ErrorCode::NotFound) {
    return fail(ErrorCode::NotFound,
                "there is no directory " + path + ": make a repository there with 'firn init'");
  }
  if (!root) {
    return Failure(std::move(root).error().in("open repository"));
  }
  return std::unique_ptr<LocalStore>(new LocalStore(path, *std::move(root), rng, clock));
}

Outcome LocalStore::put(const ObjectName& name, ByteView bytes, PutOptions options) {
  auto temporary = write_temporary(name, bytes);
  if (!temporary) {
    return NotDone{std::move(temporary).error()};
  }
  for (int attempt = 1;; ++attempt) {
    const int error =
        options.replace
            ? (::renameat(root_.get(), temporary->path.c_str(), root_.get(), name.str().c_str()) == 0 ? 0
                                                                                                      : errno)
            : rename_without_replacing(root_.get(), temporary->path, name.str());
    if (error == 0) {
      temporary->path.clear();
      const auto synced = sync_folder_of(name);
      return synced ? Outcome(Done{}) : Outcome(Unknown{synced.error()});
    }
    if (attempt == kPlaceAttemptsMax || (error != ENOENT && error != EEXIST)) {
      return is_definite(error) ? not_done(write_failure(error, "put", full(name)))
                                : unknown(write_failure(error, "put", full(name)));
    }
    if (error == EEXIST) {
      if (auto outcome = confirm_existing(name, bytes)) {
        return *std::move(outcome);
      }
    } else if (auto made = make_folders_of(name); !made) {
      return NotDone{std::move(made).error()};
    }
  }
}

Result<LocalStore::TemporaryFile> LocalStore::create_temporary() {
  for (int attempt = 1;; ++attempt) {
    std::string path = std::string(kTemporaryFolder) + "/" + to_hex(rng_.bytes<16>());
    auto file = base::open_at(root_.get(), path, O_CREAT | O_EXCL | O_RDWR, kFileMode);
    if (file) {
      return TemporaryFile(root_.get(), std::move(path), *std::move(file));
    }
    if (attempt == kPlaceAttemptsMax || file.error().code != ErrorCode::NotFound) {
      return Failure(std::move(file).error());
    }
    if (::mkdirat(root_.get(), kTemporaryFolder, kFolderMode) != 0 && errno != EEXIST) {
      return fail_errno(errno, "mkdir", full(kTemporaryFolder));
    }
  }
}

Result<LocalStore::TemporaryFile> LocalStore::write_temporary(const ObjectName& name, ByteView bytes) {
  auto temporary = create_temporary();
  if (!temporary) {
    Error error = std::move(temporary).error().in("put " + full(name));
    const bool passed_on = error.code == ErrorCode::Denied || error.code == ErrorCode::Exhausted;
    return fail(passed_on ? error.code : ErrorCode::Unavailable, std::move(error.message));
  }
  remove_stale_temporaries(*temporary);
  if (auto written = base::write_all(temporary->file.get(), bytes, full(name)); !written) {
    return Failure(std::move(written).error());
  }
  if (::fsync(temporary->file.get()) != 0) {
    return write_failure(errno, "fsync", full(name));
  }
  return temporary;
}

void LocalStore::remove_stale_temporaries(const TemporaryFile& fresh) {
  if (std::exchange(*stale_removed_.lock(), true)) {
    return;
  }
  struct stat status {};
  const auto folder = open_directory(root_.get(), kTemporaryFolder);
  if (!folder || ::fstat(fresh.file.get(), &status) != 0) {
    return;  // only litter: the next writer tries again
  }
  const std::int64_t oldest = modification_time(status).nanoseconds - kStaleAfterNanoseconds;
  while (const dirent* entry = ::readdir(folder->get())) {
    const int fd = ::dirfd(folder->get());
    if (::fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode) &&
        modification_time(status).nanoseconds < oldest) {
      ::unlinkat(fd, entry->d_name, 0);
    }
  }
}

/// What to answer when an object of this name is there. Nothing when it is gone again.
std::optional<Outcome> LocalStore::confirm_existing(const ObjectName& name, ByteView bytes) {
  auto file = open_object(name);
  if (!file) {
    if (file.error().code == ErrorCode::NotFound) {
      return std::nullopt;
    }
    return NotDone{std::move(file).error()};
  }
  const auto same = equals_file(file->get(), bytes, full(name));
  if (!same) {
    return NotDone{same.error()};
  }
  if (!*same) {
    return NotDone{{ErrorCode::Exists, "put " + full(name) + ": another object has this name"}};
  }
  // Whoever put it may have died, or be stopped, before it was durable.
  if (::fsync(file->get()) != 0) {
    return unknown(write_failure(errno, "fsync", full(name)));
  }
  const auto synced = sync_folder_of(name);
  return synced ? Outcome(Done{}) : Outcome(Unknown{synced.error()});
}

Result<> LocalStore::sync_folder_of(const ObjectName& name) {
  const std::string folder = folder_of(name);
  for (const std::string& part : chain_of(folder)) {
    FIRN_TRY(make_folder_durable(part));
  }
  return sync_folder(root_.get(), folder, full(name));
}

/// Another process may have made the folder and died before its name was durable, so each process syncs once.
Result<> LocalStore::make_folder_durable(const std::string& folder) {
  if (durable_folders_.lock()->contains(folder)) {
    return {};
  }
  FIRN_TRY(sync_folder(root_.get(), folder_of(folder), full(folder)));
  durable_folders_.lock()->insert(folder);
  return {};
}

Result<> LocalStore::make_folders_of(const ObjectName& name) {
  for (const std::string& part : chain_of(folder_of(name))) {
    if (::mkdirat(root_.get(), part.c_str(), kFolderMode) != 0 && errno != EEXIST) {
      return write_failure(errno, "mkdir", full(part));
    }
  }
  return {};
}

Result<base::FileDescriptor> LocalStore::open_object(const ObjectName& name) {
  // O_NONBLOCK: somebody may have put a fifo there.
  base::FileDescriptor file(
      ::openat(root_.get(), name.str().c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!file.valid()) {
    return read_failure(errno, "get", full(name));
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    return read_failure(errno, "stat", full(name));
  }
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorCode::NotFound, "get " + full(name) + ": not a file");
  }
  return file;
}

Result<Bytes> LocalStore::get(const ObjectName& name, std::uint64_t size_bytes_max) {
  FIRN_LET(const base::FileDescriptor file, open_object(name));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    return read_failure(errno, "stat", full(name));
  }
  const auto size_bytes = static_cast<std::uint64_t>(status.st_size);
  if (size_bytes > size_bytes_max) {
    return fail(ErrorCode::Corrupt, "get " + full(name) + ": " + std::to_string(size_bytes) +
                                        " bytes, more than " + std::to_string(size_bytes_max));
  }
  Bytes bytes(size_bytes);
  FIRN_TRY(base::read_exactly_at(file.get(), 0, bytes, full(name)));
  return bytes;
}

Result<> LocalStore::get_range(const ObjectName& name, std::uint64_t offset, MutableBytes out) {
  FIRN_LET(const base::FileDescriptor file, open_object(name));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    return read_failure(errno, "stat", full(name));
  }
  // Checked first: an offset beyond what the kernel takes must not become another error.
  const auto size_bytes = static_cast<std::uint64_t>(status.st_size);
  if (offset > size_bytes || out.size() > size_bytes - offset) {
    return fail(ErrorCode::Corrupt, "get " + full(name) + ": it ends at byte " + std::to_string(size_bytes));
  }
  return base::read_exactly_at(file.get(), offset, out, full(name));
}

Result<std::uint64_t> LocalStore::head(const ObjectName& name) {
  struct stat status {};
  if (::fstatat(root_.get(), name.str().c_str(), &status, 0) != 0) {
    return read_failure(errno, "head", full(name));
  }
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorCode::NotFound, "head " + full(name) + ": not a file");
  }
  return static_cast<std::uint64_t>(status.st_size);
}

/// One LIST. Within a folder the key of a file is its name and the key of a folder is its name and a slash:
/// sorted by these, depth first gives the byte order of whole names ("ab", "ab.end" and "ab/c" differ there).
struct LocalStore::Lister {
  struct Entry {
    std::string key;
    bool operator<(const Entry& other) const { return key < other.key; }
    bool is_folder() const { return key.ends_with('/'); }
  };
  struct Folder {
    std::vector<Entry> entries;  // the smallest ones, sorted
    bool more = false;           // there are larger ones
  };

  int root;
  std::string_view prefix;
  std::string_view after;
  std::size_t wanted;
  std::vector<ListedObject> found;

  bool full() const { return found.size() >= wanted; }

  /// `folder` is "" or ends with a slash.
  Result<> visit(const std::string& folder) {
    std::string key_after;
    while (!full()) {
      FIRN_LET(const Folder content, read_folder(folder, key_after));
      for (const Entry& entry : content.entries) {
        if (full()) {
          return {};
        }
        FIRN_TRY(entry.is_folder() ? visit(folder + entry.key) : add(folder + entry.key));
      }
      if (!content.more) {
        return {};
      }
      key_after = content.entries.back().key;
    }
    return {};
  }

  Result<> add(const std::string& name) {
    auto parsed = ObjectName::parse(name);
    if (!parsed) {
      return {};
    }
    struct stat status {};
    if (::fstatat(root, name.c_str(), &status, 0) != 0) {
      // Removed since its folder was read.
      return errno == ENOENT ? Result<>{} : Result<>(read_failure(errno, "stat", name));
    }
    found.push_back(
        {*std::move(parsed), static_cast<std::uint64_t>(status.st_size), modification_time(status)});
    return {};
  }

  /// Whether names that begin with or equal `name` can be in this LIST.
  bool wants(const std::string& name, bool is_folder) const {
    if (is_folder) {
      return (name.starts_with(prefix) || prefix.starts_with(name)) &&
             (name > after || after.starts_with(name));
    }
    return name.starts_with(prefix) && name > after;
  }

  Result<Folder> read_folder(const std::string& folder, const std::string& key_after) {
    Folder content;
    const auto directory = open_directory(root, folder);
    if (!directory) {
      // A folder that is not there (or is a file) has nothing in it; any other error is no such news.
      return directory.error().code == ErrorCode::NotFound ? Result<Folder>(std::move(content))
                                                           : Failure(directory.error());
    }
    const std::size_t room = wanted - found.size();
    while (true) {
      errno = 0;
      const dirent* entry = ::readdir(directory->get());
      if (entry == nullptr) {
        break;
      }
      FIRN_LET(auto key, key_of(::dirfd(directory->get()), *entry));
      if (key.empty() || key <= key_after || !wants(folder + key, key.ends_with('/'))) {
        continue;
      }
      content.entries.push_back({std::move(key)});
      std::push_heap(content.entries.begin(), content.entries.end());
      if (content.entries.size() > room) {
        std::pop_heap(content.entries.begin(), content.entries.end());
        content.entries.pop_back();
        content.more = true;
      }
    }
    if (errno != 0) {
      return read_failure(errno, "read folder", folder);
    }
    std::sort_heap(content.entries.begin(), content.entries.end());
    return content;
  }

  /// Empty for what is neither a file nor a folder, or cannot be a part of an object's name.
  static Result<std::string> key_of(int directory, const dirent& entry) {
    const std::string_view name = entry.d_name;
    if (name.starts_with('.')) {
      return std::string();
    }
    unsigned char type = entry.d_type;
    if (type == DT_UNKNOWN || type == DT_LNK) {
      struct stat status {};
      if (::fstatat(directory, entry.d_name, &status, 0) != 0) {
        return errno == ENOENT ? Result<std::string>(std::string())
                               : read_failure(errno, "stat", name.data());
      }
      type = S_ISDIR(status.st_mode) ? DT_DIR : S_ISREG(status.st_mode) ? DT_REG : DT_UNKNOWN;
    }
    if (type == DT_DIR) {
      return std::string(name) + "/";
    }
    return type == DT_REG ? std::string(name) : std::string();
  }
};

Result<> LocalStore::check_root_is_there() {
  struct stat status {};
  if (::fstat(root_.get(), &status) != 0) {
    return read_failure(errno, "stat", path_);
  }
  if (status.st_nlink == 0) {
    return fail(ErrorCode::NotFound, "the directory " + path_ + " has been removed");
  }
  return {};
}

Result<ListPage> LocalStore::list(std::string_view prefix, std::string_view after, std::uint32_t count_max) {
  FIRN_TRY(check_root_is_there());
  const std::string folder = folder_of(prefix);
  if (!folder.empty() && !ObjectName::parse(folder)) {
    return ListPage{};
  }
  // One more than asked for tells whether this page is the last.
  Lister lister{root_.get(), prefix, after, std::size_t{count_max} + 1, {}};
  if (auto listed = lister.visit(folder.empty() ? folder : folder + "/"); !listed) {
    return Failure(std::move(listed).error().in("list " + full(prefix)));
  }
  ListPage page;
  page.last = !lister.full();
  page.objects = std::move(lister.found);
  if (!page.last) {
    page.objects.pop_back();
  }
  return page;
}

Outcome LocalStore::remove(const ObjectName& name) {
  if (::unlinkat(root_.get(), name.str().c_str(), 0) != 0 && errno != ENOENT && errno != ENOTDIR &&
      errno != EISDIR) {
    const int error = errno;
    return is_definite(error) ? not_done(write_failure(error, "remove", full(name)))
                              : unknown(write_failure(error, "remove", full(name)));
  }
  // Also when it was gone already: whoever removed it may have died before that was durable.
  const auto synced = sync_folder(root_.get(), folder_of(name), full(name));
  if (!synced && synced.error().code != ErrorCode::NotFound) {
    return Unknown{synced.error()};
  }
  return Done{};
}

Result<base::WallTime> LocalStore::now() {
  const auto temporary = create_temporary();
  struct stat status {};
  if (!temporary || ::fstat(temporary->file.get(), &status) != 0) {
    return clock_.wall();
  }
  return modification_time(status);
}

}  // namespace firn::store
