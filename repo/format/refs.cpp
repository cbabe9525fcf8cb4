#include "repo/format/refs.h"

#include <algorithm>

#include "repo/base/codec.h"
#include "repo/format/limits.h"
#include "repo/format/page.h"
#include "repo/format/slice_page.h"

namespace firn::format {
namespace {

bool ids_are_valid(const std::vector<ChunkId>& ids) {
  return ids.size() <= kRefsMax &&
         std::adjacent_find(ids.begin(), ids.end(),
                            [](const ChunkId& a, const ChunkId& b) { return a >= b; }) == ids.end();
}

void write_ids(base::Writer& out, const std::vector<ChunkId>& ids) {
  out.u32(static_cast<std::uint32_t>(ids.size()));
  for (const ChunkId& id : ids) {
    out.bytes(id.bytes);
  }
}

void read_ids(base::Reader& in, std::vector<ChunkId>& ids) {
  const std::uint32_t count = in.u32();
  in.require(count <= kRefsMax && std::uint64_t{count} * ChunkId::kBytes <= in.remaining());
  ids.resize(in.ok() ? count : 0);
  for (ChunkId& id : ids) {
    in.into(id.bytes);
  }
  in.require(ids_are_valid(ids));
}

/// Gathers what a page names. Neighbours often name the same chunk: its id is computed once.
class Collector {
 public:
  void chunk(const ChunkSecret& capability) {
    if (any_ && capability == last_) {
      return;
    }
    any_ = true;
    last_ = capability;
    refs_.chunks.push_back(chunk_id(capability));
  }
  void page(const ChunkSecret& capability, const ChunkId& refs) {
    chunk(capability);
    refs_.children.push_back(refs);
  }
  void blob(const BlobView& blob) {
    for (const Slice& slice : blob.slices) {
      chunk(slice.chunk);
    }
    if (blob.form == BlobForm::Pages) {
      page(blob.pages.root, blob.pages.refs);
    }
  }
  RefsPage finish() && {
    sort_unique(refs_.chunks);
    sort_unique(refs_.children);
    return std::move(refs_);
  }

 private:
  static void sort_unique(std::vector<ChunkId>& ids) {
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  }

  RefsPage refs_;
  ChunkSecret last_;
  bool any_ = false;
};

Result<> collect_leaf(ByteView page, Collector& refs) {
  FIRN_LET(LeafPageReader reader, LeafPageReader::open(page));
  while (true) {
    FIRN_LET(const bool any, reader.next());
    if (!any) {
      return {};
    }
    refs.blob(reader.entry().content);
    refs.blob(reader.entry().holes);
    refs.blob(reader.entry().xattrs);
  }
}

Result<> collect_inner(ByteView page, Collector& refs) {
  FIRN_LET(InnerPageReader reader, InnerPageReader::open(page));
  while (true) {
    FIRN_LET(const bool any, reader.next());
    if (!any) {
      return {};
    }
    refs.page(reader.child().page, reader.child().refs);
  }
}

Result<> collect_slices(ByteView page, Collector& refs) {
  FIRN_LET(SlicePageReader reader, SlicePageReader::open(page));
  Slice slice;
  while (true) {
    FIRN_LET(const bool any, reader.next(slice));
    if (!any) {
      return {};
    }
    refs.chunk(slice.chunk);
  }
}

Result<> collect_slice_inner(ByteView page, Collector& refs) {
  FIRN_LET(SliceInnerReader reader, SliceInnerReader::open(page));
  SlicePages child;
  while (true) {
    FIRN_LET(const bool any, reader.next(child));
    if (!any) {
      return {};
    }
    refs.page(child.root, child.refs);
  }
}

}  // namespace

Result<Bytes> encode(const RefsPage& refs) {
  if (!ids_are_valid(refs.chunks) || !ids_are_valid(refs.children)) {
    return fail(ErrorCode::Invalid, "refs page holds what the format does not allow");
  }
  Bytes plain;
  plain.reserve(8 + ChunkId::kBytes * (refs.chunks.size() + refs.children.size()));
  base::Writer out(plain);
  write_ids(out, refs.chunks);
  write_ids(out, refs.children);
  return plain;
}

Result<RefsPage> parse_refs_page(ByteView plain) {
  base::Reader in(plain);
  RefsPage refs;
  read_ids(in, refs.chunks);
  read_ids(in, refs.children);
  if (!in.finished()) {
    return fail(ErrorCode::Corrupt, "refs page is not well formed");
  }
  return refs;
}

Result<RefsPage> refs_of_page(ChunkType type, ByteView page) {
  FIRN_LET(const std::uint8_t level, page_level(page));
  Collector refs;
  if (type == ChunkType::TreePage) {
    FIRN_TRY(level == 0 ? collect_leaf(page, refs) : collect_inner(page, refs));
  } else if (type == ChunkType::SlicePage) {
    FIRN_TRY(level == 0 ? collect_slices(page, refs) : collect_slice_inner(page, refs));
  } else {
    return fail(ErrorCode::Invalid, "only tree and slice pages have refs pages");
  }
  return std::move(refs).finish();
}

}  // namespace firn::format
