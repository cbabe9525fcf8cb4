// firn diff: what differs between two snapshots. Pages that both share are not read.
#include <memory>

#include "agent/cli/commands.h"
#include "agent/cli/errors.h"
#include "agent/cli/nodes.h"
#include "agent/cli/text.h"
#include "repo/base/tally.h"
#include "repo/tree/slice_list.h"
#include "repo/tree/tree_diff.h"

namespace firn::cli {
namespace {

using format::EntryView;
using format::FileType;

struct DiffCommand {
  std::vector<std::string> snapshots;
  bool metadata = false;
};

/// What one side has and the other has not.
struct Side {
  explicit Side(base::Scratch& scratch) : named(scratch) {}

  std::uint64_t files = 0;
  std::uint64_t dirs = 0;
  std::uint64_t others = 0;
  std::uint64_t tree_pages = 0;
  std::uint64_t chunks = 0;
  std::uint64_t bytes = 0;
  base::Tally
      named;  // chunks named by changed files, with the bytes named; the other side may have them, too

  void count(FileType type) {
    (type == FileType::Regular ? files : type == FileType::Directory ? dirs : others) += 1;
  }
  void count(const base::Tally::Row& chunk) {
    chunks += 1;
    bytes += chunk.sum;
  }
  Json json() const {
    return Json::object({{"files", files},
                         {"dirs", dirs},
                         {"others", others},
                         {"data_blobs", chunks},
                         {"tree_blobs", tree_pages},
                         {"bytes", bytes}});
  }
};

/// Counts the chunks that only one side names.
Result<> count_chunks(Side& a, Side& b) {
  FIRN_TRY(a.named.finish());
  FIRN_TRY(b.named.finish());
  FIRN_LET(auto of_a, a.named.next());
  FIRN_LET(auto of_b, b.named.next());
  while (of_a || of_b) {
    const bool a_first = of_a && (!of_b || of_a->name <= of_b->name);
    const bool b_first = of_b && (!of_a || of_b->name <= of_a->name);
    if (!b_first) {
      a.count(*of_a);
    }
    if (!a_first) {
      b.count(*of_b);
    }
    if (a_first) {
      FIRN_LET(of_a, a.named.next());
    }
    if (b_first) {
      FIRN_LET(of_b, b.named.next());
    }
  }
  return {};
}

/// Counts the tree pages that are read: with shared pages left out, those are the pages of one side only.
class CountingPages final : public tree::PageSource {
 public:
  CountingPages(repo::ChunkReader& reader, Side& side) : pages_(reader), side_(side) {}
  Result<Bytes> read_page(format::ChunkType type, const format::ChunkSecret& t) override {
    side_.tree_pages += type == format::ChunkType::TreePage ? 1U : 0U;
    return pages_.read_page(type, t);
  }
  Result<Bytes> read_refs(const format::ChunkId& id) override { return pages_.read_refs(id); }

 private:
  repo::RepositoryPages pages_;
  Side& side_;
};

bool same_content(const format::BlobView& a, const format::BlobView& b) {
  if (a.form != b.form || a.length != b.length) {
    return false;
  }
  if (a.form == format::BlobForm::Inline) {
    return equal(a.inline_bytes, b.inline_bytes);
  }
  if (a.form == format::BlobForm::Pages) {
    return a.pages == b.pages;
  }
  if (a.slices.size() != b.slices.size()) {
    return false;
  }
  auto other = b.slices.begin();
  for (const format::Slice& slice : a.slices) {
    if (slice != *other) {
      return false;
    }
    ++other;
  }
  return true;
}

class Difference {
 public:
  Difference(Context& context, base::Scratch& scratch, bool metadata)
      : context_(context), metadata_(metadata), added_(scratch), removed_(scratch) {}

  Result<> entry(const format::Key& key, const EntryView* a, const EntryView* b, tree::PageSource& pages_a,
                 tree::PageSource& pages_b) {
    FIRN_TRY(context_.world.stop.check());
    if (key.name.empty()) {
      return {};
    }
    std::string modifier;
    if (a == nullptr) {
      added_.count(b->type);
      modifier = "+";
    } else if (b == nullptr) {
      removed_.count(a->type);
      modifier = "-";
    } else {
      modifier = changes(*a, *b);
    }
    if (a != nullptr && (b == nullptr || !same_content(a->content, b->content))) {
      FIRN_TRY(note_chunks(pages_a, *a, removed_));
    }
    if (b != nullptr && (a == nullptr || !same_content(a->content, b->content))) {
      FIRN_TRY(note_chunks(pages_b, *b, added_));
    }
    if (modifier.empty()) {
      return {};
    }
    const FileType type = b != nullptr ? b->type : a->type;
    const std::string path = shown_path(key) + (type == FileType::Directory ? "/" : "");
    if (context_.out.json()) {
      Json json = Json::object();
      json["message_type"] = "change";
      json["path"] = path;
      json["modifier"] = modifier;
      context_.out.line(json_text(json));
    } else {
      context_.out.line(modifier + std::string(modifier.size() < 4 ? 5 - modifier.size() : 1, ' ') +
                        printable(path));
    }
    return {};
  }

  Result<> finish(const repo::SnapshotInfo& a, const repo::SnapshotInfo& b) {
    FIRN_TRY(count_chunks(removed_, added_));
    const Json added = added_.json();
    const Json removed = removed_.json();
    if (context_.out.json()) {
      Json json = Json::object();
      json["message_type"] = "statistics";
      json["source_snapshot"] = a.id.hex();
      json["target_snapshot"] = b.id.hex();
      json["changed_files"] = changed_files_;
      json["added"] = added;
      json["removed"] = removed;
      context_.out.line(json_text(json));
      return {};
    }
    Table table({"", "Added", "Removed"}, {false, true, true});
    const std::pair<const char*, const char*> rows[] = {{"files", "Files"},
                                                        {"dirs", "Directories"},
                                                        {"others", "Others"},
                                                        {"data_blobs", "Data chunks"},
                                                        {"tree_blobs", "Tree pages"}};
    for (const auto& [member, name] : rows) {
      table.add({name, count_text(added[member].get<std::uint64_t>()),
                 count_text(removed[member].get<std::uint64_t>())});
    }
    table.add({"Bytes", size_text(added["bytes"].get<std::uint64_t>()),
               size_text(removed["bytes"].get<std::uint64_t>())});
    context_.out.note("\n" + count_text(changed_files_) + (changed_files_ == 1 ? " file" : " files") +
                      " changed\n\n" + table.text());
    return {};
  }

  Side& removed() { return removed_; }
  Side& added() { return added_; }

 private:
  std::string changes(const EntryView& a, const EntryView& b) {
    if (a.type != b.type) {
      changed_files_ += 1;
      return "T";
    }
    std::string modifier;
    const bool content_differs = a.type == FileType::Symlink
                                     ? a.target != b.target
                                     : !same_content(a.content, b.content) || !same_content(a.holes, b.holes);
    const bool metadata_differs = a.mode != b.mode || a.uid != b.uid || a.gid != b.gid ||
                                  a.mtime != b.mtime || a.rdev != b.rdev || a.inode_flags != b.inode_flags ||
                                  a.project_id != b.project_id || !same_content(a.xattrs, b.xattrs);
    if (content_differs) {
      modifier = "M";
      changed_files_ += 1;
      // Content that changes below unchanged times: a disk that forgets, or somebody who hides.
      if (a.type == FileType::Regular && a.mtime == b.mtime && a.ctime == b.ctime &&
          a.size_bytes == b.size_bytes) {
        modifier += "?";
      }
    } else if (metadata_ && metadata_differs) {
      modifier = "U";
    }
    return modifier;
  }

  static Result<> note_chunks(tree::PageSource& pages, const EntryView& entry, Side& side) {
    side.bytes += entry.content.inline_bytes.size();
    tree::SliceListReader slices(pages, entry.content);
    while (true) {
      FIRN_LET(const auto slice, slices.next());
      if (!slice) {
        return {};
      }
      FIRN_TRY(side.named.add(slice->slice.chunk.view(), slice->slice.length));
    }
  }

  Context& context_;
  const bool metadata_;
  Side added_;
  Side removed_;
  std::uint64_t changed_files_ = 0;
};

Result<int> run_diff(Context& context, const DiffCommand& command) {
  if (command.snapshots.size() != 2) {
    return fail(ErrorCode::Invalid, "name two snapshots");
  }
  FIRN_LET(const auto open, OpenRepository::open(context));
  FIRN_LET(const repo::SnapshotList* list, open->snapshots());
  std::vector<OpenTree> trees;
  for (const std::string& id : command.snapshots) {
    FIRN_LET(const repo::SnapshotInfo* info, select_snapshot(*list, {}, id));
    FIRN_LET(const OpenTree tree, open_tree(*open, *info));
    trees.push_back(tree);
  }
  context.out.note("comparing snapshot " + short_id(trees[0].info->id) + " with " +
                   short_id(trees[1].info->id));
  Difference difference(context, open->scratch(), command.metadata);
  CountingPages pages_a(*trees[0].reader, difference.removed());
  CountingPages pages_b(*trees[1].reader, difference.added());
  FIRN_TRY(tree::diff_trees({pages_a, trees[0].root}, {pages_b, trees[1].root},
                            [&](const format::Key& key, const EntryView* a, const EntryView* b) {
                              return difference.entry(key, a, b, pages_a, pages_b);
                            }));
  FIRN_TRY(difference.finish(*trees[0].info, *trees[1].info));
  return kExitOk;
}

}  // namespace

void add_diff(CommandSet& set) {
  auto options = std::make_shared<DiffCommand>();
  Command command{
      .name = "diff",
      .summary = "Compare two snapshots",
      .text =
          "Shows what changed from the first snapshot to the second: + added, - removed, M content changed, "
          "T type changed, U metadata changed (with --metadata), ? content changed though size and times say "
          "no. Parts that both snapshots share are not read.",
      .examples = {{"firn diff 1a2b3c4d latest", ""}, {"firn diff --metadata --json 1a2b3c4d 5e6f7a8b", ""}},
      .flags = {},
      .arguments = {},
      .run = [options](Context& context) { return run_diff(context, *options); }};
  command.flag({.names = "--metadata",
                .value = "",
                .help = "Show changed metadata, too",
                .choices = {},
                .target = &options->metadata});
  command.argument({.name = "SNAP",
                    .help = "Two snapshots: ids, or latest",
                    .required = true,
                    .choices = {},
                    .hint = Hint::Snapshot,
                    .target = &options->snapshots});
  set.add(std::move(command));
}

}  // namespace firn::cli
