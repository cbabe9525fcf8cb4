#include "repo/format/index_object.h"

#include "repo/format/detail/fields.h"

namespace firn::format {
namespace {

constexpr std::string_view kWhat = "index object";

constexpr auto kHeadFields = [](auto& io, auto& index) {
  detail::kProofField(io, index.proof);
  io.number(index.level);
  io.sorted_list(index.replaces, kIndexPacksMax, detail::kIndexNameField);
  for (const IndexName& name : index.replaces) {
    io.require(name.level < index.level);
  }
};

bool pack_is_valid(const IndexedPack& pack) {
  return !pack.entries.empty() && pack.entries.size() <= kPackChunksMax && pack.size_bytes <= kPackBytesMax &&
         entries_are_valid(pack.name.kind, pack.size_bytes, pack.entries);
}

}  // namespace

Result<Bytes> encode(const IndexObject& index) {
  Bytes out;
  detail::FieldWriter io(out);
  kHeadFields(io, index);
  io.require(index.packs.size() <= kIndexPacksMax);
  io.number(static_cast<std::uint32_t>(index.packs.size()));
  const IndexedPack* previous = nullptr;
  for (const IndexedPack& pack : index.packs) {
    io.require(pack_is_valid(pack) && (previous == nullptr || previous->name < pack.name));
    previous = &pack;
    detail::kPackNameField(io, pack.name);
    io.number(pack.size_bytes);
    io.number(static_cast<std::uint32_t>(pack.entries.size()));
    for (const PackEntry& entry : pack.entries) {
      encode_pack_entry(entry, out);
    }
  }
  if (!io.ok() || out.size() > kBodyBytesMax) {
    return fail(ErrorCode::Invalid, "index object holds what the format does not allow");
  }
  return out;
}

Result<IndexObject> parse_index(ByteView body) {
  FIRN_LET(IndexReader reader, IndexReader::open(body));
  IndexObject index;
  index.proof = reader.proof();
  index.level = reader.level();
  index.replaces = reader.replaces();
  IndexedPack pack;
  while (true) {
    FIRN_LET(const bool any, reader.next(pack));
    if (!any) {
      return index;
    }
    index.packs.push_back(pack);
  }
}

Result<IndexReader> IndexReader::open(ByteView body) {
  if (body.size() > kBodyBytesMax) {
    return detail::corrupt(kWhat);
  }
  IndexReader reader(body);
  IndexObject head;
  detail::FieldReader io(reader.in_);
  kHeadFields(io, head);
  io.number(reader.pack_count_);
  io.require(reader.pack_count_ <= kIndexPacksMax);
  if (!io.ok()) {
    return detail::corrupt(kWhat);
  }
  reader.proof_ = head.proof;
  reader.level_ = head.level;
  reader.replaces_ = std::move(head.replaces);
  return reader;
}

Result<bool> IndexReader::next(IndexedPack& pack) {
  if (packs_read_ == pack_count_) {
    if (!in_.finished()) {
      return detail::corrupt(kWhat);
    }
    return false;
  }
  detail::FieldReader io(in_);
  detail::kPackNameField(io, pack.name);
  io.number(pack.size_bytes);
  std::uint32_t count = 0;
  io.number(count);
  io.require(count <= kPackChunksMax && std::uint64_t{count} * kPackEntryBytes <= in_.remaining());
  io.require(packs_read_ == 0 || previous_ < pack.name);
  pack.entries.resize(io.ok() ? count : 0);
  for (PackEntry& entry : pack.entries) {
    parse_pack_entry(in_, entry);
  }
  if (!in_.ok() || !pack_is_valid(pack)) {
    return detail::corrupt(kWhat);
  }
  previous_ = pack.name;
  ++packs_read_;
  return true;
}

}  // namespace firn::format
