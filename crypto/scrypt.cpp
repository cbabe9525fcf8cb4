// scrypt by OpenSSL, behind our own bounds.
#include "crypto/scrypt.h"

#include <bit>

#include "crypto/detail/check.h"
#include "crypto/detail/openssl.h"

namespace firn::crypto {

namespace {
constexpr std::size_t kOutputBytesMax = 1024;
}  // namespace

bool scrypt_acceptable(const ScryptParameters& parameters) {
  if (parameters.cost < 2 || parameters.cost > kScryptCostMax || !std::has_single_bit(parameters.cost)) {
    return false;
  }
  if (parameters.block_size < 1 || parameters.block_size > kScryptBlockSizeMax) {
    return false;
  }
  if (parameters.parallel < 1 || parameters.parallel > kScryptParallelMax) {
    return false;
  }
  // RFC 7914 demands N < 2^(128·r/8); only r = 1 can break it within these bounds.
  if (parameters.block_size == 1 && parameters.cost >= (1u << 16)) {
    return false;
  }
  return 128 * parameters.cost * parameters.block_size <= kScryptMemoryBytesMax;
}

std::uint64_t scrypt_memory_bytes(const ScryptParameters& parameters) {
  CRYPTO_CHECK(scrypt_acceptable(parameters));
  // N blocks of V, p blocks of B, and two working blocks of OpenSSL's mixing step; a block is 128·r bytes.
  return 128ull * parameters.block_size * (parameters.cost + parameters.parallel + 2);
}

bool scrypt(ByteView password, ByteView salt, const ScryptParameters& parameters, MutableBytes out) {
  CRYPTO_CHECK(!out.empty() && out.size() <= kOutputBytesMax);
  if (!scrypt_acceptable(parameters)) {
    return false;
  }
  CRYPTO_CHECK(EVP_PBE_scrypt(reinterpret_cast<const char*>(detail::in(password)), password.size(),
                              detail::in(salt), salt.size(), parameters.cost, parameters.block_size,
                              parameters.parallel, scrypt_memory_bytes(parameters), detail::out(out),
                              out.size()) == 1);
  return true;
}

}  // namespace firn::crypto
