#include "repo/check_trees.h"

#include <algorithm>
#include <utility>

#include "repo/base/codec.h"
#include "repo/format/page.h"
#include "repo/format/refs.h"
#include "repo/format/slice_page.h"

namespace firn::repo {
namespace {

using format::ChunkId;
using format::ChunkSecret;
using format::ChunkType;
using format::Slice;

constexpr kv::TableId kSeen{0};
constexpr kv::TableId kClean{1};
/// How often chunks that seem lost make the index be read again: a prune beside the check moves chunks.
constexpr unsigned kSyncsMax = 10;
constexpr unsigned kLevelEnd = format::kPageLevelMax + 1U;
/// Slice pages hang below tree pages.
constexpr unsigned kDepthMax = 2 * kLevelEnd;
constexpr std::size_t kNowhereMax = 1 << 16;

bool is_damage(ErrorCode code) { return code == ErrorCode::Corrupt || code == ErrorCode::NotFound; }

/// The path where a page begins, as far as the separator says.
std::string path_of_separator(ByteView separator) {
  std::string path = "/";
  for (std::size_t i = 0; i < separator.size(); ++i) {
    const bool pair = separator[i] == std::byte{0};
    if (!pair) {
      path += static_cast<char>(separator[i]);
    } else if (path.back() != '/') {
      path += '/';
    }
    i += pair ? 1 : 0;
  }
  return path;
}

std::string path_text(const format::Key& key) { return "/" + format::path_of(key); }

bool below(ByteView a, ByteView b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}

/// One slice for each chunk, reaching as far as any of them.
void merge_slices(std::vector<Slice>& slices) {
  std::sort(slices.begin(), slices.end(), [](const Slice& a, const Slice& b) { return a.chunk < b.chunk; });
  std::size_t kept = 0;
  for (const Slice& slice : slices) {
    if (kept > 0 && slices[kept - 1].chunk == slice.chunk) {
      const std::uint32_t end = std::max(slices[kept - 1].length, slice.offset + slice.length);
      slices[kept - 1].length = end;
    } else {
      slices[kept++] = {.chunk = slice.chunk, .offset = 0, .length = slice.offset + slice.length};
    }
  }
  slices.resize(kept);
}

Result<std::vector<format::ChildPage>> children_of(ByteView page, std::uint8_t& level) {
  FIRN_LET(auto reader, format::InnerPageReader::open(page));
  level = reader.level();
  std::vector<format::ChildPage> children;
  while (true) {
    FIRN_LET(const bool more, reader.next());
    if (!more) {
      return children;
    }
    children.push_back(reader.child());
  }
}

Result<std::vector<format::SlicePages>> slice_children_of(ByteView page, std::uint8_t& level) {
  FIRN_LET(auto reader, format::SliceInnerReader::open(page));
  level = reader.level();
  std::vector<format::SlicePages> children;
  format::SlicePages child;
  while (true) {
    FIRN_LET(const bool more, reader.next(child));
    if (!more) {
      return children;
    }
    children.push_back(child);
  }
}

}  // namespace

// ---- what is remembered

Bytes TreeCheck::encode(const Facts& facts) {
  Bytes out;
  base::Writer writer(out);
  writer.u8(facts.opens ? 1 : 0);
  writer.u8(facts.level);
  writer.bytes(facts.refs.bytes);
  writer.u64(facts.length);
  writer.varint(facts.first.size());
  writer.bytes(facts.first);
  writer.bytes(facts.last);
  return out;
}

TreeCheck::Facts TreeCheck::parse_facts(ByteView bytes) {
  base::Reader in(bytes);
  Facts facts;
  facts.opens = in.u8() == 1;
  facts.level = in.u8();
  in.into(facts.refs.bytes);
  facts.length = in.u64();
  facts.first = to_bytes(in.bytes(in.varint_up_to(in.remaining())));
  facts.last = to_bytes(in.bytes(in.remaining()));
  return facts;
}

Result<std::optional<TreeCheck::Facts>> TreeCheck::seen(const ChunkId& page) {
  FIRN_LET(auto txn, parts_.scratch.begin_read());
  FIRN_LET(const auto value, txn->get(kSeen, page.bytes));
  return value ? std::optional(parse_facts(*value)) : std::nullopt;
}

Result<> TreeCheck::remember(const ChunkId& page, const Facts& facts) {
  FIRN_LET(auto txn, parts_.scratch.begin_write());
  FIRN_TRY(txn->put(kSeen, page.bytes, encode(facts)));
  return txn->commit();
}

Result<bool> TreeCheck::is_clean(const ChunkId& page) {
  FIRN_LET(auto txn, parts_.scratch.begin_read());
  FIRN_LET(const auto value, txn->get(kClean, page.bytes));
  return value.has_value();
}

Result<> TreeCheck::remember_clean(const ChunkId& page) {
  FIRN_LET(auto txn, parts_.scratch.begin_write());
  FIRN_TRY(txn->put(kClean, page.bytes, {}));
  return txn->commit();
}

// ---- chunks that are needed

bool TreeCheck::fits(Wanted wanted, ChunkType type) {
  switch (wanted) {
    case Wanted::Content:
      return !format::is_meta(type);
    case Wanted::TreePage:
      return type == ChunkType::TreePage;
    case Wanted::SlicePage:
      return type == ChunkType::SlicePage;
    case Wanted::RefsPage:
      return type == ChunkType::RefsPage;
    case Wanted::Any:
      return type != ChunkType::RefsPage;
  }
  return false;
}

Result<bool> TreeCheck::look_up(const ChunkId& id, Wanted wanted, std::uint32_t plain_min,
                                const ChunkSecret* t, std::vector<index::Location>& locations) {
  FIRN_LET(locations, parts_.index.find(id));
  bool good = false;
  for (const index::Location& location : locations) {
    if (!fits(wanted, location.shape.type) || location.shape.plain < plain_min) {
      continue;
    }
    good = good || !parts_.bad_packs.contains(location.pack);
    if (t != nullptr && parts_.wanted != nullptr) {
      std::array<std::byte, kWantedBytes> record;
      record[0] = static_cast<std::byte>(location.pack.kind);
      std::copy_n(location.pack.id.bytes.begin(), 32, record.begin() + 1);
      std::copy_n(id.bytes.begin(), 32, record.begin() + 33);
      std::copy_n(t->bytes.begin(), 32, record.begin() + 65);
      FIRN_TRY(parts_.wanted->add(record));
    }
  }
  return good;
}

Result<bool> TreeCheck::need(const ChunkId& id, Wanted wanted, std::uint32_t plain_min,
                             const ChunkSecret* t) {
  std::vector<index::Location> locations;
  FIRN_LET(bool good, look_up(id, wanted, plain_min, t, locations));
  if (!good && syncs_ < kSyncsMax) {
    ++syncs_;
    FIRN_TRY(parts_.sync());
    FIRN_LET(good, look_up(id, wanted, plain_min, t, locations));
  }
  if (!good) {
    blame_lost(id, locations);
  }
  return good;
}

void TreeCheck::blame_lost(const ChunkId& id, std::span<const index::Location> locations) {
  bool in_bad_pack = false;
  for (const index::Location& location : locations) {
    if (const auto bad = parts_.bad_packs.find(location.pack); bad != parts_.bad_packs.end()) {
      parts_.findings.blame(id, bad->second);
      in_bad_pack = true;
    }
  }
  if (in_bad_pack) {
    return;
  }
  if (!locations.empty()) {
    defect_of(id, "chunk " + id.hex() + ": what the index says of its type or length does not fit its use");
    return;
  }
  if (!nowhere_) {
    nowhere_first_ = id.hex();
    nowhere_ = parts_.findings.add_defect("chunk " + nowhere_first_ + " is in no pack of the index");
  }
  if (nowhere_seen_.size() < kNowhereMax && nowhere_seen_.insert(id).second) {
    nowhere_count_ += 1;
  }
  parts_.findings.blame(id, *nowhere_);
}

void TreeCheck::finish() {
  if (nowhere_count_ > 1) {
    const bool all = nowhere_seen_.size() < kNowhereMax;
    parts_.findings.rename_defect(*nowhere_, (all ? "" : "at least ") + std::to_string(nowhere_count_) +
                                                 " chunks are in no pack of the index; the first is " +
                                                 nowhere_first_);
  }
}

void TreeCheck::defect_of(const ChunkId& id, std::string message) {
  // A chunk that several pages name is told once.
  if (parts_.findings.blamed(id).empty()) {
    parts_.findings.blame(id, parts_.findings.add_defect(std::move(message)));
  }
}

Result<std::optional<Bytes>> TreeCheck::open_page(ChunkType type, const ChunkSecret& t, const ChunkId& id,
                                                  const std::string& place) {
  FIRN_TRY(parts_.stop.check());
  const Wanted wanted = type == ChunkType::TreePage ? Wanted::TreePage : Wanted::SlicePage;
  FIRN_LET(const bool there, need(id, wanted, 1, &t));
  if (!there) {
    return std::nullopt;
  }
  auto page = parts_.reader.read(type, t);
  if (!page && is_damage(page.error().code)) {
    defect_of(id, std::move(page).error().in(place).message);
    return std::nullopt;
  }
  if (!page) {
    return Failure(std::move(page).error().in(place));
  }
  return std::optional(*std::move(page));
}

Result<> TreeCheck::twin(ChunkType type, ByteView page, const ChunkId& refs, const std::string& place,
                         const ChunkId& id) {
  const auto wanted = format::refs_of_page(type, page);
  if (!wanted) {
    return {};  // the page is not well formed, which its walk tells
  }
  const auto encoded = format::encode(*wanted);
  if (!encoded || format::refs_page_id(parts_.repository.keys().refs(), *encoded) != refs) {
    defect_of(id, place + ": its refs page names other chunks than it does");
  }
  return refs_page(refs);
}

// ---- refs pages

/// One refs page by itself: it is there and opens.
Result<> TreeCheck::refs_page(const ChunkId& id) {
  FIRN_LET(const auto known, seen(id));
  if (known) {
    return {};
  }
  FIRN_LET(const bool there, need(id, Wanted::RefsPage, 1, nullptr));
  Facts facts;
  if (there) {
    auto plain = parts_.reader.read_refs(id);
    if (!plain && !is_damage(plain.error().code)) {
      return Failure(std::move(plain).error());
    }
    auto page = plain ? format::parse_refs_page(*plain) : Result<format::RefsPage>(Failure(plain.error()));
    if (!page) {
      defect_of(id, Error(page.error()).in("refs page " + id.hex()).message);
    }
    facts.opens = page.has_value();
  }
  return remember(id, facts);
}

/// For snapshots whose contents this key cannot read: what their refs pages name.
Result<> TreeCheck::refs_below(const ChunkId& root) {
  std::vector<ChunkId> waiting{root};
  while (!waiting.empty()) {
    FIRN_TRY(parts_.stop.check());
    const ChunkId id = waiting.back();
    waiting.pop_back();
    FIRN_LET(auto known, seen(id));
    if (!known) {
      FIRN_TRY(refs_page(id));
      FIRN_LET(known, seen(id));
    }
    // `length` says that what the page names was looked up: the walk of a tree only opens it.
    if (!known || !known->opens || known->length == 1) {
      continue;
    }
    FIRN_LET(const Bytes plain, parts_.reader.read_refs(id));
    FIRN_LET(const format::RefsPage page, format::parse_refs_page(plain));
    for (const ChunkId& chunk : page.chunks) {
      FIRN_TRY(need(chunk, Wanted::Any, 1, nullptr));
    }
    known->length = 1;
    FIRN_TRY(remember(id, *known));
    waiting.insert(waiting.end(), page.children.begin(), page.children.end());
  }
  return {};
}

// ---- slice pages

Result<TreeCheck::Facts> TreeCheck::slice_page(const ChunkSecret& t, const ChunkId& refs,
                                               unsigned level_end) {
  const ChunkId id = format::chunk_id(t);
  FIRN_LET(auto known, seen(id));
  const std::string place = "slice page " + id.hex();
  if (known) {
    if (known->opens && known->refs != refs) {
      defect_of(id, place + ": is named with another refs page than its own");
    }
    return *std::move(known);
  }
  Facts facts;
  facts.refs = refs;
  FIRN_LET(const std::optional<Bytes> page, open_page(ChunkType::SlicePage, t, id, place));
  if (page) {
    const auto level = format::page_level(*page);
    if (level && *level >= level_end) {
      return facts;  // not what its parent says: told there, and left to a parent that it fits
    }
    facts.opens = true;
    FIRN_TRY(twin(ChunkType::SlicePage, *page, refs, place, id));
    auto walked = !level        ? Result<>(Failure(level.error()))
                  : *level == 0 ? slice_leaf(*page, facts)
                                : slice_inner(*page, place, id, facts);
    FIRN_TRY(note(std::move(walked), id, place, facts));
  } else {
    FIRN_TRY(refs_page(refs));
  }
  FIRN_TRY(remember(id, facts));
  return facts;
}

Result<> TreeCheck::note(Result<> walked, const ChunkId& id, const std::string& place, Facts& facts) {
  if (walked || walked.error().code != ErrorCode::Corrupt) {
    return walked;
  }
  facts.opens = false;
  defect_of(id, std::move(walked).error().in(place).message);
  return {};
}

Result<> TreeCheck::slice_leaf(ByteView page, Facts& facts) {
  FIRN_LET(auto reader, format::SlicePageReader::open(page));
  std::vector<Slice> slices;
  Slice slice;
  while (true) {
    FIRN_LET(const bool more, reader.next(slice));
    if (!more) {
      break;
    }
    slices.push_back(slice);
  }
  facts.length = reader.length();
  return need_slices(slices);
}

Result<> TreeCheck::slice_inner(ByteView page, const std::string& place, const ChunkId& id, Facts& facts) {
  FIRN_LET(const auto children, slice_children_of(page, facts.level));
  for (const format::SlicePages& child : children) {
    FIRN_LET(const Facts below_it, slice_page(child.root, child.refs, facts.level));
    facts.length += child.length;
    const bool told = !below_it.opens && !parts_.findings.blamed(format::chunk_id(child.root)).empty();
    const bool fits_here =
        below_it.opens && below_it.level + 1 == facts.level && below_it.length == child.length;
    if (!told && !fits_here) {
      defect_of(id, place + ": says of a page below it what that page is not");
    }
  }
  return {};
}

Result<> TreeCheck::need_slices(std::vector<Slice>& slices) {
  merge_slices(slices);
  for (const Slice& slice : slices) {
    FIRN_TRY(need(format::chunk_id(slice.chunk), Wanted::Content, slice.length, &slice.chunk));
  }
  return {};
}

// ---- tree pages

Result<TreeCheck::Facts> TreeCheck::tree_page(const ChunkSecret& t, const ChunkId& refs, unsigned level_end) {
  const ChunkId id = format::chunk_id(t);
  FIRN_LET(auto known, seen(id));
  const std::string place = "tree page " + id.hex();
  if (known) {
    if (known->opens && known->refs != refs) {
      defect_of(id, place + ": is named with another refs page than its own");
    }
    return *std::move(known);
  }
  Facts facts;
  facts.refs = refs;
  FIRN_LET(const std::optional<Bytes> page, open_page(ChunkType::TreePage, t, id, place));
  if (page) {
    const auto level = format::page_level(*page);
    if (level && *level >= level_end) {
      return facts;  // not what its parent says: told there, and left to a parent that it fits
    }
    facts.opens = true;
    FIRN_TRY(twin(ChunkType::TreePage, *page, refs, place, id));
    auto walked = !level        ? Result<>(Failure(level.error()))
                  : *level == 0 ? leaf(*page, facts)
                                : inner(*page, place, id, facts);
    FIRN_TRY(note(std::move(walked), id, place, facts));
  } else {
    FIRN_TRY(refs_page(refs));
  }
  FIRN_TRY(remember(id, facts));
  return facts;
}

Result<> TreeCheck::blob(const format::BlobView& blob, std::vector<Slice>& slices) {
  for (const Slice& slice : blob.slices) {
    slices.push_back(slice);
  }
  if (blob.form != format::BlobForm::Pages) {
    return {};
  }
  FIRN_LET(const Facts facts, slice_page(blob.pages.root, blob.pages.refs, kLevelEnd));
  if (facts.opens && facts.length != blob.pages.length) {
    return fail(ErrorCode::Corrupt, "an entry says another length of its content than its slices have");
  }
  return {};
}

Result<> TreeCheck::leaf(ByteView page, Facts& facts) {
  FIRN_LET(auto reader, format::LeafPageReader::open(page));
  std::vector<Slice> slices;
  std::string directory;
  std::string_view name;
  bool any = false;
  while (true) {
    FIRN_LET(const bool more, reader.next());
    if (!more) {
      break;
    }
    const format::EntryView& entry = reader.entry();
    if (!any) {
      facts.first = format::sort_key(reader.key());
    }
    if (!any || reader.directory_begins()) {
      directory = reader.directory();
    }
    any = true;
    name = entry.name;
    for (const format::BlobView* blob_view : {&entry.content, &entry.holes, &entry.xattrs}) {
      FIRN_TRY(in(path_text(reader.key()), blob(*blob_view, slices)));
    }
  }
  if (!any) {
    return fail(ErrorCode::Corrupt, "holds no entry");
  }
  facts.last = format::sort_key({directory, name});
  return need_slices(slices);
}

Result<> TreeCheck::inner(ByteView page, const std::string& place, const ChunkId& id, Facts& facts) {
  FIRN_LET(const auto children, children_of(page, facts.level));
  facts.first = children.front().separator;
  for (std::size_t i = 0; i < children.size(); ++i) {
    const format::ChildPage& child = children[i];
    FIRN_LET(Facts below_it, tree_page(child.page, child.refs, facts.level));
    facts.last = child.separator;
    if (!below_it.opens) {
      if (parts_.findings.blamed(format::chunk_id(child.page)).empty()) {
        defect_of(id, place + ": names a page below it that is not of the level below");
      }
      continue;
    }
    const bool begins_right = below_it.level == 0 ? !below(below_it.first, child.separator)
                                                  : equal(below_it.first, child.separator);
    const bool ends_right = i + 1 == children.size() || below(below_it.last, children[i + 1].separator);
    if (below_it.level + 1 != facts.level || !begins_right || !ends_right) {
      defect_of(id, place + ": the page that begins at " + path_of_separator(child.separator) +
                        " does not belong there");
    }
    facts.last = std::move(below_it.last);
  }
  return {};
}

Result<> TreeCheck::check(const SnapshotInfo& snapshot, const std::optional<ChunkSecret>& root) {
  if (!root) {
    FIRN_TRY(need(snapshot.snapshot.root, Wanted::TreePage, 1, nullptr));
    return refs_below(snapshot.snapshot.refs_root);
  }
  FIRN_LET(const Facts facts, tree_page(*root, snapshot.snapshot.refs_root, kLevelEnd));
  if (facts.opens && facts.level > 0 && !facts.first.empty()) {
    defect_of(snapshot.snapshot.root,
              "tree page " + snapshot.snapshot.root.hex() + ": does not begin at the root of the tree");
  }
  return {};
}

// ---- what defects affect

bool TreeCheck::affected(const ChunkId& id, const std::string& line) {
  const std::vector<DefectId> defects = parts_.findings.blamed(id);
  for (const DefectId defect : defects) {
    parts_.findings.affects(defect, line);
  }
  return !defects.empty();
}

Result<> TreeCheck::trace(const SnapshotInfo& info, const std::optional<ChunkSecret>& root) {
  const std::string snapshot = "snapshot " + info.id.hex().substr(0, 8);
  const ChunkId& refs = info.snapshot.refs_root;
  if (root) {
    FIRN_TRY(trace_tree(snapshot, format::ChildPage{.separator = {}, .page = *root, .refs = refs}, 0));
    return {};
  }
  affected(info.snapshot.root, snapshot);
  FIRN_TRY(trace_refs(snapshot, refs, 0));
  return {};
}

Result<bool> TreeCheck::trace_refs(const std::string& snapshot, const ChunkId& id, unsigned depth) {
  FIRN_TRY(parts_.stop.check());
  FIRN_LET(const bool clean, is_clean(id));
  if (clean) {
    return false;
  }
  if (affected(id, snapshot) || depth > kDepthMax) {
    return true;
  }
  auto plain = parts_.reader.read_refs(id);
  auto page = plain ? format::parse_refs_page(*plain) : Result<format::RefsPage>(Failure(plain.error()));
  if (!page) {
    return true;
  }
  bool dirty = false;
  for (const ChunkId& chunk : page->chunks) {
    dirty = affected(chunk, snapshot) || dirty;
  }
  for (const ChunkId& child : page->children) {
    FIRN_LET(const bool child_dirty, trace_refs(snapshot, child, depth + 1));
    dirty = child_dirty || dirty;
  }
  if (!dirty) {
    FIRN_TRY(remember_clean(id));
  }
  return dirty;
}

Result<bool> TreeCheck::trace_slices(const std::string& file, const format::SlicePages& page,
                                     unsigned depth) {
  FIRN_TRY(parts_.stop.check());
  const ChunkId id = format::chunk_id(page.root);
  FIRN_LET(const bool clean, is_clean(id));
  if (clean) {
    return false;
  }
  const bool refs_dirty = affected(page.refs, file + " (can be restored; prune cannot go on)");
  if (affected(id, file) || depth > kDepthMax) {
    return true;
  }
  const auto plain = parts_.reader.read(ChunkType::SlicePage, page.root);
  auto dirty = plain ? trace_slices_below(file, *plain, depth) : Result<bool>(Failure(plain.error()));
  if (!dirty && is_damage(dirty.error().code)) {
    return true;  // a defect of its own, with no room to trace it
  }
  if (dirty && !*dirty && !refs_dirty) {
    FIRN_TRY(remember_clean(id));
  }
  return dirty;
}

Result<bool> TreeCheck::trace_slices_below(const std::string& file, ByteView page, unsigned depth) {
  FIRN_LET(std::uint8_t level, format::page_level(page));
  bool dirty = false;
  if (level > 0) {
    FIRN_LET(const auto children, slice_children_of(page, level));
    for (const format::SlicePages& child : children) {
      FIRN_LET(const bool child_dirty, trace_slices(file, child, depth + 1));
      dirty = child_dirty || dirty;
    }
    return dirty;
  }
  FIRN_LET(auto reader, format::SlicePageReader::open(page));
  Slice slice;
  while (true) {
    FIRN_LET(const bool more, reader.next(slice));
    if (!more) {
      return dirty;
    }
    dirty = affected(format::chunk_id(slice.chunk), file) || dirty;
  }
}

Result<bool> TreeCheck::trace_entry(const std::string& snapshot, const format::Key& key,
                                    const format::EntryView& entry) {
  bool dirty = false;
  for (const format::BlobView* blob_view : {&entry.content, &entry.holes, &entry.xattrs}) {
    for (const Slice& slice : blob_view->slices) {
      const ChunkId chunk = format::chunk_id(slice.chunk);
      if (!parts_.findings.blamed(chunk).empty()) {
        dirty = affected(chunk, snapshot + ": " + path_text(key));
      }
    }
    if (blob_view->form == format::BlobForm::Pages) {
      FIRN_LET(const bool below_it, trace_slices(snapshot + ": " + path_text(key), blob_view->pages, 0));
      dirty = dirty || below_it;
    }
  }
  return dirty;
}

Result<bool> TreeCheck::trace_tree(const std::string& snapshot, const format::ChildPage& page,
                                   unsigned depth) {
  FIRN_TRY(parts_.stop.check());
  const ChunkId id = format::chunk_id(page.page);
  FIRN_LET(const bool clean, is_clean(id));
  if (clean) {
    return false;
  }
  const std::string from = snapshot + ": files from " + path_of_separator(page.separator) + " on";
  const bool refs_dirty = affected(page.refs, from + " (can be restored; prune cannot go on)");
  if (affected(id, from) || depth > kDepthMax) {
    return true;
  }
  const auto plain = parts_.reader.read(ChunkType::TreePage, page.page);
  auto dirty = plain ? trace_tree_below(snapshot, *plain, depth) : Result<bool>(Failure(plain.error()));
  if (!dirty && is_damage(dirty.error().code)) {
    return true;  // a defect of its own, with no room to trace it
  }
  if (dirty && !*dirty && !refs_dirty) {
    FIRN_TRY(remember_clean(id));
  }
  return dirty;
}

Result<bool> TreeCheck::trace_tree_below(const std::string& snapshot, ByteView page, unsigned depth) {
  FIRN_LET(std::uint8_t level, format::page_level(page));
  bool dirty = false;
  if (level > 0) {
    FIRN_LET(const auto children, children_of(page, level));
    for (const format::ChildPage& child : children) {
      FIRN_LET(const bool child_dirty, trace_tree(snapshot, child, depth + 1));
      dirty = child_dirty || dirty;
    }
    return dirty;
  }
  FIRN_LET(auto reader, format::LeafPageReader::open(page));
  while (true) {
    FIRN_LET(const bool more, reader.next());
    if (!more) {
      return dirty;
    }
    FIRN_LET(const bool entry_dirty, trace_entry(snapshot, reader.key(), reader.entry()));
    dirty = dirty || entry_dirty;
  }
}

}  // namespace firn::repo
