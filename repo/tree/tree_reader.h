// Reads a snapshot's list of entries: in order, from a key, one directory, one path.
//
// Promise: what is given was checked: every entry is valid, strictly above the one before, and within the
// bounds that the pages above gave; pages are of the right type and level, so no walk is endless. Anything
// else is Corrupt and names the page's place. Memory is one page for each level. Not here: the meaning of
// entries between each other (that a directory's own entry exists, hard link groups), slices of long files
// (slice_list.h), two trees at once (tree_diff.h). Threads: one caller at a time; different readers may share
// a source that allows it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "repo/base/result.h"
#include "repo/format/tree.h"
#include "repo/tree/page_store.h"
#include "repo/tree/read_options.h"

namespace firn::tree {

class TreeReader {
 public:
  /// All entries of the tree with root page `t`. Nothing is read before the first call. `source` outlives the
  /// reader.
  TreeReader(PageSource& source, const format::ChunkSecret& t, ReadOptions options = {});
  TreeReader(TreeReader&&) noexcept;
  TreeReader& operator=(TreeReader&&) noexcept;
  ~TreeReader();

  /// Goes to the next entry; false after the last. After an error every call gives that error.
  /// Errors: Corrupt, those of the source.
  Result<bool> next();
  /// The entry that next() went to, borrowed until the next call of a member that is not const.
  const format::EntryView& entry() const;
  format::Key key() const;
  /// True iff the entry before, if any, was of another directory.
  bool directory_begins() const;

  /// next() will give the first entry at or above `key` that is above the current one too: only forward.
  /// Pages between are not read.
  Result<> seek(const format::Key& key);
  /// next() will give the first entry that is neither in `directory` nor anywhere below it, nor before the
  /// current one: leaves out a subtree. `directory` must be a path as Key has it; the empty one ends the
  /// walk.
  Result<> skip_below(std::string_view directory);

  /// A reader of the children of one directory only, without the directory's own entry and what is below its
  /// subdirectories. An unknown or empty directory has none.
  TreeReader list_directory(std::string_view directory) const;
  /// A reader of everything below a directory, its own entry not included.
  TreeReader list_below(std::string_view directory) const;
  /// The entry at a path (parts joined by '/', the empty path for the root); nothing when the tree holds
  /// none. Reads one page for each level. Errors: Corrupt, those of the source.
  Result<std::optional<format::Entry>> find(std::string_view path) const;

 private:
  struct State;
  explicit TreeReader(std::unique_ptr<State> state);
  Result<> seek_to(const Bytes& target);
  std::unique_ptr<State> state_;
};

}  // namespace firn::tree
