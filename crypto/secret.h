// Memory for keys: wiped when its owner goes, locked into RAM and left out of core files.
//
// Promise: the bytes of a Secret lie in pages with MADV_DONTDUMP and mlock(), are zeros before it is made and
// after it is gone, and are never copied but by clone(). Where mlock() is refused (RLIMIT_MEMLOCK) a Secret
// works all the same and secret_memory_status() says so: swap is then the machine's business.
// Not here: working copies that OpenSSL makes during one call; it wipes them itself, in ordinary memory.
// Threads: different Secrets may be used from different threads; one belongs to one caller at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

#include "crypto/types.h"

namespace firn::crypto {

/// A run of secret bytes whose length is known when it is made. Moved from, it is empty.
class SecretBytes {
 public:
  SecretBytes() = default;
  /// `size_bytes` zeros.
  explicit SecretBytes(std::size_t size_bytes);
  /// A copy of `bytes`. The caller wipes the original.
  static SecretBytes copy_of(ByteView bytes);

  SecretBytes(SecretBytes&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes();

  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  ByteView bytes() const { return bytes_; }
  MutableBytes writable() { return bytes_; }
  SecretBytes clone() const { return copy_of(bytes_); }

 private:
  MutableBytes bytes_;
};

/// Exactly N secret bytes. A moved-from Secret may only be destroyed or assigned to.
template <std::size_t N>
class Secret {
 public:
  /// Zeros.
  Secret() : memory_(N) {}
  /// A copy of `bytes`. The caller wipes the original.
  static Secret copy_of(std::span<const std::byte, N> bytes) {
    Secret secret;
    std::copy(bytes.begin(), bytes.end(), secret.writable().begin());
    return secret;
  }

  std::span<const std::byte, N> bytes() const { return memory_.bytes().template first<N>(); }
  std::span<std::byte, N> writable() { return memory_.writable().template first<N>(); }
  Secret clone() const { return copy_of(bytes()); }

 private:
  SecretBytes memory_;
};

struct SecretMemoryStatus {
  std::size_t mapped_bytes = 0;    // pages taken for secrets
  std::size_t locked_bytes = 0;    // of them under mlock()
  std::size_t undumped_bytes = 0;  // of them under MADV_DONTDUMP
};

/// What the kernel granted so far.
SecretMemoryStatus secret_memory_status();

}  // namespace firn::crypto
