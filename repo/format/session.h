// Sessions: proof of who opened one, its marker, heartbeat and end.
#pragma once

#include <cstdint>
#include <string>

#include "repo/base/clock.h"
#include "repo/base/result.h"
#include "repo/format/ids.h"

namespace firn::format {

/// What every object named under a session carries: the session's id follows from it, so nobody can put
/// objects under a session that another key opened.
struct SessionProof {
  KeyId kid;
  SessionRandom r;
  bool operator==(const SessionProof&) const = default;
};

/// First 16 bytes of SHA-256("firn/v1/session" ‖ kid ‖ r).
SessionId session_id(const SessionProof& proof);

enum class SessionKind : std::uint8_t { Backup = 1, Maintenance = 2, Other = 3 /* tag, copy, key changes */ };

/// sessions/<session>. Zeros stand for what the machine does not tell.
struct SessionMarker {
  SessionProof proof;
  SessionKind kind = SessionKind::Backup;
  MachineId machine;
  BootId boot;
  std::uint64_t pid_namespace = 0;  // inode number
  std::uint32_t pid = 0;
  std::uint64_t process_start = 0;  // clock ticks since boot, field 22 of /proc/<pid>/stat
  std::string host;
  std::string node;  // Kubernetes node name, or empty
  std::string program;
  base::WallTime start;
  bool operator==(const SessionMarker&) const = default;
};
Result<Bytes> encode(const SessionMarker& marker);
Result<SessionMarker> parse_session_marker(ByteView body);

/// sessions/<session>.hb: the one object that is overwritten.
struct Heartbeat {
  SessionProof proof;
  std::uint64_t count = 0;  // 1 + that of the heartbeat before
  base::WallTime time;
  bool operator==(const Heartbeat&) const = default;
};
Result<Bytes> encode(const Heartbeat& heartbeat);
Result<Heartbeat> parse_heartbeat(ByteView body);

/// sessions/<session>.end
struct SessionEnd {
  SessionProof proof;
  base::WallTime time;
  bool operator==(const SessionEnd&) const = default;
};
Result<Bytes> encode(const SessionEnd& end);
Result<SessionEnd> parse_session_end(ByteView body);

}  // namespace firn::format
