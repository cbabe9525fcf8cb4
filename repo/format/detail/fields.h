// One description of a record for both directions: fields(io, record) names its fields in order, and io
// either writes or reads them. So encoder and parser cannot disagree.
//
// Both sides enforce the same limits and orders: the writer's failure is the caller's Invalid, the reader's
// is Corrupt. Internal to repo/format.
#pragma once

#include <concepts>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "repo/base/clock.h"
#include "repo/base/codec.h"
#include "repo/base/result.h"
#include "repo/format/ids.h"
#include "repo/format/limits.h"
#include "repo/format/names.h"
#include "repo/format/session.h"

namespace firn::format::detail {

class FieldWriter {
 public:
  static constexpr bool kReading = false;
  explicit FieldWriter(Bytes& out) : out_(out) {}

  bool ok() const { return ok_; }
  void require(bool condition) { ok_ = ok_ && condition; }

  void number(std::uint8_t value) { out_.u8(value); }
  void number(std::uint16_t value) { out_.u16(value); }
  void number(std::uint32_t value) { out_.u32(value); }
  void number(std::uint64_t value) { out_.u64(value); }
  void time(const base::WallTime& value) { out_.i64(value.nanoseconds); }
  template <std::size_t N, class Tag>
  void id(const FixedId<N, Tag>& value) {
    out_.bytes(value.bytes);
  }
  template <std::size_t N>
  void raw(const std::array<std::byte, N>& value) {
    out_.bytes(value);
  }
  template <class Enum>
  void enumeration(const Enum& value, Enum last) {
    const auto number_of = static_cast<std::uint8_t>(value);
    require(number_of >= 1 && number_of <= static_cast<std::uint8_t>(last));
    out_.u8(number_of);
  }
  void text(const std::string& value, std::size_t length_min = 0) { text_bytes(as_bytes(value), length_min); }
  void text(const Bytes& value, std::size_t length_min = 0) { text_bytes(value, length_min); }
  void object_name(const ObjectName& value) {
    require(parse_name(value).has_value());
    text(value.str());
  }
  /// u32 length and bytes.
  void long_bytes(const Bytes& value) {
    require(value.size() <= kBodyBytesMax);
    out_.u32(static_cast<std::uint32_t>(value.size()));
    out_.bytes(value);
  }
  template <class T, class Each>
  void option(const std::optional<T>& value, Each each) {
    out_.u8(value ? 1 : 0);
    if (value) {
      each(*this, *value);
    }
  }
  template <class T, class Each>
  void list(const std::vector<T>& values, std::uint32_t count_max, Each each) {
    require(values.size() <= count_max);
    out_.u32(static_cast<std::uint32_t>(values.size()));
    for (const T& value : values) {
      each(*this, value);
    }
  }
  template <class T, class Each, class KeyOf = std::identity>
  void sorted_list(const std::vector<T>& values, std::uint32_t count_max, Each each, KeyOf key_of = {}) {
    for (std::size_t i = 1; i < values.size(); ++i) {
      require(std::invoke(key_of, values[i - 1]) < std::invoke(key_of, values[i]));
    }
    list(values, count_max, each);
  }

 private:
  void text_bytes(ByteView value, std::size_t length_min) {
    require(value.size() >= length_min && value.size() <= kTextBytesMax);
    out_.u16(static_cast<std::uint16_t>(value.size()));
    out_.bytes(value);
  }

  base::Writer out_;
  bool ok_ = true;
};

class FieldReader {
 public:
  static constexpr bool kReading = true;
  explicit FieldReader(ByteView in) : own_(in), in_(&own_) {}
  /// Reads on where `in` stands.
  explicit FieldReader(base::Reader& in) : own_(ByteView()), in_(&in) {}
  FieldReader(const FieldReader&) = delete;
  FieldReader& operator=(const FieldReader&) = delete;

  bool ok() const { return in_->ok(); }
  bool finished() const { return in_->finished(); }
  void require(bool condition) { in_->require(condition); }

  void number(std::uint8_t& value) { value = in_->u8(); }
  void number(std::uint16_t& value) { value = in_->u16(); }
  void number(std::uint32_t& value) { value = in_->u32(); }
  void number(std::uint64_t& value) { value = in_->u64(); }
  void time(base::WallTime& value) { value.nanoseconds = in_->i64(); }
  template <std::size_t N, class Tag>
  void id(FixedId<N, Tag>& value) {
    in_->into(value.bytes);
  }
  template <std::size_t N>
  void raw(std::array<std::byte, N>& value) {
    in_->into(value);
  }
  template <class Enum>
  void enumeration(Enum& value, Enum last) {
    const std::uint8_t number_of = in_->u8();
    require(number_of >= 1 && number_of <= static_cast<std::uint8_t>(last));
    if (ok()) {
      value = static_cast<Enum>(number_of);
    }
  }
  void text(std::string& value, std::size_t length_min = 0) { value.assign(as_text(text_bytes(length_min))); }
  void text(Bytes& value, std::size_t length_min = 0) { value = to_bytes(text_bytes(length_min)); }
  void object_name(ObjectName& value) {
    const std::string_view name = as_text(text_bytes(1));
    auto parsed = ObjectName::parse(name);
    require(parsed.has_value() && parse_name(name).has_value());
    if (ok()) {
      value = *std::move(parsed);
    }
  }
  void long_bytes(Bytes& value) {
    const std::uint32_t length = in_->u32();
    require(length <= kBodyBytesMax);
    value = to_bytes(in_->bytes(length));
  }
  template <class T, class Each>
  void option(std::optional<T>& value, Each each) {
    const std::uint8_t present = in_->u8();
    require(present <= 1);
    if (ok() && present == 1) {
      each(*this, value.emplace());
    }
  }
  template <class T, class Each>
  void list(std::vector<T>& values, std::uint32_t count_max, Each each) {
    const std::uint32_t count = in_->u32();
    // Every item has at least one byte, so a count beyond what is left is refused before anything is
    // allocated.
    require(count <= count_max && count <= in_->remaining());
    for (std::uint32_t i = 0; ok() && i < count; ++i) {
      each(*this, values.emplace_back());
    }
  }
  template <class T, class Each, class KeyOf = std::identity>
  void sorted_list(std::vector<T>& values, std::uint32_t count_max, Each each, KeyOf key_of = {}) {
    list(values, count_max, each);
    for (std::size_t i = 1; ok() && i < values.size(); ++i) {
      require(std::invoke(key_of, values[i - 1]) < std::invoke(key_of, values[i]));
    }
  }

 private:
  ByteView text_bytes(std::size_t length_min) {
    const std::uint16_t length = in_->u16();
    require(length >= length_min && length <= kTextBytesMax);
    return in_->bytes(length);
  }

  base::Reader own_;
  base::Reader* in_;
};

// What stands in several records.

inline constexpr auto kIdField = [](auto& io, auto& value) { io.id(value); };
inline constexpr auto kTextField = [](auto& io, auto& value) { io.text(value); };
inline constexpr auto kNumberField = [](auto& io, auto& value) { io.number(value); };

inline constexpr auto kProofField = [](auto& io, auto& proof) {
  io.id(proof.kid);
  io.id(proof.r);
};
inline constexpr auto kPackNameField = [](auto& io, auto& name) {
  io.enumeration(name.kind, PackKind::Meta);
  io.id(name.id);
};
inline constexpr auto kIndexNameField = [](auto& io, auto& name) {
  io.number(name.level);
  io.id(name.session);
  io.number(name.n);
};
inline constexpr auto kSnapshotNameField = [](auto& io, auto& name) {
  io.id(name.source);
  io.id(name.session);
  io.number(name.n);
};
inline constexpr auto kCondemnNameField = [](auto& io, auto& name) {
  io.id(name.session);
  io.number(name.n);
};
inline constexpr auto kUnionNameField = [](auto& io, auto& name) {
  io.number(name.level);
  io.id(name.run);
  io.number(name.n);
};
inline constexpr auto kCatalogNameField = [](auto& io, auto& name) {
  io.number(name.sequence);
  io.id(name.run);
};

inline Failure corrupt(std::string_view what) {
  return fail(ErrorCode::Corrupt, std::string(what) + " is not well formed");
}

/// Runs `describe` over a record in one direction. `what` names the record in messages.
template <class Record, class Describe>
Result<Bytes> encode_record(const Record& record, std::string_view what, Describe describe) {
  Bytes out;
  FieldWriter io(out);
  describe(io, record);
  if (!io.ok()) {
    return fail(ErrorCode::Invalid, std::string(what) + " holds a value that is over a limit of the format");
  }
  return out;
}

template <class Record, class Describe>
Result<Record> parse_record(ByteView body, std::string_view what, Describe describe) {
  Record record;
  FieldReader io(body);
  describe(io, record);
  if (!io.finished()) {
    return corrupt(what);
  }
  return record;
}

}  // namespace firn::format::detail
