// firn stats: how much there is, counted in one of three ways.
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <unordered_set>

#include "agent/cli/commands.h"
#include "agent/cli/errors.h"
#include "agent/cli/nodes.h"
#include "agent/cli/text.h"
#include "crypto/digest.h"
#include "repo/base/codec.h"
#include "repo/base/tally.h"
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

/// Names one inode of a snapshot.
std::array<std::byte, 12> inode_name(const format::EntryView& entry) {
  Bytes bytes;
  base::Writer out(bytes);
  out.u32(entry.device);
  out.u64(entry.inode);
  std::array<std::byte, 12> name{};
  std::copy(bytes.begin(), bytes.end(), name.begin());
  return name;
}

Result<> add_rows(base::Tally& tally, Totals& totals, bool count_files) {
  FIRN_TRY(tally.finish());
  while (true) {
    FIRN_LET(const auto row, tally.next());
    if (!row) {
      return {};
    }
    totals.files += count_files ? 1U : 0U;
    totals.size_bytes += row->least;
  }
}

/// Calls `visit` with every entry of the snapshot.
template <class Visit>
Result<> for_each_entry(Context& context, OpenRepository& open, const repo::SnapshotInfo& info, Visit visit) {
  FIRN_LET(const OpenTree tree, open_tree(open, info));
  repo::RepositoryPages pages(*tree.reader);
  tree::TreeReader entries(pages, tree.root);
  while (true) {
    FIRN_LET(const bool more, entries.next());
    if (!more) {
      return {};
    }
    FIRN_TRY(context.world.stop.check());
    FIRN_TRY(visit(pages, entries.entry()));
  }
}

/// What restores of the snapshots would write.
Result<Totals> count_files(Context& context, OpenRepository& open,
                           const std::vector<const repo::SnapshotInfo*>& snapshots) {
  Totals totals;
  for (const repo::SnapshotInfo* info : snapshots) {
    base::Tally links(open.scratch());  // files with several names count their bytes once
    FIRN_TRY(for_each_entry(context, open, *info,
                            [&](tree::PageSource&, const format::EntryView& entry) -> Result<> {
                              totals.files += 1;
                              if (entry.type != FileType::Regular) {
                                return {};
                              }
                              if (entry.nlink > 1) {
                                return links.add(inode_name(entry), entry.size_bytes);
                              }
                              totals.size_bytes += entry.size_bytes;
                              return {};
                            }));
    FIRN_TRY(add_rows(links, totals, false));
  }
  return totals;
}

/// Each content of a file once over all snapshots.
Result<Totals> count_contents(Context& context, OpenRepository& open,
                              const std::vector<const repo::SnapshotInfo*>& snapshots) {
  base::Tally contents(open.scratch());
  for (const repo::SnapshotInfo* info : snapshots) {
    FIRN_TRY(for_each_entry(context, open, *info,
                            [&](tree::PageSource& pages, const format::EntryView& entry) -> Result<> {
                              if (entry.type != FileType::Regular) {
                                return {};
                              }
                              FIRN_LET(const crypto::Digest name, content_name(pages, entry));
                              return contents.add(name, entry.size_bytes);
                            }));
  }
  Totals totals;
  FIRN_TRY(add_rows(contents, totals, true));
  return totals;
}

/// Every chunk that the snapshots need. Pages of refs that they share are read once: their ids are held in
/// memory, one for some thousand chunks.
class NeededChunks final : public tree::RefsVisitor {
 public:
  NeededChunks(base::Scratch& scratch, const base::StopFlag& stop) : ids_(scratch), stop_(stop) {}
  Result<bool> enter(const format::ChunkId& refs_page) override {
    FIRN_TRY(stop_.check());
    if (!pages_.insert(refs_page).second) {
      return false;
    }
    FIRN_TRY(chunk(refs_page));
    return true;
  }
  Result<> chunk(const format::ChunkId& id) override { return ids_.add(id.view()); }
  base::Tally& ids() { return ids_; }

 private:
  base::Tally ids_;
  std::unordered_set<format::ChunkId> pages_;
  const base::StopFlag& stop_;
};

Result<Totals> count_chunks(Context& context, OpenRepository& open,
                            const std::vector<const repo::SnapshotInfo*>& snapshots) {
  FIRN_LET(repo::ChunkReader * reader, open.reader());
  repo::RepositoryPages pages(*reader);
  NeededChunks needed(open.scratch(), context.world.stop);
  for (const repo::SnapshotInfo* info : snapshots) {
    FIRN_TRY(needed.chunk(info->snapshot.root));
    FIRN_TRY(in("snapshot " + short_id(info->id), tree::walk_refs(pages, info->snapshot.refs_root, needed)));
  }
  FIRN_TRY(needed.ids().finish());
  Totals totals;
  while (true) {
    FIRN_LET(const auto row, needed.ids().next());
    if (!row) {
      return totals;
    }
    const format::ChunkId id{row->name};
    FIRN_LET(const auto locations, reader->locate(id));
    if (locations.empty()) {
      return fail(ErrorCode::NotFound, "chunk " + id.hex() + " is in no pack: run 'firn check'");
    }
    totals.chunks += 1;
    totals.size_bytes += locations.front().shape.stored;
    totals.plain_bytes += locations.front().shape.plain;
  }
}

Result<int> run_stats(Context& context, const StatsCommand& command) {
  FIRN_LET(const auto open, OpenRepository::open(context));
  FIRN_LET(const repo::SnapshotList* list, open->snapshots());
  FIRN_LET(const auto chosen, select_snapshots(*list, command.filter, command.snapshots));
  const bool raw = command.mode == "raw-data";
  Totals totals;
  if (raw) {
    FIRN_LET(totals, count_chunks(context, *open, chosen));
  } else if (command.mode == "files-by-contents") {
    FIRN_LET(totals, count_contents(context, *open, chosen));
  } else {
    FIRN_LET(totals, count_files(context, *open, chosen));
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
          "however many files and snapshots have it. raw-data: the stored chunks that the snapshots need.",
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
