// What the controller decides about nodes that ask for keys.
#include <gtest/gtest.h>

#include "agent/controller/enrol.h"
#include "agent/controller/grant.h"
#include "agent/kube/base64.h"

namespace firn::controller {
namespace {

using Act = EnrolVerdict::Act;
constexpr std::int64_t kDay = 24LL * 3600 * 1'000'000'000;
constexpr base::WallTime kNow{1000 * kDay};

base::WallTime in_days(std::int64_t days) { return {kNow.nanoseconds + days * kDay}; }

class Judge : public testing::Test {
 protected:
  /// A node's enrolment as it is made, with a good proof.
  kube::NodeEnrolment asks(const std::string& node) {
    const auto pairs = repo::NodePairs::make(rng_);
    const repo::Applicant applicant{.repository = "firn-system/main",
                                    .node = node,
                                    .sign_key = pairs.sign_pair.public_key(),
                                    .seal_key = pairs.seal_pair.public_key()};
    kube::NodeEnrolment made;
    made.meta.ns = "firn-system";
    made.meta.name = node + "-" + std::to_string(++serial_);
    made.meta.uid = made.meta.name;
    made.meta.created = in_days(-50 + serial_);
    made.node = node;
    made.repository = "main";
    made.signing_key = kube::base64_text(applicant.sign_key.bytes);
    made.sealing_key = kube::base64_text(applicant.seal_key.bytes);
    made.proof = kube::base64_text(repo::prove(applicant, pairs).bytes);
    return made;
  }
  kube::NodeEnrolment certified(const std::string& node, base::WallTime not_after = in_days(50)) {
    kube::NodeEnrolment made = asks(node);
    say(made, "Certified", "True", "Issued");
    made.key_id = "kid-" + made.meta.name;
    made.not_after = not_after;
    return made;
  }
  static void say(kube::NodeEnrolment& of, const char* type, const char* status, const char* reason) {
    kube::set(of.conditions, {.type = type, .status = status, .reason = reason, .message = {}, .since = {}},
              kNow);
  }
  EnrolVerdict verdict(const kube::NodeEnrolment& one, std::vector<kube::NodeEnrolment> others = {}) {
    others.push_back(one);
    return judge(one, {.all = others, .gone = gone_, .now = kNow, .credentials_tag = tag_});
  }

  base::SeededRng rng_{1};
  int serial_ = 0;
  std::set<std::string> gone_{"lost"};
  std::string tag_;
};

TEST_F(Judge, WhoProvesItsKeysIsCertified) { EXPECT_EQ(verdict(asks("n1")).act, Act::Certify); }

TEST_F(Judge, AProofOfAnotherNodeRepositoryOrKeyIsRefused) {
  const kube::NodeEnrolment good = asks("n1");
  std::vector<kube::NodeEnrolment> bad(6, good);
  bad[0].node = "n2";
  bad[1].repository = "second";
  bad[2].sealing_key = asks("n1").sealing_key;
  bad[3].proof = asks("n1").proof;
  bad[4].signing_key = "AAAA";
  bad[5].proof = "?";
  for (kube::NodeEnrolment& one : bad) {
    const EnrolVerdict said = verdict(one);
    EXPECT_EQ(said.act, Act::Refuse);
    EXPECT_EQ(said.reason, "ProofInvalid");
    // It is said once.
    say(one, "Certified", "False", "ProofInvalid");
    EXPECT_EQ(verdict(one).act, Act::Nothing);
  }
}

TEST_F(Judge, ANodeThatIsGoneGetsNothingAndLosesWhatItHas) {
  EXPECT_EQ(verdict(asks("lost")).reason, "NodeGone");
  const EnrolVerdict had = verdict(certified("lost"));
  EXPECT_EQ(had.act, Act::Revoke);
  EXPECT_EQ(had.reason, "NodeGone");
}

TEST_F(Judge, WhatSomebodyRevokesKeepsTheNodeOutUntilItIsDeleted) {
  kube::NodeEnrolment stolen = certified("n1");
  stolen.revoke = true;
  EXPECT_EQ(verdict(stolen).act, Act::Revoke);
  say(stolen, "Revoked", "True", "Asked");
  stolen.not_after = in_days(-10);
  EXPECT_EQ(verdict(stolen).act, Act::Nothing);
  const kube::NodeEnrolment next = asks("n1");
  EXPECT_EQ(verdict(next, {stolen}).reason, "NodeRevoked");
  EXPECT_EQ(verdict(asks("n2"), {stolen}).act, Act::Certify);
  EXPECT_EQ(verdict(next).act, Act::Certify);
}

TEST_F(Judge, ACertificateIsRenewedAMonthBeforeItEndsForTheNodesNewestKeyAlone) {
  EXPECT_EQ(verdict(certified("n1", in_days(31))).act, Act::Nothing);
  EXPECT_EQ(verdict(certified("n1", in_days(30))).act, Act::Certify);
  EXPECT_EQ(verdict(certified("n1", in_days(-5))).act, Act::Certify);
  const kube::NodeEnrolment old = certified("n1", in_days(20));
  const kube::NodeEnrolment newer = certified("n1");
  EXPECT_EQ(verdict(old, {newer}).act, Act::Nothing);
  EXPECT_EQ(verdict(certified("n1", in_days(20)), {certified("n2")}).act, Act::Certify);
}

TEST_F(Judge, WhatEndedIsDeletedADayLater) {
  kube::NodeEnrolment old = certified("n1", in_days(-1));
  const kube::NodeEnrolment newer = certified("n1");
  EXPECT_EQ(verdict(old, {newer}).act, Act::Nothing);
  old.not_after = in_days(-2);
  EXPECT_EQ(verdict(old, {newer}).act, Act::Delete);
  kube::NodeEnrolment revoked = certified("lost", in_days(-2));
  EXPECT_EQ(verdict(revoked).act, Act::Delete);
}

TEST_F(Judge, ANodeHasNoMoreThanAFewKeys) {
  std::vector<kube::NodeEnrolment> many;
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(verdict(asks("n1"), many).act, Act::Certify) << i;
    many.push_back(certified("n1"));
  }
  EXPECT_EQ(verdict(asks("n1"), many).reason, "TooManyKeys");
  EXPECT_EQ(verdict(asks("n2"), many).act, Act::Certify);
}

TEST_F(Judge, ChangedCredentialsAreSealedAnew) {
  kube::NodeEnrolment one = certified("n1");
  tag_ = "new";
  EXPECT_EQ(verdict(one).act, Act::SealAgain);
  one.credentials_tag = "new";
  EXPECT_EQ(verdict(one).act, Act::Nothing);
}

TEST_F(Judge, AGrantGoesToTheNodesOwnCertifiedKeyAlone) {
  const kube::NodeEnrolment own = certified("n1");
  kube::Request request;
  request.node = "n1";
  request.repository = "main";
  request.grant_key = own.key_id;
  EXPECT_NE(recipient_of(request, {certified("n1"), own}), nullptr);
  EXPECT_EQ(recipient_of(request, {certified("n1")}), nullptr);
  request.node = "n2";
  EXPECT_EQ(recipient_of(request, {own}), nullptr);
  request.node = "n1";
  request.repository = "second";
  EXPECT_EQ(recipient_of(request, {own}), nullptr);
  request.repository = "main";
  std::vector<kube::NodeEnrolment> out(4, own);
  out[0].revoke = true;
  say(out[1], "Revoked", "True", "NodeGone");
  say(out[2], "Certified", "False", "NodeGone");
  out[3].meta.deleting = true;
  EXPECT_EQ(recipient_of(request, out), nullptr);
}

}  // namespace
}  // namespace firn::controller
