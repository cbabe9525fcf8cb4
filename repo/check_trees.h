// The trees of the snapshots that count: every page opens, stands where it must, has its twin, and names only
// chunks that an existing pack holds. Internal to check.
//
// A page that several snapshots share is read once; what was seen lies in a local environment, with what its
// parents must know of it, so that each of them is held against it. The second walk, for defects, leaves out
// what is clean below. Memory is one page for each level. Threads: one caller.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "repo/base/record_sorter.h"
#include "repo/base/stop.h"
#include "repo/check_findings.h"
#include "repo/chunk_reader.h"
#include "repo/format/page.h"
#include "repo/format/tree.h"
#include "repo/kv/local_kv.h"
#include "repo/repository.h"
#include "repo/snapshots.h"

namespace firn::repo {

/// Which chunks can be opened, and with what: pack kind 1, pack id 32, chunk id 32, t 32.
inline constexpr std::size_t kWantedBytes = 97;

class TreeCheck {
 public:
  struct Parts {
    const Repository& repository;
    index::ChunkIndex& index;
    ChunkReader& reader;
    CheckFindings& findings;
    kv::Environment& scratch;  // empty
    /// Packs that are not there, or not as the index says, each with its defect.
    const std::map<format::PackName, DefectId>& bad_packs;
    base::RecordSorter* wanted;      // null: chunks will not be opened
    std::function<Result<>()> sync;  // brings the index to what the repository has now
    const base::StopFlag& stop;
  };
  explicit TreeCheck(Parts parts) : parts_(std::move(parts)) {}

  /// Without `root` only the refs pages are walked.
  Result<> check(const SnapshotInfo& snapshot, const std::optional<format::ChunkSecret>& root);
  /// After all snapshots: says what was found of chunks that are nowhere.
  void finish();

  /// Finds what the defects affect in this snapshot.
  Result<> trace(const SnapshotInfo& snapshot, const std::optional<format::ChunkSecret>& root);

 private:
  enum class Wanted : std::uint8_t { Content, TreePage, SlicePage, RefsPage, Any };

  /// What is remembered of a page, and what its parents hold against it.
  struct Facts {
    bool opens = false;
    std::uint8_t level = 0;
    format::ChunkId refs;
    std::uint64_t length = 0;  // of slice pages: bytes of content below
    Bytes first;               // of tree pages: first key of a leaf, first separator of an inner page
    Bytes last;                // of tree pages: last key below
  };
  /// A page that does not open has no facts worth asking for.
  static Bytes encode(const Facts& facts);
  static Facts parse_facts(ByteView bytes);
  static bool fits(Wanted wanted, format::ChunkType type);

  Result<std::optional<Facts>> seen(const format::ChunkId& page);
  Result<> remember(const format::ChunkId& page, const Facts& facts);
  Result<bool> is_clean(const format::ChunkId& page);
  Result<> remember_clean(const format::ChunkId& page);

  /// True iff some good pack holds the chunk; else whoever needs it is affected.
  Result<bool> need(const format::ChunkId& id, Wanted wanted, std::uint32_t plain_min,
                    const format::ChunkSecret* t);
  Result<bool> look_up(const format::ChunkId& id, Wanted wanted, std::uint32_t plain_min,
                       const format::ChunkSecret* t, std::vector<index::Location>& locations);
  void blame_lost(const format::ChunkId& id, std::span<const index::Location> locations);

  /// A page of `level_end` or above is not walked: levels go down, so that no walk is deep.
  Result<Facts> tree_page(const format::ChunkSecret& t, const format::ChunkId& refs, unsigned level_end);
  Result<> leaf(ByteView page, Facts& facts);
  Result<> inner(ByteView page, const std::string& place, const format::ChunkId& id, Facts& facts);
  Result<Facts> slice_page(const format::ChunkSecret& t, const format::ChunkId& refs, unsigned level_end);
  /// Ends the walk of a page: a page that is not well formed is a defect, and counts as one that does not
  /// open.
  Result<> note(Result<> walked, const format::ChunkId& id, const std::string& place, Facts& facts);
  Result<> slice_leaf(ByteView page, Facts& facts);
  Result<> slice_inner(ByteView page, const std::string& place, const format::ChunkId& id, Facts& facts);
  Result<> blob(const format::BlobView& blob, std::vector<format::Slice>& slices);
  Result<> need_slices(std::vector<format::Slice>& slices);
  /// Reads the page; nothing when it does not open, which was noted then.
  Result<std::optional<Bytes>> open_page(format::ChunkType type, const format::ChunkSecret& t,
                                         const format::ChunkId& id, const std::string& place);
  Result<> twin(format::ChunkType type, ByteView page, const format::ChunkId& refs, const std::string& place,
                const format::ChunkId& id);
  Result<> refs_page(const format::ChunkId& id);
  Result<> refs_below(const format::ChunkId& root);
  void defect_of(const format::ChunkId& id, std::string message);

  /// True iff something below is blamed.
  Result<bool> trace_tree(const std::string& snapshot, const format::ChildPage& page, unsigned depth);
  Result<bool> trace_tree_below(const std::string& snapshot, ByteView page, unsigned depth);
  Result<bool> trace_slices(const std::string& file, const format::SlicePages& page, unsigned depth);
  Result<bool> trace_slices_below(const std::string& file, ByteView page, unsigned depth);
  Result<bool> trace_entry(const std::string& snapshot, const format::Key& key,
                           const format::EntryView& entry);
  Result<bool> trace_refs(const std::string& snapshot, const format::ChunkId& id, unsigned depth);
  bool affected(const format::ChunkId& id, const std::string& line);

  Parts parts_;
  std::optional<DefectId> nowhere_;
  std::uint64_t nowhere_count_ = 0;
  std::string nowhere_first_;
  std::set<format::ChunkId> nowhere_seen_;
  unsigned syncs_ = 0;
};

}  // namespace firn::repo
