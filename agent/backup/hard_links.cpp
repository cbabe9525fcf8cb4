#include "agent/backup/hard_links.h"

#include <array>
#include <utility>

#include "repo/base/codec.h"

namespace firn::backup {
namespace {

constexpr std::string_view kName = "hard-links";
constexpr kv::TableId kSeen{0};
constexpr kv::TableId kEntries{1};
constexpr std::uint64_t kSizeBytesMax = 64ULL << 30;

std::array<std::byte, 16> key_of(const scan::Stat& stat) {
  std::array<std::byte, 16> key{};
  base::store_little(key.data(), stat.device);
  base::store_little(key.data() + 8, stat.inode);
  return key;
}

}  // namespace

HardLinks::~HardLinks() {
  auto environment = environment_.lock();
  if (*environment) {
    environment->reset();
    static_cast<void>(state_.remove(kName));
  }
}

Result<kv::Environment*> HardLinks::environment() {
  auto environment = environment_.lock();
  if (!*environment) {
    static_cast<void>(state_.remove(kName));  // what a killed backup left says nothing now
    FIRN_LET(*environment, state_.open(kName, {.size_bytes_max = kSizeBytesMax, .durable = false}));
  }
  return environment->get();
}

Result<bool> HardLinks::first_name(const scan::Stat& stat) {
  FIRN_LET(kv::Environment * kv, environment());
  FIRN_LET(auto txn, kv->begin_write());
  const auto key = key_of(stat);
  FIRN_LET(const auto seen, txn->get(kSeen, key));
  if (seen) {
    return false;
  }
  FIRN_TRY(txn->put(kSeen, key, {}));
  FIRN_TRY(txn->commit());
  return true;
}

Result<> HardLinks::record(const scan::Stat& stat, const format::Entry& entry) {
  Bytes record;
  FIRN_TRY(format::encode_entry(entry, record));
  FIRN_LET(kv::Environment * kv, environment());
  FIRN_LET(auto txn, kv->begin_write());
  FIRN_TRY(txn->put(kEntries, key_of(stat), record));
  return txn->commit();
}

Result<std::optional<format::Entry>> HardLinks::find(const scan::Stat& stat) {
  FIRN_LET(kv::Environment * kv, environment());
  FIRN_LET(auto txn, kv->begin_read());
  FIRN_LET(const auto record, txn->get(kEntries, key_of(stat)));
  if (!record) {
    return std::nullopt;
  }
  base::Reader in(*record);
  format::EntryView view;
  if (!format::parse_entry(in, view)) {
    return fail(ErrorCode::Corrupt, "the list of hard links in the cache directory is damaged");
  }
  return format::to_entry(view);
}

}  // namespace firn::backup
