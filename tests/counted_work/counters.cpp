// The definitions that stand in front of the libraries'.
#include "tests/counted_work/counters.h"

#include <dlfcn.h>
#include <openssl/evp.h>
#include <zstd.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace firn::test {
namespace {

struct Counters {
  std::atomic<std::uint64_t> hashed{0};
  std::atomic<std::uint64_t> sealed{0};
  std::atomic<std::uint64_t> opened{0};
  std::atomic<std::uint64_t> compressed{0};
  std::atomic<std::uint64_t> decompressed{0};
  std::atomic<std::uint64_t> copied{0};
  std::atomic<std::uint64_t> filled{0};
  std::atomic<std::uint64_t> allocations{0};
};
Counters counters;

/// The definition of a function behind ours.
template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

Work work_so_far() {
  return {.hashed_bytes = counters.hashed,
          .sealed_bytes = counters.sealed,
          .opened_bytes = counters.opened,
          .compressed_bytes = counters.compressed,
          .decompressed_bytes = counters.decompressed,
          .copied_bytes = counters.copied,
          .filled_bytes = counters.filled,
          .allocations = counters.allocations};
}

}  // namespace firn::test

using firn::test::counters;
using firn::test::kCopyBytesMin;
using firn::test::next;

extern "C" {

int EVP_DigestUpdate(EVP_MD_CTX* context, const void* bytes, std::size_t size) {
  static const auto real = next<decltype(&EVP_DigestUpdate)>("EVP_DigestUpdate");
  counters.hashed += size;
  return real(context, bytes, size);
}

int EVP_EncryptUpdate(EVP_CIPHER_CTX* context, unsigned char* out, int* written, const unsigned char* in,
                      int size) {
  static const auto real = next<decltype(&EVP_EncryptUpdate)>("EVP_EncryptUpdate");
  counters.sealed += out == nullptr ? 0 : static_cast<std::uint64_t>(size);
  return real(context, out, written, in, size);
}

int EVP_DecryptUpdate(EVP_CIPHER_CTX* context, unsigned char* out, int* written, const unsigned char* in,
                      int size) {
  static const auto real = next<decltype(&EVP_DecryptUpdate)>("EVP_DecryptUpdate");
  counters.opened += out == nullptr ? 0 : static_cast<std::uint64_t>(size);
  return real(context, out, written, in, size);
}

std::size_t ZSTD_compress2(ZSTD_CCtx* context, void* out, std::size_t out_size, const void* in,
                           std::size_t size) {
  static const auto real = next<decltype(&ZSTD_compress2)>("ZSTD_compress2");
  counters.compressed += size;
  return real(context, out, out_size, in, size);
}

std::size_t ZSTD_decompressDCtx(ZSTD_DCtx* context, void* out, std::size_t out_size, const void* in,
                                std::size_t size) {
  static const auto real = next<decltype(&ZSTD_decompressDCtx)>("ZSTD_decompressDCtx");
  counters.decompressed += out_size;
  return real(context, out, out_size, in, size);
}

// The copies themselves are written out: the real functions are found by the dynamic linker, which itself
// copies. `volatile` keeps a compiler from turning a loop into a call of the function that it stands in.
void* memcpy(void* __restrict to, const void* __restrict from, std::size_t size) noexcept {
  counters.copied += size < kCopyBytesMin ? 0 : size;
#ifdef __x86_64__
  void* out = to;
  asm volatile("rep movsb" : "+D"(out), "+S"(from), "+c"(size) : : "memory");
#else
  auto* const out = static_cast<volatile unsigned char*>(to);
  const auto* const in = static_cast<const volatile unsigned char*>(from);
  for (std::size_t i = 0; i < size; ++i) {
    out[i] = in[i];
  }
#endif
  return to;
}

void* memmove(void* to, const void* from, std::size_t size) noexcept {
  if (to <= from) {
    return memcpy(to, from, size);
  }
  counters.copied += size < kCopyBytesMin ? 0 : size;
  auto* const out = static_cast<volatile unsigned char*>(to);
  const auto* const in = static_cast<const volatile unsigned char*>(from);
  for (std::size_t i = size; i-- > 0;) {
    out[i] = in[i];
  }
  return to;
}

void* memset(void* to, int value, std::size_t size) noexcept {
  counters.filled += size < kCopyBytesMin ? 0 : size;
#ifdef __x86_64__
  void* out = to;
  asm volatile("rep stosb" : "+D"(out), "+c"(size) : "a"(value) : "memory");
#else
  auto* const out = static_cast<volatile unsigned char*>(to);
  for (std::size_t i = 0; i < size; ++i) {
    out[i] = static_cast<unsigned char>(value);
  }
#endif
  return to;
}
}

void* operator new(std::size_t size) {
  counters.allocations += 1;
  void* const memory = std::malloc(size);
  if (memory == nullptr) {
    std::abort();
  }
  return memory;
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
