// One generation of the local index: an environment full of rows, each checked when it is read and summed
// when it is written.
//
// Not here: which generation counts, and what rows mean together (chunk_index.cpp, update.cpp).
// Threads: reading functions from any, with a transaction of the caller's own; a Batch belongs to one task.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "repo/base/result.h"
#include "repo/index/rows.h"
#include "repo/kv/local_kv.h"

namespace firn::index {

/// The payload of a row. Errors: Corrupt (its check is wrong), and those of the store.
Result<std::optional<ByteView>> get_row(kv::ReadTxn& txn, Table table, ByteView key);

/// Visits rows from `from` on until `visit` gives false or an error.
using RowVisitor = std::function<Result<bool>(ByteView key, const CheckedRow& row)>;
Result<> scan_rows(kv::ReadTxn& txn, Table table, ByteView from, const RowVisitor& visit);

/// Rows that must be there and must parse. Errors: Corrupt.
Result<MetaRow> get_meta(kv::ReadTxn& txn);
Result<PackRow> get_pack(kv::ReadTxn& txn, ListingNumber listing);

/// What a pack is marked with; nothing set when it is not marked.
Result<PackFlags> get_mark(kv::ReadTxn& txn, const format::PackName& pack);

/// The number of a listing, when it has one.
Result<std::optional<ListingNumber>> get_listing(kv::ReadTxn& txn, const ListingKey& key);

/// Calls `visit` with each listing of the pack until it gives false.
Result<> for_each_listing(kv::ReadTxn& txn, const format::PackName& pack,
                          const std::function<Result<bool>(ListingNumber)>& visit);

Failure fail_damaged(std::string_view what);

class Generation {
 public:
  /// Opens or makes the environment of generation `number`. Errors: those of LocalKv::open().
  static Result<std::shared_ptr<Generation>> open(kv::LocalKv& kv, std::uint32_t number,
                                                  const kv::EnvironmentOptions& options);
  /// Removes the environment when discard() was called.
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  /// Closes the environment and opens it with other options. Nobody holds a transaction.
  Result<> reopen(const kv::EnvironmentOptions& options);
  void discard() { discarded_.store(true); }

  kv::Environment& environment() { return *environment_; }
  std::uint32_t number() const { return number_; }

  static std::string name(std::uint32_t number);
  static std::optional<std::uint32_t> parse_name(std::string_view name);

 private:
  Generation(kv::LocalKv& kv, std::uint32_t number) : kv_(kv), number_(number) {}

  kv::LocalKv& kv_;
  std::uint32_t number_;
  std::unique_ptr<kv::Environment> environment_;
  std::atomic<bool> discarded_ = false;
};

/// Changes rows in transactions of bounded size: after so many changes, step() commits and goes on with the
/// next transaction. Each commit writes the meta row.
class Batch {
 public:
  /// `meta` is the caller's picture of the meta row; it follows each commit. `on_commit` runs after each.
  Batch(Generation& generation, MetaRow& meta, std::size_t changes_max, std::function<void()> on_commit);

  Result<kv::WriteTxn*> txn();
  Result<> put(Table table, ByteView key, Bytes payload);
  /// `key` sorts after all keys of the table.
  Result<> append(Table table, ByteView key, ByteView payload);
  Result<> erase(Table table, ByteView key);

  /// A point where the changes so far make sense without the next ones.
  Result<> step();
  /// Commits what is left, if anything changed.
  Result<> commit();

 private:
  Generation& generation_;
  MetaRow& meta_;
  std::uint64_t sum_ = 0;  // as the open transaction leaves it
  std::size_t changes_max_;
  std::size_t changes_ = 0;
  std::function<void()> on_commit_;
  std::unique_ptr<kv::WriteTxn> txn_;
  Bytes value_;  // kept for its capacity
};

}  // namespace firn::index
