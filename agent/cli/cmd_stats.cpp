// firn stats: how much there is, counted in one of three ways.
#include <cstdio>
#include <memory>
#include <unordered_set>

#include "agent/cli/commands.h"
#include "agent/cli/errors.h"
#include "agent/cli/nodes.h"
#include "agent/cli/text.h"
#include "crypto/digest.h"
#include "repo/tree/refs_walk.h"
#include "repo/tree/slice_list.h"

namespace firn::cli {
namespace {

using format::FileType;

struct StatsCommand {
  std::vector<std::string> snapshots;
  SnapshotFilter filter;
  std::string mode = "restore-size";
};

struct Totals {
  std::uint64_t size_bytes = 0;
  std::uint64_t files = 0;
  std::uint64_t chunks = 0;
  std::uint64_t plain_bytes = 0;
};

/// A name for a file's content: equal for equal lists of chunks.
Result<crypto::Digest> content_name(tree::PageSource& pages, const format::EntryView& entry) {
  crypto::Sha256 hash;
  if (entry.digest) {
    hash.update(entry.digest->view());
  } else if (entry.content.form == format::BlobForm::Inline) {
    hash.update(entry.content.inline_bytes);
  } else {
    tree::SliceListReader slices(pages, entry.content);
    while (true) {
      FIRN_LET(const auto slice, slices.next());
      if (!slice) {
        break;
      }
      hash.update(slice->slice.chunk.view());
      const std::uint32_t place[] = {slice->slice.offset, slice->slice.length};
      hash.update(std::as_bytes(std::span(place)));
    }
  }
  const std::uint64_t size = entry.size_bytes;
  hash.update(std::as_bytes(std::span(&size, 1)));
  return hash.finish();
}

/// What a restore of every snapshot would write; with `by_contents` each content once over all snapshots.
Result<Totals> count_files(Context& context, OpenRepository& open,
                           const std::vector<const repo::SnapshotInfo*>& snapshots, bool by_contents) {
  Totals totals;
  std::unordered_set<format::ChunkId> contents;
  for (const repo::SnapshotInfo* info : snapshots) {
    FIRN_LET(const OpenTree tree, open_tree(open, *info));
    repo::RepositoryPages pages(*tree.reader);
    tree::TreeReader entries(pages, tree.root);
    std::unordered_set<std::string> links;  // hard link groups of this snapshot
    while (true) {
      FIRN_LET(const bool more, entries.next());
      if (!more) {
        break;
      }
      FIRN_TRY(context.world.stop.check());
      const format::EntryView& entry = entries.entry();
      if (by_contents) {
        if (entry.type != FileType::Regular) {
          continue;
        }
        FIRN_LET(const crypto::Digest name, content_name(pages, entry));
        if (contents.insert(format::ChunkId{name}).second) {
          totals.files += 1;
          totals.size_bytes += entry.size_bytes;
        }
        continue;
      }
      totals.files += 1;
      const bool first_name =
          entry.nlink < 2 || entry.type != FileType::Regular ||
          links.insert(std::to_string(entry.device) + ":" + std::to_string(entry.inode)).second;
      totals.size_bytes += first_name && entry.type == FileType::Regular ? entry.size_bytes : 0;
    }
  }
  return totals;
}

/// Every chunk that a snapshot needs, once.
class ChunkSet final : public tree::RefsVisitor {
 public:
  explicit ChunkSet(const base::StopFlag& stop) : stop_(stop) {}
  Result<bool> enter(const format::ChunkId& refs_page) override {
    FIRN_TRY(stop_.check());
    return ids_.insert(refs_page).second;
  }
  Result<> chunk(const format::ChunkId& id) override {
    ids_.insert(id);
    return {};
  }
  void add(const format::ChunkId& id) { ids_.insert(id); }
  const std::unordered_set<format::ChunkId>& ids() const { return ids_; }

 private:
  const base::StopFlag& stop_;
  std::unordered_set<format::ChunkId> ids_;
};

Result<Totals> count_chunks(Context& context, OpenRepository& open,
                            const std::vector<const repo::SnapshotInfo*>& snapshots) {
  FIRN_LET(repo::ChunkReader * reader, open.reader());
  repo::RepositoryPages pages(*reader);
  ChunkSet needed(context.world.stop);
  for (const repo::SnapshotInfo* info : snapshots) {
    needed.add(info->snapshot.root);
    FIRN_TRY(in("snapshot " + short_id(info->id), tree::walk_refs(pages, info->snapshot.refs_root, needed)));
  }
  Totals totals;
  for (const format::ChunkId& id : needed.ids()) {
    FIRN_LET(const auto locations, reader->locate(id));
    if (locations.empty()) {
      return fail(ErrorCode::NotFound, "chunk " + id.hex() + " is in no pack: run 'firn check'");
    }
    totals.chunks += 1;
    totals.size_bytes += locations.front().shape.stored;
    totals.plain_bytes += locations.front().shape.plain;
  }
  return totals;
}

Result<int> run_stats(Context& context, const StatsCommand& command) {
  FIRN_LET(const auto open, OpenRepository::open(context));
  FIRN_LET(const repo::SnapshotList* list, open->snapshots());
  FIRN_LET(const auto chosen, select_snapshots(*list, command.filter, command.snapshots));
  const bool raw = command.mode == "raw-data";
  Totals totals;
  if (raw) {
    FIRN_LET(totals, count_chunks(context, *open, chosen));
  } else {
    FIRN_LET(totals, count_files(context, *open, chosen, command.mode == "files-by-contents"));
  }
  const double ratio = totals.size_bytes == 0
                           ? 1
                           : static_cast<double>(totals.plain_bytes) / static_cast<double>(totals.size_bytes);
  if (context.out.json()) {
    Json json = Json::object();
    json["total_size"] = totals.size_bytes;
    if (raw) {
      json["total_uncompressed_size"] = totals.plain_bytes;
      json["compression_ratio"] = ratio;
      json["compression_progress"] = 100;
      json["compression_space_saving"] = ratio <= 0 ? 0 : 100 * (1 - 1 / ratio);
      json["total_blob_count"] = totals.chunks;
    } else {
      json["total_file_count"] = totals.files;
    }
    json["snapshots_count"] = chosen.size();
    context.out.line(json_text(json));
    return kExitOk;
  }
  Table table({"Counted as " + command.mode, ""}, {false, true});
  table.add({"Snapshots", count_text(chosen.size())});
  if (raw) {
    table.add({"Chunks", count_text(totals.chunks)});
    table.add({"Bytes before compression", size_text(totals.plain_bytes)});
    table.add({"Bytes stored", size_text(totals.size_bytes)});
    char text[32];
    std::snprintf(text, sizeof(text), "%.2fx", ratio);
    table.add({"Compression", text});
  } else {
    table.add({command.mode == "files-by-contents" ? "Different contents" : "Files and directories",
               count_text(totals.files)});
    table.add({"Bytes", size_text(totals.size_bytes)});
  }
  context.out.write(table.text());
  return kExitOk;
}

}  // namespace

void add_stats(CommandSet& set) {
  auto options = std::make_shared<StatsCommand>();
  Command command{
      .name = "stats",
      .summary = "Count files and bytes",
      .text =
          "restore-size: what restores of the snapshots would write. files-by-contents: each content once, "
          "however many files and snapshots have it. raw-data: the stored chunks that the snapshots need. "
          "The "
          "last two need memory for a name of each content or chunk.",
      .examples = {{"firn stats latest", ""}, {"firn stats --mode raw-data --json", ""}},
      .flags = filter_flags(options->filter),
      .arguments = {},
      .run = [options](Context& context) { return run_stats(context, *options); }};
  command.flag({.names = "--mode",
                .value = "MODE",
                .help = "What is counted",
                .choices = {"restore-size", "files-by-contents", "raw-data"},
                .target = &options->mode});
  command.argument({.name = "SNAP",
                    .help = "Ids, or latest; all where none is given",
                    .required = false,
                    .choices = {},
                    .hint = Hint::Snapshot,
                    .target = &options->snapshots});
  set.add(std::move(command));
}

}  // namespace firn::cli
