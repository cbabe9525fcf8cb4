// The seam to local persistent key-value state: the chunk index, the journal, scratch maps.
//
// Everything kept here is a cache of what the repository says: any of it can be lost, torn or rolled back,
// and the caller must then rebuild it. One environment holds a few named tables, each an ordered map of byte
// strings: keys of 1 to 511 bytes, values below 4 GiB. What open() accepts can be read and written without a
// crash, whatever damaged the files; whether the *contents* are what the caller once wrote is the caller's to
// check (Environment::unchanged_since_close).
//
// Threads: any number of readers, one writer at a time (begin_write waits). A transaction stays on its task,
// and a task holds at most one write transaction of an environment. A LocalKv outlives its environments, an
// environment its transactions.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "repo/base/bytes.h"
#include "repo/base/result.h"

namespace firn::kv {

/// Tables are numbered by the caller, 0 to 15.
enum class TableId : std::uint8_t {};
constexpr std::size_t kTablesMax = 16;
constexpr std::size_t kKeySizeBytesMax = 511;

/// One consistent state of an environment. Keep it short: pages that it sees are not used again.
/// Errors of every member: Invalid (a key of 0 or more than 511 bytes), Corrupt, Unavailable (the disk).
class ReadTxn {
 public:
  virtual ~ReadTxn() = default;
  /// The value stays valid as long as the transaction, and in a WriteTxn until its next change.
  virtual Result<std::optional<ByteView>> get(TableId table, ByteView key) = 0;
  /// Visits entries with key >= `from` in byte order until `visit` returns false. An empty `from` means the
  /// first entry. `visit` must not change the transaction.
  virtual Result<> scan(TableId table, ByteView from,
                        const std::function<bool(ByteView key, ByteView value)>& visit) = 0;
  virtual Result<std::uint64_t> count(TableId table) = 0;
};

class WriteTxn : public ReadTxn {
 public:
  virtual Result<> put(TableId table, ByteView key, ByteView value) = 0;
  /// The fast way to fill a table. Errors: Invalid when `key` does not sort after every key that is there.
  virtual Result<> append(TableId table, ByteView key, ByteView value) = 0;
  /// A key that is not there is no error.
  virtual Result<> erase(TableId table, ByteView key) = 0;
  /// Ends the transaction. Without it, or after any error of this transaction, nothing happened: put, append,
  /// erase and commit all may say Exhausted (disk full, map full: the caller rebuilds larger), and once one
  /// of them failed, every later call fails the same way.
  virtual Result<> commit() = 0;
};

struct EnvironmentOptions {
  std::uint64_t size_bytes_max = 1ull << 30;  // of the map (address space, not memory); grows by reopening
  bool durable = true;  // false: no fsync at commit; the caller keeps a dirty marker and rebuilds
};

class Environment {
 public:
  virtual ~Environment() = default;
  virtual Result<std::unique_ptr<ReadTxn>> begin_read() = 0;
  virtual Result<std::unique_ptr<WriteTxn>> begin_write() = 0;
  /// True when this environment was closed by its owner and nothing has written to it since. False after a
  /// crash, and for a file that was copied, restored or changed by others: read it with suspicion. True for
  /// an empty one.
  virtual bool unchanged_since_close() const = 0;
  /// Bytes in use on disk.
  virtual Result<std::uint64_t> size_bytes() = 0;
  /// Makes committed transactions survive power loss (a no-op where every commit does).
  virtual Result<> sync() = 0;
};

/// A directory of environments and small state files, owned by one process at a time.
class LocalKv {
 public:
  virtual ~LocalKv() = default;
  /// Opens or makes the environment called `name` ([a-z0-9-]+). Errors: Corrupt (remove() it and rebuild),
  /// Exhausted, Denied, Invalid (a bad name, or open already).
  virtual Result<std::unique_ptr<Environment>> open(std::string_view name,
                                                    const EnvironmentOptions& options) = 0;
  /// Removes an environment that is not open; one that does not exist is no error.
  virtual Result<> remove(std::string_view name) = 0;
  /// The environments, in byte order.
  virtual Result<std::vector<std::string>> names() = 0;
  /// A small state file ([a-z0-9-]+), replaced atomically and durably (temporary file, fsync, rename).
  virtual Result<> write_file(std::string_view name, ByteView bytes) = 0;
  /// Errors: NotFound, Corrupt (larger than `size_bytes_max`).
  virtual Result<Bytes> read_file(std::string_view name, std::size_t size_bytes_max) = 0;
  /// A file that does not exist is no error.
  virtual Result<> remove_file(std::string_view name) = 0;
};

/// True for [a-z0-9-]+ of at most 64 bytes.
bool is_kv_name(std::string_view name);

}  // namespace firn::kv
