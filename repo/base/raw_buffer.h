// Bytes that are written before they are read, and not filled before: for buffers as large as the data that
// goes through them, where zeroing would be one more pass over it.
//
// Threads: as for a vector.
#pragma once

#include <memory>

#include "repo/base/bytes.h"

namespace firn::base {

class RawBuffer {
 public:
  RawBuffer() = default;
  explicit RawBuffer(std::size_t size_bytes)
      : memory_(std::make_unique_for_overwrite<std::byte[]>(size_bytes)), size_bytes_(size_bytes) {}

  /// Room for `size_bytes`; the old bytes are lost. Keeps its memory when that is large enough.
  MutableBytes room(std::size_t size_bytes) {
    if (size_bytes > size_bytes_) {
      memory_.reset();
      *this = RawBuffer(size_bytes);
    }
    return bytes().first(size_bytes);
  }

  MutableBytes bytes() { return {memory_.get(), size_bytes_}; }
  ByteView bytes() const { return {memory_.get(), size_bytes_}; }

 private:
  std::unique_ptr<std::byte[]> memory_;
  std::size_t size_bytes_ = 0;
};

}  // namespace firn::base
