#include "agent/state/sparse_bundles.h"

#include <algorithm>
#include <string>

#include "repo/base/check.h"
#include "repo/base/codec.h"

namespace firn::state {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 1 + 8 + 4;

std::string file_name(const format::SourceTag& source) { return "bundles-" + source.hex(); }

}  // namespace

Bytes encode(const SparseBundles& list) {
  FIRN_CHECK(list.bundles.size() <= kSparseBundlesMax);
  Bytes bytes;
  bytes.reserve(kHeaderBytes + list.bundles.size() * format::ChunkId::kBytes);
  base::Writer out(bytes);
  out.u8(kVersion);
  out.u64(list.budget_bytes);
  out.u32(static_cast<std::uint32_t>(list.bundles.size()));
  for (const format::ChunkId& id : list.bundles) {
    out.bytes(id.view());
  }
  return bytes;
}

Result<SparseBundles> parse_sparse_bundles(ByteView bytes) {
  base::Reader in(bytes);
  SparseBundles list;
  const std::uint8_t version = in.u8();
  list.budget_bytes = in.u64();
  const std::uint32_t count = in.u32();
  if (version == kVersion && count <= kSparseBundlesMax &&
      in.remaining() == count * format::ChunkId::kBytes) {
    list.bundles.resize(count);
    for (format::ChunkId& id : list.bundles) {
      const ByteView from = in.bytes(format::ChunkId::kBytes);
      std::copy(from.begin(), from.end(), id.bytes.begin());
    }
    const auto not_rising = [](const format::ChunkId& a, const format::ChunkId& b) { return a >= b; };
    if (in.finished() &&
        std::adjacent_find(list.bundles.begin(), list.bundles.end(), not_rising) == list.bundles.end()) {
      return list;
    }
  }
  return fail(ErrorCode::Corrupt, "list of sparse bundles: damaged");
}

SparseBundles load_sparse_bundles(kv::LocalKv& state, const format::SourceTag& source) {
  const auto bytes =
      state.read_file(file_name(source), kHeaderBytes + kSparseBundlesMax * format::ChunkId::kBytes);
  auto list = bytes ? parse_sparse_bundles(*bytes) : Result<SparseBundles>();
  return list ? *std::move(list) : SparseBundles{};
}

void save_sparse_bundles(kv::LocalKv& state, const format::SourceTag& source, const SparseBundles& list) {
  static_cast<void>(list.bundles.empty() ? state.remove_file(file_name(source))
                                         : state.write_file(file_name(source), encode(list)));
}

}  // namespace firn::state
