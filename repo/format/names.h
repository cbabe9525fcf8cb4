// Names of objects: the patterns of docs/FORMAT.md, chapter "Objects", built and taken apart.
//
// An ObjectName is a text that every store can hold: 1 to 200 bytes of [a-z0-9./-] in parts between single
// slashes, no part empty or beginning with '.' or '-'. Any such text is an ObjectName, also one that names
// nothing that firn knows; parse_name() tells. Numbers in names have a fixed width, so that names order as
// their numbers do.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "repo/base/result.h"
#include "repo/format/ids.h"

namespace firn::format {

class ObjectName {
 public:
  /// The empty name, which names nothing.
  ObjectName() = default;
  /// Errors: Invalid.
  static Result<ObjectName> parse(std::string_view text);

  const std::string& str() const { return text_; }
  operator std::string_view() const { return text_; }
  auto operator<=>(const ObjectName&) const = default;

 private:
  friend class NameBuilder;
  std::string text_;
};

/// Data packs hold chunks of files, meta packs hold pages.
enum class PackKind : std::uint8_t { Data = 1, Meta = 2 };

// One struct a pattern. `n` is shown with 8 hex digits, `level` with 4.

/// config/<n>
struct ConfigName {
  std::uint32_t n = 0;
  auto operator<=>(const ConfigName&) const = default;
};
/// keys/<kid>/cert-<n>
struct CertName {
  KeyId kid;
  std::uint32_t n = 0;
  auto operator<=>(const CertName&) const = default;
};
/// keys/<kid>/wrap-<n>
struct WrapName {
  KeyId kid;
  std::uint32_t n = 0;
  auto operator<=>(const WrapName&) const = default;
};
/// keys/<kid>/revoked
struct RevokedName {
  KeyId kid;
  auto operator<=>(const RevokedName&) const = default;
};
/// data/<hh>/<pack id> or meta/<hh>/<pack id>; hh = the first two digits of the id
struct PackName {
  PackKind kind = PackKind::Data;
  PackId id;
  auto operator<=>(const PackName&) const = default;
};
/// index/<level>/<session>-<n>
struct IndexName {
  std::uint16_t level = 0;
  SessionId session;
  std::uint32_t n = 0;
  auto operator<=>(const IndexName&) const = default;
};
/// snapshots/<source tag>/<session>-<n>
struct SnapshotName {
  SourceTag source;
  SessionId session;
  std::uint32_t n = 0;
  auto operator<=>(const SnapshotName&) const = default;
};
/// caps/<snapshot id>/<kid>
struct CapsName {
  SnapshotId snapshot;
  KeyId kid;
  auto operator<=>(const CapsName&) const = default;
};
/// sessions/<session>
struct SessionName {
  SessionId session;
  auto operator<=>(const SessionName&) const = default;
};
/// sessions/<session>.hb
struct HeartbeatName {
  SessionId session;
  auto operator<=>(const HeartbeatName&) const = default;
};
/// sessions/<session>.end
struct EndName {
  SessionId session;
  auto operator<=>(const EndName&) const = default;
};
/// maint/condemn/<session>-<n>; the session is the maintenance run's
struct CondemnName {
  SessionId session;
  std::uint32_t n = 0;
  auto operator<=>(const CondemnName&) const = default;
};
/// maint/fence/<session>; the session is the fenced one
struct FenceName {
  SessionId session;
  auto operator<=>(const FenceName&) const = default;
};
/// maint/seal/<session>-<run>; `session` is sealed, `run` is the session of the maintenance run that seals
struct SealName {
  SessionId session;
  SessionId run;
  auto operator<=>(const SealName&) const = default;
};
/// maint/forget/<snapshot id>
struct ForgetName {
  SnapshotId snapshot;
  auto operator<=>(const ForgetName&) const = default;
};
/// maint/union/<level>/<run>-<n>
struct UnionName {
  std::uint16_t level = 0;
  SessionId run;
  std::uint32_t n = 0;
  auto operator<=>(const UnionName&) const = default;
};
/// maint/catalog/<sequence>-<run>; the sequence is 1 + the highest that it supersedes, so that a catalog
/// sorts after what it replaces
struct CatalogName {
  std::uint32_t sequence = 0;
  SessionId run;
  auto operator<=>(const CatalogName&) const = default;
};
/// probe/<16 random bytes>: what tests of a store's promises write and remove. Means nothing to a reader.
struct ProbeName {
  SessionId nonce;
  auto operator<=>(const ProbeName&) const = default;
};

ObjectName object_name(const ConfigName& name);
ObjectName object_name(const CertName& name);
ObjectName object_name(const WrapName& name);
ObjectName object_name(const RevokedName& name);
ObjectName object_name(const PackName& name);
ObjectName object_name(const IndexName& name);
ObjectName object_name(const SnapshotName& name);
ObjectName object_name(const CapsName& name);
ObjectName object_name(const SessionName& name);
ObjectName object_name(const HeartbeatName& name);
ObjectName object_name(const EndName& name);
ObjectName object_name(const CondemnName& name);
ObjectName object_name(const FenceName& name);
ObjectName object_name(const SealName& name);
ObjectName object_name(const ForgetName& name);
ObjectName object_name(const UnionName& name);
ObjectName object_name(const CatalogName& name);
ObjectName object_name(const ProbeName& name);

using ParsedName = std::variant<ConfigName, CertName, WrapName, RevokedName, PackName, IndexName,
                                SnapshotName, CapsName, SessionName, HeartbeatName, EndName, CondemnName,
                                FenceName, SealName, ForgetName, UnionName, CatalogName, ProbeName>;

/// Which pattern a name follows. What it gives builds the same name again. Errors: Unsupported (none of
/// them: not ours, or of a later version).
Result<ParsedName> parse_name(std::string_view name);

/// The same for callers who expect one pattern. Errors: Unsupported.
template <class Name>
Result<Name> parse_name_as(std::string_view name) {
  FIRN_LET(const ParsedName parsed, parse_name(name));
  if (const auto* wanted = std::get_if<Name>(&parsed)) {
    return *wanted;
  }
  return fail(ErrorCode::Unsupported, "object has an unexpected name: " + std::string(name));
}

// Prefixes for LIST.
inline constexpr std::string_view kConfigPrefix = "config/";
inline constexpr std::string_view kKeysPrefix = "keys/";
inline constexpr std::string_view kDataPrefix = "data/";
inline constexpr std::string_view kMetaPrefix = "meta/";
inline constexpr std::string_view kIndexPrefix = "index/";
inline constexpr std::string_view kSnapshotsPrefix = "snapshots/";
inline constexpr std::string_view kCapsPrefix = "caps/";
inline constexpr std::string_view kSessionsPrefix = "sessions/";
inline constexpr std::string_view kMaintPrefix = "maint/";
inline constexpr std::string_view kCondemnPrefix = "maint/condemn/";
inline constexpr std::string_view kFencePrefix = "maint/fence/";
inline constexpr std::string_view kSealPrefix = "maint/seal/";
inline constexpr std::string_view kForgetPrefix = "maint/forget/";
inline constexpr std::string_view kUnionPrefix = "maint/union/";
inline constexpr std::string_view kCatalogPrefix = "maint/catalog/";
inline constexpr std::string_view kProbePrefix = "probe/";

std::string keys_prefix(const KeyId& kid);
std::string snapshots_prefix(const SourceTag& source);
std::string caps_prefix(const SnapshotId& snapshot);

/// What people see: SHA-256("firn/v1/snapshot" ‖ object name).
SnapshotId snapshot_id(const SnapshotName& name);

}  // namespace firn::format
