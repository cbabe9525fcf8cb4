// The tree: entries, their keys and order, and the blobs that hang on them.
//
// A snapshot is one list of entries sorted by (directory path, name). Paths are raw bytes, relative to the
// root of the list, parts joined by '/', without a leading or trailing one; the root itself is the entry with
// the empty name in the empty directory. Pages of entries are page.h, long slice lists slice_page.h.
// Promise: encoding an entry does not depend on its neighbours, so an encoded entry may be copied from page
// to page as it is. Parsers take hostile bytes.
#pragma once

#include <compare>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "repo/base/codec.h"
#include "repo/base/result.h"
#include "repo/format/ids.h"
#include "repo/format/limits.h"

namespace firn::format {

enum class FileType : std::uint8_t {
  Unknown = 0,  // never stored
  Regular = 1,
  Directory = 2,
  Symlink = 3,
  Fifo = 4,
  Socket = 5,
  Block = 6,
  Character = 7,
};

/// A file's time as file systems keep it: any second, also before 1970 and far ahead.
struct Timestamp {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;  // below 10^9, counted upwards from `seconds`
  auto operator<=>(const Timestamp&) const = default;
};

/// A piece of a chunk's plaintext.
struct Slice {
  ChunkSecret chunk;
  std::uint32_t offset = 0;
  std::uint32_t length = 0;  // at least 1; offset + length is at most kPlainBytesMax
  bool operator==(const Slice&) const = default;
};

/// The top slice page of a long slice list.
struct SlicePages {
  ChunkSecret root;
  ChunkId refs;              // of its refs page
  std::uint64_t length = 0;  // bytes of content below, at least 1
  bool operator==(const SlicePages&) const = default;
};

/// Slices as they stand encoded in an entry; checked when the entry was parsed. Borrows.
class SliceListView {
 public:
  SliceListView() = default;
  SliceListView(ByteView encoded, std::uint32_t count) : encoded_(encoded), count_(count) {}
  std::uint32_t size() const { return count_; }
  bool empty() const { return count_ == 0; }

  class Iterator {
   public:
    using value_type = Slice;
    using difference_type = std::ptrdiff_t;
    explicit Iterator(ByteView rest) : rest_(rest) {}
    Slice operator*() const;
    Iterator& operator++();
    void operator++(int) { ++*this; }
    bool operator==(const Iterator& other) const { return rest_.size() == other.rest_.size(); }

   private:
    ByteView rest_;
  };
  Iterator begin() const { return Iterator(encoded_); }
  Iterator end() const { return Iterator(encoded_.last(0)); }

 private:
  ByteView encoded_;
  std::uint32_t count_ = 0;
};

/// Bytes that hang on an entry: file content without its holes, xattrs, a hole map. Exactly the member that
/// `form` names is used.
enum class BlobForm : std::uint8_t { Empty = 0, Inline = 1, Slices = 2, Pages = 3 };

struct Blob {
  BlobForm form = BlobForm::Empty;
  Bytes inline_bytes;         // 1 to kInlineContentBytesMax of content, kInlineBlobBytesMax of others
  std::vector<Slice> slices;  // 1 to kEntrySlicesMax
  SlicePages pages;

  std::uint64_t length() const;
  bool operator==(const Blob& other) const;
};

/// Borrows from the page.
struct BlobView {
  BlobForm form = BlobForm::Empty;
  ByteView inline_bytes;
  SliceListView slices;
  SlicePages pages;
  std::uint64_t length = 0;
};

/// All of an entry but what it owns elsewhere: shared by Entry and EntryView.
struct EntryFields {
  FileType type = FileType::Regular;
  bool changed_while_read = false;  // of regular files: the content may mix versions
  std::uint16_t mode = 0;           // the 12 permission bits
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  Timestamp mtime;
  Timestamp ctime;
  std::optional<Timestamp> atime;
  std::uint64_t inode = 0;              // at the source
  std::uint32_t device = 0;             // ordinal by first appearance in the snapshot
  std::uint32_t nlink = 1;              // above 1: a hard link group is (device, inode)
  std::uint64_t size_bytes = 0;         // of regular files: content and holes
  std::uint64_t rdev = 0;               // of devices: major << 32 | minor
  std::uint32_t inode_flags = 0;        // FS_IOC_GETFLAGS; 0 where there are none
  std::uint32_t project_id = 0;         // 0 where there is none
  std::optional<ContentDigest> digest;  // of regular files, as a rule small ones
  bool operator==(const EntryFields&) const = default;
};

struct Entry : EntryFields {
  std::string name;    // raw bytes but '/' and NUL, 1 to 255, not "." or ".."; empty for the root only
  std::string target;  // of symbolic links, 1 to kTargetBytesMax bytes
  Blob content;        // of regular files; without the holes
  Blob holes;          // of regular files: the hole map, blobs.h
  Blob xattrs;         // blobs.h
  bool operator==(const Entry&) const = default;
};

/// An entry in a page; borrows from it.
struct EntryView : EntryFields {
  std::string_view name;
  std::string_view target;
  BlobView content;
  BlobView holes;
  BlobView xattrs;
  ByteView encoded;  // the whole record, for copying it as it is
};
Entry to_entry(const EntryView& view);

/// The record E of an entry. `out` is appended to. Errors: Invalid (a bug of the source or a limit: name,
/// target, blobs that do not add up to the size).
Result<> encode_entry(const Entry& entry, Bytes& out);
/// Reads one record E. Fails `in` for anything that encode_entry would not have written.
bool parse_entry(base::Reader& in, EntryView& entry);

/// Where an entry stands in the list. Borrows.
struct Key {
  std::string_view directory;
  std::string_view name;
};
/// Directories part by part, bytewise, a directory before what is below it; then names bytewise.
std::strong_ordering compare_directories(std::string_view a, std::string_view b);
std::strong_ordering compare_keys(const Key& a, const Key& b);
/// The same order as plain bytes: '/' of the directory as 00 01, then 00 00, then the name.
Bytes sort_key(const Key& key);
/// directory/name; the empty text for the root.
std::string path_of(const Key& key);
/// The key of a path as path_of gives it.
Key key_of(std::string_view path);

/// 1 to 255 bytes, no '/' or NUL, not "." or "..".
bool name_is_valid(std::string_view name);
/// Empty, or valid names joined by '/', at most kDirectoryBytesMax bytes.
bool directory_is_valid(std::string_view directory);

}  // namespace firn::format
