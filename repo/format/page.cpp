#include "repo/format/page.h"

#include <algorithm>

#include "repo/base/check.h"
#include "repo/format/cut.h"

namespace firn::format {
namespace {

constexpr std::uint8_t kDirectoryTag = 1;
constexpr std::size_t kLevelBytes = 1;
using Added = LeafPageWriter::Added;

Failure bad_page() { return fail(ErrorCode::Corrupt, "tree page is not well formed"); }

template <class Text>
std::size_t common_prefix(const Text& a, const Text& b) {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

/// The shared part, the length of the rest, the rest.
std::size_t prefixed_size(std::size_t shared, std::size_t total) {
  return base::varint_size(shared) + base::varint_size(total - shared) + (total - shared);
}

template <class Text>
void write_prefixed(base::Writer& out, const Text& previous, const Text& text) {
  const std::size_t shared = common_prefix(previous, text);
  out.varint(shared);
  out.varint(text.size() - shared);
  out.bytes(std::as_bytes(std::span(text.data(), text.size())).subspan(shared));
}

/// Replaces `text`, which holds the one before. Fails unless the shared part is exactly as long as it can be.
template <class Text>
void read_prefixed(base::Reader& in, std::size_t size_max, Text& text) {
  const std::size_t shared = in.varint_up_to(text.size());
  const std::size_t rest_size = in.varint_up_to(size_max - std::min(size_max, shared));
  const ByteView rest = in.bytes(rest_size);
  if (!in.ok()) {
    return;
  }
  using Element = typename Text::value_type;
  const bool could_share_more =
      shared < text.size() && !rest.empty() && static_cast<std::byte>(text[shared]) == rest.front();
  in.require(!could_share_more);
  text.resize(shared + rest.size());
  std::transform(rest.begin(), rest.end(), text.begin() + static_cast<std::ptrdiff_t>(shared),
                 [](std::byte b) { return static_cast<Element>(b); });
}

bool bytes_less(ByteView a, ByteView b) { return as_text(a) < as_text(b); }

}  // namespace

Result<std::uint8_t> page_level(ByteView page) {
  if (page.empty() || page.size() > kPageBytesMax ||
      std::to_integer<unsigned>(page.front()) > kPageLevelMax) {
    return bad_page();
  }
  return std::to_integer<std::uint8_t>(page.front());
}

// ---- leaf pages

Result<LeafPageReader> LeafPageReader::open(ByteView page) {
  FIRN_LET(const std::uint8_t level, page_level(page));
  if (level != 0 || page.size() == kLevelBytes) {
    return bad_page();
  }
  return LeafPageReader(page.subspan(kLevelBytes));
}

bool LeafPageReader::read_directory() {
  in_.u8();
  const std::string before = directory_;
  read_prefixed(in_, kDirectoryBytesMax, directory_);
  in_.require(directory_is_valid(directory_));
  in_.require(!any_directory_ || compare_directories(before, directory_) < 0);
  any_directory_ = true;
  return in_.ok();
}

Result<bool> LeafPageReader::next() {
  if (in_.at_end()) {
    return in_.ok() ? Result<bool>(false) : bad_page();
  }
  const std::string_view previous_name = entry_.name;
  directory_begins_ = *in_.position() == static_cast<std::byte>(kDirectoryTag);
  if (directory_begins_ && !read_directory()) {
    return bad_page();
  }
  if (!any_directory_ || !parse_entry(in_, entry_)) {
    in_.fail();
    return bad_page();
  }
  // The empty name is below all others, so only the very first entry of the top directory can have it.
  const bool in_order = directory_begins_ || previous_name < entry_.name;
  if (!in_order || (entry_.name.empty() && !directory_.empty())) {
    in_.fail();
    return bad_page();
  }
  return true;
}

LeafPageWriter::LeafPageWriter(std::uint64_t seed) : seed_(seed) {}

Result<LeafPageWriter::Added> LeafPageWriter::add(std::string_view directory, const Entry& entry) {
  if (!directory_is_valid(directory) || (entry.name.empty() && !directory.empty())) {
    return fail(ErrorCode::Invalid, "the format cannot hold this path: " + std::string(directory));
  }
  record_.clear();
  FIRN_TRY(encode_entry(entry, record_));
  return add_encoded(directory, entry.name, record_);
}

Result<LeafPageWriter::Added> LeafPageWriter::add(std::string_view directory, const EntryView& entry) {
  return add_encoded(directory, entry.name, entry.encoded);
}

Result<LeafPageWriter::Added> LeafPageWriter::add_encoded(std::string_view directory, std::string_view name,
                                                          ByteView record) {
  const Key key{directory, name};
  const bool after_a_taken_page = !empty() || any_;
  FIRN_CHECK(!after_a_taken_page || compare_keys({last_directory_, last_name_}, key) < 0);
  const bool needs_directory = empty() || directory_ != directory;
  const std::string_view shared_with = empty() ? std::string_view() : std::string_view(directory_);
  std::size_t needed = record.size();
  if (needs_directory) {
    needed += 1 + prefixed_size(common_prefix(shared_with, directory), directory.size());
  }
  if (!empty() && page_.bytes.size() + needed > kPageBytesMax) {
    return Added::No;
  }
  base::Writer out(page_.bytes);
  if (empty()) {
    page_.bytes.clear();
    out.u8(0);
    page_.first_key = sort_key(key);
  }
  if (needs_directory) {
    out.u8(kDirectoryTag);
    write_prefixed(out, shared_with, directory);
    directory_ = directory;
  }
  out.bytes(record);
  last_directory_ = directory;
  last_name_ = name;
  any_ = true;
  if (page_.bytes.size() < kPageBytesMin) {
    return Added::Open;  // what page_ends_after would say, without joining the path
  }
  const bool ends = page_ends_after(seed_, as_bytes(path_of(key)), record.size(), page_.bytes.size());
  return ends ? Added::Full : Added::Open;
}

LeafPage LeafPageWriter::take() {
  FIRN_CHECK(!empty());
  page_.last_key = sort_key({last_directory_, last_name_});
  directory_.clear();
  return std::exchange(page_, LeafPage{});
}

// ---- inner pages

Bytes shortest_separator(ByteView last_key_before, ByteView first_key) {
  const std::size_t shared = common_prefix(last_key_before, first_key);
  FIRN_CHECK(shared < first_key.size());
  return to_bytes(first_key.first(shared + 1));
}

Result<InnerPageReader> InnerPageReader::open(ByteView page) {
  FIRN_LET(const std::uint8_t level, page_level(page));
  if (level == 0 || page.size() == kLevelBytes) {
    return bad_page();
  }
  return InnerPageReader(level, page.subspan(kLevelBytes));
}

Result<bool> InnerPageReader::next() {
  if (in_.at_end()) {
    return in_.ok() ? Result<bool>(false) : bad_page();
  }
  const Bytes before = child_.separator;
  read_prefixed(in_, kKeyBytesMax, child_.separator);
  in_.into(child_.page.bytes);
  in_.into(child_.refs.bytes);
  in_.require(!any_ || bytes_less(before, child_.separator));
  any_ = true;
  if (!in_.ok()) {
    return bad_page();
  }
  return true;
}

InnerPageWriter::InnerPageWriter(std::uint64_t seed, std::uint8_t level) : seed_(seed), level_(level) {
  FIRN_CHECK(level >= 1 && level <= kPageLevelMax);
}

LeafPageWriter::Added InnerPageWriter::add(const ChildPage& child) {
  FIRN_CHECK(empty() || bytes_less(last_separator_, child.separator));
  const std::size_t shared = common_prefix(last_separator_, child.separator);
  const std::size_t needed = prefixed_size(shared, child.separator.size()) + 2 * 32;
  if (!empty() && bytes_.size() + needed > kPageBytesMax) {
    return Added::No;
  }
  base::Writer out(bytes_);
  if (empty()) {
    bytes_.clear();
    out.u8(level_);
    first_separator_ = child.separator;
  }
  write_prefixed(out, last_separator_, child.separator);
  out.bytes(child.page.bytes);
  out.bytes(child.refs.bytes);
  last_separator_ = child.separator;
  ++children_;
  return page_ends_after(seed_, child.separator, needed, bytes_.size()) ? Added::Full : Added::Open;
}

InnerPageWriter::InnerPage InnerPageWriter::take() {
  FIRN_CHECK(!empty());
  last_separator_.clear();
  return {std::exchange(bytes_, {}), std::exchange(first_separator_, {}), std::exchange(children_, 0)};
}

}  // namespace firn::format
