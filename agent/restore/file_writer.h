// Does the jobs of a restore: fetches pieces of packs, decodes each chunk once, writes it wherever it
// belongs, and gives a file its metadata when its last piece is written.
//
// A file that fails is reported once and left as it is; the others go on. A full disk ends the restore.
// Threads: one FileWriter for each task; what they share is FilesInFlight.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <utility>

#include "agent/restore/content.h"
#include "agent/restore/jobs.h"
#include "agent/restore/target_dirs.h"
#include "repo/base/raw_buffer.h"
#include "repo/kv/local_kv.h"

namespace firn::restore {

/// Files of several pieces that have some, and not all.
struct FileInFlight {
  explicit FileInFlight(base::Executor& executor) : opening(executor) {}

  base::TaskLock opening;
  std::unique_ptr<TargetFile> file;  // made under `opening`; gone when the last piece is done
  Remembered remembered;
  std::atomic<std::uint32_t> pieces_left{0};
  std::atomic<bool> failed{false};
};
using FilesInFlight =
    std::map<RecordNumber, std::shared_ptr<FileInFlight>>;  // shared by the writers of its pieces

/// The files that are one: by their device and inode at the source.
using LinkGroup = std::pair<std::uint32_t, std::uint64_t>;
inline LinkGroup group_of(const format::Entry& entry) { return {entry.device, entry.inode}; }

struct WriterContext {
  const RestoreContext& restore;
  const RestoreOptions& options;
  FileTable& files;
  base::Guarded<FilesInFlight>& in_flight;
  Reporter& reporter;
  base::Guarded<std::set<LinkGroup>>& failed;  // their first name has no content, so the others get none
  OpenDirectory root;
};

class FileWriter {
 public:
  explicit FileWriter(WriterContext& context) : context_(context), dirs_(context.root) {}

  /// Errors: those that end the restore.
  Result<> run(const Job& job);
  /// The metadata of an entry, as the target is to have it; `xattrs` is filled and borrowed from.
  Result<Metadata> metadata_of(const format::Entry& entry, std::vector<scan::Xattr>& xattrs);
  /// Opens a file of the table for writing, ready for its content.
  Result<std::unique_ptr<TargetFile>> open_file(const Remembered& remembered);
  /// Everything but the content. Hard-linked files get theirs when all their names are there.
  Result<> finish(const Remembered& remembered, TargetFile& file);
  TargetDirs& dirs() { return dirs_; }

 private:
  Result<> run_fetch(const FetchJob& job);
  Result<> run_inline(const InlineJob& job);
  Result<> prepare_size(const Remembered& remembered, TargetFile& file);
  Result<> write_inline(const Remembered& remembered, TargetFile& file);
  Result<> write_piece(const WantedPiece& piece, ByteView bytes);
  Result<> write_to_single(const Remembered& remembered, const WantedPiece& piece, ByteView bytes);
  Result<> write_to_flight(const WantedPiece& piece, FileInFlight& flight, ByteView bytes);
  std::shared_ptr<FileInFlight> flight_of(RecordNumber number, Remembered remembered);
  Result<TargetFile*> opened(FileInFlight& flight);
  Result<> piece_done(RecordNumber number, FileInFlight& flight, Result<> outcome);
  Result<> fail_piece(const WantedPiece& piece, const Error& error);
  Result<> settle(const Remembered& remembered, Result<> outcome);

  WriterContext& context_;
  TargetDirs dirs_;
  format::Decompressor decompressor_;
  base::RawBuffer range_;
  Bytes plain_;
};

std::string shown_path(const Remembered& remembered);

}  // namespace firn::restore
