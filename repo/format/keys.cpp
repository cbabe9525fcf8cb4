#include "repo/format/keys.h"

#include <algorithm>

#include "crypto/digest.h"
#include "crypto/hkdf.h"
#include "repo/base/codec.h"

namespace firn::format {
namespace {

template <class To, class From>
To derive(const From& from, std::string_view info) {
  crypto::Secret<32> out;
  crypto::hkdf_sha256(from.bytes(), {}, as_bytes(info), out.writable());
  return To(std::move(out));
}

std::uint64_t derive_seed(const CutKey& cut, std::string_view info) {
  std::array<std::byte, 8> out{};
  crypto::hkdf_sha256(cut.bytes(), {}, as_bytes(info), out);
  return base::load_little<std::uint64_t>(out.data());
}

}  // namespace

ContentKey derive_content_key(const RootKey& root) { return derive<ContentKey>(root, "firn/v1/content"); }
MetaKey derive_meta_key(const RootKey& root) { return derive<MetaKey>(root, "firn/v1/meta"); }
PskKey derive_psk_key(const RootKey& root) { return derive<PskKey>(root, "firn/v1/psk"); }
RefsKey derive_refs_key(const MetaKey& meta) { return derive<RefsKey>(meta, "firn/v1/refs"); }

CutSeeds derive_cut_seeds(const CutKey& cut) {
  return {.bundle = derive_seed(cut, "firn/v1/bundle"), .page = derive_seed(cut, "firn/v1/page")};
}

std::array<std::uint32_t, 256> derive_gear_table(const CutKey& cut) {
  std::array<std::byte, 256 * sizeof(std::uint32_t)> bytes{};
  crypto::hkdf_sha256(cut.bytes(), {}, as_bytes("firn/v1/gear"), bytes);
  std::array<std::uint32_t, 256> table{};
  for (std::size_t i = 0; i < table.size(); ++i) {
    table[i] = base::load_little<std::uint32_t>(bytes.data() + i * sizeof(std::uint32_t));
  }
  return table;
}

KeyId key_id(const crypto::Ed25519PublicKey& sign, const crypto::X25519PublicKey& seal) {
  const crypto::Digest digest = crypto::sha256(sign.bytes, seal.bytes);
  KeyId id;
  std::copy_n(digest.begin(), id.bytes.size(), id.bytes.begin());
  return id;
}

SourceTag source_tag(const MetaKey& meta, ByteView source_id) {
  const crypto::Digest digest = crypto::hmac_sha256(meta.bytes(), source_id);
  SourceTag tag;
  std::copy_n(digest.begin(), tag.bytes.size(), tag.bytes.begin());
  return tag;
}

}  // namespace firn::format
