// RFC 5869 on top of HMAC. OpenSSL's own HKDF call bounds the length of info, so it is not used.
#include "crypto/hkdf.h"

#include "crypto/detail/check.h"
#include "crypto/digest.h"

namespace firn::crypto {

void hkdf_sha256(ByteView input_key, ByteView salt, ByteView info, MutableBytes out) {
  hkdf_sha256_expand(hkdf_sha256_extract(salt, input_key).bytes(), info, out);
}

Secret<32> hkdf_sha256_extract(ByteView salt, ByteView input_key) {
  // HMAC pads a short key with zeros, so an empty salt equals the RFC's salt of 32 zeros.
  Digest pseudo_random_key = hmac_sha256(salt, input_key);
  auto secret = Secret<32>::copy_of(pseudo_random_key);
  wipe(pseudo_random_key);
  return secret;
}

void hkdf_sha256_expand(ByteView pseudo_random_key, ByteView info, MutableBytes out) {
  CRYPTO_CHECK(out.size() <= kHkdfOutputBytesMax);
  HmacSha256 mac(pseudo_random_key);
  Digest block;
  ByteView previous;
  std::byte counter{1};
  while (!out.empty()) {
    mac.update(previous);
    mac.update(info);
    mac.update({&counter, 1});
    block = mac.finish();
    previous = block;
    const std::size_t taken = std::min(out.size(), block.size());
    std::copy_n(block.begin(), taken, out.begin());
    out = out.subspan(taken);
    counter = std::byte(std::to_integer<unsigned>(counter) + 1);
  }
  wipe(block);
}

}  // namespace firn::crypto
