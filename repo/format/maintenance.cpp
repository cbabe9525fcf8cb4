#include "repo/format/maintenance.h"

#include "repo/format/detail/fields.h"

namespace firn::format {
namespace {

constexpr auto kCondemnFields = [](auto& io, auto& condemn) {
  detail::kProofField(io, condemn.proof);
  io.time(condemn.time);
  io.sorted_list(condemn.packs, kLongListMax, detail::kPackNameField);
  io.require(!condemn.packs.empty());
};

constexpr auto kFenceFields = [](auto& io, auto& fence) {
  detail::kProofField(io, fence.proof);
  io.id(fence.session);
  io.enumeration(fence.reason, FenceReason::Asked);
  io.time(fence.time);
};

constexpr auto kSealFields = [](auto& io, auto& seal) {
  detail::kProofField(io, seal.proof);
  io.id(seal.session);
  io.time(seal.time);
  io.sorted_list(seal.snapshots, kLongListMax, detail::kIdField);
};

constexpr auto kForgetFields = [](auto& io, auto& forget) {
  detail::kSnapshotNameField(io, forget.snapshot);
  io.time(forget.time);
};

constexpr auto kCarriedFields = [](auto& io, auto& carried) {
  io.object_name(carried.name);
  io.time(carried.stored);
  io.long_bytes(carried.signed_body.body);
  io.id(carried.signed_body.signer);
  io.raw(carried.signed_body.signature.bytes);
};

bool is_foldable(const CarriedObject& carried) {
  const auto kind = kind_of(carried.name);
  return kind && (*kind == ObjectKind::Condemn || *kind == ObjectKind::Seal || *kind == ObjectKind::Forget);
}

bool is_snapshot(const CarriedObject& carried) {
  const auto kind = kind_of(carried.name);
  return kind && *kind == ObjectKind::Snapshot;
}

constexpr auto kUnionFields = [](auto& io, auto& folded) {
  detail::kProofField(io, folded.proof);
  io.number(folded.level);
  io.require(folded.level >= 1);
  io.time(folded.time);
  io.sorted_list(folded.replaces, kLongListMax, detail::kUnionNameField);
  for (const UnionName& name : folded.replaces) {
    io.require(name.level < folded.level);
  }
  io.sorted_list(
      folded.records, kLongListMax,
      [](auto& each, auto& carried) {
        kCarriedFields(each, carried);
        each.require(is_foldable(carried));
      },
      &CarriedObject::name);
};

constexpr auto kBarrierFields = [](auto& io, auto& barrier) {
  io.time(barrier.time);
  io.sorted_list(barrier.condemned, kLongListMax, detail::kCondemnNameField);
  io.sorted_list(barrier.open, kLongListMax, detail::kIdField);
};

constexpr auto kGoneFields = [](auto& io, auto& gone) {
  io.object_name(gone.name);
  io.enumeration(gone.reason, GoneReason::Condemned);
  io.object_name(gone.because);
  io.time(gone.time);
};

constexpr auto kRetainedFields = [](auto& io, auto& retained) {
  io.object_name(retained.name);
  io.time(retained.until);
};

constexpr auto kCatalogFields = [](auto& io, auto& catalog) {
  detail::kProofField(io, catalog.proof);
  io.number(catalog.sequence);
  io.time(catalog.time);
  io.sorted_list(catalog.supersedes, kLongListMax, detail::kCatalogNameField);
  for (const CatalogName& name : catalog.supersedes) {
    io.require(name.sequence < catalog.sequence);
  }
  io.sorted_list(
      catalog.snapshots, kLongListMax,
      [](auto& each, auto& carried) {
        kCarriedFields(each, carried);
        each.require(is_snapshot(carried));
      },
      &CarriedObject::name);
  io.sorted_list(catalog.indexes, kLongListMax, detail::kIndexNameField);
  io.list(catalog.barriers, kLongListMax, kBarrierFields);
  io.sorted_list(catalog.gone, kLongListMax, kGoneFields, &GoneObject::name);
  io.sorted_list(catalog.retained, kLongListMax, kRetainedFields, &RetainedObject::name);
};

}  // namespace

Result<Bytes> encode(const Condemn& condemn) {
  return detail::encode_record(condemn, "condemn record", kCondemnFields);
}
Result<Condemn> parse_condemn(ByteView body) {
  return detail::parse_record<Condemn>(body, "condemn record", kCondemnFields);
}

Result<Bytes> encode(const Fence& fence) { return detail::encode_record(fence, "fence", kFenceFields); }
Result<Fence> parse_fence(ByteView body) { return detail::parse_record<Fence>(body, "fence", kFenceFields); }

Result<Bytes> encode(const Seal& seal) { return detail::encode_record(seal, "seal", kSealFields); }
Result<Seal> parse_seal(ByteView body) { return detail::parse_record<Seal>(body, "seal", kSealFields); }

Result<Bytes> encode(const Forget& forget) {
  return detail::encode_record(forget, "forget record", kForgetFields);
}
Result<Forget> parse_forget(ByteView body) {
  return detail::parse_record<Forget>(body, "forget record", kForgetFields);
}

Result<Bytes> encode(const Union& folded) { return detail::encode_record(folded, "union", kUnionFields); }
Result<Union> parse_union(ByteView body) { return detail::parse_record<Union>(body, "union", kUnionFields); }

Result<Bytes> encode(const Catalog& catalog) {
  return detail::encode_record(catalog, "catalog", kCatalogFields);
}
Result<Catalog> parse_catalog(ByteView body) {
  return detail::parse_record<Catalog>(body, "catalog", kCatalogFields);
}

}  // namespace firn::format
