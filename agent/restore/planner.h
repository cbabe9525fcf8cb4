// The pass over a snapshot's entries: makes directories and special files, and decides what files still need.
//
// Not here: fetching and writing content (file_writer.h), directories' metadata and further names of files,
// which come last (restore.cpp). Threads: one task.
#pragma once

#include <string>
#include <vector>

#include "agent/restore/content.h"
#include "agent/restore/file_writer.h"
#include "repo/base/queue.h"
#include "repo/base/record_sorter.h"
#include "repo/kv/local_kv.h"
#include "repo/tree/tree_reader.h"

namespace firn::restore {

struct PlannerContext {
  WriterContext& writer;
  FileTable& directories;         // those that get their metadata in the end, parents before children
  FileTable& links;               // further names of files
  base::RecordSorter& pieces;     // wanted pieces of all files
  base::BoundedQueue<Job>& jobs;  // files that need no chunk are done while the pass goes on
  kv::Environment& groups;        // link group → number of the first name's record
};

class Planner {
 public:
  explicit Planner(PlannerContext& context);

  /// Goes through everything below options.subpath. Errors: those that end the restore.
  Result<> run(tree::PageSource& pages, const format::ChunkSecret& root);

 private:
  /// A directory on the way to the current entry, as it lies below the target.
  struct Level {
    std::string path;
    scan::Selection::State state;
    bool made = false;
    bool skipped = false;  // nothing in it is wanted, or it could not be made
  };
  /// What the target has in an entry's place decides what is done.
  enum class Way : std::uint8_t { Make, InPlace, Skip };

  Result<> take(const format::Key& key, const format::EntryView& view);
  Result<> enter(std::string_view directory);
  Result<> push_level(std::string_view path);
  Result<> make_levels();
  Result<> take_dry(const std::string& directory, const format::Entry& entry);
  Result<> make_directory(const std::string& directory, const format::Entry& entry);
  Result<> take_file(const std::string& directory, const format::Entry& entry);
  Result<> take_special(TargetDir& parent, const std::string& directory, const format::Entry& entry);
  Result<> take_regular(TargetDir& parent, const std::string& directory, const format::Entry& entry);
  Result<bool> is_further_name(const std::string& directory, const format::Entry& entry);
  Result<Way> way(TargetDir& parent, const format::Entry& entry);
  Result<std::uint32_t> want_pieces(const format::Entry& entry, RecordNumber number, TargetFile* existing);
  Result<bool> same_inline(const format::Entry& entry, TargetFile& existing);
  Result<> remove_extra(const std::string& path);
  Result<> remove_names(TargetDir& directory, const std::string& path, std::vector<std::string>& names);
  Result<> told(const std::string& path, Result<> outcome);
  std::string relative(std::string_view path) const;
  std::string in_tree(std::string_view path) const;
  Result<> flush_inline();

  PlannerContext& context_;
  const RestoreOptions& options_;
  FileWriter writer_;
  tree::TreeReader* reader_ = nullptr;       // the pass
  const tree::TreeReader* whole_ = nullptr;  // for look-ups beside it
  std::vector<Level> levels_;
  InlineJob inline_;
  index::Location last_location_;  // bundles: neighbours share their chunk
  format::ChunkSecret last_chunk_;
  Bytes buffer_;
};

}  // namespace firn::restore
