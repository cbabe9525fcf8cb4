// Tree pages: leaf pages of entries, inner pages of (separator, page, refs page).
//
// A page is the plaintext of one chunk of type TreePage. Its first byte is its level, 0 for a leaf. Readers
// check as they go: what next() gave is valid, the page as a whole is once next() gave false. Writers say
// where a page ends. Not here: storing pages, the stack of levels (repo/tree), refs pages (refs.h).
// Threads: an object belongs to one caller at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "repo/base/codec.h"
#include "repo/base/result.h"
#include "repo/format/ids.h"
#include "repo/format/tree.h"

namespace firn::format {

/// 0 = leaf, at most kPageLevelMax. Of tree pages and slice pages. Errors: Corrupt.
Result<std::uint8_t> page_level(ByteView page);

/// Walks a leaf page without copying fields; borrows the page.
class LeafPageReader {
 public:
  /// Errors: Corrupt (not a leaf, too long, empty).
  static Result<LeafPageReader> open(ByteView page);

  /// Goes to the next entry; false after the last. Errors: Corrupt.
  Result<bool> next();
  /// Of the entry that next() went to. Views borrow from the page, directory() and key() until the next call.
  const EntryView& entry() const { return entry_; }
  std::string_view directory() const { return directory_; }
  Key key() const { return {directory_, entry_.name}; }
  /// True iff this entry is the first of its directory in this page.
  bool directory_begins() const { return directory_begins_; }

 private:
  explicit LeafPageReader(ByteView records) : in_(records) {}
  bool read_directory();

  base::Reader in_;
  EntryView entry_;
  std::string directory_;
  bool any_directory_ = false;
  bool directory_begins_ = false;
};

struct LeafPage {
  Bytes bytes;
  Bytes first_key;  // sort keys
  Bytes last_key;
};

/// Builds leaf pages from entries in order.
class LeafPageWriter {
 public:
  /// `seed` is CutSeeds::page.
  explicit LeafPageWriter(std::uint64_t seed);

  bool empty() const { return page_.bytes.size() <= 1; }

  enum class Added : std::uint8_t {
    Open,  // the page goes on
    Full,  // the page ends after this entry: take() it
    No,    // the page ends before this entry: take() it, then add again
  };
  /// Adds the entry after all others (a bug otherwise, also across pages). Errors: Invalid (encode_entry, or
  /// the directory's path is not valid).
  Result<Added> add(std::string_view directory, const Entry& entry);
  /// The same for an entry that is encoded already; not checked again.
  Result<Added> add(std::string_view directory, const EntryView& entry);

  /// The page so far, which is not empty; the writer starts the next one.
  LeafPage take();

 private:
  Result<Added> add_encoded(std::string_view directory, std::string_view name, ByteView record);

  std::uint64_t seed_;
  LeafPage page_;
  std::string directory_;  // of the last D of this page
  std::string last_directory_;
  std::string last_name_;
  bool any_ = false;
  Bytes record_;
};

/// A page as its parent names it. `separator` is at most the sort key of its first entry and above that of
/// the last entry before it; the first page of a tree has the empty one.
struct ChildPage {
  Bytes separator;
  ChunkSecret page;
  ChunkId refs;
  bool operator==(const ChildPage&) const = default;
};

/// The shortest separator between two neighbours: the first bytes of `first` that are above `last`.
Bytes shortest_separator(ByteView last_key_before, ByteView first_key);

class InnerPageReader {
 public:
  /// Errors: Corrupt (a leaf, too long, empty).
  static Result<InnerPageReader> open(ByteView page);
  std::uint8_t level() const { return level_; }
  /// Goes to the next child; false after the last. Errors: Corrupt.
  Result<bool> next();
  const ChildPage& child() const { return child_; }

 private:
  InnerPageReader(std::uint8_t level, ByteView records) : in_(records), level_(level) {}

  base::Reader in_;
  std::uint8_t level_;
  ChildPage child_;
  bool any_ = false;
};

/// Builds inner pages of one level. Use as LeafPageWriter.
class InnerPageWriter {
 public:
  InnerPageWriter(std::uint64_t seed, std::uint8_t level);
  bool empty() const { return bytes_.size() <= 1; }
  LeafPageWriter::Added add(const ChildPage& child);
  struct InnerPage {
    Bytes bytes;
    Bytes separator;  // of its first child: its own in the level above
    std::uint32_t children = 0;
  };
  InnerPage take();

 private:
  std::uint64_t seed_;
  std::uint8_t level_;
  Bytes bytes_;
  Bytes first_separator_;
  Bytes last_separator_;
  std::uint32_t children_ = 0;
};

}  // namespace firn::format
