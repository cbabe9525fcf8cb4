// Entries of a tree as ls, find and diff show them, and how a command gets at them.
//
// Threads: one caller.
#pragma once

#include <string>

#include "agent/cli/json.h"
#include "agent/cli/open.h"
#include "agent/cli/snapshot_filter.h"
#include "repo/format/tree.h"
#include "repo/tree/tree_reader.h"

namespace firn::cli {

/// "file", "dir", "symlink", "dev", "chardev", "fifo", "socket".
const char* node_type(format::FileType type);
/// Type and permissions in the bits of Go's os.FileMode, which restic's JSON has in `mode`.
std::uint32_t node_mode(const format::EntryFields& entry);
/// The same as text: "drwxr-xr-x", "Lrwxrwxrwx", "ug-rwxr-xr-x".
std::string node_permissions(const format::EntryFields& entry);

/// The fields of an entry at `path` ("/a/b"), without struct_type.
Json node_json(const std::string& path, std::string_view name, const format::EntryFields& entry);

struct LongFormat {
  bool human_sizes = false;
};
/// A line as `ls -l` has it. `target` of a symbolic link, else empty.
std::string long_line(const std::string& path, const format::EntryFields& entry, std::string_view target,
                      const LongFormat& format);

/// A snapshot that was opened for reading its tree.
struct OpenTree {
  const repo::SnapshotInfo* info = nullptr;
  format::ChunkSecret root;
  repo::ChunkReader* reader = nullptr;
};
/// Errors: Denied (the key may not read it), NotFound, those of the store.
Result<OpenTree> open_tree(OpenRepository& open, const repo::SnapshotInfo& info);

/// "/a/b" of a tree's key.
std::string shown_path(const format::Key& key);

}  // namespace firn::cli
