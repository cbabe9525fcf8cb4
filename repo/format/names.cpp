#include "repo/format/names.h"

#include <algorithm>
#include <array>

#include "crypto/digest.h"
#include "repo/format/limits.h"

namespace firn::format {
namespace {

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '/' || c == '-';
}

/// Fixed-width hex, highest digit first.
template <std::unsigned_integral T>
std::string digits(T number) {
  std::array<std::byte, sizeof(T)> big_endian{};
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    big_endian[sizeof(T) - 1 - i] = static_cast<std::byte>(number >> (8 * i));
  }
  return to_hex(big_endian);
}

/// Takes a name apart from the left; a failure is sticky.
class NameReader {
 public:
  explicit NameReader(std::string_view rest) : rest_(rest) {}

  bool literal(std::string_view text) {
    if (!rest_.starts_with(text)) {
      return false;
    }
    rest_.remove_prefix(text.size());
    return true;
  }
  void expect(std::string_view text) { ok_ = literal(text) && ok_; }
  template <class Id>
  void id(Id& out) {
    const std::string_view hex = take(2 * Id::kBytes);
    ok_ = from_hex(hex, out.bytes) && ok_;
  }
  template <std::unsigned_integral T>
  void number(T& out) {
    std::array<std::byte, sizeof(T)> big_endian{};
    ok_ = from_hex(take(2 * sizeof(T)), big_endian) && ok_;
    out = 0;
    for (const std::byte byte : big_endian) {
      out = static_cast<T>(static_cast<T>(out << 8) | static_cast<T>(byte));
    }
  }
  std::string_view take(std::size_t count) {
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  bool finished() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

// What follows each prefix. Nothing: the rest fits no pattern.
using Parsed = std::optional<ParsedName>;

template <class Name>
Parsed done(const NameReader& in, const Name& name) {
  return in.finished() ? Parsed(name) : std::nullopt;
}

Parsed parse_config(NameReader in) {
  ConfigName name;
  in.number(name.n);
  return done(in, name);
}

Parsed parse_key(NameReader in) {
  KeyId kid;
  in.id(kid);
  in.expect("/");
  if (in.literal("cert-")) {
    CertName name{kid, 0};
    in.number(name.n);
    return done(in, name);
  }
  if (in.literal("wrap-")) {
    WrapName name{kid, 0};
    in.number(name.n);
    return done(in, name);
  }
  in.expect("revoked");
  return done(in, RevokedName{kid});
}

Parsed parse_pack(NameReader in, PackKind kind) {
  PackName name;
  name.kind = kind;
  const std::string_view folder = in.take(2);
  in.expect("/");
  in.id(name.id);
  return folder == name.id.hex().substr(0, 2) ? done(in, name) : std::nullopt;
}

Parsed parse_index(NameReader in) {
  IndexName name;
  in.number(name.level);
  in.expect("/");
  in.id(name.session);
  in.expect("-");
  in.number(name.n);
  return done(in, name);
}

Parsed parse_snapshot(NameReader in) {
  SnapshotName name;
  in.id(name.source);
  in.expect("/");
  in.id(name.session);
  in.expect("-");
  in.number(name.n);
  return done(in, name);
}

Parsed parse_caps(NameReader in) {
  CapsName name;
  in.id(name.snapshot);
  in.expect("/");
  in.id(name.kid);
  return done(in, name);
}

Parsed parse_session(NameReader in) {
  SessionId session;
  in.id(session);
  if (in.literal(".hb")) {
    return done(in, HeartbeatName{session});
  }
  if (in.literal(".end")) {
    return done(in, EndName{session});
  }
  return done(in, SessionName{session});
}

Parsed parse_condemn(NameReader in) {
  CondemnName name;
  in.id(name.session);
  in.expect("-");
  in.number(name.n);
  return done(in, name);
}

Parsed parse_fence(NameReader in) {
  FenceName name;
  in.id(name.session);
  return done(in, name);
}

Parsed parse_seal(NameReader in) {
  SealName name;
  in.id(name.session);
  in.expect("-");
  in.id(name.run);
  return done(in, name);
}

Parsed parse_forget(NameReader in) {
  ForgetName name;
  in.id(name.snapshot);
  return done(in, name);
}

Parsed parse_union(NameReader in) {
  UnionName name;
  in.number(name.level);
  in.expect("/");
  in.id(name.run);
  in.expect("-");
  in.number(name.n);
  return done(in, name);
}

Parsed parse_catalog(NameReader in) {
  CatalogName name;
  in.number(name.sequence);
  in.expect("-");
  in.id(name.run);
  return done(in, name);
}

Parsed parse_probe(NameReader in) {
  ProbeName name;
  in.id(name.nonce);
  return done(in, name);
}

struct Pattern {
  std::string_view prefix;
  Parsed (*parse)(NameReader);
};
constexpr std::array kPatterns{
    Pattern{kConfigPrefix, parse_config},
    Pattern{kKeysPrefix, parse_key},
    Pattern{kDataPrefix, [](NameReader in) { return parse_pack(in, PackKind::Data); }},
    Pattern{kMetaPrefix, [](NameReader in) { return parse_pack(in, PackKind::Meta); }},
    Pattern{kIndexPrefix, parse_index},
    Pattern{kSnapshotsPrefix, parse_snapshot},
    Pattern{kCapsPrefix, parse_caps},
    Pattern{kSessionsPrefix, parse_session},
    Pattern{kCondemnPrefix, parse_condemn},
    Pattern{kFencePrefix, parse_fence},
    Pattern{kSealPrefix, parse_seal},
    Pattern{kForgetPrefix, parse_forget},
    Pattern{kUnionPrefix, parse_union},
    Pattern{kCatalogPrefix, parse_catalog},
    Pattern{kProbePrefix, parse_probe},
};

}  // namespace

/// Makes names of parts that are valid by their types.
class NameBuilder {
 public:
  template <class... Parts>
  static ObjectName join(const Parts&... parts) {
    ObjectName name;
    (name.text_.append(parts), ...);
    return name;
  }
};

Result<ObjectName> ObjectName::parse(std::string_view text) {
  const bool characters_ok = std::all_of(text.begin(), text.end(), is_name_character);
  bool parts_ok = !text.empty() && text.size() <= kObjectNameBytesMax && text.back() != '/';
  char previous = '/';
  for (const char c : text) {
    parts_ok = parts_ok && !(previous == '/' && (c == '/' || c == '.' || c == '-'));
    previous = c;
  }
  if (!characters_ok || !parts_ok) {
    return fail(ErrorCode::Invalid,
                "not an object name: " + std::string(text.substr(0, kObjectNameBytesMax)));
  }
  return NameBuilder::join(text);
}

ObjectName object_name(const ConfigName& name) { return NameBuilder::join(kConfigPrefix, digits(name.n)); }
ObjectName object_name(const CertName& name) {
  return NameBuilder::join(kKeysPrefix, name.kid.hex(), "/cert-", digits(name.n));
}
ObjectName object_name(const WrapName& name) {
  return NameBuilder::join(kKeysPrefix, name.kid.hex(), "/wrap-", digits(name.n));
}
ObjectName object_name(const RevokedName& name) {
  return NameBuilder::join(kKeysPrefix, name.kid.hex(), "/revoked");
}
ObjectName object_name(const PackName& name) {
  const std::string hex = name.id.hex();
  return NameBuilder::join(name.kind == PackKind::Data ? kDataPrefix : kMetaPrefix, hex.substr(0, 2), "/",
                           hex);
}
ObjectName object_name(const IndexName& name) {
  return NameBuilder::join(kIndexPrefix, digits(name.level), "/", name.session.hex(), "-", digits(name.n));
}
ObjectName object_name(const SnapshotName& name) {
  return NameBuilder::join(kSnapshotsPrefix, name.source.hex(), "/", name.session.hex(), "-", digits(name.n));
}
ObjectName object_name(const CapsName& name) {
  return NameBuilder::join(kCapsPrefix, name.snapshot.hex(), "/", name.kid.hex());
}
ObjectName object_name(const SessionName& name) {
  return NameBuilder::join(kSessionsPrefix, name.session.hex());
}
ObjectName object_name(const HeartbeatName& name) {
  return NameBuilder::join(kSessionsPrefix, name.session.hex(), ".hb");
}
ObjectName object_name(const EndName& name) {
  return NameBuilder::join(kSessionsPrefix, name.session.hex(), ".end");
}
ObjectName object_name(const CondemnName& name) {
  return NameBuilder::join(kCondemnPrefix, name.session.hex(), "-", digits(name.n));
}
ObjectName object_name(const FenceName& name) { return NameBuilder::join(kFencePrefix, name.session.hex()); }
ObjectName object_name(const SealName& name) {
  return NameBuilder::join(kSealPrefix, name.session.hex(), "-", name.run.hex());
}
ObjectName object_name(const ForgetName& name) {
  return NameBuilder::join(kForgetPrefix, name.snapshot.hex());
}
ObjectName object_name(const UnionName& name) {
  return NameBuilder::join(kUnionPrefix, digits(name.level), "/", name.run.hex(), "-", digits(name.n));
}
ObjectName object_name(const CatalogName& name) {
  return NameBuilder::join(kCatalogPrefix, digits(name.sequence), "-", name.run.hex());
}
ObjectName object_name(const ProbeName& name) { return NameBuilder::join(kProbePrefix, name.nonce.hex()); }

Result<ParsedName> parse_name(std::string_view name) {
  for (const Pattern& pattern : kPatterns) {
    if (name.starts_with(pattern.prefix)) {
      if (auto parsed = pattern.parse(NameReader(name.substr(pattern.prefix.size())))) {
        return *parsed;
      }
      break;
    }
  }
  return fail(ErrorCode::Unsupported,
              "not a name of firn's: " + std::string(name.substr(0, kObjectNameBytesMax)));
}

std::string keys_prefix(const KeyId& kid) { return std::string(kKeysPrefix) + kid.hex() + "/"; }
std::string snapshots_prefix(const SourceTag& source) {
  return std::string(kSnapshotsPrefix) + source.hex() + "/";
}
std::string caps_prefix(const SnapshotId& snapshot) {
  return std::string(kCapsPrefix) + snapshot.hex() + "/";
}

SnapshotId snapshot_id(const SnapshotName& name) {
  const ObjectName text = object_name(name);
  return {crypto::sha256(as_bytes("firn/v1/snapshot"), as_bytes(text.str()))};
}

}  // namespace firn::format
