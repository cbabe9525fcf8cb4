// Leaf digests and AES-256-GCM on each implementation: what a core does with one chunk.
//
// Sizes: one leaf (16 KiB), a tree page (64 KiB), the default average chunk (256 KiB), one that leaves vector
// lanes empty (320 KiB), a full chunk (1 MiB). bytes_per_second is of one thread.
#include <benchmark/benchmark.h>

#include <array>
#include <vector>

#include "crypto/aead.h"
#include "crypto/digest.h"
#include "crypto/kernels.h"
#include "crypto/leaf_hash.h"

namespace firn::crypto {
namespace {

std::vector<std::byte> some_bytes(std::int64_t size_bytes) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(size_bytes));
  std::uint32_t state = 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = std::byte(state >> 24);
  }
  return bytes;
}

/// False, and the benchmark says so, where the machine lacks `implementation`.
bool prepare(benchmark::State& state, Implementation implementation) {
  if (use_implementation(implementation)) {
    return true;
  }
  state.SkipWithError("not available on this machine");
  return false;
}

void count_bytes(benchmark::State& state) { state.SetBytesProcessed(state.iterations() * state.range(0)); }

void leaf_digests_of_one_chunk(benchmark::State& state, Implementation implementation) {
  if (!prepare(state, implementation)) {
    return;
  }
  const auto bytes = some_bytes(state.range(0));
  std::vector<Digest> digests;
  while (state.KeepRunning()) {
    leaf_digests(bytes, digests);
    benchmark::DoNotOptimize(digests.data());
  }
  count_bytes(state);
}

void seal_with_a_new_key(benchmark::State& state, Implementation implementation) {
  if (!prepare(state, implementation)) {
    return;
  }
  const auto plaintext = some_bytes(state.range(0));
  std::vector<std::byte> sealed(plaintext.size() + kAeadTagBytes);
  std::array<std::byte, 32> key{};
  const std::array<std::byte, 12> nonce{};
  const std::array<std::byte, 64> aad{};
  while (state.KeepRunning()) {
    key[0] ^= std::byte{1};
    aes256gcm_seal(key, nonce, aad, plaintext, sealed);
    benchmark::DoNotOptimize(sealed.data());
  }
  count_bytes(state);
}

void open_sealed(benchmark::State& state, Implementation implementation) {
  if (!prepare(state, implementation)) {
    return;
  }
  auto plaintext = some_bytes(state.range(0));
  std::vector<std::byte> sealed(plaintext.size() + kAeadTagBytes);
  const std::array<std::byte, 32> key{};
  const std::array<std::byte, 12> nonce{};
  const std::array<std::byte, 64> aad{};
  aes256gcm_seal(key, nonce, aad, plaintext, sealed);
  while (state.KeepRunning()) {
    if (!aes256gcm_open(key, nonce, aad, sealed, plaintext)) {
      state.SkipWithError("did not open");
    }
  }
  count_bytes(state);
}

void three_macs_of_a_chunk(benchmark::State& state) {
  const std::array<std::byte, 32> key{};
  const std::vector<std::byte> digests(16 * sizeof(Digest));
  while (state.KeepRunning()) {
    const Digest capability = hmac_sha256(key, digests);
    benchmark::DoNotOptimize(hmac_sha256(capability, label_bytes("firn/id")));
    benchmark::DoNotOptimize(hmac_sha256(capability, label_bytes("firn/key")));
  }
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  for (const std::int64_t size_bytes : {16 << 10, 64 << 10, 256 << 10, 320 << 10, 1 << 20}) {
    benchmark->Arg(size_bytes);
  }
}

BENCHMARK_CAPTURE(leaf_digests_of_one_chunk, openssl, Implementation::OpenSsl)->Apply(sizes);
BENCHMARK_CAPTURE(leaf_digests_of_one_chunk, ipsec_mb, Implementation::IpsecMb)->Apply(sizes);
BENCHMARK_CAPTURE(seal_with_a_new_key, openssl, Implementation::OpenSsl)->Apply(sizes);
BENCHMARK_CAPTURE(seal_with_a_new_key, ipsec_mb, Implementation::IpsecMb)->Apply(sizes);
BENCHMARK_CAPTURE(open_sealed, openssl, Implementation::OpenSsl)->Apply(sizes);
BENCHMARK_CAPTURE(open_sealed, ipsec_mb, Implementation::IpsecMb)->Apply(sizes);
BENCHMARK(three_macs_of_a_chunk);

}  // namespace
}  // namespace firn::crypto

BENCHMARK_MAIN();
