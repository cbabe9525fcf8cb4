#include "repo/kv/lmdb_kv.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <lmdb.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "repo/base/check.h"
#include "repo/kv/lmdb_file.h"

namespace firn::kv {
namespace {

constexpr unsigned kReadersMax = 1024;

Failure fail_lmdb(int code, std::string_view call, std::string_view object) {
  if (code > 0) {
    return fail_errno(code, call, object);
  }
  const auto what = [&] {
    switch (code) {
      case MDB_MAP_FULL:
      case MDB_DBS_FULL:
      case MDB_READERS_FULL:
      case MDB_TXN_FULL:
        return ErrorCode::Exhausted;
      case MDB_BAD_VALSIZE:
      case MDB_KEYEXIST:
        return ErrorCode::Invalid;
      default:
        // Damage, another version, or an error that left the environment unusable: open it anew, or rebuild.
        return ErrorCode::Corrupt;
    }
  }();
  return fail(what, std::string(call) + " " + std::string(object) + ": " + ::mdb_strerror(code));
}

MDB_val to_value(ByteView bytes) {
  // LMDB does not write through the pointers that it is given to read.
  return {bytes.size(), const_cast<std::byte*>(bytes.data())};
}

ByteView to_view(const MDB_val& value) {
  return {static_cast<const std::byte*>(value.mv_data), value.mv_size};
}

struct FreeEnvironment {
  void operator()(MDB_env* environment) const noexcept { ::mdb_env_close(environment); }
};
struct AbortTransaction {
  void operator()(MDB_txn* transaction) const noexcept { ::mdb_txn_abort(transaction); }
};
struct CloseCursor {
  void operator()(MDB_cursor* cursor) const noexcept { ::mdb_cursor_close(cursor); }
};
using EnvironmentHandle = std::unique_ptr<MDB_env, FreeEnvironment>;
using TransactionHandle = std::unique_ptr<MDB_txn, AbortTransaction>;
using CursorHandle = std::unique_ptr<MDB_cursor, CloseCursor>;
using Tables = std::array<MDB_dbi, kTablesMax>;

/// What `closed` says: which file was left behind, as stat(2) and its meta page tell it.
struct ClosedRecord {
  std::uint64_t magic = 0x6669726e636c6f73;
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size_bytes = 0;
  std::int64_t changed_seconds = 0;
  std::int64_t changed_nanoseconds = 0;
  std::uint64_t transaction = 0;
  bool operator==(const ClosedRecord&) const = default;
};

ClosedRecord describe(const struct stat& status, std::uint64_t transaction) {
  ClosedRecord record;
  record.device = status.st_dev;
  record.inode = status.st_ino;
  record.size_bytes = static_cast<std::uint64_t>(status.st_size);
  record.changed_seconds = status.st_ctim.tv_sec;
  record.changed_nanoseconds = status.st_ctim.tv_nsec;
  record.transaction = transaction;
  return record;
}

bool is_later(const struct timespec& a, const struct timespec& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

Result<> unlink_if_there(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return fail_errno(errno, "unlink", path);
  }
  return {};
}

/// A new lock file with all its blocks. LMDB would make it sparse and write it through its map, so that a
/// disk that fills up later would end the process with SIGBUS.
Result<> make_lock_file(const std::string& path) {
  FIRN_TRY(unlink_if_there(path));
  FIRN_LET(const base::FileDescriptor file, base::open_at(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL, 0600));
  // btrfs would need new blocks for each change; other file systems refuse the flag, and need it not.
  int flags = 0;
  if (::ioctl(file.get(), FS_IOC_GETFLAGS, &flags) == 0) {
    flags |= FS_NOCOW_FL;
    static_cast<void>(::ioctl(file.get(), FS_IOC_SETFLAGS, &flags));
  }
  constexpr std::size_t kReaderBytes = 64;
  return base::write_all(file.get(), Bytes((kReadersMax + 8) * kReaderBytes), path);
}

/// The members that reading and writing transactions share.
class Transaction {
 public:
  Transaction(MDB_txn* handle, const Tables& tables, std::string_view path)
      : handle_(handle), tables_(tables), path_(path) {}

  Result<std::optional<ByteView>> get(TableId table, ByteView key) {
    FIRN_TRY(check_key(key));
    MDB_val wanted = to_value(key);
    MDB_val value{};
    const int code = ::mdb_get(handle_.get(), dbi(table), &wanted, &value);
    if (code == MDB_NOTFOUND) {
      return std::nullopt;
    }
    if (code != MDB_SUCCESS) {
      return fail_lmdb(code, "read", path_);
    }
    return to_view(value);
  }

  Result<> scan(TableId table, ByteView from,
                const std::function<bool(ByteView key, ByteView value)>& visit) {
    if (from.size() > kKeySizeBytesMax) {
      return check_key(from);
    }
    MDB_cursor* raw = nullptr;
    if (const int code = ::mdb_cursor_open(handle_.get(), dbi(table), &raw); code != MDB_SUCCESS) {
      return fail_lmdb(code, "read", path_);
    }
    const CursorHandle cursor(raw);
    MDB_val key = to_value(from);
    MDB_val value{};
    int code = ::mdb_cursor_get(cursor.get(), &key, &value, from.empty() ? MDB_FIRST : MDB_SET_RANGE);
    while (code == MDB_SUCCESS && visit(to_view(key), to_view(value))) {
      code = ::mdb_cursor_get(cursor.get(), &key, &value, MDB_NEXT);
    }
    if (code != MDB_SUCCESS && code != MDB_NOTFOUND) {
      return fail_lmdb(code, "read", path_);
    }
    return {};
  }

  Result<std::uint64_t> count(TableId table) {
    MDB_stat status{};
    if (const int code = ::mdb_stat(handle_.get(), dbi(table), &status); code != MDB_SUCCESS) {
      return fail_lmdb(code, "read", path_);
    }
    return status.ms_entries;
  }

  Result<> put(TableId table, ByteView key, ByteView value, unsigned flags) {
    FIRN_TRY(usable());
    FIRN_TRY(check_key(key));
    MDB_val key_value = to_value(key);
    MDB_val data = to_value(value);
    return note(::mdb_put(handle_.get(), dbi(table), &key_value, &data, flags), "write");
  }

  Result<> erase(TableId table, ByteView key) {
    FIRN_TRY(usable());
    FIRN_TRY(check_key(key));
    MDB_val key_value = to_value(key);
    const int code = ::mdb_del(handle_.get(), dbi(table), &key_value, nullptr);
    return note(code == MDB_NOTFOUND ? MDB_SUCCESS : code, "erase");
  }

  Result<> commit() {
    FIRN_TRY(usable());
    const int code = ::mdb_txn_commit(handle_.release());
    // LMDB calls a write that the disk took in part an input/output error; nearly always the disk is full.
    return note(code == EIO && disk_is_full() ? ENOSPC : code, "commit");
  }

 private:
  MDB_dbi dbi(TableId table) const {
    const auto number = static_cast<std::size_t>(table);
    FIRN_CHECK(number < kTablesMax);
    return tables_[number];
  }

  Result<> check_key(ByteView key) const {
    if (key.empty() || key.size() > kKeySizeBytesMax) {
      return fail(ErrorCode::Invalid,
                  std::string(path_) + ": a key of " + std::to_string(key.size()) + " bytes");
    }
    return {};
  }

  bool disk_is_full() const {
    constexpr std::uint64_t kFreeBytesMin = 1 << 20;
    struct statvfs status {};
    return ::statvfs(std::string(path_).c_str(), &status) == 0 &&
           status.f_bavail * status.f_frsize < kFreeBytesMin;
  }

  Result<> usable() const {
    if (failed_) {
      return Failure(*failed_);
    }
    FIRN_CHECK(handle_ != nullptr);
    return {};
  }

  /// LMDB spoils a transaction at its first error; ours then repeats the cause instead of "bad transaction".
  Result<> note(int code, std::string_view call) {
    if (code == MDB_SUCCESS) {
      return {};
    }
    Failure failure = fail_lmdb(code, call, path_);
    failed_ = failure.value();
    handle_.reset();
    return failure;
  }

  TransactionHandle handle_;
  const Tables& tables_;
  std::string_view path_;
  std::optional<Error> failed_;
};

class LmdbReadTxn final : public ReadTxn {
 public:
  explicit LmdbReadTxn(Transaction transaction) : transaction_(std::move(transaction)) {}
  Result<std::optional<ByteView>> get(TableId table, ByteView key) override {
    return transaction_.get(table, key);
  }
  Result<> scan(TableId table, ByteView from,
                const std::function<bool(ByteView key, ByteView value)>& visit) override {
    return transaction_.scan(table, from, visit);
  }
  Result<std::uint64_t> count(TableId table) override { return transaction_.count(table); }

 private:
  Transaction transaction_;
};

class LmdbWriteTxn final : public WriteTxn {
 public:
  explicit LmdbWriteTxn(Transaction transaction) : transaction_(std::move(transaction)) {}
  Result<std::optional<ByteView>> get(TableId table, ByteView key) override {
    return transaction_.get(table, key);
  }
  Result<> scan(TableId table, ByteView from,
                const std::function<bool(ByteView key, ByteView value)>& visit) override {
    return transaction_.scan(table, from, visit);
  }
  Result<std::uint64_t> count(TableId table) override { return transaction_.count(table); }
  Result<> put(TableId table, ByteView key, ByteView value) override {
    return transaction_.put(table, key, value, 0);
  }
  Result<> append(TableId table, ByteView key, ByteView value) override {
    return transaction_.put(table, key, value, MDB_APPEND);
  }
  Result<> erase(TableId table, ByteView key) override { return transaction_.erase(table, key); }
  Result<> commit() override { return transaction_.commit(); }

 private:
  Transaction transaction_;
};

}  // namespace

class LmdbEnvironment final : public Environment {
 public:
  /// The caller has entered `name` among the open ones; the environment takes it out when it ends.
  LmdbEnvironment(LmdbKv& owner, std::string name)
      : owner_(owner), name_(std::move(name)), path_(owner.directory_ + "/" + name_) {}

  ~LmdbEnvironment() override {
    if (handle_) {
      close();
    }
    owner_.open_names_.lock()->erase(name_);
  }

  Result<> open(const EnvironmentOptions& options) {
    if (::mkdir(path_.c_str(), 0700) != 0 && errno != EEXIST) {
      return fail_errno(errno, "mkdir", path_);
    }
    FIRN_TRY(check_file(options));
    // From here on the file may change, and LMDB must not believe the lock file of an owner that is gone.
    FIRN_TRY(unlink_if_there(path_ + "/closed"));
    FIRN_TRY(make_lock_file(path_ + "/lock.mdb"));

    MDB_env* raw = nullptr;
    if (const int code = ::mdb_env_create(&raw); code != MDB_SUCCESS) {
      return fail_lmdb(code, "open", path_);
    }
    EnvironmentHandle handle(raw);
    const unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (options.durable ? 0U : unsigned{MDB_NOSYNC});
    int code = ::mdb_env_set_mapsize(raw, options.size_bytes_max);
    code = code != MDB_SUCCESS ? code : ::mdb_env_set_maxdbs(raw, kTablesMax);
    code = code != MDB_SUCCESS ? code : ::mdb_env_set_maxreaders(raw, kReadersMax);
    code = code != MDB_SUCCESS ? code : ::mdb_env_open(raw, path_.c_str(), flags, 0600);
    if (code != MDB_SUCCESS) {
      return fail_lmdb(code, "open", path_);
    }
    FIRN_TRY(open_tables(raw));
    handle_ = std::move(handle);
    return {};
  }

  Result<std::unique_ptr<ReadTxn>> begin_read() override {
    FIRN_LET(MDB_txn * raw, begin(MDB_RDONLY));
    return std::make_unique<LmdbReadTxn>(Transaction(raw, tables_, path_));
  }

  Result<std::unique_ptr<WriteTxn>> begin_write() override {
    FIRN_LET(MDB_txn * raw, begin(0));
    return std::make_unique<LmdbWriteTxn>(Transaction(raw, tables_, path_));
  }

  bool unchanged_since_close() const override { return unchanged_since_close_; }

  Result<std::uint64_t> size_bytes() override {
    struct stat status {};
    const std::string path = path_ + "/data.mdb";
    if (::stat(path.c_str(), &status) != 0) {
      return fail_errno(errno, "stat", path);
    }
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
  }

  Result<> sync() override {
    if (const int code = ::mdb_env_sync(handle_.get(), 1); code != MDB_SUCCESS) {
      return fail_lmdb(code, "sync", path_);
    }
    return {};
  }

 private:
  Result<> check_file(const EnvironmentOptions& options) {
    const std::string path = path_ + "/data.mdb";
    auto file = base::open_at(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW);
    if (!file && file.error().code == ErrorCode::NotFound) {
      unchanged_since_close_ = true;
      return {};
    }
    FIRN_LET(const base::FileDescriptor fd, std::move(file));
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) {
      return fail_errno(errno, "stat", path);
    }
    if (!S_ISREG(status.st_mode)) {
      return fail(ErrorCode::Corrupt, path + ": not a regular file");
    }
    if (status.st_size == 0) {
      return {};  // LMDB makes a new one of it
    }
    const std::uint64_t map_size_bytes =
        std::max(options.size_bytes_max, static_cast<std::uint64_t>(status.st_size));
    FIRN_LET(const LmdbFileFacts facts, check_lmdb_file(fd.get(), map_size_bytes, LmdbCheck::Roots, path));
    unchanged_since_close_ = read_closed_record() == describe(status, facts.transaction);
    if (!unchanged_since_close_) {
      FIRN_TRY(check_lmdb_file(fd.get(), map_size_bytes, LmdbCheck::Pages, path));
    }
    return {};
  }

  std::optional<ClosedRecord> read_closed_record() const {
    const auto bytes = base::read_file(path_ + "/closed", sizeof(ClosedRecord));
    if (!bytes || bytes->size() != sizeof(ClosedRecord)) {
      return std::nullopt;
    }
    ClosedRecord record;
    std::memcpy(&record, bytes->data(), sizeof(record));
    return record;
  }

  Result<> open_tables(MDB_env* environment) {
    // Only a new environment lacks tables, and pays a commit for them.
    for (const unsigned flags : {unsigned{MDB_RDONLY}, 0U}) {
      MDB_txn* raw = nullptr;
      if (const int code = ::mdb_txn_begin(environment, nullptr, flags, &raw); code != MDB_SUCCESS) {
        return fail_lmdb(code, "open", path_);
      }
      TransactionHandle transaction(raw);
      int code = MDB_SUCCESS;
      for (std::size_t i = 0; i < kTablesMax && code == MDB_SUCCESS; ++i) {
        code = ::mdb_dbi_open(raw, std::to_string(i).c_str(), flags == 0 ? unsigned{MDB_CREATE} : 0U,
                              &tables_[i]);
      }
      if (code == MDB_NOTFOUND && flags != 0) {
        continue;
      }
      // Also a reading transaction keeps the handles that it opened only when it is committed.
      code = code != MDB_SUCCESS ? code : ::mdb_txn_commit(transaction.release());
      if (code != MDB_SUCCESS) {
        return fail_lmdb(code, "open", path_);
      }
      return {};
    }
    return fail(ErrorCode::Corrupt, path_ + ": tables are missing");
  }

  Result<MDB_txn*> begin(unsigned flags) {
    MDB_txn* raw = nullptr;
    if (const int code = ::mdb_txn_begin(handle_.get(), nullptr, flags, &raw); code != MDB_SUCCESS) {
      return fail_lmdb(code, "begin", path_);
    }
    return raw;
  }

  /// Leaves a note of the file as it is now. Without one (an error, a crash) the next open checks it all.
  void close() {
    MDB_envinfo info{};
    const bool known = ::mdb_env_info(handle_.get(), &info) == MDB_SUCCESS;
    handle_.reset();
    struct stat data {};
    if (!known || ::stat((path_ + "/data.mdb").c_str(), &data) != 0) {
      return;
    }
    const ClosedRecord record = describe(data, info.me_last_txnid);
    const auto bytes = std::as_bytes(std::span(&record, 1));
    const std::string path = path_ + "/closed";
    const auto file = base::open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    if (!file || !base::write_all(file->get(), bytes, path)) {
      ::unlink(path.c_str());
      return;
    }
    // Times stand still for a tick of the kernel's clock. A change in the same tick as the last commit could
    // not be seen, so the tick must be over before anybody else can write.
    struct timespec now {};
    while (::clock_gettime(CLOCK_REALTIME_COARSE, &now) == 0 && !is_later(now, data.st_ctim)) {
      const struct timespec pause { 0, 500'000 };
      if (data.st_ctim.tv_sec > now.tv_sec + 1) {
        ::unlink(path.c_str());  // the clock was set back: nothing can be said
        return;
      }
      ::nanosleep(&pause, nullptr);
    }
  }

  LmdbKv& owner_;
  std::string name_;
  std::string path_;
  EnvironmentHandle handle_;
  Tables tables_{};
  bool unchanged_since_close_ = false;
};

LmdbKv::LmdbKv(std::string directory, base::FileDescriptor owner)
    : directory_(std::move(directory)), owner_(std::move(owner)) {}

LmdbKv::~LmdbKv() { FIRN_CHECK(open_names_.lock()->empty()); }

Result<std::unique_ptr<LmdbKv>> LmdbKv::open_directory(const std::string& directory) {
  FIRN_TRY(base::make_directories(directory));
  const std::string path = directory + "/owner";
  FIRN_LET(base::FileDescriptor owner, base::open_at(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  while (::flock(owner.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return fail(ErrorCode::Unavailable, directory + ": another process is using it");
    }
    if (errno != EINTR) {
      return fail_errno(errno, "flock", path);
    }
  }
  return std::unique_ptr<LmdbKv>(new LmdbKv(directory, std::move(owner)));
}

Result<std::unique_ptr<LmdbKv>> LmdbKv::open_slot(const std::string& cache_root, unsigned slots_max) {
  for (unsigned slot = 0; slot < slots_max; ++slot) {
    auto opened = open_directory(cache_root + "/slot-" + std::to_string(slot));
    if (opened || opened.error().code != ErrorCode::Unavailable) {
      return opened;
    }
  }
  return fail(ErrorCode::Exhausted,
              cache_root + ": all " + std::to_string(slots_max) + " slots are in use by other processes");
}

namespace {

Result<> check_name(std::string_view name) {
  if (!is_kv_name(name)) {
    return fail(ErrorCode::Invalid, "bad name in a local key-value store: " + std::string(name));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Environment>> LmdbKv::open(std::string_view name, const EnvironmentOptions& options) {
  FIRN_TRY(check_name(name));
  // LMDB breaks its own locks when one process opens a file twice.
  if (!open_names_.lock()->emplace(name).second) {
    return fail(ErrorCode::Invalid, directory_ + "/" + std::string(name) + ": open already");
  }
  auto environment = std::make_unique<LmdbEnvironment>(*this, std::string(name));
  FIRN_TRY(environment->open(options));
  return environment;
}

Result<> LmdbKv::remove(std::string_view name) {
  FIRN_TRY(check_name(name));
  const std::string path = directory_ + "/" + std::string(name);
  if (open_names_.lock()->contains(name)) {
    return fail(ErrorCode::Invalid, path + ": still open");
  }
  for (const char* file : {"/data.mdb", "/lock.mdb", "/closed"}) {
    if (auto removed = unlink_if_there(path + file);
        !removed && removed.error().code != ErrorCode::NotFound) {
      return removed;
    }
  }
  if (::rmdir(path.c_str()) != 0 && errno != ENOENT) {
    return fail_errno(errno, "rmdir", path);
  }
  return {};
}

Result<std::vector<std::string>> LmdbKv::names() {
  const std::unique_ptr<DIR, decltype([](DIR* d) { ::closedir(d); })> directory(
      ::opendir(directory_.c_str()));
  if (!directory) {
    return fail_errno(errno, "read", directory_);
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    struct stat status {};
    const std::string name = entry->d_name;
    if (is_kv_name(name) && ::stat((directory_ + "/" + name).c_str(), &status) == 0 &&
        S_ISDIR(status.st_mode)) {
      names.push_back(name);
    }
    errno = 0;
  }
  if (errno != 0) {
    return fail_errno(errno, "read", directory_);
  }
  std::ranges::sort(names);
  return names;
}

Result<> LmdbKv::write_file(std::string_view name, ByteView bytes) {
  FIRN_TRY(check_name(name));
  return base::replace_file(directory_ + "/" + std::string(name) + ".state", bytes);
}

Result<Bytes> LmdbKv::read_file(std::string_view name, std::size_t size_bytes_max) {
  FIRN_TRY(check_name(name));
  return base::read_file(directory_ + "/" + std::string(name) + ".state", size_bytes_max);
}

Result<> LmdbKv::remove_file(std::string_view name) {
  FIRN_TRY(check_name(name));
  return unlink_if_there(directory_ + "/" + std::string(name) + ".state");
}

}  // namespace firn::kv
