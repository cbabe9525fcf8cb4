// The agent's parts that need no cluster: the order of requests, where volumes lie on a host, whose history
// is whose.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/service/engine.h"
#include "agent/service/metrics.h"
#include "agent/service/queue.h"
#include "agent/service/secret_files.h"
#include "agent/service/volume.h"
#include "tests/support/temp_dir.h"

namespace firn::service {
namespace {

using test::TempDir;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> drained(Queue& queue) {
  std::vector<std::string> order;
  while (const auto next = queue.take()) {
    order.push_back(*next);
  }
  return order;
}

TEST(Queue, HigherPrioritiesGoFirstAndNamespacesTakeTurns) {
  Queue queue;
  for (int i = 1; i <= 3; ++i) {
    queue.put({.uid = "a" + std::to_string(i), .ns = "a", .priority = 0, .created = {i}});
  }
  queue.put({.uid = "b1", .ns = "b", .priority = 0, .created = {9}});
  queue.put({.uid = "urgent", .ns = "a", .priority = 5, .created = {99}});
  EXPECT_THAT(drained(queue), ElementsAre("urgent", "a1", "b1", "a2", "a3"));
}

TEST(Queue, ARequestThatIsRemovedOrMovedIsTakenOnceAtMost) {
  Queue queue;
  queue.put({.uid = "x", .ns = "a", .priority = 0, .created = {1}});
  queue.put({.uid = "x", .ns = "a", .priority = 7, .created = {1}});
  queue.put({.uid = "y", .ns = "a", .priority = 1, .created = {1}});
  EXPECT_EQ(queue.size(), 2U);
  EXPECT_TRUE(queue.remove("y"));
  EXPECT_FALSE(queue.remove("y"));
  EXPECT_THAT(drained(queue), ElementsAre("x"));
}

/// A kubelet's directories, as far as they matter.
class Volumes : public testing::Test {
 protected:
  void SetUp() override {
    places_.kubelet_root = temp_.path("kubelet");
    objects_.pod.meta.name = "p";
    objects_.pod.meta.ns = "ns";
    objects_.pod.meta.uid = "uid";
    objects_.pod.directory = "uid";
  }
  void has_volume(const std::string& name, kube::PodVolume::Kind kind) {
    kube::PodVolume volume;
    volume.name = name;
    volume.kind = kind;
    objects_.pod.volumes.push_back(volume);
    objects_.volume_name = name;
  }
  void is_claimed(const std::string& persistent) {
    objects_.claim.emplace();
    objects_.claim->meta.uid = "claim-uid";
    objects_.volume.emplace();
    objects_.volume->meta.name = persistent;
  }
  std::string pod_path(const std::string& below) const { return "kubelet/pods/uid/volumes/" + below; }
  std::string reason() {
    const auto opened = open_volume(places_, objects_);
    return opened ? "opened" : opened.error().reason;
  }

  TempDir temp_;
  HostPlaces places_;
  VolumeObjects objects_;
};

TEST_F(Volumes, AnEmptyDirIsADirectoryOfThePod) {
  temp_.write(pod_path("kubernetes.io~empty-dir/e/file"), "x");
  has_volume("e", kube::PodVolume::Kind::EmptyDir);
  const auto opened = open_volume(places_, objects_);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(::access((opened->path_of_descriptor() + "/file").c_str(), F_OK), 0);
  EXPECT_TRUE(still_there(places_, objects_, *opened));
}

TEST_F(Volumes, ADirectoryThatIsNoMountIsRefused) {
  temp_.make_dirs(pod_path("kubernetes.io~nfs/n"));
  has_volume("n", kube::PodVolume::Kind::Nfs);
  EXPECT_EQ(reason(), "VolumeNotMounted");
  objects_.pod.volumes.front().in_memory = true;
  temp_.make_dirs(pod_path("kubernetes.io~empty-dir/m"));
  has_volume("m", kube::PodVolume::Kind::EmptyDir);
  objects_.pod.volumes.back().in_memory = true;
  EXPECT_EQ(reason(), "VolumeNotMounted");
}

TEST_F(Volumes, ThePluginIsReadFromTheDirectoryAndMustBeOne) {
  has_volume("v", kube::PodVolume::Kind::Claim);
  is_claimed("pv-1");
  EXPECT_EQ(reason(), "KubeletRootNotFound");
  temp_.make_dirs("kubelet/pods");
  EXPECT_EQ(reason(), "VolumeNotFound");
  temp_.make_dirs(pod_path("kubernetes.io~local-volume/pv-1"));
  EXPECT_EQ(reason(), "VolumeNotMounted");  // found
  temp_.make_dirs(pod_path("kubernetes.io~aws-ebs/pv-1"));
  EXPECT_EQ(reason(), "VolumeAmbiguous");
}

TEST_F(Volumes, ACsiVolumeMustBeTheOneOfThePersistentVolume) {
  has_volume("v", kube::PodVolume::Kind::Claim);
  is_claimed("pv-1");
  objects_.volume->csi_driver = "driver";
  objects_.volume->csi_handle = "handle";
  temp_.make_dirs(pod_path("kubernetes.io~csi/pv-1/mount"));
  EXPECT_EQ(reason(), "VolumeNotFound");
  const std::string data = pod_path("kubernetes.io~csi/pv-1/vol_data.json");
  temp_.write(data, R"({"specVolID":"pv-1","driverName":"driver","volumeHandle":"another"})");
  EXPECT_EQ(reason(), "VolumeMismatch");
  temp_.write(data, R"({"specVolID":"pv-1","driverName":"driver","volumeHandle":"handle"})");
  EXPECT_EQ(reason(), "VolumeNotMounted");
}

TEST_F(Volumes, ALinkInTheWayIsNotFollowed) {
  temp_.write("elsewhere/secret", "x");
  temp_.make_dirs(pod_path("kubernetes.io~empty-dir"));
  temp_.symlink(temp_.path("elsewhere"), pod_path("kubernetes.io~empty-dir/e"));
  has_volume("e", kube::PodVolume::Kind::EmptyDir);
  EXPECT_EQ(reason(), "VolumeNotFound");
}

TEST_F(Volumes, HostPathsAreOpenedBelowTheAllowedDirectoriesAlone) {
  temp_.write("host/open/data/file", "x");
  temp_.write("host/closed/file", "x");
  temp_.write("host/openly/file", "x");
  temp_.symlink("/closed", "host/open/out");
  temp_.symlink("/open/data", "host/open/in");
  places_.host_root = temp_.path("host");
  places_.host_paths_allowed = {"/open"};
  has_volume("h", kube::PodVolume::Kind::HostPath);
  for (const auto& [path, wanted] : {std::pair{"/open/data", "opened"},
                                     {"/open/in", "opened"},
                                     {"/open/gone", "VolumeNotFound"},
                                     {"/closed", "HostPathNotAllowed"},
                                     {"/openly", "HostPathNotAllowed"},
                                     {"/open/out", "HostPathNotAllowed"},
                                     {"/open/../closed", "HostPathNotAllowed"}}) {
    objects_.pod.volumes.front().host_path = path;
    EXPECT_EQ(reason(), wanted) << path;
  }
}

TEST_F(Volumes, BlockDevicesAndGeneratedVolumesAreRefused) {
  has_volume("s", kube::PodVolume::Kind::Generated);
  EXPECT_EQ(reason(), "VolumeKindNotSupported");
  has_volume("b", kube::PodVolume::Kind::Claim);
  is_claimed("pv");
  objects_.claim->block = true;
  EXPECT_EQ(reason(), "BlockVolume");
  objects_.volume_name = "none";
  EXPECT_EQ(reason(), "VolumeNotFound");
}

TEST_F(Volumes, AVolumeKeepsItsHistoryWhateverItsPodIsCalled) {
  objects_.volume_name = "v";
  EXPECT_EQ(volume_identity(objects_), "ns/Pod/p/v");
  kube::Meta& meta = objects_.pod.meta;
  meta.owner_kind = "ReplicaSet";
  meta.owner_name = "web-5d8c9";
  meta.labels["pod-template-hash"] = "5d8c9";
  EXPECT_EQ(volume_identity(objects_), "ns/Deployment/web/v");
  meta.owner_kind = "StatefulSet";
  meta.owner_name = "db";
  EXPECT_EQ(volume_identity(objects_), "ns/StatefulSet/p/v");
  meta.owner_kind = "DaemonSet";
  objects_.pod.node = "n1";
  EXPECT_EQ(volume_identity(objects_), "ns/DaemonSet/db@n1/v");
  is_claimed("pv");
  EXPECT_EQ(volume_identity(objects_), "claim-uid");
}

TEST(SecretFiles, AKeyOrAPasswordOpensAndNoneSaysWhereItWasLookedFor) {
  const TempDir temp;
  const auto none = read_unlock(temp.path(), "main");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().reason, "KeyMissing");
  EXPECT_THAT(none.error().message, HasSubstr(temp.path("main.key")));
  temp.write("main.password", "secret\n");
  const auto password = read_unlock(temp.path(), "main");
  ASSERT_TRUE(password);
  EXPECT_EQ(as_text(password->password->bytes()), "secret");
  temp.write("main.key", "no key");
  EXPECT_EQ(read_unlock(temp.path(), "main").error().reason, "WrongKey");
  temp.write("main.key", std::string(32, 'k'));
  EXPECT_TRUE(read_unlock(temp.path(), "main")->key_file);
}

TEST(Metrics, AreWrittenAsPrometheusReadsThem) {
  Metrics metrics;
  metrics.backup_ended("failure", "VolumeNotFound");
  metrics.queue_length(3);
  const std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("firn_backups_total{reason=\"VolumeNotFound\",result=\"failure\"} 1"));
  EXPECT_THAT(text, HasSubstr("firn_queue_length 3"));
}

TEST(Shares, FitIntoTheBudgetWhateverTheNumberOfJobs) {
  for (const std::uint64_t total : {64ULL << 20, 96ULL << 20, 192ULL << 20, 256ULL << 20}) {
    const Shares shares = share_memory(total, 2);
    SCOPED_TRACE(total);
    EXPECT_GE(shares.packs, 48ULL << 20);
    EXPECT_LE(shares.packs + shares.index + shares.windows, total);
  }
}

}  // namespace
}  // namespace firn::service
