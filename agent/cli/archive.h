// Entries of a snapshot as a tar (pax) or zip stream. The only place that sees libarchive.
//
// tar keeps everything that pax can say: extended attributes, ACLs, holes, nanoseconds, hard links, devices;
// sockets are in no archive format. zip keeps names, modes, times and contents. Threads: one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "repo/base/result.h"
#include "repo/format/blobs.h"
#include "repo/format/tree.h"

namespace firn::cli {

enum class ArchiveKind : std::uint8_t { Tar, Zip };

class ArchiveWriter {
 public:
  using Sink = std::function<Result<>(ByteView)>;

  /// Errors: Unsupported (libarchive was built without the format).
  static Result<std::unique_ptr<ArchiveWriter>> open(ArchiveKind kind, Sink sink);
  ~ArchiveWriter();

  struct Member {
    std::string path;       // in the archive, without a leading slash
    std::string hard_link;  // of an earlier member that is the same file; then it has no content
    std::vector<format::ExtendedAttribute> xattrs;
    std::vector<format::Hole> holes;
  };
  /// Begins a member. Errors: Unsupported (the format does not have such a thing: go on with the next), those
  /// of the sink.
  Result<> begin(const format::Entry& entry, const Member& member);
  /// The content of a regular file, holes as zeros, in order.
  Result<> data(ByteView bytes);
  /// The end of the archive.
  Result<> finish();

 private:
  struct State;
  explicit ArchiveWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace firn::cli
