// Wiping and comparing, by OpenSSL's word.
#include "crypto/types.h"

#include <openssl/crypto.h>

namespace firn::crypto {

void wipe(MutableBytes bytes) { OPENSSL_cleanse(bytes.data(), bytes.size()); }

bool constant_time_equal(ByteView a, ByteView b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace firn::crypto
