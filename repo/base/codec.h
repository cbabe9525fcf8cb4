// Byte order: how every stored record turns numbers into bytes and back.
//
// Fixed-width integers are little-endian. A varint is LEB128 in its shortest form, at most ten bytes; signed
// varints are zigzag. A Reader takes hostile bytes: each call checks what is left before it reads, a failure
// is sticky, and after it every call gives zeros or nothing, so a parser may read a whole record and ask ok()
// once before it trusts any of it. Not here: records (repo/format). Threads: an object belongs to one caller.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstdint>
#include <string_view>

#include "repo/base/bytes.h"
#include "repo/base/check.h"

namespace firn::base {

inline constexpr std::size_t kVarintBytesMax = 10;

constexpr std::size_t varint_size(std::uint64_t value) {
  return value == 0 ? 1 : (static_cast<std::size_t>(std::bit_width(value)) + 6) / 7;
}
constexpr std::uint64_t zigzag(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
constexpr std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>((value >> 1) ^ (~(value & 1) + 1));
}

/// Writes a varint at the start of `out` and gives its size.
inline std::size_t encode_varint(std::uint64_t value, std::span<std::byte, kVarintBytesMax> out) {
  std::size_t size = 0;
  for (; value >= 0x80; value >>= 7) {
    out[size++] = static_cast<std::byte>(value | 0x80);
  }
  out[size++] = static_cast<std::byte>(value);
  return size;
}

/// Writes an integer at `out`, little-endian.
template <std::unsigned_integral T>
void store_little(std::byte* out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    out[i] = static_cast<std::byte>(value >> (8 * i));
  }
}
template <std::unsigned_integral T>
T load_little(const std::byte* in) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>(value | static_cast<T>(static_cast<T>(in[i]) << (8 * i)));
  }
  return value;
}

/// Appends to a buffer of the caller's.
class Writer {
 public:
  explicit Writer(Bytes& out) : out_(out) {}

  void u8(std::uint8_t value) { out_.push_back(static_cast<std::byte>(value)); }
  void u16(std::uint16_t value) { fixed(value); }
  void u32(std::uint32_t value) { fixed(value); }
  void u64(std::uint64_t value) { fixed(value); }
  void i64(std::int64_t value) { fixed(static_cast<std::uint64_t>(value)); }
  void varint(std::uint64_t value) {
    std::array<std::byte, kVarintBytesMax> raw{};
    append(out_, ByteView(raw).first(encode_varint(value, raw)));
  }
  void signed_varint(std::int64_t value) { varint(zigzag(value)); }
  void bytes(ByteView value) { append(out_, value); }
  void text(std::string_view value) { append(out_, as_bytes(value)); }
  void zeros(std::size_t count) { out_.resize(out_.size() + count); }

  std::size_t size() const { return out_.size(); }

 private:
  template <std::unsigned_integral T>
  void fixed(T value) {
    std::array<std::byte, sizeof(T)> raw{};
    store_little(raw.data(), value);
    append(out_, raw);
  }

  Bytes& out_;
};

/// Reads from a view of the caller's; views that it hands out borrow from the same bytes.
class Reader {
 public:
  explicit Reader(ByteView in) : at_(in.data()), end_(in.data() + in.size()) {}

  bool ok() const { return ok_; }
  void fail() {
    ok_ = false;
    at_ = end_;
  }
  /// Fails unless `condition`. The way to say what a value must be.
  void require(bool condition) {
    if (!condition) [[unlikely]] {
      fail();
    }
  }
  std::size_t remaining() const { return static_cast<std::size_t>(end_ - at_); }
  bool at_end() const { return at_ == end_; }
  /// True iff nothing failed and nothing is left.
  bool finished() const { return ok_ && at_ == end_; }
  /// Where the next byte is; only to measure or borrow what was read.
  const std::byte* position() const { return at_; }

  std::uint8_t u8() { return fixed<std::uint8_t>(); }
  std::uint16_t u16() { return fixed<std::uint16_t>(); }
  std::uint32_t u32() { return fixed<std::uint32_t>(); }
  std::uint64_t u64() { return fixed<std::uint64_t>(); }
  std::int64_t i64() { return static_cast<std::int64_t>(fixed<std::uint64_t>()); }

  std::uint64_t varint() {
    if (at_ != end_ && (*at_ & std::byte{0x80}) == std::byte{0}) [[likely]] {
      return static_cast<std::uint64_t>(*at_++);
    }
    return varint_long();
  }
  /// A varint that is at most `max`; fails otherwise.
  std::uint64_t varint_up_to(std::uint64_t max) {
    const std::uint64_t value = varint();
    if (value > max) [[unlikely]] {
      fail();
      return 0;
    }
    return value;
  }
  std::uint32_t varint32() { return static_cast<std::uint32_t>(varint_up_to(UINT32_MAX)); }
  std::int64_t signed_varint() { return unzigzag(varint()); }

  ByteView bytes(std::uint64_t count) {
    if (count > remaining()) [[unlikely]] {
      fail();
      return {};
    }
    const ByteView view(at_, static_cast<std::size_t>(count));
    at_ += count;
    return view;
  }
  std::string_view text(std::uint64_t count) { return as_text(bytes(count)); }
  template <std::size_t N>
  void into(std::array<std::byte, N>& out) {
    const ByteView view = bytes(N);
    if (view.size() == N) {
      std::memcpy(out.data(), view.data(), N);
    }
  }
  /// Everything that is left must be zeros, and is read.
  void rest_is_zeros() {
    for (; at_ != end_; ++at_) {
      if (*at_ != std::byte{0}) {
        fail();
        return;
      }
    }
  }

 private:
  template <std::unsigned_integral T>
  T fixed() {
    if (remaining() < sizeof(T)) [[unlikely]] {
      fail();
      return 0;
    }
    const T value = load_little<T>(at_);
    at_ += sizeof(T);
    return value;
  }
  std::uint64_t varint_long();

  const std::byte* at_;
  const std::byte* end_;
  bool ok_ = true;
};

}  // namespace firn::base
