// Pages in memory, named as a repository names them, and told apart by what a test wants to count or damage.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "repo/format/keys.h"
#include "repo/format/refs.h"
#include "repo/tree/page_store.h"

namespace firn::tree {

class MemoryPageStore final : public PageSource, public PageSink {
 public:
  MemoryPageStore() : content_(key<format::ContentKey>(1)), refs_(key<format::RefsKey>(2)) {}

  Result<Bytes> read_page(format::ChunkType type, const format::ChunkSecret& t) override {
    ++page_reads;
    read_once.insert(t);
    const auto found = pages.find({type, t});
    if (found == pages.end()) {
      return fail(ErrorCode::NotFound, "no such page");
    }
    return found->second;
  }
  Result<Bytes> read_refs(const format::ChunkId& id) override {
    ++refs_reads;
    const auto found = refs_pages.find(id);
    if (found == refs_pages.end()) {
      return fail(ErrorCode::NotFound, "no such refs page");
    }
    return found->second;
  }
  Result<StoredPage> store_page(format::ChunkType type, ByteView plain) override {
    if (sink_fails) {
      return fail(ErrorCode::Exhausted, "full");
    }
    const auto t = format::chunk_capability(content_, type, plain);
    new_pages += pages.emplace(std::pair(type, t), to_bytes(plain)).second ? 1 : 0;
    return StoredPage{t, format::chunk_id(t)};
  }
  Result<format::ChunkId> store_refs(ByteView plain) override {
    const auto id = format::refs_page_id(refs_, plain);
    new_refs_pages += refs_pages.emplace(id, to_bytes(plain)).second ? 1 : 0;
    return id;
  }

  /// The twin that the writer should have stored for a page.
  format::ChunkId refs_of(format::ChunkType type, ByteView plain) {
    return format::refs_page_id(refs_, format::encode(format::refs_of_page(type, plain).value()).value());
  }

  std::map<std::pair<format::ChunkType, format::ChunkSecret>, Bytes> pages;
  std::map<format::ChunkId, Bytes> refs_pages;
  std::uint64_t page_reads = 0;
  std::set<format::ChunkSecret> read_once;
  std::uint64_t refs_reads = 0;
  std::uint64_t new_pages = 0;
  std::uint64_t new_refs_pages = 0;
  bool sink_fails = false;

 private:
  template <class Key>
  static Key key(int fill) {
    std::array<std::byte, 32> bytes{};
    bytes.fill(static_cast<std::byte>(fill));
    return Key::copy_of(bytes);
  }

  format::ContentKey content_;
  format::RefsKey refs_;
};

}  // namespace firn::tree
