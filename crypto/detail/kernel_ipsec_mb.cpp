// The fast kernel for x86-64, on libipsec-mb: many SHA-256 streams side by side, and AES-GCM with wide
// registers. The only file that sees libipsec-mb.
//
// A manager keeps pointers to the buffers of unfinished jobs, so each call flushes it before it returns.
// Managers belong to a thread (about 400 KiB) and go with it.
#include <intel-ipsec-mb.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "crypto/detail/check.h"
#include "crypto/detail/kernel.h"
#include "crypto/detail/openssl.h"

namespace firn::crypto::detail {

namespace {

using Manager = std::unique_ptr<IMB_MGR, FreeWith<free_mb_mgr>>;

Manager new_manager(std::uint64_t flags, void (*initialise)(IMB_MGR*)) {
  Manager manager(alloc_mb_mgr(flags));
  CRYPTO_CHECK(manager != nullptr);
  initialise(manager.get());
  return manager;
}

void best_for_this_processor(IMB_MGR* manager) { init_mb_mgr_auto(manager, nullptr); }

bool has(std::uint64_t features, std::uint64_t wanted) { return (features & wanted) == wanted; }

/// How a thread hashes leaves. A pass of the wide manager takes the time of one leaf in its lanes however
/// many lanes are used, so a small remainder goes another way. Measured on Zen 5, a pass of 16 lanes takes 44
/// µs, a pair of leaves in the SHA instructions of the SSE manager 11 µs, one leaf in OpenSSL 9 µs with the
/// SHA instructions and 24 µs without, a pass of 8 AVX2 lanes 83 µs.
struct ThreadManagers {
  Manager wide;
  Manager pairs;  // only where the SHA instructions beat a half-empty pass of the wide manager
  std::size_t wide_lanes = 4;
  std::size_t remainder_max = 1;  // up to so many leaves do not go to the wide manager

  explicit ThreadManagers(Manager manager) : wide(std::move(manager)) {
    const bool sha_instructions = has(wide->features, IMB_FEATURE_SHANI);
    if (wide->used_arch == IMB_ARCH_AVX512) {
      wide_lanes = 16;
      if (sha_instructions) {
        pairs = new_manager(0, init_mb_mgr_sse);
        remainder_max = 8;
      }
    } else if (sha_instructions) {
      wide_lanes = 2;
    } else if (wide->used_arch == IMB_ARCH_AVX2) {
      wide_lanes = 8;
      remainder_max = 3;
    }
  }
};

/// The calling thread's managers. The reference must not outlive the call that asked for it.
ThreadManagers& managers() {
  thread_local ThreadManagers of_this_thread(new_manager(0, best_for_this_processor));
  return of_this_thread;
}

void hash_in_lanes(IMB_MGR* manager, std::span<const ByteView> leaves, std::span<Digest> digests) {
  std::size_t completed = 0;
  const auto count_completed = [&](const IMB_JOB* job) {
    if (job != nullptr) {
      CRYPTO_CHECK(job->status == IMB_STATUS_COMPLETED);
      ++completed;
    }
  };
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    IMB_JOB* const job = IMB_GET_NEXT_JOB(manager);
    *job = {};
    job->cipher_mode = IMB_CIPHER_NULL;
    job->cipher_direction = IMB_DIR_ENCRYPT;
    job->chain_order = IMB_ORDER_HASH_CIPHER;
    job->hash_alg = IMB_AUTH_SHA_256;
    job->src = in(leaves[i]);
    job->msg_len_to_hash_in_bytes = leaves[i].size();
    job->auth_tag_output = out(digests[i]);
    job->auth_tag_output_len_in_bytes = digests[i].size();
    count_completed(IMB_SUBMIT_JOB(manager));
    CRYPTO_CHECK(imb_get_errno(manager) == 0);
  }
  while (const IMB_JOB* const job = IMB_FLUSH_JOB(manager)) {
    count_completed(job);
  }
  CRYPTO_CHECK(completed == leaves.size());
}

void hash_leaves_with(ThreadManagers& own, std::span<const ByteView> leaves, std::span<Digest> digests) {
  while (leaves.size() > own.remainder_max) {
    const std::size_t count = std::min(leaves.size(), own.wide_lanes);
    hash_in_lanes(own.wide.get(), leaves.first(count), digests.first(count));
    leaves = leaves.subspan(count);
    digests = digests.subspan(count);
  }
  if (own.pairs != nullptr && leaves.size() > 1) {
    hash_in_lanes(own.pairs.get(), leaves, digests);
  } else {
    openssl_kernel().hash_leaves(leaves, digests);
  }
}

void hash_leaves(std::span<const ByteView> leaves, std::span<Digest> digests) {
  hash_leaves_with(managers(), leaves, digests);
}

/// A key schedule that is wiped when it goes.
class KeySchedule {
 public:
  KeySchedule(IMB_MGR* manager, Key256View key) { IMB_AES256_GCM_PRE(manager, in(key), &key_); }
  KeySchedule(const KeySchedule&) = delete;
  KeySchedule& operator=(const KeySchedule&) = delete;
  ~KeySchedule() {
    wipe(std::as_writable_bytes(std::span(&key_, 1)));
    wipe(std::as_writable_bytes(std::span(&context_, 1)));
  }

  const gcm_key_data* key() const { return &key_; }
  gcm_context_data* context() { return &context_; }

 private:
  // The library stores here with aligned instructions, and its header aligns the type only where a macro of
  // its own build is defined.
  alignas(64) gcm_key_data key_;
  alignas(64) gcm_context_data context_;
};

void seal(Key256View key, NonceView nonce, ByteView aad, ByteView plaintext, MutableBytes sealed) {
  IMB_MGR* const manager = managers().wide.get();
  KeySchedule schedule(manager, key);
  IMB_AES256_GCM_ENC(manager, schedule.key(), schedule.context(), out(sealed), in(plaintext),
                     plaintext.size(), in(nonce), in(aad), aad.size(), out(sealed.subspan(plaintext.size())),
                     kAeadTagBytes);
  CRYPTO_CHECK(imb_get_errno(manager) == 0);
}

bool open(Key256View key, NonceView nonce, ByteView aad, ByteView ciphertext,
          std::span<const std::byte, kAeadTagBytes> tag, MutableBytes plaintext) {
  IMB_MGR* const manager = managers().wide.get();
  KeySchedule schedule(manager, key);
  std::array<std::byte, kAeadTagBytes> right_tag;
  std::byte nowhere{};
  IMB_AES256_GCM_DEC(manager, schedule.key(), schedule.context(),
                     plaintext.empty() ? out({&nowhere, 1}) : out(plaintext), in(ciphertext),
                     ciphertext.size(), in(nonce), in(aad), aad.size(), out(right_tag), right_tag.size());
  CRYPTO_CHECK(imb_get_errno(manager) == 0);
  const bool genuine = constant_time_equal(right_tag, tag);
  wipe(right_tag);
  return genuine;
}

}  // namespace

bool hash_leaves_like(ProcessorTier tier, std::span<const ByteView> leaves, std::span<Digest> digests) {
  if (!has(managers().wide->features, IMB_CPUFLAGS_AVX2)) {
    return false;
  }
  const bool sha_instructions = tier == ProcessorTier::Avx2WithSha;
  ThreadManagers lesser(
      new_manager(sha_instructions ? 0 : IMB_FLAG_SHANI_OFF,
                  tier == ProcessorTier::BestWithoutSha ? best_for_this_processor : init_mb_mgr_avx2));
  hash_leaves_with(lesser, leaves, digests);
  return true;
}

const Kernel* ipsec_mb_kernel() {
  static constexpr Kernel kernel{.hash_leaves = hash_leaves, .seal = seal, .open = open};
  const std::uint64_t features = managers().wide->features;
  const bool fast = has(features, IMB_FEATURE_SHANI) || has(features, IMB_FEATURE_AVX2);
  const bool aes = has(features, IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ);
  const bool passed_its_own_test = has(features, IMB_FEATURE_SELF_TEST_PASS);
  return fast && aes && passed_its_own_test ? &kernel : nullptr;
}

}  // namespace firn::crypto::detail
