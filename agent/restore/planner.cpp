#include "agent/restore/planner.h"

#include <algorithm>
#include <array>
#include <utility>

#include "repo/base/codec.h"

namespace firn::restore {
namespace {

using format::BlobForm;
using format::Entry;
using format::FileType;

constexpr std::size_t kInlineJobFiles = 128;
constexpr std::size_t kNamesAtOnce = 100'000;
constexpr kv::TableId kGroups{0};

std::array<std::byte, 12> group_key(const Entry& entry) {
  std::array<std::byte, 12> key{};
  base::store_little(key.data(), entry.device);
  base::store_little(key.data() + 4, entry.inode);
  return key;
}

bool is_inside(std::string_view path, std::string_view directory) {
  return directory.empty() || path == directory ||
         (path.size() > directory.size() && path.starts_with(directory) && path[directory.size()] == '/');
}

std::string joined(std::string_view directory, std::string_view name) {
  return format::path_of({.directory = directory, .name = name});
}

}  // namespace

Planner::Planner(PlannerContext& context)
    : context_(context), options_(context.writer.options), writer_(context.writer) {}

/// A path of the tree as it lies below the target, and back.
std::string Planner::relative(std::string_view path) const {
  const std::size_t prefix = options_.subpath.empty() ? 0 : options_.subpath.size() + 1;
  return std::string(path.size() <= prefix ? std::string_view() : path.substr(prefix));
}

std::string Planner::in_tree(std::string_view path) const {
  if (options_.subpath.empty() || path.empty()) {
    return options_.subpath + std::string(path);
  }
  return options_.subpath + "/" + std::string(path);
}

Result<> Planner::run(tree::PageSource& pages, const format::ChunkSecret& root) {
  tree::TreeReader whole(pages, root);
  whole_ = &whole;
  FIRN_LET(auto top, whole.find(options_.subpath));
  if (!top) {
    return fail(ErrorCode::NotFound, "the snapshot has no /" + options_.subpath);
  }
  if (top->type != FileType::Directory) {
    return fail(ErrorCode::Invalid, "/" + options_.subpath +
                                        " is no directory: name the directory that it lies in, "
                                        "and the file with --include");
  }
  levels_.push_back({.path = {}, .state = options_.selection.root(), .made = true, .skipped = false});
  top->name.clear();
  if (options_.root_metadata && !options_.dry_run) {
    FIRN_TRY(context_.directories.add({}, *top));
  }
  if (options_.remove_extra && context_.writer.root) {
    FIRN_TRY(told({}, remove_extra({})));
  }
  tree::TreeReader reader = whole.list_below(options_.subpath);
  reader_ = &reader;
  while (true) {
    FIRN_TRY(context_.writer.restore.stop.check());
    FIRN_LET(const bool more, reader.next());
    if (!more) {
      return flush_inline();
    }
    FIRN_TRY(take(reader.key(), reader.entry()));
  }
}

/// What goes wrong with one entry is told; what concerns the whole target ends the restore.
Result<> Planner::told(const std::string& path, Result<> outcome) {
  if (outcome) {
    return {};
  }
  if (outcome.error().code == ErrorCode::Exhausted || outcome.error().code == ErrorCode::Cancelled) {
    return Failure(std::move(outcome).error().in("/" + path));
  }
  context_.writer.reporter.problem("/" + path, outcome.error());
  return {};
}

Result<> Planner::take(const format::Key& key, const format::EntryView& view) {
  const std::string directory = relative(key.directory);
  FIRN_TRY(enter(directory));
  const Level& level = levels_.back();
  if (level.skipped) {
    return reader_->skip_below(in_tree(level.path));
  }
  const auto decision = options_.selection.decide(level.state, key.name);
  if (!decision.selected) {
    return {};
  }
  const Entry entry = format::to_entry(view);
  const std::string path = joined(directory, entry.name);
  auto& progress = context_.writer.reporter.progress();
  if (entry.type != FileType::Directory) {
    progress.files_total += 1;
    progress.bytes_total += entry.size_bytes;
  }
  if (options_.dry_run) {
    return told(path, take_dry(directory, entry));
  }
  auto levels = make_levels();
  if (!levels) {
    levels_.back().skipped = true;
    return told(directory, std::move(levels));
  }
  if (entry.type == FileType::Directory) {
    return told(path, make_directory(directory, entry));
  }
  return told(path, take_file(directory, entry));
}

/// Makes levels_ end with `directory`.
Result<> Planner::enter(std::string_view directory) {
  while (!is_inside(directory, levels_.back().path)) {
    levels_.pop_back();
  }
  while (levels_.back().path != directory) {
    const std::size_t begin = levels_.back().path.empty() ? 0 : levels_.back().path.size() + 1;
    FIRN_TRY(push_level(directory.substr(0, directory.find('/', begin))));
  }
  return {};
}

Result<> Planner::push_level(std::string_view path) {
  const Level& above = levels_.back();
  const std::string name(format::key_of(path).name);
  Level level{.path = std::string(path), .state = options_.selection.enter(above.state, name)};
  const auto decision = options_.selection.decide(above.state, name);
  level.skipped = above.skipped || (!decision.selected && !decision.descend);
  if (decision.selected && context_.writer.root && !level.skipped) {
    // It was made when its own entry came; where that failed it was told, and there is nothing to put things
    // into.
    level.made = writer_.dirs().open(path).has_value();
    level.skipped = !level.made && !options_.dry_run;
    if (level.made && options_.remove_extra) {
      FIRN_TRY(told(level.path, remove_extra(level.path)));
    }
  }
  levels_.push_back(std::move(level));
  return {};
}

/// Directories that are only on the way to something wanted are made when the first such thing comes.
Result<> Planner::make_levels() {
  for (Level& level : levels_) {
    if (level.made) {
      continue;
    }
    FIRN_LET(const auto entry, whole_->find(in_tree(level.path)));
    if (!entry || entry->type != FileType::Directory) {
      return fail(ErrorCode::Corrupt,
                  "the snapshot holds entries in /" + level.path + ", which is no directory");
    }
    FIRN_TRY(make_directory(std::string(format::key_of(level.path).directory), *entry));
    level.made = true;
  }
  return {};
}

/// Says what would be done.
Result<> Planner::take_dry(const std::string& directory, const Entry& entry) {
  Way what = Way::Make;
  if (context_.writer.root && entry.type != FileType::Directory) {
    if (const auto parent = writer_.dirs().open(directory)) {
      FIRN_LET(what, way(**parent, entry));
    }
  }
  const Action action = what == Way::Skip      ? Action::Skipped
                        : what == Way::InPlace ? Action::Updated
                                               : Action::Restored;
  context_.writer.reporter.item(action, "/" + joined(directory, entry.name), entry.size_bytes);
  return {};
}

Result<> Planner::make_directory(const std::string& directory, const Entry& entry) {
  const std::string path = joined(directory, entry.name);
  auto made = writer_.dirs().make(path);
  if (!made && made.error().code == ErrorCode::Exists) {
    if (options_.overwrite == Overwrite::Never) {
      return Failure(std::move(made).error());
    }
    FIRN_LET(const OpenDirectory parent, writer_.dirs().open(directory));
    FIRN_TRY(parent->remove(entry.name));
    made = writer_.dirs().make(path);
  }
  if (!made) {
    return Failure(std::move(made).error());
  }
  FIRN_TRY(context_.directories.add(directory, entry));
  return {};
}

Result<> Planner::take_file(const std::string& directory, const Entry& entry) {
  FIRN_LET(const OpenDirectory parent, writer_.dirs().open(directory));
  if (entry.nlink > 1) {
    FIRN_LET(const bool further, is_further_name(directory, entry));
    if (further) {
      return {};
    }
  }
  return entry.type == FileType::Regular ? take_regular(*parent, directory, entry)
                                         : take_special(*parent, directory, entry);
}

/// A name of a file that another name restores; it is linked when that is done.
Result<bool> Planner::is_further_name(const std::string& directory, const Entry& entry) {
  const auto key = group_key(entry);
  FIRN_LET(auto txn, context_.groups.begin_write());
  FIRN_LET(const auto first, txn->get(kGroups, key));
  if (first) {
    FIRN_TRY(context_.links.add(directory, entry));
    return true;
  }
  std::array<std::byte, 8> number{};
  base::store_little(number.data(), static_cast<std::uint64_t>(context_.writer.files.next()));
  FIRN_TRY(txn->put(kGroups, key, number));
  FIRN_TRY(txn->commit());
  return false;
}

Result<Planner::Way> Planner::way(TargetDir& parent, const Entry& entry) {
  const auto there = parent.stat(entry.name);
  if (!there && there.error().code == ErrorCode::NotFound) {
    return Way::Make;
  }
  if (!there) {
    return Failure(there.error());
  }
  const bool newer_stays = options_.overwrite == Overwrite::IfNewer && there->mtime >= entry.mtime;
  if (options_.overwrite == Overwrite::Never || newer_stays) {
    return Way::Skip;
  }
  if (there->type == FileType::Directory && !options_.remove_extra) {
    return fail(ErrorCode::Exists, "a directory is in its place: remove it, or restore with --delete");
  }
  if (there->type == entry.type && there->nlink == 1) {
    return Way::InPlace;
  }
  // Another type; or other names of it, which may lie outside the target and must not change with this one.
  if (!options_.dry_run) {
    FIRN_TRY(parent.remove(entry.name));
  }
  return Way::Make;
}

Result<> Planner::take_special(TargetDir& parent, const std::string& directory, const Entry& entry) {
  const std::string path = "/" + joined(directory, entry.name);
  auto& reporter = context_.writer.reporter;
  FIRN_LET(const Way what, way(parent, entry));
  if (what == Way::Skip) {
    reporter.item(Action::Skipped, path, 0);
    return {};
  }
  std::vector<scan::Xattr> xattrs;
  FIRN_LET(const Metadata metadata, writer_.metadata_of(entry, xattrs));
  bool same = false;
  if (what == Way::InPlace && entry.type == FileType::Symlink) {
    const auto target = parent.read_link(entry.name);
    same = target && *target == entry.target;
  } else if (what == Way::InPlace) {
    FIRN_LET(const scan::Stat there, parent.stat(entry.name));
    same = there.rdev == entry.rdev;
  }
  if (what == Way::InPlace && !same) {
    FIRN_TRY(parent.remove(entry.name));
  }
  FIRN_LET(const Shortfalls shortfalls,
           same ? parent.finish_special(entry.name, metadata)
                : parent.make_special(entry.name, metadata, entry.target, entry.rdev));
  reporter.shortfalls(path, shortfalls);
  if (entry.nlink > 1) {
    FIRN_TRY(context_.writer.files.add(directory, entry));  // further names find it there
  }
  reporter.item(same ? Action::Unchanged : Action::Restored, path, 0);
  return {};
}

Result<> Planner::take_regular(TargetDir& parent, const std::string& directory, const Entry& entry) {
  FIRN_LET(const Way what, way(parent, entry));
  if (what == Way::Skip) {
    context_.writer.reporter.item(Action::Skipped, "/" + joined(directory, entry.name), entry.size_bytes);
    return {};
  }
  FileTable& files = context_.writer.files;
  const RecordNumber number = files.next();
  Fate fate = Fate::Make;
  std::uint32_t pieces = 0;
  if (what == Way::Make) {
    FIRN_LET(pieces, want_pieces(entry, number, nullptr));
  } else {
    FIRN_LET(const scan::Stat there, parent.stat(entry.name));
    const bool same_size = there.size_bytes == entry.size_bytes;
    const bool taken_for_same =
        options_.overwrite == Overwrite::IfChanged && same_size && there.mtime == entry.mtime;
    if (!taken_for_same) {
      FIRN_LET(const auto existing, parent.open_file(entry.name, Access::Read));
      FIRN_LET(pieces, want_pieces(entry, number, existing.get()));
      FIRN_LET(const bool same_bytes, same_inline(entry, *existing));
      // A hole may hold old bytes, so a file with holes is always gone over.
      const bool keep = pieces == 0 && same_bytes && same_size && entry.holes.form == BlobForm::Empty;
      fate = keep ? Fate::Keep : Fate::Update;
    } else {
      fate = Fate::Keep;
    }
  }
  FIRN_TRY(files.add(directory, entry, pieces, fate));
  if (pieces == 0) {
    inline_.files.push_back(number);
    if (inline_.files.size() == kInlineJobFiles) {
      return flush_inline();
    }
  }
  return {};
}

Result<bool> Planner::same_inline(const Entry& entry, TargetFile& existing) {
  if (entry.content.form != BlobForm::Inline || entry.holes.form != BlobForm::Empty) {
    return entry.content.form != BlobForm::Inline;
  }
  buffer_.resize(entry.content.inline_bytes.size());
  FIRN_LET(const bool whole, read_target(existing, 0, buffer_));
  return whole && buffer_ == entry.content.inline_bytes;
}

/// Lists the pieces that the file does not have yet; how many.
Result<std::uint32_t> Planner::want_pieces(const Entry& entry, RecordNumber number, TargetFile* existing) {
  repo::ChunkReader& reader = context_.writer.restore.reader;
  FIRN_LET(const auto holes, read_holes(reader, entry));
  std::uint32_t wanted = 0;
  FIRN_TRY(for_each_piece(reader, entry, holes, [&](const PlacedPiece& piece) -> Result<> {
    if (existing != nullptr) {
      FIRN_LET(const bool same, piece_matches(reader, *existing, piece, buffer_));
      if (same) {
        context_.writer.reporter.progress().bytes_skipped += piece.slice.length;
        return {};
      }
    }
    if (piece.slice.chunk != last_chunk_ || last_location_.shape.stored == 0) {
      const format::ChunkId id = format::chunk_id(piece.slice.chunk);
      FIRN_LET(const auto locations, reader.locate(id));
      if (locations.empty()) {
        return fail(ErrorCode::NotFound, "chunk " + id.hex() + " is in no pack of the index");
      }
      last_location_ = locations.front();
      last_chunk_ = piece.slice.chunk;
    }
    wanted += 1;
    return context_.pieces.add(encode(WantedPiece{
        .location = last_location_, .slice = piece.slice, .file = number, .file_offset = piece.file_offset}));
  }));
  return wanted;
}

Result<> Planner::flush_inline() {
  if (inline_.files.empty()) {
    return {};
  }
  if (!context_.jobs.push(std::exchange(inline_, {}))) {
    return fail(ErrorCode::Cancelled, "the restore was stopped");
  }
  return {};
}

/// Removes what the target has in a directory and the snapshot does not; nothing where only a part is
/// restored.
Result<> Planner::remove_extra(const std::string& path) {
  if (!options_.selection.takes_everything()) {
    return {};
  }
  FIRN_LET(const OpenDirectory directory, writer_.dirs().open(path));
  std::vector<std::string> names;
  Result<> outcome = directory->list([&](std::span<const scan::ListedName> batch) -> Result<> {
    for (const scan::ListedName& listed : batch) {
      names.emplace_back(listed.name);
    }
    return names.size() < kNamesAtOnce ? Result<>() : remove_names(*directory, path, names);
  });
  FIRN_TRY(std::move(outcome));
  return remove_names(*directory, path, names);
}

Result<> Planner::remove_names(TargetDir& directory, const std::string& path,
                               std::vector<std::string>& names) {
  std::sort(names.begin(), names.end());
  tree::TreeReader kept = whole_->list_directory(in_tree(path));
  bool more = true;
  FIRN_LET(more, kept.next());
  for (const std::string& name : std::exchange(names, {})) {
    while (more && kept.key().name < name) {
      FIRN_LET(more, kept.next());
    }
    if (more && kept.key().name == name) {
      continue;
    }
    if (!options_.dry_run) {
      FIRN_TRY(directory.remove(name));
    }
    context_.writer.reporter.item(Action::Deleted, "/" + joined(path, name), 0);
  }
  return {};
}

}  // namespace firn::restore
