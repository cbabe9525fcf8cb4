// Readers over a page store that serves the fuzzer's bytes: no page is what its name says.
//
// Input: pages, each a length (u16, little-endian) and that many bytes. A page is served for a name by the
// name's first byte, so the fuzzer builds trees, loops and shared pages.
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "repo/base/codec.h"
#include "repo/tree/page_walk.h"
#include "repo/tree/refs_walk.h"
#include "repo/tree/slice_list.h"
#include "repo/tree/tree_diff.h"
#include "repo/tree/tree_reader.h"

namespace firn::tree {
namespace {

constexpr int kReadsMax = 500;

class FuzzedPages final : public PageSource {
 public:
  explicit FuzzedPages(ByteView input) {
    base::Reader in(input);
    while (!in.at_end() && pages_.size() < 256) {
      const std::uint64_t size = in.u16();
      pages_.push_back(in.bytes(std::min<std::uint64_t>(size, in.remaining())));
    }
  }
  Result<Bytes> read_page(format::ChunkType, const format::ChunkSecret& t) override {
    return page(t.bytes[0]);
  }
  Result<Bytes> read_refs(const format::ChunkId& id) override { return page(id.bytes[0]); }

 private:
  Result<Bytes> page(std::byte number) {
    const auto index = std::to_integer<std::size_t>(number);
    if (index >= pages_.size() || ++reads_ > kReadsMax) {
      return fail(ErrorCode::NotFound, "no such page");
    }
    return to_bytes(pages_[index]);
  }
  std::vector<ByteView> pages_;
  int reads_ = 0;
};

void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

void read_slices(PageSource& source, const format::BlobView& blob) {
  SliceListReader reader(source, blob, blob.length / 3);
  std::uint64_t end = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto placed = reader.next();
    if (!placed || !*placed) {
      return;
    }
    require((*placed)->position >= end && (*placed)->slice.length > 0);
    end = (*placed)->position + (*placed)->slice.length;
    require(end <= blob.length);
  }
}

void read_tree(PageSource& source) {
  TreeReader reader(source, {});
  std::optional<Bytes> before;
  for (int i = 0; i < 1000; ++i) {
    const auto more = reader.next();
    if (!more || !*more) {
      return;
    }
    Bytes key = format::sort_key(reader.key());
    require(!before || as_text(*before) < as_text(key));
    before = std::move(key);
    read_slices(source, reader.entry().content);
    if (i % 7 == 3) {
      const std::string directory(reader.key().directory);
      (void)reader.skip_below(directory);
    }
  }
}

void use(ByteView input) {
  {
    FuzzedPages source(input);
    read_tree(source);
  }
  {
    FuzzedPages source(input);
    format::ChunkSecret second;
    second.bytes[0] = std::byte{1};
    (void)diff_trees({source, {}}, {source, second},
                     [](const format::Key&, const format::EntryView* a, const format::EntryView* b) {
                       require(a != nullptr || b != nullptr);
                       return Result<>();
                     });
  }
  {
    FuzzedPages source(input);
    (void)TreeReader(source, {}).find("a/b");
  }
  {
    class Everything final : public RefsVisitor {
      Result<bool> enter(const format::ChunkId&) override { return true; }
      Result<> chunk(const format::ChunkId&) override { return {}; }
    };
    FuzzedPages source(input);
    Everything visitor;
    (void)walk_refs(source, {}, visitor);
  }
  {
    class Everything final : public PageVisitor {
      Result<bool> enter(const PageAt&) override { return true; }
      Result<> page(const PageAt&, const format::RefsPage&) override { return {}; }
      Result<> entry(const format::Key&, const format::EntryView&) override { return {}; }
      Result<> damaged(const PageAt&, const Error&) override { return {}; }
    };
    FuzzedPages source(input);
    Everything visitor;
    (void)walk_pages(source, {}, visitor);
  }
}

}  // namespace
}  // namespace firn::tree

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  firn::tree::use(std::as_bytes(std::span(data, size)));
  return 0;
}
