// The seam to local persistent key-value state: the chunk index, the journal, scratch maps.
//
// Everything kept here is a cache of what the repository says: any of it can be lost, torn or rolled back,
// and the caller must then rebuild it. One environment holds a few named tables, each an ordered map of byte
// strings. Threads: any number of readers, one writer at a time (begin_write waits). A transaction stays on
// its task.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "repo/base/bytes.h"
#include "repo/base/result.h"

namespace firn::kv {

/// Tables are numbered by the caller, 0 to 15.
enum class TableId : std::uint8_t {};

class ReadTxn {
 public:
  virtual ~ReadTxn() = default;
  /// The value stays valid as long as the transaction.
  virtual Result<std::optional<ByteView>> get(TableId table, ByteView key) = 0;
  /// Visits entries with key >= `from` in byte order until `visit` returns false.
  virtual Result<> scan(TableId table, ByteView from,
                        const std::function<bool(ByteView key, ByteView value)>& visit) = 0;
  virtual Result<std::uint64_t> count(TableId table) = 0;
};

class WriteTxn : public ReadTxn {
 public:
  virtual Result<> put(TableId table, ByteView key, ByteView value) = 0;
  /// `key` must sort after every key of the table: the fast way to fill one.
  virtual Result<> append(TableId table, ByteView key, ByteView value) = 0;
  virtual Result<> erase(TableId table, ByteView key) = 0;
  /// Errors: Exhausted (disk full, map full: the caller rebuilds larger). Without commit() nothing happened.
  virtual Result<> commit() = 0;
};

struct EnvironmentOptions {
  std::uint64_t size_bytes_max = 0;  // of the map; grows by reopening
  bool durable = true;  // false: no fsync at commit; the caller keeps a dirty marker and rebuilds
};

class Environment {
 public:
  virtual ~Environment() = default;
  virtual Result<std::unique_ptr<ReadTxn>> begin_read() = 0;
  virtual Result<std::unique_ptr<WriteTxn>> begin_write() = 0;
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
  /// Exhausted, Denied.
  virtual Result<std::unique_ptr<Environment>> open(std::string_view name,
                                                    const EnvironmentOptions& options) = 0;
  virtual Result<> remove(std::string_view name) = 0;
  virtual Result<std::vector<std::string>> names() = 0;
  /// A small state file ([a-z0-9-]+), replaced atomically and durably (temporary file, fsync, rename).
  virtual Result<> write_file(std::string_view name, ByteView bytes) = 0;
  /// Errors: NotFound, Corrupt (larger than `size_bytes_max`).
  virtual Result<Bytes> read_file(std::string_view name, std::size_t size_bytes_max) = 0;
  virtual Result<> remove_file(std::string_view name) = 0;
};

}  // namespace firn::kv
