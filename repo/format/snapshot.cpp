#include "repo/format/snapshot.h"

#include <algorithm>

#include "crypto/digest.h"
#include "repo/format/detail/fields.h"

namespace firn::format {
namespace {

constexpr auto kSourceFields = [](auto& io, auto& source) {
  io.text(source.id, 1);
  io.text(source.cluster);
  io.text(source.node);
  io.text(source.ns);
  io.text(source.pod);
  io.text(source.volume);
  io.text(source.pvc_uid);
  io.text(source.host);
  io.list(source.paths, kListMax, detail::kTextField);
  io.list(source.tags, kListMax, detail::kTextField);
  io.list(source.excludes, kListMax, detail::kTextField);
  io.text(source.user);
  io.number(source.uid);
  io.number(source.gid);
  io.text(source.program);
  io.text(source.request_uid);
};

constexpr auto kCounterFields = [](auto& io, auto& counters) {
  io.number(counters.files_new);
  io.number(counters.files_changed);
  io.number(counters.files_unmodified);
  io.number(counters.dirs_new);
  io.number(counters.dirs_changed);
  io.number(counters.dirs_unmodified);
  io.number(counters.data_blobs);
  io.number(counters.tree_blobs);
  io.number(counters.data_added);
  io.number(counters.data_added_packed);
  io.number(counters.total_files_processed);
  io.number(counters.total_bytes_processed);
  io.number(counters.errors);
  io.number(counters.files_changed_while_reading);
  io.number(counters.files_vanished);
};

constexpr auto kFields = [](auto& io, auto& snapshot) {
  io.id(snapshot.repository);
  detail::kSnapshotNameField(io, snapshot.name);
  detail::kProofField(io, snapshot.proof);
  io.require(session_id(snapshot.proof) == snapshot.name.session);
  io.option(snapshot.parent, detail::kIdField);
  io.option(snapshot.original, detail::kIdField);
  kSourceFields(io, snapshot.source);
  io.number(snapshot.sequence);
  io.time(snapshot.time);
  io.time(snapshot.backup_start);
  io.time(snapshot.backup_end);
  kCounterFields(io, snapshot.counters);
  io.id(snapshot.root);
  io.id(snapshot.refs_root);
  io.list(snapshot.notes, kListMax, detail::kTextField);
};

Bytes bounded_source_id(Bytes id) {
  return id.size() <= kTextBytesMax ? std::move(id) : to_bytes(crypto::sha256(id));
}

void append_part(Bytes& id, std::string_view part) {
  id.push_back(std::byte{0});
  append(id, as_bytes(part));
}

}  // namespace

Bytes path_source_id(const std::string& host, const std::vector<std::string>& paths) {
  Bytes id = to_bytes(as_bytes("path"));
  append_part(id, host);
  for (const std::string& path : paths) {
    append_part(id, path);
  }
  return bounded_source_id(std::move(id));
}

Bytes volume_source_id(const std::string& cluster, const std::string& volume_uid) {
  Bytes id = to_bytes(as_bytes("volume"));
  append_part(id, cluster);
  append_part(id, volume_uid);
  return bounded_source_id(std::move(id));
}

Result<Bytes> encode(const Snapshot& snapshot) {
  return detail::encode_record(snapshot, "snapshot", kFields);
}
Result<Snapshot> parse_snapshot(ByteView body) {
  return detail::parse_record<Snapshot>(body, "snapshot", kFields);
}

}  // namespace firn::format
