// The two implementations of the heavy work behind one table of functions.
//
// A leaf kernel hashes whole buffers that are independent of each other. An AEAD kernel seals and opens one
// buffer; overlap rules are those of crypto/aead.h.
// Threads: any thread; nothing stays alive between calls.
#pragma once

#include "crypto/aead.h"
#include "crypto/digest.h"
#include "crypto/types.h"

namespace firn::crypto::detail {

struct Kernel {
  /// out[i] = SHA-256(leaves[i]); both spans have one length. Leaves are 1 to kLeafBytes long.
  void (*hash_leaves)(std::span<const ByteView> leaves, std::span<Digest> out);
  /// out = ciphertext | tag.
  void (*seal)(Key256View key, NonceView nonce, ByteView aad, ByteView plaintext, MutableBytes out);
  /// Decrypts into `out` and says whether the tag was right; `out` is to be wiped by the caller if not.
  bool (*open)(Key256View key, NonceView nonce, ByteView aad, ByteView ciphertext,
               std::span<const std::byte, kAeadTagBytes> tag, MutableBytes out);
};

const Kernel& openssl_kernel();

/// Nothing where libipsec-mb is not built in or this processor lacks AVX2, AES and carry-less multiplication.
/// What it returns has not been tested against the other kernel yet (crypto/kernels.cpp does that).
const Kernel* ipsec_mb_kernel();

/// Processors with less than this one may have.
enum class ProcessorTier : std::uint8_t { BestWithoutSha, Avx2WithSha, Avx2WithoutSha };

/// For tests: the libipsec-mb kernel's hash_leaves as it runs on a lesser processor. False, nothing done:
/// this processor lacks AVX2, or libipsec-mb is not built in.
bool hash_leaves_like(ProcessorTier tier, std::span<const ByteView> leaves, std::span<Digest> digests);

/// The self-test: true iff `other` gives the bytes of `trusted` for lengths around every block, lane and leaf
/// border, and opens what was sealed and nothing else. Takes about a millisecond.
bool kernels_agree(const Kernel& trusted, const Kernel& other);

/// The kernel that select_implementation() names.
const Kernel& current_kernel();

}  // namespace firn::crypto::detail
