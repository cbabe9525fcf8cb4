// Objects under maint/: condemn, fence, seal, forget, union, catalog.
//
// The first four are grow-only; unions fold all of them but fences, verbatim. Not here: what they mean
// (docs/PROTOCOL.md, repo/maintenance).
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "repo/base/clock.h"
#include "repo/base/result.h"
#include "repo/format/ids.h"
#include "repo/format/names.h"
#include "repo/format/sealed.h"
#include "repo/format/session.h"

namespace firn::format {

/// maint/condemn/<session>-<n>: packs that are never to be relied on again.
struct Condemn {
  SessionProof proof;  // of the maintenance run
  base::WallTime time;
  std::vector<PackName> packs;  // sorted by (kind, id), unique, at least one
  bool operator==(const Condemn&) const = default;
};
Result<Bytes> encode(const Condemn& condemn);
Result<Condemn> parse_condemn(ByteView body);

enum class FenceReason : std::uint8_t {
  OtherBoot = 1,  // same machine, another boot
  NoProcess = 2,  // same boot and pid namespace, no such process
  NodeGone = 3,   // the cluster says so
  Silent = 4,     // its heartbeat stood still
  Asked = 5,      // by a person
};

/// maint/fence/<session>: that session must not commit any more.
struct Fence {
  SessionProof proof;  // of who fences
  SessionId session;   // fenced
  FenceReason reason = FenceReason::Asked;
  base::WallTime time;
  bool operator==(const Fence&) const = default;
};
Result<Bytes> encode(const Fence& fence);
Result<Fence> parse_fence(ByteView body);

/// maint/seal/<session>-<run>: the snapshots of it that were seen after the fence.
struct Seal {
  SessionProof proof;  // of the run that seals
  SessionId session;   // sealed
  base::WallTime time;
  std::vector<SnapshotId> snapshots;  // sorted, unique
  bool operator==(const Seal&) const = default;
};
Result<Bytes> encode(const Seal& seal);
Result<Seal> parse_seal(ByteView body);

/// maint/forget/<snapshot id>: tombstone.
struct Forget {
  SnapshotName snapshot;
  base::WallTime time;
  bool operator==(const Forget&) const = default;
};
Result<Bytes> encode(const Forget& forget);
Result<Forget> parse_forget(ByteView body);

/// A signed object taken over word for word, so that its signature still proves it.
struct CarriedObject {
  ObjectName name;
  base::WallTime stored;  // by the store's clock, when it was listed
  SignedBody signed_body;
  bool operator==(const CarriedObject&) const = default;
};

/// maint/union/<level>/<run>-<n>: stands for its records and for the unions that it names.
struct Union {
  SessionProof proof;
  std::uint16_t level = 1;  // at least 1; above that of every union that it replaces
  base::WallTime time;
  std::vector<UnionName> replaces;     // sorted, unique
  std::vector<CarriedObject> records;  // condemn, seal and forget objects, sorted by name, unique
  bool operator==(const Union&) const = default;
};
Result<Bytes> encode(const Union& folded);
Result<Union> parse_union(ByteView body);

enum class GoneReason : std::uint8_t {
  Forgotten = 1,  // snapshot: a tombstone
  Void = 2,       // snapshot: a seal omits it
  Replaced = 3,   // index object: by a compaction
  Condemned = 4,  // pack
};

struct GoneObject {
  ObjectName name;
  GoneReason reason = GoneReason::Forgotten;
  ObjectName because;  // of the object that explains it
  base::WallTime time;
  bool operator==(const GoneObject&) const = default;
};

/// One LIST of sessions: once every session that it saw open has ended, packs of the condemn records that
/// were answered before it may go.
struct Barrier {
  base::WallTime time;
  std::vector<CondemnName> condemned;  // sorted, unique
  std::vector<SessionId> open;         // sorted, unique
  bool operator==(const Barrier&) const = default;
};

struct RetainedObject {
  ObjectName name;
  base::WallTime until;  // object lock
  bool operator==(const RetainedObject&) const = default;
};

/// maint/catalog/<sequence>-<run>: what this run saw.
struct Catalog {
  SessionProof proof;
  std::uint32_t sequence = 0;
  base::WallTime time;
  std::vector<CatalogName> supersedes;   // sorted, unique, each of a lower sequence
  std::vector<CarriedObject> snapshots;  // live ones, sorted by name
  std::vector<IndexName> indexes;        // sorted, unique
  std::vector<Barrier> barriers;         // in the order of their LISTs
  std::vector<GoneObject> gone;          // sorted by name, unique
  std::vector<RetainedObject> retained;  // sorted by name, unique
  bool operator==(const Catalog&) const = default;
};
Result<Bytes> encode(const Catalog& catalog);
Result<Catalog> parse_catalog(ByteView body);

}  // namespace firn::format
