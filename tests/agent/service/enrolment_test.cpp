// A node's key from its making to its end, and what a grant opens: the agent's and the controller's halves
// against one API and one repository.
#include "agent/service/enrolment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "agent/controller/enrol.h"
#include "agent/controller/grant.h"
#include "agent/kube/base64.h"
#include "tests/agent/kube/memory_api.h"
#include "tests/repo/rig.h"
#include "tests/support/temp_dir.h"

namespace firn::service {
namespace {

using format::Role;
using repo::key_file_of;
using repo::must;
using test::TempDir;
using testing::HasSubstr;

constexpr const char* kEnrolmentsPath =
    "/apis/backup.firn.io/v1alpha1/namespaces/firn-system/nodeenrollments";
constexpr const char* kCluster = "cluster-uid";

/// The controller's keys over a repository in memory.
class OneRepository final : public controller::Keys {
 public:
  explicit OneRepository(repo::World& world) : world_(world), services_(world.services()) {}
  Result<> with_repository(const kube::Repository&, bool, const Visit& visit) override {
    FIRN_LET(const auto opened, repo::Repository::open(services_, world_.store, key_file_of(2)));
    FIRN_LET(const auto cache, repo::ObjectCache::open(*opened, nullptr));
    return visit(*opened, *cache);
  }
  Result<repo::StoreVariables> node_variables(const std::string&) override { return variables; }
  std::string tag_of(const std::string&, const repo::StoreVariables& of) override {
    return of.empty() ? "" : "tag-" + of.begin()->second;
  }

  repo::StoreVariables variables{{"AWS_ACCESS_KEY_ID", "one"}};

 private:
  repo::World& world_;
  const repo::Services services_;
};

class Enrolling : public testing::Test {
 protected:
  void SetUp() override {
    repo::make_repository(world_);
    const auto founder = must(repo::Repository::open(services_, world_.store, key_file_of(1)));
    repo::NewKeyOptions options;
    options.roles = format::Roles{}.with(Role::Issuer).with(Role::Reader);
    must(repo::add_key(services_, world_.store, founder->keys(), founder->config(), key_file_of(2), options));
    api_.put("/apis/backup.firn.io/v1alpha1/namespaces/firn-system/repositories/main",
             {{"metadata", {{"name", "main"}, {"namespace", "firn-system"}}},
              {"spec", {{"path", "/r"}, {"allowedNamespaces", {"app"}}}}});
  }
  kube::ClusterConfig config() const {
    kube::ClusterConfig made;
    made.server = api_.url();
    return made;
  }
  Enrolment agent(const std::string& node, const std::string& folder) {
    return Enrolment(client_, log_,
                     {.folder = temp_.path(folder),
                      .key_dir = temp_.path("key-files"),
                      .own_ns = "firn-system",
                      .node = node,
                      .patience = std::chrono::seconds(0)});
  }
  std::vector<kube::NodeEnrolment> enrolments() {
    std::vector<kube::NodeEnrolment> all;
    for (const kube::Json& object : api_.below(kEnrolmentsPath)) {
      all.push_back(kube::enrolment_of(object));
    }
    return all;
  }
  /// What the controller does when it looks once.
  void control() {
    const auto all = enrolments();
    const controller::EnrolWorld world{client_, clock_, rng_, keys_};
    for (const kube::NodeEnrolment& one : all) {
      const auto verdict = controller::judge(one, {.all = all,
                                                   .gone = gone_,
                                                   .now = clock_.wall(),
                                                   .credentials_tag = keys_.tag_of("main", keys_.variables)});
      const auto done = controller::act(world, one, verdict);
      EXPECT_TRUE(done) << done.error().message;
    }
  }
  std::string reason(Enrolment& of) {
    const auto access = of.access("main");
    return access ? "opened" : access.error().reason;
  }
  /// Asked, answered and open.
  std::unique_ptr<repo::Repository> enrolled(Enrolment& of) {
    static_cast<void>(of.access("main"));
    control();
    auto access = of.access("main");
    if (!access) {
      throw std::runtime_error(access.error().message + kube::to_text(api_.below(kEnrolmentsPath)));
    }
    return must(repo::Repository::open(services_, world_.store, access->unlock));
  }
  void patch(const kube::NodeEnrolment& one, const kube::Json& with) {
    const std::string path = std::string(kEnrolmentsPath) + "/" + one.meta.name;
    kube::Json changed = api_.at(path);
    changed.merge_patch(with);
    api_.put(path, changed);
  }

  base::ThreadExecutor executor_{2};
  base::SystemRng rng_;
  base::SystemClock clock_;
  base::StopFlag stop_;
  Log log_{clock_, -1, "test"};
  TempDir temp_;
  kube::MemoryApi api_;
  kube::Client client_{executor_, rng_, stop_, config()};
  repo::World world_{executor_};
  repo::Services services_ = world_.services();
  OneRepository keys_{world_};
  std::set<std::string> gone_;
};

TEST_F(Enrolling, ANodeAsksIsAnsweredAndWrites) {
  Enrolment node = agent("n1", "keys");
  EXPECT_EQ(reason(node), "EnrolmentPending");
  const auto opened = enrolled(node);
  EXPECT_EQ(opened->keys().roles(), format::Roles{}.with(Role::Writer));
  const auto all = enrolments();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all.front().key_id, opened->keys().kid().hex());
  EXPECT_EQ(all.front().node, "n1");
  EXPECT_EQ(node.access("main")->variables, keys_.variables);
  // Nothing more is to be done.
  const std::string version = all.front().meta.version;
  control();
  EXPECT_EQ(enrolments().front().meta.version, version);
}

TEST_F(Enrolling, TheKeyIsMadeOnceForBothContainersAndReadableByItsOwnerAlone) {
  Enrolment backups = agent("n1", "keys");
  Enrolment restores = agent("n1", "keys");
  EXPECT_EQ(enrolled(backups)->keys().kid(), enrolled(restores)->keys().kid());
  EXPECT_EQ(enrolments().size(), 1U);
  struct stat info {};
  ASSERT_EQ(::stat(temp_.path("keys").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0700U);
  ASSERT_EQ(::stat(temp_.path("keys/main.pairs").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0600U);
}

TEST_F(Enrolling, AnAnswerForAnotherNodeIsOfNoUse) {
  Enrolment first = agent("n1", "one");
  Enrolment second = agent("n2", "two");
  enrolled(first);
  enrolled(second);
  for (const kube::NodeEnrolment& one : enrolments()) {
    if (one.node == "n2") {
      const auto all = enrolments();
      const auto other = std::find_if(all.begin(), all.end(), [](const auto& it) { return it.node == "n1"; });
      patch(one, {{"status", {{"sealedKeys", other->sealed_keys}}}});
    }
  }
  EXPECT_EQ(reason(second), "EnrolmentRefused");
  EXPECT_EQ(reason(first), "opened");
}

TEST_F(Enrolling, ANodeThatWasRevokedByHandStaysOutWithANewKeyToo) {
  Enrolment node = agent("n1", "keys");
  const auto opened = enrolled(node);
  const auto kid = opened->keys().kid();
  patch(enrolments().front(), {{"spec", {{"revoke", true}}}});
  EXPECT_EQ(reason(node), "NodeRevoked");
  control();
  EXPECT_EQ(reason(node), "NodeRevoked");
  EXPECT_TRUE(enrolments().front().sealed_keys.empty());
  const auto founder = must(repo::Repository::open(services_, world_.store, key_file_of(1)));
  EXPECT_TRUE(founder->keys().find(kid)->revoked);
  Enrolment anew = agent("n1", "fresh");
  EXPECT_EQ(reason(anew), "EnrolmentPending");
  control();
  EXPECT_EQ(reason(anew), "EnrolmentRefused");
}

TEST_F(Enrolling, ANodeThatComesBackMakesAnotherKey) {
  Enrolment node = agent("n1", "keys");
  const auto first = enrolled(node)->keys().kid();
  gone_ = {"n1"};
  control();
  gone_.clear();
  const auto second = enrolled(node)->keys().kid();
  EXPECT_NE(first, second);
  EXPECT_EQ(enrolments().size(), 2U);
}

TEST_F(Enrolling, ARevocationWaitsForTheKeysOpenSession) {
  Enrolment agent_of_node = agent("n1", "keys");
  static_cast<void>(agent_of_node.access("main"));
  control();
  kv::MemoryKv state(executor_);
  repo::Node node(world_, world_.store, state, agent_of_node.access("main")->unlock);
  auto session = must(node.session());
  gone_ = {"n1"};
  const auto all = enrolments();
  const controller::EnrolWorld world{client_, clock_, rng_, keys_};
  const controller::EnrolFacts facts{all, gone_, clock_.wall(), {}};
  EXPECT_FALSE(controller::act(world, all.front(), controller::judge(all.front(), facts)));
  EXPECT_EQ(enrolments().front().status_of("Revoked"), "False");
  session->end();
  control();
  EXPECT_EQ(enrolments().front().status_of("Revoked"), "True");
}

TEST_F(Enrolling, ChangedCredentialsReachTheNode) {
  Enrolment node = agent("n1", "keys");
  enrolled(node);
  const std::string before = node.access("main")->version;
  keys_.variables = {{"AWS_ACCESS_KEY_ID", "two"}};
  control();
  const auto access = node.access("main");
  EXPECT_EQ(access->variables, keys_.variables);
  EXPECT_NE(access->version, before);
}

TEST_F(Enrolling, AKeyFileThatSomebodyGaveIsUsedInstead) {
  temp_.write("key-files/main.key", std::string(32, 'k'));
  Enrolment node = agent("n1", "keys");
  EXPECT_TRUE(node.access("main")->unlock.key_file);
  EXPECT_TRUE(enrolments().empty());
}

/// Two nodes, a pod with a volume on the second, and snapshots that the first made.
class Granting : public Enrolling {
 protected:
  void SetUp() override {
    Enrolling::SetUp();
    enrolled(second_agent_);
    first_ = enrolled(first_agent_);
    second_ = enrolled(second_agent_);  // again: knows the other's key now
    const auto access = first_agent_.access("main");
    maker_.emplace(world_, world_.store, state_, access->unlock);
    own_ = make("claim-1", "app");
    newest_ = make("claim-1", "app");
    other_volume_ = make("claim-2", "app");
    foreign_ = make("claim-3", "secret");
    api_.put("/api/v1/namespaces/app/pods/p", pod("n2"));
    api_.put("/api/v1/namespaces/app/persistentvolumeclaims/c",
             {{"metadata", {{"name", "c"}, {"namespace", "app"}, {"uid", "claim-1"}}},
              {"spec", {{"volumeName", "pv"}}}});
    request_.meta.name = "r";
    request_.meta.ns = "app";
    request_.meta.uid = "request-uid";
    request_.node = "n2";
    request_.pod_name = "p";
    request_.pod_uid = "pod-uid";
    request_.volume = "data";
    request_.repository = "main";
    request_.grant_key = second_->keys().kid().hex();
  }
  static kube::Json pod(const std::string& node) {
    return {{"metadata", {{"name", "p"}, {"namespace", "app"}, {"uid", "pod-uid"}}},
            {"spec",
             {{"nodeName", node},
              {"volumes", {{{"name", "data"}, {"persistentVolumeClaim", {{"claimName", "c"}}}}}}}}};
  }
  format::SnapshotId make(const std::string& volume, const std::string& ns) {
    auto session = must(maker_->session());
    const auto tree = must(maker_->write(*session, {{"f", to_bytes(as_bytes(volume))}}));
    format::Snapshot snapshot;
    snapshot.source.id = format::volume_source_id(kCluster, volume);
    snapshot.source.ns = ns;
    snapshot.time = clock_.wall();
    snapshot.root = tree.id;
    snapshot.refs_root = tree.refs;
    const auto id = must(session->commit(std::move(snapshot), tree.t));
    session->end();
    return id;
  }
  Result<kube::Grant> grant() {
    const char* plural =
        request_.kind == kube::RequestKind::Backup ? "podvolumebackups" : "podvolumerestores";
    const std::string path = std::string("/apis/backup.firn.io/v1alpha1/namespaces/app/") + plural + "/r";
    api_.put(path, {{"metadata", {{"name", "r"}, {"namespace", "app"}, {"uid", "request-uid"}}},
                    {"spec", kube::Json::object()}});
    const controller::GrantWorld world{client_, keys_, "firn-system", kCluster};
    FIRN_TRY(controller::grant(world, request_, enrolments()));
    return kube::request_of(request_.kind, api_.at(path)).grant.value();
  }
  repo::SnapshotInfo info_of(const repo::Repository& with, const format::SnapshotId& id) {
    const auto cache = must(repo::ObjectCache::open(with, nullptr));
    const auto list = must(repo::list_snapshots(with, *cache, must(repo::load_maintenance(with, *cache))));
    return *must(repo::find_by_prefix(list, id.hex()));
  }
  /// The message of a refusal; empty when it was granted.
  std::string refused() {
    const auto granted = grant();
    return granted ? "" : granted.error().message;
  }

  Enrolment first_agent_ = agent("n1", "one");
  Enrolment second_agent_ = agent("n2", "two");
  std::unique_ptr<repo::Repository> first_;
  std::unique_ptr<repo::Repository> second_;
  kv::MemoryKv state_{executor_};
  std::optional<repo::Node> maker_;
  format::SnapshotId own_, newest_, other_volume_, foreign_;
  kube::Request request_;
};

TEST_F(Granting, ABackupGetsTheNewestSnapshotOfItsVolumeAndOpensIt) {
  const kube::Grant given = must(grant());
  EXPECT_EQ(given.snapshot, newest_.hex());
  const auto info = info_of(*second_, newest_);
  EXPECT_FALSE(repo::open_root(*second_, info));
  const auto root = must(controller::open_grant(*second_, info, given));
  EXPECT_EQ(format::chunk_id(root), info.snapshot.root);
}

TEST_F(Granting, ARestoreGetsTheSnapshotThatItNames) {
  request_.kind = kube::RequestKind::Restore;
  request_.snapshot = own_.hex().substr(0, 20);
  const kube::Grant given = must(grant());
  EXPECT_EQ(given.snapshot, own_.hex());
  EXPECT_TRUE(controller::open_grant(*second_, info_of(*second_, own_), given));
}

TEST_F(Granting, AGrantOpensForNoOtherNodeAndNoOtherSnapshot) {
  kube::Grant given = must(grant());
  EXPECT_FALSE(controller::open_grant(*first_, info_of(*first_, newest_), given));
  EXPECT_FALSE(controller::open_grant(*second_, info_of(*second_, own_), given));
  kube::Grant renamed = given;
  renamed.recipient = first_->keys().kid().hex();
  EXPECT_FALSE(controller::open_grant(*first_, info_of(*first_, newest_), renamed));
  renamed = given;
  renamed.snapshot = other_volume_.hex();
  EXPECT_FALSE(controller::open_grant(*second_, info_of(*second_, other_volume_), renamed));
  given.sealed = kube::base64_text(Bytes(80));
  EXPECT_FALSE(controller::open_grant(*second_, info_of(*second_, newest_), given));
  given.sealed = "?";
  EXPECT_FALSE(controller::open_grant(*second_, info_of(*second_, newest_), given));
}

TEST_F(Granting, OnlyForAPodThatIsBoundToTheNode) {
  api_.put("/api/v1/namespaces/app/pods/p", pod("n1"));
  EXPECT_THAT(refused(), HasSubstr("elsewhere"));
  api_.put("/api/v1/namespaces/app/pods/p", pod("n2"));
  request_.pod_uid = "an earlier one's";
  EXPECT_THAT(refused(), HasSubstr("another"));
  api_.remove("/api/v1/namespaces/app/pods/p");
  EXPECT_NE(refused(), "");
}

TEST_F(Granting, OnlyToTheNodesOwnKey) {
  request_.grant_key = first_->keys().kid().hex();
  EXPECT_THAT(refused(), HasSubstr("no node that is enrolled"));
  request_.grant_key = std::string(32, 'a');
  EXPECT_THAT(refused(), HasSubstr("no node that is enrolled"));
}

TEST_F(Granting, ASnapshotOfAnotherNamespaceOnlyWhereTheRepositoryAllowsIt) {
  request_.kind = kube::RequestKind::Restore;
  request_.snapshot = foreign_.hex();
  EXPECT_THAT(refused(), HasSubstr("namespace 'secret'"));
  request_.meta.ns = "other";
  EXPECT_THAT(refused(), HasSubstr("may not be used from namespace other"));
  request_.meta.ns = "app";
  kube::Json repository = api_.at("/apis/backup.firn.io/v1alpha1/namespaces/firn-system/repositories/main");
  repository["spec"]["crossNamespaceRestores"] = true;
  api_.put("/apis/backup.firn.io/v1alpha1/namespaces/firn-system/repositories/main", repository);
  EXPECT_EQ(refused(), "");
}

TEST_F(Granting, AVolumeWithoutSnapshotsGetsNothing) {
  api_.put("/api/v1/namespaces/app/persistentvolumeclaims/c",
           {{"metadata", {{"name", "c"}, {"namespace", "app"}, {"uid", "claim-9"}}},
            {"spec", {{"volumeName", "pv"}}}});
  EXPECT_THAT(refused(), HasSubstr("no snapshot"));
  request_.volume = "none";
  EXPECT_THAT(refused(), HasSubstr("no volume none"));
}

}  // namespace
}  // namespace firn::service
