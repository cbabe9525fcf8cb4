// A node that holds nothing becomes a writer: what opens for it, what for nobody else, and what an issuer's
// word is worth.
#include "repo/enrol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "repo/revoke.h"
#include "repo/snapshots.h"
#include "tests/repo/rig.h"

namespace firn::repo {
namespace {

using format::Role;
using format::Roles;
using testing::HasSubstr;

constexpr Roles kController = Roles{}.with(Role::Issuer).with(Role::Reader);
constexpr std::chrono::hours kMonth{24 * 30};

class Enrol : public testing::Test {
 protected:
  void SetUp() override {
    make_repository(world);
    auto founder = must(open(1));
    NewKeyOptions options;
    options.roles = kController;
    must(add_key(services, world.store, founder->keys(), founder->config(), key_file_of(2), options));
    controller = must(open(2));
  }
  Result<std::unique_ptr<Repository>> open(int number) {
    return Repository::open(services, world.store, key_file_of(number));
  }
  Result<Certified> certify(const Repository& by, const Applicant& who) {
    return certify_writer(services, world.store, by.keys(), by.config(),
                          {.sign_key = who.sign_key,
                           .seal_key = who.seal_key,
                           .user = "controller",
                           .host = who.node,
                           .validity = kMonth});
  }
  Applicant applicant(const NodePairs& own, const std::string& node = "node-1") {
    return {.repository = "firn-system/main",
            .node = node,
            .sign_key = own.sign_pair.public_key(),
            .seal_key = own.seal_pair.public_key()};
  }
  Bytes sealed_to(const Applicant& who) {
    return must(seal_writer_keys(controller->keys(), who, world.rng.bytes<32>()));
  }
  Result<std::unique_ptr<Repository>> open_as(const Applicant& who, const NodePairs& own) {
    Unlock unlock;
    unlock.secrets = must(open_writer_keys(who, own, sealed_to(who)));
    return Repository::open(services, world.store, unlock);
  }

  base::ThreadExecutor executor{2};
  World world{executor};
  Services services = world.services();
  std::unique_ptr<Repository> controller;
  NodePairs pairs = NodePairs::make(world.rng);
};

TEST_F(Enrol, ANodeWithAnIssuersWordIsAWriterAndNothingElse) {
  const Applicant who = applicant(pairs);
  const Certified certified = must(certify(*controller, who));
  const auto node = must(open_as(who, pairs));
  EXPECT_EQ(node->keys().kid(), who.kid());
  EXPECT_EQ(node->keys().roles(), Roles{}.with(Role::Writer));
  EXPECT_TRUE(node->keys().may_act_as(Role::Writer, services.clock.wall()));
  EXPECT_FALSE(node->keys().may_act_as(Role::Reader, services.clock.wall()));
  EXPECT_FALSE(node->keys().may_act_as(Role::Writer, certified.not_after));
  EXPECT_FALSE(certify(*node, applicant(NodePairs::make(world.rng))));
}

TEST_F(Enrol, WithoutACertificateTheSameKeysOpenNothing) {
  const auto opened = open_as(applicant(pairs), pairs);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::Unavailable) << "a store may show it later";
}

TEST_F(Enrol, WhatWasSealedOpensForThatNodeKeyAndRepositoryAlone) {
  const Applicant who = applicant(pairs);
  const Bytes sealed = sealed_to(who);
  EXPECT_TRUE(open_writer_keys(who, pairs, sealed));
  const NodePairs other = NodePairs::make(world.rng);
  EXPECT_FALSE(open_writer_keys(applicant(other), other, sealed));
  EXPECT_FALSE(open_writer_keys(who, other, sealed));
  EXPECT_FALSE(open_writer_keys(applicant(pairs, "node-2"), pairs, sealed));
  Applicant elsewhere = who;
  elsewhere.repository = "firn-system/second";
  EXPECT_FALSE(open_writer_keys(elsewhere, pairs, sealed));
  EXPECT_FALSE(open_store_variables(who, pairs, sealed));
  for (std::size_t at = 0; at < sealed.size(); at += 7) {
    Bytes damaged = sealed;
    damaged[at] ^= std::byte{1};
    EXPECT_FALSE(open_writer_keys(who, pairs, damaged)) << at;
  }
}

TEST_F(Enrol, AProofIsOfTheNodeTheRepositoryAndBothKeys) {
  const Applicant who = applicant(pairs);
  const auto proof = prove(who, pairs);
  EXPECT_TRUE(proof_is_valid(who, proof));
  EXPECT_FALSE(proof_is_valid(applicant(pairs, "node-2"), proof));
  // The border between the two texts is part of what is signed.
  Applicant shifted = who;
  shifted.repository = "firn-system/mai";
  shifted.node = "nnode-1";
  EXPECT_FALSE(proof_is_valid(shifted, proof));
  const NodePairs other = NodePairs::make(world.rng);
  Applicant swapped = who;
  swapped.seal_key = other.seal_pair.public_key();
  EXPECT_FALSE(proof_is_valid(swapped, proof));
  EXPECT_FALSE(proof_is_valid(who, prove(who, other)));
}

TEST_F(Enrol, ARenewedCertificateIsTheNextOneAndARevokedKeyGetsNone) {
  const Applicant who = applicant(pairs);
  EXPECT_EQ(must(certify(*controller, who)).n, 1U);
  EXPECT_EQ(must(certify(*controller, who)).n, 2U);
  const auto founder = must(open(1));
  const auto cache = must(ObjectCache::open(*founder, nullptr));
  must(revoke_key(*founder, *cache, who.kid(), {}));
  controller = must(open(2));
  const auto again = certify(*controller, who);
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, HasSubstr("revoked"));
}

TEST_F(Enrol, AnotherRolesKeyIsNotMadeAWriters) {
  const auto founder = must(open(1));
  Applicant who = applicant(pairs);
  who.sign_key = founder->keys().sign_pair().public_key();
  who.seal_key = founder->keys().seal_pair().public_key();
  const auto certified = certify(*controller, who);
  ASSERT_FALSE(certified);
  EXPECT_EQ(certified.error().code, ErrorCode::Invalid);
}

TEST_F(Enrol, TheStoresCredentialsComeBackAsTheyWere) {
  const Applicant who = applicant(pairs);
  const StoreVariables variables{{"AWS_ACCESS_KEY_ID", "AKIA"}, {"AWS_SECRET_ACCESS_KEY", ""}, {"X", "a\nb"}};
  const Bytes sealed = must(seal_store_variables(variables, who, world.rng.bytes<32>()));
  EXPECT_EQ(must(open_store_variables(who, pairs, sealed)), variables);
  EXPECT_FALSE(open_store_variables(applicant(pairs, "node-2"), pairs, sealed));
  EXPECT_FALSE(seal_store_variables({{"X", std::string(9000, 'x')}}, who, world.rng.bytes<32>()));
}

TEST_F(Enrol, ANodesFileHasBothPairs) {
  const NodePairs again = must(parse_node_pairs(encode(pairs).bytes()));
  EXPECT_EQ(again.kid(), pairs.kid());
  EXPECT_FALSE(parse_node_pairs(encode(pairs).bytes().first(63)));
}

}  // namespace
}  // namespace firn::repo
