// Restores into claims: what is made for one, and what its status repeats.
#include "agent/controller/claim_restores.h"

#include <gtest/gtest.h>

#include "agent/controller/janitor.h"
#include "agent/kube/times.h"

namespace firn::controller {
namespace {

using kube::Json;

base::WallTime at(const char* text) { return *kube::parse_time_text(text); }

ClaimRestore restore(const Json& claim = {{"name", "copy"}}) {
  Json object = Json::parse(R"({
    "metadata": {"name": "back", "namespace": "shop", "uid": "u1", "generation": 2,
                 "creationTimestamp": "2026-11-21T02:00:00Z"},
    "spec": {"repositoryRef": {"name": "main"}, "snapshotID": "ab", "mode": "Delta", "deadlineSeconds": 600,
             "cancel": false, "ttlSecondsAfterFinished": 60}})");
  object["spec"]["claim"] = claim;
  return claim_restore_of(object);
}

Json helper(const char* phase = "Running") {
  return {{"metadata", {{"name", "h"}, {"namespace", "shop"}, {"uid", "pod-uid"}}},
          {"spec", {{"nodeName", "n1"}}},
          {"status", {{"phase", phase}}}};
}

TEST(ClaimRestores, AClaimIsMadeAsItWasAskedForAndBelongsToNobody) {
  const Json made = claim_of(restore({{"name", "copy"}, {"size", "1Gi"}, {"storageClassName", "fast"}}));
  EXPECT_EQ(made["metadata"]["name"], "copy");
  EXPECT_EQ(made["metadata"]["namespace"], "shop");
  EXPECT_EQ(made["spec"]["resources"]["requests"]["storage"], "1Gi");
  EXPECT_EQ(made["spec"]["storageClassName"], "fast");
  EXPECT_EQ(made["spec"]["accessModes"], Json::array({"ReadWriteOnce"}));
  EXPECT_FALSE(made["metadata"].contains("ownerReferences"));
  EXPECT_FALSE(claim_of(restore({{"name", "copy"}, {"size", "1Gi"}}))["spec"].contains("storageClassName"));
}

TEST(ClaimRestores, AHelperMountsTheClaimAloneAndGoesWithItsRequest) {
  const Json pod_template = Json::parse(
      R"({"spec": {"volumes": [{"name": "volume", "emptyDir": {}}], "containers": [{"name": "hold"}]}})");
  const Json pod = helper_of(restore(), pod_template);
  EXPECT_EQ(pod["spec"]["volumes"],
            Json::parse(R"([{"name": "volume", "persistentVolumeClaim": {"claimName": "copy"}}])"));
  EXPECT_EQ(pod["metadata"]["ownerReferences"][0]["uid"], "u1");
  EXPECT_EQ(pod["metadata"]["namespace"], "shop");
  EXPECT_EQ(pod["metadata"]["labels"]["backup.firn.io/restore-uid"], "u1");
}

TEST(ClaimRestores, TheWorkIsARequestForTheHelperWithTheTimeThatIsLeft) {
  const Json work = work_of(restore(), helper(), at("2026-11-21T02:01:40Z"));
  const Json& spec = work["spec"];
  EXPECT_EQ(spec["nodeName"], "n1");
  EXPECT_EQ(spec["pod"], Json::parse(R"({"name": "h", "uid": "pod-uid"})"));
  EXPECT_EQ(spec["volume"], "volume");
  EXPECT_EQ(spec["mode"], "Delta");
  EXPECT_EQ(spec["snapshotID"], "ab");
  EXPECT_EQ(spec["deadlineSeconds"], 500);
  for (const char* taken : {"claim", "cancel", "ttlSecondsAfterFinished"}) {
    EXPECT_FALSE(spec.contains(taken)) << taken;
  }
}

TEST(ClaimRestores, WhatAHelperWaitsForIsSaid) {
  EXPECT_EQ(waiting_text(helper()), "");
  EXPECT_NE(waiting_text(helper("Pending")).find("is being started"), std::string::npos);
  Json refused = helper("Pending");
  refused["status"]["conditions"] =
      Json::array({{{"type", "PodScheduled"}, {"status", "False"}, {"message", "0/1 nodes"}}});
  EXPECT_NE(waiting_text(refused).find("0/1 nodes"), std::string::npos);
  Json no_image = helper("Pending");
  no_image["status"]["containerStatuses"] = Json::array(
      {{{"state", {{"waiting", {{"reason", "ErrImageNeverPull"}, {"message", "no such image"}}}}}}});
  EXPECT_NE(waiting_text(no_image).find("ErrImageNeverPull: no such image"), std::string::npos);
}

TEST(ClaimRestores, TheStatusIsTheWorks) {
  Json work = {{"status",
                {{"conditions", Json::array({{{"type", "Succeeded"},
                                              {"status", "Unknown"},
                                              {"reason", "Running"},
                                              {"message", "m"},
                                              {"lastTransitionTime", "2026-11-21T02:00:01Z"}}})},
                 {"progress", {{"files", 3}}},
                 {"acceptedTime", "2026-11-21T02:00:01Z"}}}};
  const base::WallTime now = at("2026-11-21T02:05:00Z");
  Json said = mirrored(restore(), work, now);
  EXPECT_EQ(said["progress"]["files"], 3);
  EXPECT_FALSE(said.contains("completionTime"));
  EXPECT_FALSE(said.contains("acceptedTime"));
  EXPECT_EQ(said["conditions"][0]["observedGeneration"], 2);
  work["status"]["conditions"][0]["status"] = "False";
  said = mirrored(restore(), work, now);
  EXPECT_EQ(said["completionTime"], "2026-11-21T02:05:00Z");
}

TEST(ClaimRestores, NoNodeIsNoReasonToFailOne) {
  kube::Request request = restore().request;
  EXPECT_EQ(judge(request, {"n1"}, at("2026-11-21T02:05:00Z")).act, Verdict::Act::Keep);
  EXPECT_EQ(judge(request, {"n1"}, at("2026-11-21T02:11:01Z")).reason, "DeadlineExceeded");
}

}  // namespace
}  // namespace firn::controller
