#include "agent/restore/file_writer.h"

#include <algorithm>
#include <utility>

namespace firn::restore {
namespace {

using format::BlobForm;

constexpr std::uint64_t kXattrBytesMax = format::kXattrsBytesMax;

Action action_of(Fate fate) {
  switch (fate) {
    case Fate::Make:
      return Action::Restored;
    case Fate::Update:
      return Action::Updated;
    case Fate::Keep:
      return Action::Unchanged;
  }
  return Action::Restored;
}

/// What says something of the target as a whole, not of one file.
bool ends_restore(const Error& error) {
  return error.code == ErrorCode::Exhausted || error.code == ErrorCode::Cancelled;
}

}  // namespace

std::string shown_path(const Remembered& remembered) {
  return "/" + format::path_of({.directory = remembered.directory, .name = remembered.entry.name});
}

Result<> FileWriter::run(const Job& job) {
  FIRN_TRY(context_.restore.stop.check());
  if (const auto* fetch = std::get_if<FetchJob>(&job)) {
    return run_fetch(*fetch);
  }
  return run_inline(std::get<InlineJob>(job));
}

Result<Metadata> FileWriter::metadata_of(const format::Entry& entry, std::vector<scan::Xattr>& xattrs) {
  FIRN_LET(const Bytes blob, read_blob(context_.restore.reader, entry.xattrs, kXattrBytesMax));
  FIRN_LET(auto attributes, format::parse_xattrs(blob));
  const RestoreOptions& options = context_.options;
  for (format::ExtendedAttribute& attribute : attributes) {
    const bool included =
        options.include_xattrs.empty() || options.include_xattrs.match_path(attribute.name).matched;
    if (included && !options.exclude_xattrs.match_path(attribute.name).matched) {
      xattrs.push_back({.name = std::move(attribute.name), .value = std::move(attribute.value)});
    }
  }
  return Metadata{.type = entry.type,
                  .mode = entry.mode,
                  .uid = entry.uid,
                  .gid = entry.gid,
                  .mtime = entry.mtime,
                  .atime = entry.atime,
                  .inode_flags = entry.inode_flags,
                  .project_id = entry.project_id,
                  .xattrs = xattrs};
}

Result<std::unique_ptr<TargetFile>> FileWriter::open_file(const Remembered& remembered) {
  const format::Entry& entry = remembered.entry;
  FIRN_LET(const OpenDirectory directory, dirs_.open(remembered.directory));
  FIRN_LET(auto file, directory->open_file(entry.name, Access::WriteOrMake));
  if (remembered.fate == Fate::Make) {
    file->prepare(entry.inode_flags);
  }
  return file;
}

Result<> FileWriter::finish(const Remembered& remembered, TargetFile& file) {
  const format::Entry& entry = remembered.entry;
  std::vector<scan::Xattr> xattrs;
  FIRN_LET(const Metadata metadata, metadata_of(entry, xattrs));
  FIRN_LET(const Shortfalls shortfalls, file.finish(metadata));
  context_.reporter.shortfalls(shown_path(remembered), shortfalls);
  return {};
}

/// Ends a file's restore: done, or told why not.
Result<> FileWriter::settle(const Remembered& remembered, Result<> outcome) {
  if (outcome) {
    context_.reporter.item(action_of(remembered.fate), shown_path(remembered), remembered.entry.size_bytes);
    return {};
  }
  if (ends_restore(outcome.error())) {
    return Failure(std::move(outcome).error().in(shown_path(remembered)));
  }
  context_.reporter.problem(shown_path(remembered), outcome.error());
  if (remembered.entry.nlink > 1) {
    context_.failed.lock()->insert(group_of(remembered.entry));
  }
  return {};
}

Result<> FileWriter::run_inline(const InlineJob& job) {
  for (const RecordNumber number : job.files) {
    FIRN_LET(const Remembered remembered, context_.files.read(number));
    const format::Entry& entry = remembered.entry;
    auto outcome = [&]() -> Result<> {
      FIRN_LET(const auto file, open_file(remembered));
      if (remembered.fate != Fate::Keep) {
        FIRN_TRY(prepare_size(remembered, *file));
        FIRN_TRY(write_inline(remembered, *file));
      }
      return entry.nlink > 1 ? Result<>() : finish(remembered, *file);
    }();
    if (remembered.fate != Fate::Keep) {
      context_.reporter.progress().bytes_restored += entry.content.length();
    }
    FIRN_TRY(settle(remembered, std::move(outcome)));
  }
  return {};
}

/// The size, and the holes, before the first byte.
Result<> FileWriter::prepare_size(const Remembered& remembered, TargetFile& file) {
  const format::Entry& entry = remembered.entry;
  const bool sparse = entry.holes.form != BlobForm::Empty;
  FIRN_TRY(file.allocate(entry.size_bytes, sparse || remembered.fate == Fate::Update));
  if (sparse && remembered.fate == Fate::Update) {
    FIRN_LET(const auto holes, read_holes(context_.restore.reader, entry));
    for (const format::Hole& hole : holes) {
      FIRN_TRY(file.punch(hole.offset, hole.length));
    }
  }
  return {};
}

Result<> FileWriter::write_inline(const Remembered& remembered, TargetFile& file) {
  const format::Entry& entry = remembered.entry;
  if (entry.content.form != BlobForm::Inline) {
    return {};
  }
  FIRN_LET(const auto holes, read_holes(context_.restore.reader, entry));
  ByteView rest = entry.content.inline_bytes;
  std::uint64_t offset = 0;
  for (const format::Hole& hole : holes) {
    const std::size_t length = std::min<std::uint64_t>(rest.size(), hole.offset - offset);
    FIRN_TRY(file.write_at(offset, rest.first(length)));
    rest = rest.subspan(length);
    offset = hole.offset + hole.length;
  }
  return rest.empty() ? Result<>() : file.write_at(offset, rest);
}

Result<> FileWriter::run_fetch(const FetchJob& job) {
  const MutableBytes range = range_.room(job.end - job.begin);
  const auto read = context_.restore.reader.read_pack(job.pack, job.begin, range);
  std::optional<Error> problem;
  const WantedPiece* opened = nullptr;  // the piece whose chunk is in plain_
  for (const WantedPiece& piece : job.pieces) {
    if (opened == nullptr || opened->slice.chunk != piece.slice.chunk) {
      opened = &piece;
      problem.reset();
      auto open = read;
      if (open) {
        const ByteView stored =
            ByteView(range).subspan(piece.location.offset - job.begin, piece.location.shape.stored);
        open = context_.restore.reader.open(piece.location, piece.slice.chunk, stored, plain_, decompressor_);
      }
      if (!open) {
        // This copy is damaged or gone; another may be good.
        auto other = context_.restore.reader.read(piece.location.shape.type, piece.slice.chunk);
        if (other) {
          plain_ = *std::move(other);
        } else {
          problem = std::move(other).error();
        }
      }
    }
    if (problem) {
      FIRN_TRY(fail_piece(piece, *problem));
      continue;
    }
    if (std::uint64_t{piece.slice.offset} + piece.slice.length > plain_.size()) {
      FIRN_TRY(fail_piece(piece, Error{ErrorCode::Corrupt, "a slice reaches behind the end of its chunk"}));
      continue;
    }
    FIRN_TRY(write_piece(piece, ByteView(plain_).subspan(piece.slice.offset, piece.slice.length)));
  }
  return {};
}

Result<> FileWriter::write_piece(const WantedPiece& piece, ByteView bytes) {
  context_.reporter.progress().bytes_restored += bytes.size();
  std::shared_ptr<FileInFlight> flight;
  {
    auto map = context_.in_flight.lock();
    if (const auto found = map->find(piece.file); found != map->end()) {
      flight = found->second;
    }
  }
  if (!flight) {
    FIRN_LET(Remembered remembered, context_.files.read(piece.file));
    if (remembered.pieces == 1) {
      return write_to_single(remembered, piece, bytes);
    }
    flight = flight_of(piece.file, std::move(remembered));
  }
  return write_to_flight(piece, *flight, bytes);
}

std::shared_ptr<FileInFlight> FileWriter::flight_of(RecordNumber number, Remembered remembered) {
  auto map = context_.in_flight.lock();
  auto& slot = (*map)[number];
  if (!slot) {
    slot = std::make_shared<FileInFlight>(context_.restore.reader.repository().services().executor);
    slot->pieces_left.store(remembered.pieces);
    slot->remembered = std::move(remembered);
  }
  return slot;
}

Result<> FileWriter::write_to_single(const Remembered& remembered, const WantedPiece& piece, ByteView bytes) {
  return settle(remembered, [&]() -> Result<> {
    FIRN_LET(const auto file, open_file(remembered));
    FIRN_TRY(prepare_size(remembered, *file));
    FIRN_TRY(file->write_at(piece.file_offset, bytes));
    return remembered.entry.nlink > 1 ? Result<>() : finish(remembered, *file);
  }());
}

Result<> FileWriter::write_to_flight(const WantedPiece& piece, FileInFlight& flight, ByteView bytes) {
  Result<> outcome;
  if (!flight.failed.load()) {
    outcome = [&]() -> Result<> {
      FIRN_LET(TargetFile * file, opened(flight));
      return file->write_at(piece.file_offset, bytes);
    }();
  }
  return piece_done(piece.file, flight, std::move(outcome));
}

/// The open file of a flight; whoever comes first opens it and gives it its size.
Result<TargetFile*> FileWriter::opened(FileInFlight& flight) {
  const base::TaskLock::Hold hold(flight.opening);
  if (!flight.file) {
    FIRN_LET(auto made, open_file(flight.remembered));
    FIRN_TRY(prepare_size(flight.remembered, *made));
    flight.file = std::move(made);
  }
  return flight.file.get();
}

/// Counts a piece down; the last one finishes the file. The first failure of a file is the one that is told.
Result<> FileWriter::piece_done(RecordNumber number, FileInFlight& flight, Result<> outcome) {
  if (!outcome && !flight.failed.exchange(true)) {
    FIRN_TRY(settle(flight.remembered, std::move(outcome)));
  }
  if (flight.pieces_left.fetch_sub(1) > 1) {
    return {};
  }
  if (!flight.failed.load()) {
    auto finished = flight.remembered.entry.nlink > 1 ? Result<>() : finish(flight.remembered, *flight.file);
    FIRN_TRY(settle(flight.remembered, std::move(finished)));
  }
  flight.file.reset();
  context_.in_flight.lock()->erase(number);
  return {};
}

/// A piece that cannot be had: its file fails.
Result<> FileWriter::fail_piece(const WantedPiece& piece, const Error& error) {
  if (ends_restore(error)) {
    return Failure(error);
  }
  FIRN_LET(Remembered remembered, context_.files.read(piece.file));
  if (remembered.pieces == 1) {
    return settle(remembered, Failure(error));
  }
  const auto flight = flight_of(piece.file, std::move(remembered));
  return piece_done(piece.file, *flight, Failure(error));
}

}  // namespace firn::restore
