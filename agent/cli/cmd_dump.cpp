// firn dump: a file of a snapshot, or a directory as an archive, to standard output or a file.
#include <fcntl.h>

#include <charconv>
#include <deque>
#include <iterator>
#include <map>
#include <memory>

#include "agent/cli/archive.h"
#include "agent/cli/commands.h"
#include "agent/cli/content.h"
#include "agent/cli/errors.h"
#include "agent/cli/nodes.h"
#include "repo/base/files.h"

namespace firn::cli {
namespace {

using format::FileType;

struct DumpCommand {
  std::string snapshot;
  std::string path;
  SnapshotFilter filter;
  std::string archive = "tar";
  std::optional<std::string> target;
  std::optional<std::string> range;
};

struct Range {
  std::uint64_t begin = 0;
  std::uint64_t end = UINT64_MAX;
};

/// "0-99": the first hundred bytes; "100-": all but these.
Result<Range> parse_range(std::string_view text) {
  Range range;
  const auto dash = text.find('-');
  const char* text_end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), text_end, range.begin);
  bool good = dash != std::string_view::npos && first.ec == std::errc() && first.ptr == text.data() + dash;
  if (good && dash + 1 < text.size()) {
    std::uint64_t last = 0;
    const auto second = std::from_chars(text.data() + dash + 1, text_end, last);
    good = second.ec == std::errc() && second.ptr == text_end && last >= range.begin && last < UINT64_MAX;
    range.end = last + 1;
  }
  if (!good) {
    return fail(ErrorCode::Invalid,
                "--range \"" + std::string(text) + "\": write 0-99, both included, or 100-");
  }
  return range;
}

/// The text with U+FFFD in the place of each byte that is not UTF-8.
std::string utf8_text(const std::string& text) {
  return Json::parse(json_text(Json(text))).get<std::string>();
}

/// Where the bytes go.
class Target {
 public:
  Target(Context& context, const std::optional<std::string>& path) : context_(context), path_(path) {}
  Result<> open() {
    if (path_) {
      FIRN_LET(file_, base::open_at(AT_FDCWD, *path_, O_WRONLY | O_CREAT | O_TRUNC, 0600));
    }
    return {};
  }
  Result<> write(ByteView bytes) {
    FIRN_TRY(context_.world.stop.check());
    if (path_) {
      return base::write_all(file_.get(), bytes, *path_);
    }
    context_.out.write(as_text(bytes));
    return context_.out.outcome();
  }

 private:
  Context& context_;
  const std::optional<std::string> path_;
  base::FileDescriptor file_;
};

/// Writes entries into an archive, one after the other.
class Archiver {
 public:
  Archiver(Context& context, ContentReader& content, ArchiveKind kind, ArchiveWriter& archive,
           std::string base)
      : context_(context), content_(content), kind_(kind), archive_(archive), base_(std::move(base)) {}

  Result<> add(const std::string& path, const format::Entry& entry) {
    if (path.empty()) {
      return {};
    }
    ArchiveWriter::Member member;
    // With SNAP:SUBPATH names begin below it.
    member.path = base_.empty() ? path : path.substr(std::min(path.size(), base_.size() + 1));
    if (member.path.empty()) {
      return {};
    }
    if (kind_ == ArchiveKind::Zip) {
      // A zip says that its names are UTF-8, and its readers believe that.
      const std::string name = utf8_text(member.path);
      if (name != member.path) {
        context_.out.warn("zip holds no name that is not UTF-8; /" + printable(name) + " is written for one");
        member.path = name;
      }
    }
    // A zip has no links: each name brings the content.
    if (kind_ == ArchiveKind::Tar && entry.nlink > 1 && entry.type != FileType::Directory) {
      const auto [known, is_new] = links_.try_emplace({entry.device, entry.inode}, member.path);
      if (!is_new) {
        member.hard_link = known->second;
      }
    }
    FIRN_LET(member.xattrs, content_.xattrs(entry));
    FIRN_LET(member.holes, content_.holes(entry));
    if (auto begun = archive_.begin(entry, member); !begun) {
      if (begun.error().code != ErrorCode::Unsupported) {
        return begun;
      }
      context_.out.warn("left out: " + message_of(begun.error()));
      return {};
    }
    if (entry.type != FileType::Regular || !member.hard_link.empty()) {
      return {};
    }
    return in("/" + path,
              content_.read(entry, 0, UINT64_MAX, [&](ByteView bytes) { return archive_.data(bytes); }));
  }

 private:
  Context& context_;
  ContentReader& content_;
  const ArchiveKind kind_;
  ArchiveWriter& archive_;
  const std::string base_;
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::string> links_;
};

/// The entries below a directory, read a little ahead so that the contents of the next files are under way.
class Upcoming {
 public:
  struct Item {
    std::string directory;
    std::string path;
    format::Entry entry;
    Bytes record;            // of a directory
    std::size_t chunks = 0;  // that are fetched for it
  };
  /// A quarter of the cache is for what is expected: what is read now needs its share, too.
  Upcoming(tree::TreeReader entries, ContentReader& content)
      : entries_(std::move(entries)),
        content_(content),
        chunks_max_(content.cache_bytes() / 4 / kChunkBytes) {}

  /// Nothing after the last.
  Result<std::optional<Item>> next() {
    while (!is_over_ && items_.size() < kItemsMax && (items_.empty() || chunks_ < chunks_max_)) {
      FIRN_LET(const bool more, entries_.next());
      is_over_ = !more;
      if (more) {
        const format::EntryView& entry = entries_.entry();
        Item item{.directory = std::string(entries_.key().directory),
                  .path = format::path_of(entries_.key()),
                  .entry = format::to_entry(entry),
                  .record = entry.type == FileType::Directory ? to_bytes(entry.encoded) : Bytes()};
        item.chunks = entry.type == FileType::Regular ? content_.expect(item.entry) : 0;
        chunks_ += item.chunks;
        items_.push_back(std::move(item));
      }
    }
    if (items_.empty()) {
      return std::nullopt;
    }
    std::optional<Item> first = std::move(items_.front());
    items_.pop_front();
    chunks_ -= first->chunks;
    return first;
  }

 private:
  static constexpr std::size_t kItemsMax = 1024;
  static constexpr std::size_t kChunkBytes = 512 << 10;  // about, of bundles
  tree::TreeReader entries_;
  ContentReader& content_;
  const std::size_t chunks_max_;
  std::deque<Item> items_;
  std::size_t chunks_ = 0;  // of all items
  bool is_over_ = false;
};

/// Directories in the order of the list.
struct TreeOrder {
  bool operator()(const std::string& a, const std::string& b) const {
    return format::compare_directories(a, b) < 0;
  }
};

struct DumpPlace {
  const std::string& path;
  const std::string& base;  // names in the archive begin below it
};

Result<> dump_directory(Context& context, const DumpCommand& command, tree::TreeReader& reader,
                        ContentReader& content, const DumpPlace& place, Target& target) {
  const ArchiveKind kind = command.archive == "zip" ? ArchiveKind::Zip : ArchiveKind::Tar;
  FIRN_LET(const auto archive,
           ArchiveWriter::open(kind, [&](ByteView bytes) { return target.write(bytes); }));
  Archiver archiver(context, content, kind, *archive, place.base);
  FIRN_LET(const auto self, reader.find(place.path));
  if (self) {
    FIRN_TRY(archiver.add(place.path, *self));
  }
  Upcoming entries(reader.list_below(place.path), content);
  // A directory waits for its own children: tar gives one its time when it sees the first thing that does not
  // stand below, and the list has all children of a directory together.
  std::map<std::string, Bytes, TreeOrder> waiting;
  const auto add_waiting = [&](std::string_view until) -> Result<> {
    while (!waiting.empty() && format::compare_directories(waiting.begin()->first, until) <= 0) {
      const auto first = waiting.begin();
      base::Reader record(first->second);
      format::EntryView directory;
      if (!format::parse_entry(record, directory)) {
        return fail(ErrorCode::Corrupt, "/" + first->first + ": its record cannot be read");
      }
      FIRN_TRY(archiver.add(first->first, format::to_entry(directory)));
      waiting.erase(first);
    }
    return {};
  };
  while (true) {
    FIRN_LET(auto item, entries.next());
    if (!item) {
      break;
    }
    FIRN_TRY(add_waiting(item->directory));
    if (item->entry.type == FileType::Directory) {
      waiting.emplace(std::move(item->path), std::move(item->record));
    } else {
      FIRN_TRY(archiver.add(item->path, item->entry));
    }
  }
  if (!waiting.empty()) {
    FIRN_TRY(add_waiting(std::string(std::prev(waiting.end())->first)));
  }
  return archive->finish();
}

Result<int> run_dump(Context& context, const DumpCommand& command) {
  Range range;
  if (command.range) {
    FIRN_LET(range, parse_range(*command.range));
  }
  const SnapshotPath wanted = parse_snapshot_path(command.snapshot);
  FIRN_LET(const std::string base, tree_path(wanted.subpath));
  FIRN_LET(std::string path, tree_path(command.path));
  path = joined_path(base, path);

  FIRN_LET(const auto open, OpenRepository::open(context));
  FIRN_LET(const repo::SnapshotList* list, open->snapshots());
  FIRN_LET(const repo::SnapshotInfo* info, select_snapshot(*list, command.filter, wanted.snapshot));
  FIRN_LET(const OpenTree tree, open_tree(*open, *info));
  repo::RepositoryPages pages(*tree.reader);
  tree::TreeReader reader(pages, tree.root);
  FIRN_LET(const auto entry, reader.find(path));
  if (!entry) {
    return fail(ErrorCode::NotFound, "snapshot " + short_id(info->id) + " does not hold /" + path);
  }
  Target target(context, command.target);
  // The other half is for what is being fetched and decoded.
  ContentReader content(*tree.reader, open->memory().work / 2);
  if (entry->type == FileType::Directory) {
    if (command.range) {
      return fail(ErrorCode::Invalid, "--range is for files");
    }
    FIRN_TRY(target.open());
    FIRN_TRY(dump_directory(context, command, reader, content, {path, base}, target));
    return kExitOk;
  }
  if (entry->type != FileType::Regular) {
    return fail(ErrorCode::Invalid,
                "/" + path + " is neither a file nor a directory, but a " + node_type(entry->type));
  }
  FIRN_TRY(target.open());
  FIRN_TRY(in("/" + path, content.read(*entry, range.begin, range.end,
                                       [&](ByteView bytes) { return target.write(bytes); })));
  return kExitOk;
}

}  // namespace

void add_dump(CommandSet& set) {
  auto options = std::make_shared<DumpCommand>();
  Command command{.name = "dump",
                  .summary = "Print a file of a snapshot, or a directory as an archive",
                  .text =
                      "A directory comes as tar with everything that tar can hold: extended attributes, "
                      "ACLs, holes, hard "
                      "links, devices, nanoseconds; or as zip, which holds names, modes, times and contents.",
                  .examples = {{"firn dump latest /etc/fstab", ""},
                               {"firn dump latest /home/ann | tar -C /tmp/r --xattrs --acls -xf -", ""},
                               {"firn dump --range 0-1023 latest /var/lib/disk.img | xxd", ""},
                               {"firn dump -a zip -t ann.zip latest:/home ann", ""}},
                  .flags = filter_flags(options->filter),
                  .arguments = {},
                  .run = [options](Context& context) { return run_dump(context, *options); }};
  command.flag({.names = "-a,--archive",
                .value = "KIND",
                .help = "How a directory is packed",
                .choices = {"tar", "zip"},
                .target = &options->archive});
  command.flag({.names = "-t,--target",
                .value = "FILE",
                .help = "Write to this file instead of standard output",
                .choices = {},
                .hint = Hint::File,
                .target = &options->target});
  command.flag({.names = "--range",
                .value = "START-END",
                .help = "Only these bytes of a file; the last one is included",
                .choices = {},
                .target = &options->range});
  command.argument({.name = "SNAP",
                    .help = "An id, or latest; with :SUBPATH paths begin below it",
                    .required = true,
                    .choices = {},
                    .hint = Hint::Snapshot,
                    .target = &options->snapshot});
  command.argument({.name = "PATH",
                    .help = "What to dump: a file or a directory in the snapshot",
                    .required = true,
                    .choices = {},
                    .target = &options->path});
  set.add(std::move(command));
}

}  // namespace firn::cli
