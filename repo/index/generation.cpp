#include "repo/index/generation.h"

#include <charconv>
#include <utility>

namespace firn::index {
namespace {

constexpr std::string_view kNamePrefix = "index-";

}  // namespace

Failure fail_damaged(std::string_view what) {
  return fail(ErrorCode::Corrupt,
              "the local index is damaged (" + std::string(what) + "); it will be made anew");
}

Result<std::optional<ByteView>> get_row(kv::ReadTxn& txn, Table table, ByteView key) {
  FIRN_LET(const std::optional<ByteView> value, txn.get(table_id(table), key));
  if (!value) {
    return std::nullopt;
  }
  const auto row = check_row(table, key, *value);
  if (!row) {
    return fail_damaged("a row's check is wrong");
  }
  return row->payload;
}

Result<> scan_rows(kv::ReadTxn& txn, Table table, ByteView from, const RowVisitor& visit) {
  Result<> outcome;
  FIRN_TRY(txn.scan(table_id(table), from, [&](ByteView key, ByteView value) {
    const auto row = check_row(table, key, value);
    if (!row) {
      outcome = fail_damaged("a row's check is wrong");
      return false;
    }
    auto more = visit(key, *row);
    if (!more) {
      outcome = Failure(std::move(more).error());
      return false;
    }
    return *more;
  }));
  return outcome;
}

Result<MetaRow> get_meta(kv::ReadTxn& txn) {
  FIRN_LET(const std::optional<ByteView> payload, get_row(txn, Table::Meta, meta_key()));
  const auto row = payload ? parse_meta(*payload) : std::nullopt;
  if (!row) {
    return fail_damaged("no meta row");
  }
  return *row;
}

Result<PackRow> get_pack(kv::ReadTxn& txn, ListingNumber listing) {
  FIRN_LET(const std::optional<ByteView> payload, get_row(txn, Table::Packs, number_key(listing)));
  const auto row = payload ? parse_pack(*payload) : std::nullopt;
  if (!row) {
    return fail_damaged("a pack's row is missing");
  }
  return *row;
}

Result<PackFlags> get_mark(kv::ReadTxn& txn, const format::PackName& pack) {
  FIRN_LET(const std::optional<ByteView> payload, get_row(txn, Table::Marks, pack_key(pack)));
  if (!payload) {
    return PackFlags{};
  }
  const auto flags =
      payload->size() == 1 ? parse_flags(std::to_integer<std::uint8_t>(payload->front())) : std::nullopt;
  if (!flags) {
    return fail_damaged("a mark's row is wrong");
  }
  return *flags;
}

Result<std::optional<ListingNumber>> get_listing(kv::ReadTxn& txn, const ListingKey& key) {
  FIRN_LET(const std::optional<ByteView> payload, get_row(txn, Table::Listings, key));
  if (!payload) {
    return std::nullopt;
  }
  const auto number = parse_number(*payload);
  if (!number) {
    return fail_damaged("a listing's row is wrong");
  }
  return number;
}

Result<> for_each_listing(kv::ReadTxn& txn, const format::PackName& pack,
                          const std::function<Result<bool>(ListingNumber)>& visit) {
  const PackKey prefix = pack_key(pack);
  return scan_rows(txn, Table::Listings, prefix, [&](ByteView key, const CheckedRow& row) -> Result<bool> {
    if (key.size() != kListingKeyBytes || !equal(key.first(kPackKeyBytes), prefix)) {
      return false;
    }
    const auto number = parse_number(row.payload);
    if (!number) {
      return fail_damaged("a listing's row is wrong");
    }
    return visit(*number);
  });
}

Result<std::shared_ptr<Generation>> Generation::open(kv::LocalKv& kv, std::uint32_t number,
                                                     const kv::EnvironmentOptions& options) {
  std::shared_ptr<Generation> generation(new Generation(kv, number));
  FIRN_TRY(generation->reopen(options));
  return generation;
}

Generation::~Generation() {
  environment_.reset();
  if (discarded_.load()) {
    // What cannot be removed now is removed by the next open().
    static_cast<void>(kv_.remove(name(number_)));
  }
}

Result<> Generation::reopen(const kv::EnvironmentOptions& options) {
  environment_.reset();
  FIRN_LET(environment_, kv_.open(name(number_), options));
  return {};
}

std::string Generation::name(std::uint32_t number) {
  return std::string(kNamePrefix) + std::to_string(number);
}

std::optional<std::uint32_t> Generation::parse_name(std::string_view text) {
  if (!text.starts_with(kNamePrefix)) {
    return std::nullopt;
  }
  const std::string_view digits = text.substr(kNamePrefix.size());
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || end != digits.data() + digits.size() || name(number) != text) {
    return std::nullopt;
  }
  return number;
}

Batch::Batch(Generation& generation, MetaRow& meta, std::size_t changes_max, std::function<void()> on_commit)
    : generation_(generation), meta_(meta), changes_max_(changes_max), on_commit_(std::move(on_commit)) {}

Result<kv::WriteTxn*> Batch::txn() {
  if (!txn_) {
    FIRN_LET(txn_, generation_.environment().begin_write());
    sum_ = meta_.sum;
    changes_ = 0;
  }
  return txn_.get();
}

Result<> Batch::put(Table table, ByteView key, Bytes payload) {
  FIRN_LET(kv::WriteTxn* const open, txn());
  FIRN_LET(const std::optional<ByteView> old, get_row(*open, table, key));
  const std::uint64_t hash = row_hash(table, key, payload);
  sum_ += hash - (old ? row_hash(table, key, *old) : 0);
  append_check(payload, hash);
  changes_ += 1;
  return open->put(table_id(table), key, payload);
}

Result<> Batch::append(Table table, ByteView key, ByteView payload) {
  FIRN_LET(kv::WriteTxn* const open, txn());
  const std::uint64_t hash = row_hash(table, key, payload);
  sum_ += hash;
  value_.assign(payload.begin(), payload.end());
  append_check(value_, hash);
  changes_ += 1;
  return open->append(table_id(table), key, value_);
}

Result<> Batch::erase(Table table, ByteView key) {
  FIRN_LET(kv::WriteTxn* const open, txn());
  FIRN_LET(const std::optional<ByteView> old, get_row(*open, table, key));
  if (!old) {
    return {};
  }
  sum_ -= row_hash(table, key, *old);
  changes_ += 1;
  return open->erase(table_id(table), key);
}

Result<> Batch::step() { return changes_ >= changes_max_ ? commit() : Result<>(); }

Result<> Batch::commit() {
  if (!txn_) {
    return {};
  }
  if (changes_ > 0) {
    MetaRow next = meta_;
    next.sum = sum_;
    next.commits += 1;
    Bytes payload = encode(next);
    append_check(payload, row_hash(Table::Meta, meta_key(), payload));
    FIRN_TRY(txn_->put(table_id(Table::Meta), meta_key(), payload));
    FIRN_TRY(txn_->commit());
    meta_ = next;
  }
  txn_.reset();
  if (changes_ > 0 && on_commit_) {
    on_commit_();
  }
  changes_ = 0;
  return {};
}

}  // namespace firn::index
