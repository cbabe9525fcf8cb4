// Keys and roles: who opens a repository, whose root of trust counts, what each role can and cannot do.

#include "repo/keyring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "repo/format/key_objects.h"
#include "repo/format/maintenance.h"
#include "repo/revoke.h"
#include "tests/repo/recording_store.h"
#include "tests/repo/rig.h"

namespace firn::repo {
namespace {

using format::Role;
using format::Roles;
using testing::HasSubstr;

constexpr Roles kWriter = Roles{}.with(Role::Writer);
constexpr Roles kReader = Roles{}.with(Role::Reader);
constexpr Roles kMaintainer = Roles{}.with(Role::Maintainer);
constexpr Roles kIssuer = Roles{}.with(Role::Issuer);
constexpr Roles kAdmin = Roles{}.with(Role::Admin);
constexpr std::int64_t kDay = 24LL * 3600 * 1'000'000'000;

class KeyringTest : public testing::Test {
 protected:
  void SetUp() override {
    make_repository(world);
    founder = must(open(1));
  }

  Result<std::unique_ptr<Repository>> open(int number) {
    return Repository::open(services, world.store, key_file_of(number));
  }
  Result<format::KeyId> add(const Repository& by, int number, Roles roles,
                            base::WallTime not_after = {INT64_MAX}) {
    NewKeyOptions options;
    options.roles = roles;
    options.not_after = not_after;
    return add_key(services, world.store, by.keys(), by.config(), key_file_of(number), options);
  }
  std::unique_ptr<Repository> with_roles(int number, Roles roles) {
    must(add(*founder, number, roles));
    return must(open(number));
  }
  /// Puts keys/<kid>/revoked, signed with `pair` by `signer`.
  void revoke(const format::KeyId& kid, std::vector<format::SessionId> kept, const format::KeyId& signer,
              const crypto::Ed25519KeyPair& pair) {
    const format::Revoked revoked{
        .repository = founder->id(), .kid = kid, .time = {}, .sessions = std::move(kept)};
    const auto name = format::object_name(format::RevokedName{kid});
    world.replace(name.str(),
                  must(format::encode_clear_object(
                      name, format::sign_body(name, must(format::encode(revoked)), signer, pair))));
  }
  void put_config(std::uint32_t n, const format::Config& config, const crypto::Ed25519KeyPair& pair) {
    const auto name = format::object_name(format::ConfigName{n});
    world.replace(name.str(), must(format::encode_clear_object(
                                  name, format::sign_body(name, must(format::encode(config)), {}, pair))));
  }

  base::ThreadExecutor executor{2};
  World world{executor};
  Services services = world.services();
  std::unique_ptr<Repository> founder;
};

TEST_F(KeyringTest, AnEmptyPlaceHasNoRepository) {
  World empty(executor);
  const Services its_services = empty.services();
  const auto opened = Repository::open(its_services, empty.store, key_file_of(1));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::NotFound);
  EXPECT_THAT(opened.error().message, HasSubstr("firn init"));
}

TEST_F(KeyringTest, ASecondInitIsRefused) {
  const auto again = Repository::init(services, world.store, key_file_of(5), {});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::Exists);
}

TEST_F(KeyringTest, APasswordOpensAndAWrongOneDoesNot) {
  World other(executor);
  const Services its_services = other.services();
  must(Repository::init(its_services, other.store, password_of("correct"), {}));
  EXPECT_TRUE(Repository::open(its_services, other.store, password_of("correct")));
  for (const std::string_view word : {"wrong", "", "correct "}) {
    const auto opened = Repository::open(its_services, other.store, password_of(word));
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::WrongKey);
  }
  const auto by_file = Repository::open(its_services, other.store, key_file_of(1));
  ASSERT_FALSE(by_file);
  EXPECT_EQ(by_file.error().code, ErrorCode::WrongKey);
}

TEST_F(KeyringTest, AKilledInitDoesNotStandInTheWayOfTheNext) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE(seed);
    World other(executor, seed);
    make_repository(other);
    other.remove(other.names("config/").front());  // the first init died before its last PUT
    make_repository(other);
    const Services its_services = other.services();
    const auto opened = Repository::open(its_services, other.store, key_file_of(1));
    EXPECT_TRUE(opened) << opened.error().message;
  }
}

TEST_F(KeyringTest, ASwappedConfigurationIsRefused) {
  // A bucket writer makes a repository of his own and puts its configuration in place.
  World evil(executor, 99);
  make_repository(evil);
  for (const std::string n : {"00000001", "00000002"}) {
    SCOPED_TRACE(n);
    const std::string name = "config/" + n;
    const auto before = n == "00000001" ? std::optional(world.bytes(name)) : std::nullopt;
    world.replace(name, evil.bytes("config/00000001"));
    const auto opened = open(1);
    if (before) {
      ASSERT_FALSE(opened);
      EXPECT_EQ(opened.error().code, ErrorCode::Corrupt);
      world.replace(name, *before);
    } else {
      ASSERT_TRUE(opened);  // the highest valid one counts
      EXPECT_EQ((*opened)->id(), founder->id());
      world.remove(name);
    }
  }
}

TEST_F(KeyringTest, AnotherAdministratorCannotVouchForKeys) {
  // The whole of keys/ and config/ swapped: the caller's key opens nothing there.
  World evil(executor, 99);
  const Services its_services = evil.services();
  must(Repository::init(its_services, evil.store, key_file_of(66), {}));
  for (const std::string& name : world.names("")) {
    world.remove(name);
  }
  for (const std::string& name : evil.names("")) {
    world.replace(name, evil.bytes(name));
  }
  const auto opened = open(1);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::WrongKey);
}

TEST_F(KeyringTest, AnUnknownRequiredFeatureIsRefusedByName) {
  format::Config config = founder->config();
  config.required_features = {"time-travel"};
  put_config(2, config, *founder->keys().admin_pair());
  const auto opened = open(1);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::Unsupported);
  EXPECT_THAT(opened.error().message, HasSubstr("time-travel"));
}

TEST_F(KeyringTest, ALaterFormatIsRefusedAndNotPassedOver) {
  Bytes body = must(format::encode(founder->config()));
  body.at(format::RepositoryId::kBytes) = std::byte{2};  // the format number follows the repository's id
  ASSERT_EQ(format::parse_config(body).error().code, ErrorCode::Unsupported);
  const auto name = format::object_name(format::ConfigName{2});
  world.replace(name.str(), must(format::encode_clear_object(
                                name, format::sign_body(name, body, {}, *founder->keys().admin_pair()))));
  const auto opened = open(1);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::Unsupported);
}

struct RoleCase {
  const char* what;
  Roles roles;
  bool content;  // holds K_content, K_psk, K_cut
  bool admin_pair;
  bool adds_writers;
  bool adds_readers;
  bool writes;     // opens a session for backups
  bool maintains;  // opens a session for maintenance
  bool reads;      // snapshots are sealed to it
};

const RoleCase kRoles[] = {
    {"writer", kWriter, true, false, false, false, true, false, false},
    {"reader", kReader, true, false, false, false, false, false, true},
    {"maintainer", kMaintainer, false, false, false, false, false, true, false},
    {"issuer", kIssuer, true, false, true, false, false, false, false},
    {"admin", kAdmin, true, true, true, true, true, true, true},
    {"writer and maintainer",
     {kWriter.bits | kMaintainer.bits},
     true,
     false,
     false,
     false,
     true,
     true,
     false},
};

TEST_F(KeyringTest, EachRoleCanDoWhatItMayAndNothingElse) {
  int number = 10;
  for (const RoleCase& role : kRoles) {
    SCOPED_TRACE(role.what);
    const auto repository = with_roles(++number, role.roles);
    const Keyring& keys = repository->keys();
    EXPECT_EQ(keys.roles(), role.roles);
    EXPECT_EQ(keys.content() != nullptr, role.content);
    EXPECT_EQ(keys.psk() != nullptr, role.content);
    EXPECT_EQ(keys.cut() != nullptr, role.content);
    EXPECT_EQ(keys.admin_pair() != nullptr, role.admin_pair);
    EXPECT_EQ(keys.secrets().root.has_value(), role.admin_pair);
    EXPECT_EQ(add(*repository, 200 + number, kWriter).has_value(), role.adds_writers);
    EXPECT_EQ(add(*repository, 220 + number, kReader).has_value(), role.adds_readers);
    EXPECT_EQ(add(*repository, 230 + number, {kWriter.bits | kReader.bits}).has_value(), role.adds_readers);

    kv::MemoryKv kv(executor);
    Node node(world, world.store, kv, key_file_of(number));
    SessionOptions backup;
    SessionOptions maintenance;
    maintenance.kind = format::SessionKind::Maintenance;
    const auto may_open = [&](const SessionOptions& options) {
      const auto session = node.session(options);
      EXPECT_TRUE(session || session.error().code == ErrorCode::Denied);
      return session.has_value();
    };
    EXPECT_EQ(may_open(backup), role.writes);
    EXPECT_EQ(may_open(maintenance), role.maintains);
    bool sealed_to = false;
    for (const KnownKey& reader : keys.readers({})) {
      sealed_to = sealed_to || reader.kid == keys.kid();
    }
    EXPECT_EQ(sealed_to, role.reads);
  }
}

TEST_F(KeyringTest, ARolesSignatureCountsOnlyForItsObjects) {
  const auto writer = with_roles(31, kWriter);
  const auto reader = with_roles(32, kReader);
  const auto maintainer = with_roles(33, kMaintainer);
  const auto judge = must(open(1));
  const format::SessionId session{};
  const struct {
    format::ObjectName name;
    bool writer_may, reader_may, maintainer_may;
  } kCases[] = {
      {format::object_name(format::IndexName{0, session, 1}), true, false, true},
      {format::object_name(format::SnapshotName{{}, session, 1}), true, false, false},
      {format::object_name(format::CapsName{{}, {}}), false, true, false},
      {format::object_name(format::SessionName{session}), true, true, true},
      {format::object_name(format::CondemnName{session, 1}), false, false, true},
      {format::object_name(format::FenceName{session}), false, false, true},
      {format::object_name(format::SealName{session, session}), false, false, true},
      {format::object_name(format::ForgetName{}), false, false, true},
      {format::object_name(format::UnionName{1, session, 1}), false, false, true},
      {format::object_name(format::CatalogName{1, session}), false, false, true},
      {format::object_name(format::ConfigName{1}), false, false, false},
      {format::object_name(format::CertName{{}, 1}), false, false, false},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.name.str());
    const auto counts = [&](const Repository& signer) {
      const auto body = format::sign_body(c.name, Bytes(3), signer.keys().kid(), signer.keys().sign_pair());
      return judge->keys().signed_by_who_may(c.name, body);
    };
    EXPECT_EQ(counts(*writer), c.writer_may);
    EXPECT_EQ(counts(*reader), c.reader_may);
    EXPECT_EQ(counts(*maintainer), c.maintainer_may);
    EXPECT_TRUE(counts(*founder));
    // Another's name on it, or another object's signature, never counts.
    auto foreign = format::sign_body(c.name, Bytes(3), founder->keys().kid(), writer->keys().sign_pair());
    EXPECT_FALSE(judge->keys().signed_by_who_may(c.name, foreign));
    const auto elsewhere = format::object_name(format::ConfigName{77});
    foreign = format::sign_body(elsewhere, Bytes(3), founder->keys().kid(), founder->keys().sign_pair());
    EXPECT_FALSE(judge->keys().signed_by_who_may(c.name, foreign));
  }
}

TEST_F(KeyringTest, AnIssuersWriterLastsNinetyDays) {
  const auto issuer = with_roles(41, kIssuer);
  const auto kid = must(add(*issuer, 42, kWriter));
  const auto writer = must(open(42));
  const KnownKey* known = writer->keys().find(kid);
  ASSERT_NE(known, nullptr);
  const std::int64_t validity = known->cert.not_after.nanoseconds - known->cert.not_before.nanoseconds;
  EXPECT_LE(validity, 90 * kDay);
  EXPECT_GT(validity, 89 * kDay);
}

TEST_F(KeyringTest, ALongerCertificateOfAnIssuerDoesNotCount) {
  const auto issuer = with_roles(41, kIssuer);
  const auto kid = must(add(*issuer, 42, kWriter));
  const format::CertName cert_name{.kid = kid, .n = 1};
  const auto name = format::object_name(cert_name);
  const auto object = must(format::parse_clear_object(name, world.bytes(name.str())));
  const auto cert = must(format::parse_cert(object.body));
  const struct {
    const char* what;
    std::int64_t days;
    Roles roles;
    bool counts;
  } kCases[] = {{"90 days", 90, kWriter, true},
                {"92 days", 92, kWriter, false},
                {"a reader", 10, kReader, false},
                {"a writer that reads", 10, {kWriter.bits | kReader.bits}, false}};
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.what);
    format::Cert forged = cert;
    forged.roles = c.roles;
    forged.not_after.nanoseconds = forged.not_before.nanoseconds + c.days * kDay;
    world.replace(name.str(),
                  must(format::encode_clear_object(
                      name, format::sign_body(name, must(format::encode(forged)), issuer->keys().kid(),
                                              issuer->keys().sign_pair()))));
    const auto opened = open(42);
    EXPECT_EQ(opened.has_value(), c.counts);
    EXPECT_TRUE(opened || opened.error().code == ErrorCode::WrongKey);
  }
}

TEST_F(KeyringTest, AnIssuerTakesNoRoleFromAKey) {
  const auto issuer = with_roles(43, kIssuer);
  const format::KeyId victim = founder->keys().kid();
  const format::CertName own{.kid = victim, .n = 1};
  const auto name = format::object_name(own);
  const auto object = must(format::parse_clear_object(name, world.bytes(name.str())));
  format::Cert lowered = must(format::parse_cert(object.body));
  lowered.roles = kWriter;
  lowered.not_after.nanoseconds = lowered.not_before.nanoseconds + 10 * kDay;
  const auto next = format::object_name(format::CertName{.kid = victim, .n = 2});
  world.replace(next.str(), must(format::encode_clear_object(
                                next, format::sign_body(next, must(format::encode(lowered)),
                                                        issuer->keys().kid(), issuer->keys().sign_pair()))));
  const auto again = must(open(1));
  EXPECT_EQ(again->keys().roles(), Roles{format::kRolesAll});
}

TEST_F(KeyringTest, AnExpiredKeyOpensNoSessionAndItsSnapshotsStay) {
  const base::WallTime soon{executor.clock().wall().nanoseconds + kDay};
  must(add(*founder, 51, kWriter, soon));
  base::VirtualClock later({soon.nanoseconds + 1});
  kv::MemoryKv kv(executor);
  Node writer(world, world.store, kv, key_file_of(51));
  const auto id = must(writer.backup({{"a", random_bytes(1, 10)}}));
  const Services tomorrow{executor, world.rng, later, world.scratch};
  const auto expired = must(Repository::open(tomorrow, world.store, key_file_of(51)));
  const auto session = WriteSession::open(*expired, writer.index(), writer.cache(), kv, {});
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, ErrorCode::Denied);
  EXPECT_THAT(session.error().message, HasSubstr("expired"));
  kv::MemoryKv other(executor);
  Node reader(world, world.store, other, key_file_of(1));
  EXPECT_TRUE(reader.restore(id));
}

TEST_F(KeyringTest, ARevokedKeyKeepsOnlyTheSessionsThatItsRevocationNames) {
  const auto kid = must(add(*founder, 61, kWriter));
  kv::MemoryKv kv(executor);
  Node writer(world, world.store, kv, key_file_of(61));
  auto kept = must(writer.session());
  const auto kept_id = must(writer.backup(*kept, {{"a", random_bytes(1, 10)}}));
  const format::SessionId kept_session = kept->id();
  kept->end();
  const auto void_id = must(writer.backup({{"b", random_bytes(2, 10)}}));
  revoke(kid, {kept_session}, {}, *founder->keys().admin_pair());

  kv::MemoryKv other(executor);
  Node reader(world, world.store, other, key_file_of(1));
  EXPECT_TRUE(reader.restore(kept_id));
  EXPECT_FALSE(reader.restore(void_id));
  kv::MemoryKv third(executor);
  Node revoked(world, world.store, third, key_file_of(61));
  const auto session = revoked.session();
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, ErrorCode::Denied);
}

TEST_F(KeyringTest, JunkRevocationsRevokeNothing) {
  const auto kid = must(add(*founder, 71, kWriter));
  const auto other_writer = with_roles(72, kWriter);
  const std::string name = format::object_name(format::RevokedName{kid}).str();
  const auto still_works = [&] {
    const auto opened = must(open(71));
    return opened->keys().sessions_kept(kid) == nullptr && !opened->keys().find(kid)->revoked;
  };
  world.replace(name, random_bytes(1, 200));
  EXPECT_TRUE(still_works());
  world.replace(name, random_bytes(1, format::kClearObjectBytesMax + 1));
  EXPECT_TRUE(still_works());
  revoke(kid, {}, other_writer->keys().kid(), other_writer->keys().sign_pair());
  EXPECT_TRUE(still_works());
  revoke(kid, {}, {}, other_writer->keys().sign_pair());
  EXPECT_TRUE(still_works());
}

TEST_F(KeyringTest, AnIssuerRevokesWritersAndNobodyElse) {
  const auto issuer = with_roles(81, kIssuer);
  const auto writer = must(add(*founder, 82, kWriter));
  const auto reader = must(add(*founder, 83, kReader));
  for (const auto& kid : {writer, reader}) {
    revoke(kid, {}, issuer->keys().kid(), issuer->keys().sign_pair());
  }
  const auto opened = must(open(1));
  EXPECT_TRUE(opened->keys().find(writer)->revoked);
  EXPECT_FALSE(opened->keys().find(reader)->revoked);
}

TEST_F(KeyringTest, ARevokedIssuerVouchesForNobodyAndRevokesNobody) {
  const auto issuer = with_roles(84, kIssuer);
  const auto issued = must(add(*issuer, 85, kWriter));
  const auto writer = must(add(*founder, 86, kWriter));
  revoke(writer, {}, issuer->keys().kid(), issuer->keys().sign_pair());
  revoke(issuer->keys().kid(), {}, {}, *founder->keys().admin_pair());
  const auto opened = must(open(1));
  EXPECT_EQ(opened->keys().find(issued), nullptr);
  ASSERT_NE(opened->keys().find(writer), nullptr);
  EXPECT_FALSE(opened->keys().find(writer)->revoked);
  const auto again = must(open(84));
  const auto refused = add(*again, 87, kWriter);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::Denied);
}

TEST_F(KeyringTest, AnIssuerCannotRevokeAnIssuer) {
  const auto issuer = with_roles(88, kIssuer);
  const auto other = with_roles(89, kIssuer);
  revoke(issuer->keys().kid(), {}, other->keys().kid(), other->keys().sign_pair());
  EXPECT_FALSE(must(open(1))->keys().find(issuer->keys().kid())->revoked);
}

class RevokeKeyTest : public KeyringTest {
 protected:
  RevokeReport remove(const format::KeyId& kid, const RevokeOptions& options = {}) {
    const auto opened = must(open(1));
    const auto cache = must(ObjectCache::open(*opened, nullptr));
    return must(revoke_key(*opened, *cache, kid, options));
  }
  std::vector<format::SnapshotId> snapshots() {
    const auto opened = must(open(1));
    const auto cache = must(ObjectCache::open(*opened, nullptr));
    const auto list = must(list_snapshots(*opened, *cache, must(load_maintenance(*opened, *cache))));
    EXPECT_TRUE(list.problems.empty());
    std::vector<format::SnapshotId> ids;
    for (const SnapshotInfo& info : list.snapshots) {
      ids.push_back(info.id);
    }
    return ids;
  }

  kv::MemoryKv state{executor};
};

TEST_F(RevokeKeyTest, AnOpenSessionIsFencedAndWhatItCommittedBeforeStays) {
  const auto kid = must(add(*founder, 92, kWriter));
  Node node(world, world.store, state, key_file_of(92));
  const auto session = must(node.session());
  const auto before = must(node.backup(*session, {{"a", random_bytes(1, 100)}}));
  const RevokeReport report = remove(kid);
  EXPECT_EQ(report.sessions_fenced, 1u);
  EXPECT_EQ(report.sessions_kept, 1u);
  const auto after = node.backup(*session, {{"b", random_bytes(2, 100)}});
  ASSERT_FALSE(after);
  EXPECT_EQ(after.error().code, ErrorCode::Changed);
  EXPECT_THAT(snapshots(), testing::Contains(before));
}

TEST_F(RevokeKeyTest, WritersOfARevokedIssuerAreTakenOverOrDropped) {
  const auto issuer = with_roles(93, kIssuer);
  const auto honest = must(add(*issuer, 94, kWriter));
  const auto thief = must(add(*issuer, 95, kWriter));
  kv::MemoryKv other{executor};
  const auto kept =
      must(Node(world, world.store, state, key_file_of(94)).backup({{"a", random_bytes(3, 9)}}));
  must(Node(world, world.store, other, key_file_of(95)).backup({{"b", random_bytes(4, 9)}}));
  const RevokeReport report = remove(issuer->keys().kid(), {.drop = {thief}});
  EXPECT_THAT(report.recertified, testing::ElementsAre(honest));
  EXPECT_THAT(report.dropped, testing::ElementsAre(thief));
  EXPECT_THAT(snapshots(), testing::ElementsAre(kept));
}

TEST_F(KeyringTest, AReaderThatWasRevokedGetsNoMoreCapabilities) {
  const auto kid = must(add(*founder, 91, kReader));
  revoke(kid, {}, {}, *founder->keys().admin_pair());
  const auto opened = must(open(1));
  for (const KnownKey& reader : opened->keys().readers({})) {
    EXPECT_NE(reader.kid, kid);
  }
}

TEST_F(KeyringTest, ANewPasswordReplacesTheOldOne) {
  const auto changed = must(change_password(services, world.store, founder->keys(), key_file_of(7)));
  EXPECT_TRUE(changed.old_wraps_left.empty());
  EXPECT_TRUE(open(7));
  const auto old = open(1);
  ASSERT_FALSE(old);
  EXPECT_EQ(old.error().code, ErrorCode::WrongKey);
}

TEST_F(KeyringTest, APasswordChangeThatCannotDeleteSaysSo) {
  class NoDelete final : public test::ForwardingStore {
   public:
    using test::ForwardingStore::ForwardingStore;
    store::Outcome remove(const store::ObjectName&) override {
      return store::NotDone{Error{ErrorCode::Denied, "no"}};
    }
  } store(world.store);
  const auto changed = must(change_password(services, store, founder->keys(), key_file_of(7)));
  EXPECT_EQ(changed.old_wraps_left.size(), 1u);
  EXPECT_TRUE(open(7));
  EXPECT_TRUE(open(1));
}

}  // namespace
}  // namespace firn::repo
