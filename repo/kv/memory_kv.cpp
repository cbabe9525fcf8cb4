#include "repo/kv/memory_kv.h"

#include <optional>
#include <utility>

#include "repo/base/check.h"

namespace firn::kv {
namespace {

std::size_t index_of(TableId table) {
  const auto number = static_cast<std::size_t>(table);
  FIRN_CHECK(number < kTablesMax);
  return number;
}

Result<> check_key(ByteView key) {
  if (key.empty() || key.size() > kKeySizeBytesMax) {
    return fail(ErrorCode::Invalid, "a key of " + std::to_string(key.size()) + " bytes");
  }
  return {};
}

Result<> check_name(std::string_view name) {
  if (!is_kv_name(name)) {
    return fail(ErrorCode::Invalid, "bad name in a local key-value store: " + std::string(name));
  }
  return {};
}

Failure fail_dead() {
  return fail(ErrorCode::Unavailable, "the process that opened this environment is gone");
}
Failure fail_full() { return fail(ErrorCode::Exhausted, "no space left in memory"); }

Result<std::optional<ByteView>> get_from(const MemoryKv::State& state, TableId table, ByteView key) {
  FIRN_TRY(check_key(key));
  const auto& rows = state[index_of(table)];
  if (rows) {
    if (const auto found = rows->find(key); found != rows->end()) {
      return ByteView(found->second);
    }
  }
  return std::nullopt;
}

Result<> scan_in(const MemoryKv::State& state, TableId table, ByteView from,
                 const std::function<bool(ByteView key, ByteView value)>& visit) {
  if (from.size() > kKeySizeBytesMax) {
    return check_key(from);
  }
  if (const auto& rows = state[index_of(table)]) {
    for (auto row = rows->lower_bound(from); row != rows->end() && visit(row->first, row->second); ++row) {
    }
  }
  return {};
}

std::uint64_t count_in(const MemoryKv::State& state, TableId table) {
  const auto& rows = state[index_of(table)];
  return rows ? rows->size() : 0;
}

class MemoryReadTxn final : public ReadTxn {
 public:
  explicit MemoryReadTxn(MemoryKv::State state) : state_(std::move(state)) {}
  Result<std::optional<ByteView>> get(TableId table, ByteView key) override {
    return get_from(state_, table, key);
  }
  Result<> scan(TableId table, ByteView from,
                const std::function<bool(ByteView key, ByteView value)>& visit) override {
    return scan_in(state_, table, from, visit);
  }
  Result<std::uint64_t> count(TableId table) override { return count_in(state_, table); }

 private:
  MemoryKv::State state_;
};

}  // namespace

class MemoryWriteTxn final : public WriteTxn {
 public:
  /// The caller has marked the environment as being written.
  MemoryWriteTxn(MemoryKv& kv, std::string name, std::uint64_t process, MemoryKv::State state)
      : kv_(kv), name_(std::move(name)), process_(process), state_(std::move(state)) {}
  ~MemoryWriteTxn() override { end(); }

  Result<std::optional<ByteView>> get(TableId table, ByteView key) override {
    return get_from(state_, table, key);
  }
  Result<> scan(TableId table, ByteView from,
                const std::function<bool(ByteView key, ByteView value)>& visit) override {
    return scan_in(state_, table, from, visit);
  }
  Result<std::uint64_t> count(TableId table) override { return count_in(state_, table); }

  Result<> put(TableId table, ByteView key, ByteView value) override {
    FIRN_TRY(begin_change(key));
    owned(table).insert_or_assign(to_bytes(key), to_bytes(value));
    return {};
  }
  Result<> append(TableId table, ByteView key, ByteView value) override {
    FIRN_TRY(begin_change(key));
    MemoryKv::Table& rows = owned(table);
    if (!rows.empty() && !MemoryKv::KeyOrder{}(rows.rbegin()->first, key)) {
      return note(fail(ErrorCode::Invalid, "append: key out of order"));
    }
    rows.emplace_hint(rows.end(), to_bytes(key), to_bytes(value));
    return {};
  }
  Result<> erase(TableId table, ByteView key) override {
    FIRN_TRY(begin_change(key));
    MemoryKv::Table& rows = owned(table);
    if (const auto found = rows.find(key); found != rows.end()) {
      rows.erase(found);
    }
    return {};
  }

  Result<> commit() override {
    FIRN_TRY(usable());
    {
      auto disk = kv_.disk_.lock();
      if (disk->process != process_) {
        return note(fail_dead());
      }
      if (disk->full) {
        return note(fail_full());
      }
      MemoryKv::OnDisk& on_disk = disk->environments.find(name_)->second;
      on_disk.stored.committed = state_;
      if (on_disk.durable) {
        on_disk.stored.synced = state_;
      }
    }
    end();
    return {};
  }

 private:
  Result<> usable() const {
    if (failed_) {
      return Failure(*failed_);
    }
    FIRN_CHECK(!ended_);
    return {};
  }

  Result<> begin_change(ByteView key) {
    FIRN_TRY(usable());
    FIRN_TRY(check_key(key));
    auto disk = kv_.disk_.lock();
    if (disk->full) {
      return note(fail_full());
    }
    return {};
  }

  Failure note(Failure failure) {
    failed_ = failure.value();
    return failure;
  }

  MemoryKv::Table& owned(TableId table) {
    const std::size_t number = index_of(table);
    if (!owned_[number]) {
      owned_[number] = state_[number] ? std::make_shared<MemoryKv::Table>(*state_[number])
                                      : std::make_shared<MemoryKv::Table>();
      state_[number] = owned_[number];
    }
    return *owned_[number];
  }

  void end() {
    if (std::exchange(ended_, true)) {
      return;
    }
    auto disk = kv_.disk_.lock();
    if (disk->process == process_) {
      disk->environments.find(name_)->second.writing = false;
      disk.notify();
    }
  }

  MemoryKv& kv_;
  std::string name_;
  std::uint64_t process_;
  MemoryKv::State state_;
  std::array<std::shared_ptr<MemoryKv::Table>, kTablesMax>
      owned_{};  // shared with state_ alone, until commit
  std::optional<Error> failed_;
  bool ended_ = false;
};

class MemoryEnvironment final : public Environment {
 public:
  MemoryEnvironment(MemoryKv& kv, std::string name, std::uint64_t process, bool unchanged)
      : kv_(kv), name_(std::move(name)), process_(process), unchanged_since_close_(unchanged) {}

  ~MemoryEnvironment() override {
    auto disk = kv_.disk_.lock();
    if (disk->process == process_) {
      MemoryKv::OnDisk& on_disk = disk->environments.find(name_)->second;
      on_disk.open = false;
      on_disk.unchanged_since_close = true;
    }
  }

  Result<std::unique_ptr<ReadTxn>> begin_read() override {
    auto disk = kv_.disk_.lock();
    if (disk->process != process_) {
      return fail_dead();
    }
    return std::make_unique<MemoryReadTxn>(disk->environments.find(name_)->second.stored.committed);
  }

  Result<std::unique_ptr<WriteTxn>> begin_write() override {
    auto disk = kv_.disk_.lock();
    disk.wait([&](const MemoryKv::Disk& d) {
      return d.process != process_ || !d.environments.find(name_)->second.writing;
    });
    if (disk->process != process_) {
      return fail_dead();
    }
    MemoryKv::OnDisk& on_disk = disk->environments.find(name_)->second;
    on_disk.writing = true;
    return std::make_unique<MemoryWriteTxn>(kv_, name_, process_, on_disk.stored.committed);
  }

  bool unchanged_since_close() const override { return unchanged_since_close_; }

  Result<std::uint64_t> size_bytes() override {
    FIRN_LET(const std::unique_ptr<ReadTxn> txn, begin_read());
    std::uint64_t total = 0;
    for (std::size_t table = 0; table < kTablesMax; ++table) {
      FIRN_TRY(txn->scan(static_cast<TableId>(table), {}, [&](ByteView key, ByteView value) {
        total += key.size() + value.size();
        return true;
      }));
    }
    return total;
  }

  Result<> sync() override {
    auto disk = kv_.disk_.lock();
    if (disk->process != process_) {
      return fail_dead();
    }
    MemoryKv::Stored& stored = disk->environments.find(name_)->second.stored;
    stored.synced = stored.committed;
    return {};
  }

 private:
  MemoryKv& kv_;
  std::string name_;
  std::uint64_t process_;
  bool unchanged_since_close_;
};

Result<std::unique_ptr<Environment>> MemoryKv::open(std::string_view name,
                                                    const EnvironmentOptions& options) {
  FIRN_TRY(check_name(name));
  auto disk = disk_.lock();
  OnDisk& on_disk = disk->environments[std::string(name)];
  if (on_disk.open) {
    return fail(ErrorCode::Invalid, std::string(name) + ": open already");
  }
  if (on_disk.damaged) {
    return fail(ErrorCode::Corrupt, std::string(name) + ": damaged");
  }
  on_disk.open = true;
  on_disk.durable = options.durable;
  const bool unchanged = std::exchange(on_disk.unchanged_since_close, false);
  return std::make_unique<MemoryEnvironment>(*this, std::string(name), disk->process, unchanged);
}

Result<> MemoryKv::remove(std::string_view name) {
  FIRN_TRY(check_name(name));
  auto disk = disk_.lock();
  if (const auto found = disk->environments.find(name); found != disk->environments.end()) {
    if (found->second.open) {
      return fail(ErrorCode::Invalid, std::string(name) + ": still open");
    }
    disk->environments.erase(found);
  }
  return {};
}

Result<std::vector<std::string>> MemoryKv::names() {
  auto disk = disk_.lock();
  std::vector<std::string> names;
  for (const auto& [name, on_disk] : disk->environments) {
    names.push_back(name);
  }
  return names;
}

Result<> MemoryKv::write_file(std::string_view name, ByteView bytes) {
  FIRN_TRY(check_name(name));
  auto disk = disk_.lock();
  if (disk->full) {
    return fail_full();
  }
  disk->files.insert_or_assign(std::string(name), to_bytes(bytes));
  return {};
}

Result<Bytes> MemoryKv::read_file(std::string_view name, std::size_t size_bytes_max) {
  FIRN_TRY(check_name(name));
  auto disk = disk_.lock();
  const auto found = disk->files.find(name);
  if (found == disk->files.end()) {
    return fail(ErrorCode::NotFound, std::string(name) + ": no such file");
  }
  if (found->second.size() > size_bytes_max) {
    return fail(ErrorCode::Corrupt, std::string(name) + ": larger than expected");
  }
  return found->second;
}

Result<> MemoryKv::remove_file(std::string_view name) {
  FIRN_TRY(check_name(name));
  auto disk = disk_.lock();
  if (const auto found = disk->files.find(name); found != disk->files.end()) {
    disk->files.erase(found);
  }
  return {};
}

void MemoryKv::end_process(Disk& disk) {
  disk.process += 1;
  for (auto& [name, on_disk] : disk.environments) {
    on_disk.unchanged_since_close = on_disk.unchanged_since_close && !on_disk.open;
    on_disk.open = false;
    on_disk.writing = false;
  }
}

void MemoryKv::kill() {
  auto disk = disk_.lock();
  end_process(*disk);
  disk.notify();
}

void MemoryKv::crash() {
  auto disk = disk_.lock();
  end_process(*disk);
  for (auto& [name, on_disk] : disk->environments) {
    if (on_disk.stored.committed != on_disk.stored.synced) {
      on_disk.stored.committed = on_disk.stored.synced;
      on_disk.unchanged_since_close = false;
    }
  }
  disk.notify();
}

void MemoryKv::wipe() {
  auto disk = disk_.lock();
  end_process(*disk);
  disk->environments.clear();
  disk->files.clear();
  disk.notify();
}

MemoryKv::Image MemoryKv::image() {
  auto disk = disk_.lock();
  Image image;
  image.files = disk->files;
  for (const auto& [name, on_disk] : disk->environments) {
    image.environments.emplace(name, on_disk.stored);
  }
  return image;
}

void MemoryKv::restore(const Image& image) {
  auto disk = disk_.lock();
  end_process(*disk);
  disk->files = image.files;
  disk->environments.clear();
  for (const auto& [name, stored] : image.environments) {
    OnDisk& on_disk = disk->environments[name];
    on_disk.stored = stored;
    on_disk.unchanged_since_close = false;
  }
  disk.notify();
}

void MemoryKv::damage(std::string_view name) {
  auto disk = disk_.lock();
  if (const auto found = disk->environments.find(name); found != disk->environments.end()) {
    found->second.damaged = true;
  }
}

void MemoryKv::set_full(bool full) { disk_.lock()->full = full; }

}  // namespace firn::kv
