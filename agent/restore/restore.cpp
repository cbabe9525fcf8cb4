#include "agent/restore/restore.h"

#include <algorithm>
#include <array>
#include <utility>

#include "agent/restore/planner.h"
#include "repo/base/codec.h"
#include "repo/base/task_group.h"

namespace firn::restore {
namespace {

constexpr std::string_view kGroupsName = "restore-links";
constexpr std::uint64_t kGroupsBytesMax = 64ULL << 30;
constexpr kv::TableId kGroups{0};
// A fetch reads neighbours together, also over holes that cost less than another request would.
constexpr std::uint64_t kFetchBytesMax = 4 << 20;
constexpr std::uint64_t kFetchHoleBytesMax = 1 << 20;
constexpr std::size_t kFetchPiecesMax = 8192;

/// Everything that a restore keeps while it runs.
struct Run {
  const RestoreContext& context;
  const RestoreOptions& options;
  const repo::Services& services;
  Reporter reporter;
  FileTable files;
  FileTable directories;
  FileTable links;
  std::unique_ptr<kv::Environment> groups;
  base::RecordSorter pieces;
  base::Guarded<FilesInFlight> in_flight;
  base::Guarded<std::set<LinkGroup>> failed;
  WriterContext writer;
};

unsigned writer_count(const Run& run) {
  // Each has a range in memory and a chunk.
  const std::uint64_t affordable =
      run.options.memory_bytes / 2 / (kFetchBytesMax + format::kPlainBytesMax / 4);
  const unsigned useful = std::max(run.services.executor.cpu_count(),
                                   run.context.reader.repository().store().parallel_requests());
  return static_cast<unsigned>(std::clamp<std::uint64_t>(useful, 1, std::max<std::uint64_t>(1, affordable)));
}

/// Goes through the sorted pieces and hands them out, neighbours together.
Result<> hand_out(Run& run, base::BoundedQueue<Job>& jobs) {
  FIRN_TRY(run.pieces.finish());
  FetchJob job;
  const auto push = [&]() -> Result<> {
    if (!job.pieces.empty() && !jobs.push(std::exchange(job, {}))) {
      return fail(ErrorCode::Cancelled, "the restore was stopped");
    }
    return {};
  };
  while (true) {
    FIRN_LET(const ByteView record, run.pieces.next());
    if (record.empty()) {
      return push();
    }
    WantedPiece piece = parse_wanted_piece(record);
    const std::uint64_t begin = piece.location.offset;
    const std::uint64_t end = begin + piece.location.shape.stored;
    const bool together =
        !job.pieces.empty() && job.pack == piece.location.pack && begin <= job.end + kFetchHoleBytesMax &&
        std::max(end, job.end) - job.begin <= kFetchBytesMax && job.pieces.size() < kFetchPiecesMax;
    const bool same_chunk = !job.pieces.empty() && job.pack == piece.location.pack &&
                            job.pieces.back().location.offset == piece.location.offset;
    if (!together && !same_chunk) {
      FIRN_TRY(push());
      job.pack = piece.location.pack;
      job.begin = begin;
    }
    job.end = std::max(job.end, end);
    job.pieces.push_back(std::move(piece));
  }
}

/// Plans, fetches and writes: all content, and all metadata but that of directories and hard-linked files.
Result<> write_content(Run& run, const format::ChunkSecret& root) {
  base::BoundedQueue<Job> jobs(run.services.executor, 2 * static_cast<std::size_t>(writer_count(run)));
  base::Guarded<std::optional<Error>> failure;
  const auto settle = [&](const Result<>& outcome) {
    if (!outcome) {
      auto first = failure.lock();
      if (!*first) {
        *first = outcome.error();
      }
      jobs.abort();
    }
  };
  {
    base::TaskGroup tasks(run.services.executor);
    for (unsigned i = 0; i < writer_count(run); ++i) {
      tasks.spawn("restore", [&]() -> Result<> {
        FileWriter writer(run.writer);
        while (const auto job = jobs.pop()) {
          settle(writer.run(*job));
        }
        return {};
      });
    }
    repo::RepositoryPages pages(run.context.reader);
    PlannerContext planner_context{run.writer, run.directories, run.links, run.pieces, jobs, *run.groups};
    Planner planner(planner_context);
    auto planned = planner.run(pages, root);
    if (planned) {
      planned = hand_out(run, jobs);
    }
    settle(planned);
    jobs.close();
    FIRN_TRY(tasks.join());
  }
  if (auto first = failure.lock(); *first) {
    return Failure(**first);
  }
  return {};
}

Result<RecordNumber> first_of_group(Run& run, const format::Entry& entry) {
  std::array<std::byte, 12> key{};
  base::store_little(key.data(), entry.device);
  base::store_little(key.data() + 4, entry.inode);
  FIRN_LET(auto txn, run.groups->begin_read());
  FIRN_LET(const auto number, txn->get(kGroups, key));
  if (!number || number->size() != sizeof(std::uint64_t)) {
    return fail(ErrorCode::Corrupt, "scratch state of hard links is damaged");
  }
  return static_cast<RecordNumber>(base::load_little<std::uint64_t>(number->data()));
}

/// One further name.
Result<> make_link(Run& run, TargetDirs& dirs, const Remembered& link) {
  if (run.failed.lock()->contains(group_of(link.entry))) {
    return fail(ErrorCode::Unavailable, "another name of this file could not be restored");
  }
  FIRN_LET(const RecordNumber number, first_of_group(run, link.entry));
  FIRN_LET(const Remembered first, run.files.read(number));
  FIRN_LET(const OpenDirectory first_directory, dirs.open(first.directory));
  FIRN_LET(const OpenDirectory directory, dirs.open(link.directory));
  FIRN_LET(const scan::Stat target, first_directory->stat(first.entry.name));
  const auto there = directory->stat(link.entry.name);
  if (there && there->inode == target.inode && there->device == target.device) {
    run.reporter.item(Action::Unchanged, shown_path(link), link.entry.size_bytes);
    return {};
  }
  if (there && run.options.overwrite == Overwrite::Never) {
    run.reporter.item(Action::Skipped, shown_path(link), link.entry.size_bytes);
    return {};
  }
  if (there) {
    FIRN_TRY(directory->remove(link.entry.name));
  }
  FIRN_TRY(directory->link(link.entry.name, *first_directory, first.entry.name));
  run.reporter.item(Action::Restored, shown_path(link), link.entry.size_bytes);
  return {};
}

/// Further names of files, then the metadata of their first names, which had to wait: an immutable file takes
/// none.
Result<> make_links(Run& run) {
  TargetDirs dirs(run.writer.root);
  for (RecordNumber number = run.links.last(); number != RecordNumber::None;) {
    FIRN_TRY(run.context.stop.check());
    FIRN_LET(const Remembered link, run.links.read(number));
    if (auto made = make_link(run, dirs, link); !made) {
      run.reporter.problem(shown_path(link), made.error());
    }
    number = link.previous;
  }
  std::vector<RecordNumber> firsts;
  FIRN_LET(auto txn, run.groups->begin_read());
  FileWriter writer(run.writer);
  Result<> outcome;
  FIRN_TRY(txn->scan(kGroups, {}, [&](ByteView, ByteView value) {
    outcome = [&]() -> Result<> {
      FIRN_LET(const Remembered first,
               run.files.read(static_cast<RecordNumber>(base::load_little<std::uint64_t>(value.data()))));
      if (first.entry.type != format::FileType::Regular ||
          run.failed.lock()->contains(group_of(first.entry))) {
        return {};
      }
      auto finished = [&]() -> Result<> {
        FIRN_LET(const OpenDirectory directory, dirs.open(first.directory));
        FIRN_LET(const auto file, directory->open_file(first.entry.name, Access::Read));
        return writer.finish(first, *file);
      }();
      if (!finished) {
        run.reporter.problem(shown_path(first), finished.error());
      }
      return {};
    }();
    return outcome.has_value();
  }));
  return outcome;
}

/// Children before their parents: making something in a directory changes its time.
Result<> finish_directories(Run& run) {
  FileWriter writer(run.writer);
  for (RecordNumber number = run.directories.last(); number != RecordNumber::None;) {
    FIRN_LET(const Remembered remembered, run.directories.read(number));
    const std::string path =
        format::path_of({.directory = remembered.directory, .name = remembered.entry.name});
    auto finished = [&]() -> Result<Shortfalls> {
      FIRN_LET(const OpenDirectory directory, writer.dirs().open(path));
      std::vector<scan::Xattr> xattrs;
      FIRN_LET(const Metadata metadata, writer.metadata_of(remembered.entry, xattrs));
      return directory->finish(metadata);
    }();
    if (finished) {
      run.reporter.shortfalls("/" + path, *finished);
    } else {
      run.reporter.problem("/" + path, finished.error());
    }
    number = remembered.previous;
  }
  return {};
}

/// Reads a restored file again and compares it with its entry.
Result<> verify_file(Run& run, TargetDirs& dirs, const Remembered& remembered, Bytes& buffer) {
  const format::Entry& entry = remembered.entry;
  repo::ChunkReader& reader = run.context.reader;
  FIRN_LET(const OpenDirectory directory, dirs.open(remembered.directory));
  FIRN_LET(const auto file, directory->open_file(entry.name, Access::Read));
  FIRN_LET(const scan::Stat there, file->stat());
  const Failure differs = fail(ErrorCode::Corrupt, "the restored file differs from the snapshot");
  if (there.size_bytes != entry.size_bytes) {
    return differs;
  }
  if (entry.content.form == format::BlobForm::Inline && entry.holes.form == format::BlobForm::Empty) {
    buffer.resize(entry.content.inline_bytes.size());
    FIRN_LET(const bool whole, read_target(*file, 0, buffer));
    return whole && buffer == entry.content.inline_bytes ? Result<>() : differs;
  }
  FIRN_LET(const auto holes, read_holes(reader, entry));
  return for_each_piece(reader, entry, holes, [&](const PlacedPiece& piece) -> Result<> {
    FIRN_LET(const bool same, piece_matches(reader, *file, piece, buffer));
    return same ? Result<>() : differs;
  });
}

Result<std::uint64_t> verify(Run& run) {
  TargetDirs dirs(run.writer.root);
  Bytes buffer;
  std::uint64_t verified = 0;
  for (RecordNumber number = run.files.last(); number != RecordNumber::None;) {
    FIRN_TRY(run.context.stop.check());
    FIRN_LET(const Remembered remembered, run.files.read(number));
    if (remembered.entry.type == format::FileType::Regular) {
      if (auto same = verify_file(run, dirs, remembered, buffer)) {
        verified += 1;
      } else {
        run.reporter.problem(shown_path(remembered), same.error());
      }
    }
    number = remembered.previous;
  }
  return verified;
}

}  // namespace

Result<RestoreReport> run_restore(const RestoreContext& context, const format::ChunkSecret& root,
                                  const RestoreOptions& options) {
  const repo::Services& services = context.reader.repository().services();
  OpenDirectory target;
  if (!options.dry_run) {
    FIRN_LET(target, in("target", context.target.open_root(options.target)));
  } else if (auto there = context.target.open_existing_root(options.target)) {
    target = *std::move(there);
  }
  static_cast<void>(context.state.remove(kGroupsName));  // what a killed restore left says nothing now
  FIRN_LET(auto groups,
           context.state.open(kGroupsName, {.size_bytes_max = kGroupsBytesMax, .durable = false}));
  FIRN_LET(auto files, FileTable::create(services.scratch));
  FIRN_LET(auto directories, FileTable::create(services.scratch));
  FIRN_LET(auto links, FileTable::create(services.scratch));
  Run run{.context = context,
          .options = options,
          .services = services,
          .reporter = Reporter(context.progress, context.observer),
          .files = std::move(files),
          .directories = std::move(directories),
          .links = std::move(links),
          .groups = std::move(groups),
          .pieces = base::RecordSorter(services.scratch, kWantedPieceBytes, options.memory_bytes / 4),
          .in_flight = {},
          .failed = {},
          .writer = {context, options, run.files, run.in_flight, run.reporter, run.failed, target}};
  RestoreReport report;
  FIRN_TRY(write_content(run, root));
  if (!options.dry_run) {
    FIRN_TRY(make_links(run));
    FIRN_TRY(finish_directories(run));
    if (options.verify) {
      FIRN_LET(report.files_verified, verify(run));
    }
  }
  report.not_kept = run.reporter.not_kept();
  run.groups.reset();
  static_cast<void>(context.state.remove(kGroupsName));
  return report;
}

}  // namespace firn::restore
