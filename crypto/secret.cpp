// The arena behind Secret: slabs of locked, undumped pages, handed out in 64-byte cells.
//
// A slab is never given back to the kernel, so that its pages stay locked and the number of mappings stays
// small; a request bigger than a slab gets a mapping of its own, which is given back.
#include "crypto/secret.h"

#include <sys/mman.h>

#include <algorithm>
#include <bitset>
#include <mutex>
#include <vector>

#include "crypto/detail/check.h"

namespace firn::crypto {

namespace {

constexpr std::size_t kCellBytes = 64;
// Unprivileged processes may lock as little as 64 KiB; 16 KiB leaves room and holds all keys of a repository.
constexpr std::size_t kSlabBytes = 16 * 1024;
constexpr std::size_t kCellsPerSlab = kSlabBytes / kCellBytes;

constexpr std::size_t cells_of(std::size_t size_bytes) { return (size_bytes + kCellBytes - 1) / kCellBytes; }

struct Slab {
  std::byte* memory = nullptr;
  std::bitset<kCellsPerSlab> used;
};

class Arena {
 public:
  std::byte* take(std::size_t size_bytes) {
    const std::lock_guard lock(mutex_);
    if (size_bytes > kSlabBytes) {
      return map_pages(size_bytes);
    }
    const std::size_t cells = cells_of(size_bytes);
    for (Slab& slab : slabs_) {
      if (std::byte* const run = take_run(slab, cells)) {
        return run;
      }
    }
    slabs_.push_back({.memory = map_pages(kSlabBytes), .used = {}});
    return take_run(slabs_.back(), cells);
  }

  void give_back(MutableBytes bytes) {
    wipe(bytes);
    const std::lock_guard lock(mutex_);
    if (bytes.size() > kSlabBytes) {
      unmap_pages(bytes.data(), bytes.size());
      return;
    }
    const auto slab = std::find_if(slabs_.begin(), slabs_.end(), [&](const Slab& candidate) {
      return bytes.data() >= candidate.memory && bytes.data() < candidate.memory + kSlabBytes;
    });
    CRYPTO_CHECK(slab != slabs_.end());
    const auto first = static_cast<std::size_t>(bytes.data() - slab->memory) / kCellBytes;
    for (std::size_t cell = first; cell < first + cells_of(bytes.size()); ++cell) {
      slab->used.reset(cell);
    }
  }

  SecretMemoryStatus status() {
    const std::lock_guard lock(mutex_);
    return status_;
  }

 private:
  struct Grant {
    bool locked = false;
    bool undumped = false;
  };

  static std::byte* take_run(Slab& slab, std::size_t cells) {
    std::size_t free_run = 0;
    for (std::size_t cell = 0; cell < kCellsPerSlab; ++cell) {
      free_run = slab.used[cell] ? 0 : free_run + 1;
      if (free_run == cells) {
        const std::size_t first = cell + 1 - cells;
        for (std::size_t i = first; i <= cell; ++i) {
          slab.used.set(i);
        }
        return slab.memory + first * kCellBytes;
      }
    }
    return nullptr;
  }

  std::byte* map_pages(std::size_t size_bytes) {
    void* const pages = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CRYPTO_CHECK(pages != MAP_FAILED);
    // mlock2 without flags is mlock, but the sanitizers leave it alone, so that their builds are tested too.
    const Grant grant{.locked = mlock2(pages, size_bytes, 0) == 0,
                      .undumped = madvise(pages, size_bytes, MADV_DONTDUMP) == 0};
    status_.mapped_bytes += size_bytes;
    status_.locked_bytes += grant.locked ? size_bytes : 0;
    status_.undumped_bytes += grant.undumped ? size_bytes : 0;
    if (size_bytes > kSlabBytes) {
      big_.push_back({static_cast<std::byte*>(pages), grant});
    }
    return static_cast<std::byte*>(pages);
  }

  void unmap_pages(std::byte* pages, std::size_t size_bytes) {
    const auto mapping =
        std::find_if(big_.begin(), big_.end(), [&](const BigMapping& big) { return big.memory == pages; });
    CRYPTO_CHECK(mapping != big_.end());
    CRYPTO_CHECK(munmap(pages, size_bytes) == 0);
    status_.mapped_bytes -= size_bytes;
    status_.locked_bytes -= mapping->grant.locked ? size_bytes : 0;
    status_.undumped_bytes -= mapping->grant.undumped ? size_bytes : 0;
    big_.erase(mapping);
  }

  struct BigMapping {
    std::byte* memory = nullptr;
    Grant grant;
  };

  std::mutex mutex_;
  std::vector<Slab> slabs_;
  std::vector<BigMapping> big_;
  SecretMemoryStatus status_;
};

/// Never destroyed, because static Secrets may be destroyed after it would be.
Arena& arena() {
  static Arena* const shared = new Arena;
  return *shared;
}

}  // namespace

SecretBytes::SecretBytes(std::size_t size_bytes) {
  if (size_bytes != 0) {
    bytes_ = {arena().take(size_bytes), size_bytes};
  }
}

SecretBytes SecretBytes::copy_of(ByteView bytes) {
  SecretBytes secret(bytes.size());
  std::copy(bytes.begin(), bytes.end(), secret.bytes_.begin());
  return secret;
}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this != &other) {
    const SecretBytes wiped_now(std::move(*this));
    bytes_ = std::exchange(other.bytes_, {});
  }
  return *this;
}

SecretBytes::~SecretBytes() {
  if (!bytes_.empty()) {
    arena().give_back(bytes_);
  }
}

SecretMemoryStatus secret_memory_status() { return arena().status(); }

}  // namespace firn::crypto
