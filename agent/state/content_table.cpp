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

// A record is: digest 16, capability 32, offset u32, length u32. Records stand in blocks, sorted by digest; a
// block's key is the last digest in it.
constexpr std::size_t kRecordBytes = ContentDigest::kBytes + format::ChunkSecret::kBytes + 4 + 4;
constexpr std::size_t kBlockBytes = 64 * kRecordBytes;
constexpr std::size_t kBlocksInTxn = 1024;
constexpr std::size_t kSortMemoryBytes = 4 << 20;
constexpr kv::TableId kBlocks{0};
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

std::unique_ptr<ContentTable> ContentTable::open(kv::LocalKv& state, const repo::Repository& repository,
                                                 const format::SourceTag& source) {
  const auto which = read_current(state, source);
  if (!which) {
    return nullptr;
  }
  auto environment =
      state.open(table_name(source, *which), {.size_bytes_max = kSizeBytesMax, .durable = false});
  if (!environment) {
    return nullptr;
  }
  return std::unique_ptr<ContentTable>(new ContentTable(*std::move(environment), repository));
}

std::optional<Slice> ContentTable::find(const ContentDigest& digest) const {
  auto txn = environment_->begin_read();
  if (!txn) {
    return std::nullopt;
  }
  Bytes sealed;
  const auto scanned = (*txn)->scan(kBlocks, digest.view(), [&](ByteView, ByteView value) {
    sealed.assign(value.begin(), value.end());
    return false;
  });
  if (!scanned || sealed.empty()) {
    return std::nullopt;
  }
  const auto block = repository_.open_local(kPurpose, sealed);
  return block ? find_in(*block, digest) : std::nullopt;
}

ContentTableWriter::ContentTableWriter(base::Scratch& scratch)
    : records_(scratch, kRecordBytes, kSortMemoryBytes) {}

Result<> ContentTableWriter::add(const ContentDigest& digest, const Slice& slice) {
  Bytes record;
  record.reserve(kRecordBytes);
  base::Writer out(record);
  out.bytes(digest.view());
  out.bytes(slice.chunk.bytes);
  out.u32(slice.offset);
  out.u32(slice.length);
  return records_.add(record);
}

Result<> ContentTableWriter::save(kv::LocalKv& state, const repo::Repository& repository,
                                  const format::SourceTag& source) {
  FIRN_TRY(records_.finish());
  const auto current = read_current(state, source);
  const std::byte which = current == std::byte{0} ? std::byte{1} : std::byte{0};
  const std::string name = table_name(source, which);
  FIRN_TRY(state.remove(name));
  FIRN_LET(const auto environment, state.open(name, {.size_bytes_max = kSizeBytesMax, .durable = false}));
  bool more = true;
  Bytes block;
  while (more) {
    FIRN_LET(const auto txn, environment->begin_write());
    for (std::size_t i = 0; more && i < kBlocksInTxn; ++i) {
      block.clear();
      ContentDigest last;
      while (block.size() < kBlockBytes) {
        FIRN_LET(const ByteView record, records_.next());
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
        FIRN_TRY(txn->put(kBlocks, last.view(), repository.seal_local(kPurpose, block)));
      }
    }
    FIRN_TRY(txn->commit());
  }
  FIRN_TRY(environment->sync());
  return state.write_file(current_name(source), ByteView(&which, 1));
}

}  // namespace firn::state
