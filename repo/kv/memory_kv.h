// LocalKv in memory, for simulation and tests: the same answers as LmdbKv, and hooks that do to it what
// happens to files.
//
// The object stands for the disk, so it outlives a simulated process: crash() and kill() leave what a process
// would leave, and make the environments and transactions that are still held answer Unavailable.
// Threads: as LocalKv; waiting for the writer goes through the executor, so a seeded run can switch there.
// The hooks are for the test that owns the object.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>

#include "repo/base/executor.h"
#include "repo/base/monitor.h"
#include "repo/kv/local_kv.h"

namespace firn::kv {

class MemoryKv final : public LocalKv {
 public:
  struct KeyOrder {
    using is_transparent = void;
    bool operator()(ByteView a, ByteView b) const { return as_text(a) < as_text(b); }
  };
  using Table = std::map<Bytes, Bytes, KeyOrder>;
  /// Tables are shared by the states that have them alike, and copied before a change.
  using State = std::array<std::shared_ptr<const Table>, kTablesMax>;

  explicit MemoryKv(base::Executor& executor) : disk_(executor) {}

  Result<std::unique_ptr<Environment>> open(std::string_view name,
                                            const EnvironmentOptions& options) override;
  Result<> remove(std::string_view name) override;
  Result<std::vector<std::string>> names() override;
  Result<> write_file(std::string_view name, ByteView bytes) override;
  Result<Bytes> read_file(std::string_view name, std::size_t size_bytes_max) override;
  Result<> remove_file(std::string_view name) override;

  /// The process dies: what was committed stays.
  void kill();
  /// Power fails: commits that were not synced are lost.
  void crash();
  /// Everything is lost.
  void wipe();

  struct Stored {
    State committed;
    State synced;
  };
  /// Everything as it is now, and its return later: a restored disk image. restore() implies kill().
  struct Image {
    std::map<std::string, Stored, std::less<>> environments;
    std::map<std::string, Bytes, std::less<>> files;
  };
  Image image();
  void restore(const Image& image);

  /// open() of this environment answers Corrupt until it is removed.
  void damage(std::string_view name);
  /// While set, every write answers Exhausted.
  void set_full(bool full);

 private:
  friend class MemoryEnvironment;
  friend class MemoryWriteTxn;

  struct OnDisk {
    Stored stored;
    bool damaged = false;
    bool unchanged_since_close = true;
    bool open = false;
    bool writing = false;
    bool durable = true;
  };
  struct Disk {
    std::map<std::string, OnDisk, std::less<>> environments;
    std::map<std::string, Bytes, std::less<>> files;
    std::uint64_t process = 0;  // handles of an earlier process are dead
    bool full = false;
  };

  /// A new process: all handles are dead.
  static void end_process(Disk& disk);

  base::Monitor<Disk> disk_;
};

}  // namespace firn::kv
