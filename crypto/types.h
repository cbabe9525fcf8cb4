// How crypto/ borrows bytes, and the fixed sizes that its functions ask for at compile time.
//
// A fixed-extent view is made implicitly from a std::array of the right size or from Secret<N>::bytes(); any
// other source has to be cut to size by the caller, who then has checked its length.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace firn::crypto {

using ByteView = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

/// A 256-bit key, or a seed of 32 random bytes.
using Key256View = std::span<const std::byte, 32>;
using Seed256View = std::span<const std::byte, 32>;

/// A 96-bit AES-GCM nonce. One key never meets the same nonce twice with two plaintexts.
using NonceView = std::span<const std::byte, 12>;

/// The bytes of a label such as "firn/id".
inline ByteView label_bytes(std::string_view label) {
  return std::as_bytes(std::span(label.data(), label.size()));
}

/// Overwrites bytes so that the compiler cannot leave it out.
void wipe(MutableBytes bytes);

/// Compares in a time that depends only on the sizes. Different sizes are unequal.
bool constant_time_equal(ByteView a, ByteView b);

}  // namespace firn::crypto
