#include "repo/format/session.h"

#include <algorithm>

#include "crypto/digest.h"
#include "repo/format/detail/fields.h"

namespace firn::format {
namespace {

constexpr auto kMarkerFields = [](auto& io, auto& marker) {
  detail::kProofField(io, marker.proof);
  io.enumeration(marker.kind, SessionKind::Other);
  io.id(marker.machine);
  io.id(marker.boot);
  io.number(marker.pid_namespace);
  io.number(marker.pid);
  io.number(marker.process_start);
  io.text(marker.host);
  io.text(marker.node);
  io.text(marker.program);
  io.time(marker.start);
};

constexpr auto kHeartbeatFields = [](auto& io, auto& heartbeat) {
  detail::kProofField(io, heartbeat.proof);
  io.number(heartbeat.count);
  io.time(heartbeat.time);
};

constexpr auto kEndFields = [](auto& io, auto& end) {
  detail::kProofField(io, end.proof);
  io.time(end.time);
};

}  // namespace

SessionId session_id(const SessionProof& proof) {
  const crypto::Digest digest = crypto::sha256(as_bytes("firn/v1/session"), proof.kid.bytes, proof.r.bytes);
  SessionId id;
  std::copy_n(digest.begin(), id.bytes.size(), id.bytes.begin());
  return id;
}

Result<Bytes> encode(const SessionMarker& marker) {
  return detail::encode_record(marker, "session marker", kMarkerFields);
}
Result<SessionMarker> parse_session_marker(ByteView body) {
  return detail::parse_record<SessionMarker>(body, "session marker", kMarkerFields);
}

Result<Bytes> encode(const Heartbeat& heartbeat) {
  return detail::encode_record(heartbeat, "heartbeat", kHeartbeatFields);
}
Result<Heartbeat> parse_heartbeat(ByteView body) {
  return detail::parse_record<Heartbeat>(body, "heartbeat", kHeartbeatFields);
}

Result<Bytes> encode(const SessionEnd& end) { return detail::encode_record(end, "session end", kEndFields); }
Result<SessionEnd> parse_session_end(ByteView body) {
  return detail::parse_record<SessionEnd>(body, "session end", kEndFields);
}

}  // namespace firn::format
