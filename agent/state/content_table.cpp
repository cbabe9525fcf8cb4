#include "agent/state/content_table.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "repo/base/codec.h"

namespace firn::state {
namespace {

using format::ContentDigest;
using format::Slice;

// A record is: digest 16, capability 32, offset u32, length u32. When a table is made, records stand in
// blocks, sorted by digest, under the last digest of each; what comes later stands alone, under its digest.
constexpr std::size_t kRecordBytes = ContentDigest::kBytes + format::ChunkSecret::kBytes + 4 + 4;
constexpr std::size_t kRecordsInBlock = 64;
constexpr std::size_t kBlockBytes = kRecordsInBlock * kRecordBytes;
constexpr std::size_t kPutsInTxn = 1024;
constexpr std::size_t kSortMemoryBytes = 4 << 20;
constexpr kv::TableId kBlocks{0};
constexpr kv::TableId kRecent{1};
// So many recent records, and one for four in blocks, are kept before the table is made anew.
constexpr std::uint64_t kRecentMin = 1024;
constexpr std::uint64_t kSizeBytesMax = 4ULL << 30;
constexpr std::string_view kPurpose = "contents";

/// The state file that says which of a source's two tables counts.
std::string current_name(const format::SourceTag& source) { return "contents-" + source.hex(); }
std::string table_name(const format::SourceTag& source, std::byte which) {
  return current_name(source) + (which == std::byte{0} ? "-a" : "-b");
}

std::optional<std::byte> read_current(kv::LocalKv& state, const format::SourceTag& source) {
  const auto bytes = state.read_file(current_name(source), 1);
  return bytes && bytes->size() == 1 && (*bytes)[0] <= std::byte{1} ? std::optional((*bytes)[0])
                                                                    : std::nullopt;
}

/// The record of the digest in a block; nothing in one that is no whole block.
std::optional<Slice> find_in(ByteView block, const ContentDigest& digest) {
  if (block.size() % kRecordBytes != 0) {
    return std::nullopt;
  }
  for (; !block.empty(); block = block.subspan(kRecordBytes)) {
    if (!equal(block.first(ContentDigest::kBytes), digest.view())) {
      continue;
    }
    base::Reader in(block.subspan(ContentDigest::kBytes, kRecordBytes - ContentDigest::kBytes));
    Slice slice;
    const ByteView capability = in.bytes(format::ChunkSecret::kBytes);
    std::copy(capability.begin(), capability.end(), slice.chunk.bytes.begin());
    slice.offset = in.u32();
    slice.length = in.u32();
    return slice;
  }
  return std::nullopt;
}

}  // namespace

ContentTable::ContentTable(kv::LocalKv& state, const repo::Repository& repository,
                           const format::SourceTag& source)
    : state_(state),
      repository_(repository),
      source_(source),
      added_(repository.services().scratch, kRecordBytes, kSortMemoryBytes) {
  record_.reserve(kRecordBytes);
  const auto which = read_current(state, source);
  if (!which) {
    return;
  }
  auto environment =
      state.open(table_name(source, *which), {.size_bytes_max = kSizeBytesMax, .durable = false});
  if (!environment) {
    return;
  }
  environment_ = *std::move(environment);
  if (auto txn = environment_->begin_read()) {
    const auto blocks = (*txn)->count(kBlocks);
    const auto recent = (*txn)->count(kRecent);
    wants_all_ = !blocks || !recent || *recent > kRecentMin + *blocks * kRecordsInBlock / 4;
  }
}

std::optional<Slice> ContentTable::find(const ContentDigest& digest) const {
  if (environment_ == nullptr) {
    return std::nullopt;
  }
  auto txn = environment_->begin_read();
  if (!txn) {
    return std::nullopt;
  }
  Bytes sealed;
  if (const auto recent = (*txn)->get(kRecent, digest.view()); recent && *recent) {
    sealed = to_bytes(**recent);
  } else {
    static_cast<void>((*txn)->scan(kBlocks, digest.view(), [&](ByteView, ByteView value) {
      sealed.assign(value.begin(), value.end());
      return false;
    }));
  }
  const auto block = repository_.open_local(kPurpose, sealed);
  return block ? find_in(*block, digest) : std::nullopt;
}

Result<> ContentTable::add(const ContentDigest& digest, const Slice& slice) {
  record_.clear();
  base::Writer out(record_);
  out.bytes(digest.view());
  out.bytes(slice.chunk.bytes);
  out.u32(slice.offset);
  out.u32(slice.length);
  return added_.add(record_);
}

Result<> ContentTable::save() {
  FIRN_TRY(added_.finish());
  return wants_all_ ? save_all() : save_recent();
}

Result<> ContentTable::save_recent() {
  bool more = added_.count() > 0;
  while (more) {
    FIRN_LET(const auto txn, environment_->begin_write());
    for (std::size_t i = 0; more && i < kPutsInTxn; ++i) {
      FIRN_LET(const ByteView record, added_.next());
      more = !record.empty();
      if (more) {
        FIRN_TRY(
            txn->put(kRecent, record.first(ContentDigest::kBytes), repository_.seal_local(kPurpose, record)));
      }
    }
    FIRN_TRY(txn->commit());
  }
  return {};
}

Result<> ContentTable::save_all() {
  const auto current = read_current(state_, source_);
  const std::byte which = current == std::byte{0} ? std::byte{1} : std::byte{0};
  const std::string name = table_name(source_, which);
  FIRN_TRY(state_.remove(name));
  FIRN_LET(const auto environment, state_.open(name, {.size_bytes_max = kSizeBytesMax, .durable = false}));
  bool more = true;
  Bytes block;
  while (more) {
    FIRN_LET(const auto txn, environment->begin_write());
    for (std::size_t i = 0; more && i < kPutsInTxn; ++i) {
      block.clear();
      ContentDigest last;
      while (block.size() < kBlockBytes) {
        FIRN_LET(const ByteView record, added_.next());
        more = !record.empty();
        if (!more) {
          break;
        }
        const ByteView digest = record.first(ContentDigest::kBytes);
        // Of files with the same content, one is enough.
        if (!block.empty() && equal(digest, last.view())) {
          continue;
        }
        std::copy(digest.begin(), digest.end(), last.bytes.begin());
        append(block, record);
      }
      if (!block.empty()) {
        FIRN_TRY(txn->put(kBlocks, last.view(), repository_.seal_local(kPurpose, block)));
      }
    }
    FIRN_TRY(txn->commit());
  }
  FIRN_TRY(environment->sync());
  FIRN_TRY(state_.write_file(current_name(source_), ByteView(&which, 1)));
  environment_.reset();
  return current ? state_.remove(table_name(source_, *current)) : Result<>();
}

}  // namespace firn::state
