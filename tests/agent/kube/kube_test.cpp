// The API client against a server that misbehaves: expired versions, conflicts, half-sent events, busy and
// broken answers. What a real server does is tested by tests/cluster.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <deque>

#include "agent/kube/client.h"
#include "agent/kube/config.h"
#include "agent/kube/requests.h"
#include "agent/kube/times.h"
#include "agent/kube/watch.h"
#include "tests/agent/kube/fake_api.h"
#include "tests/support/temp_dir.h"

namespace firn::kube {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// Threads as ever, and no waiting.
class HurriedExecutor final : public base::Executor {
 public:
  std::unique_ptr<base::Task> spawn(std::string_view name, std::function<void()> body) override {
    return threads_.spawn(name, std::move(body));
  }
  std::unique_ptr<base::Condition> make_condition() override { return threads_.make_condition(); }
  void sleep_for(std::chrono::nanoseconds) override { ++sleeps; }
  void yield() override {}
  unsigned cpu_count() const override { return 1; }
  const base::Clock& clock() const override { return threads_.clock(); }

  std::atomic<int> sleeps{0};

 private:
  base::ThreadExecutor threads_;
};

class KubeTest : public testing::Test {
 protected:
  Client client(const FakeApi& api) { return client(api, stop_); }
  Client client(const FakeApi& api, const base::StopFlag& stop) {
    ClusterConfig config;
    config.server = api.url();
    config.token = "secret";
    return Client(executor_, rng_, stop, config);
  }

  HurriedExecutor executor_;
  base::SystemRng rng_;
  base::StopFlag stop_;
};

std::string status(int code, const std::string& reason) {
  return to_text({{"kind", "Status"}, {"code", code}, {"reason", reason}, {"message", "told: " + reason}});
}

Json object(const std::string& uid, const std::string& version = "5") {
  return {{"metadata", {{"name", "n-" + uid}, {"uid", uid}, {"resourceVersion", version}}}};
}

std::string event(const char* type, const Json& what) {
  return to_text({{"type", type}, {"object", what}}) + "\n";
}

std::string initial_end(const std::string& version) {
  return event("BOOKMARK",
               {{"metadata",
                 {{"resourceVersion", version}, {"annotations", {{"k8s.io/initial-events-end", "true"}}}}}});
}

std::string list_of(const std::vector<std::string>& uids, const std::string& version,
                    const std::string& next = {}) {
  Json items = Json::array();
  for (const std::string& uid : uids) {
    items.push_back(object(uid));
  }
  return to_text({{"metadata", {{"resourceVersion", version}, {"continue", next}}}, {"items", items}});
}

TEST_F(KubeTest, AListIsReadPageByPage) {
  FakeApi api([](const Asked& asked) {
    return asked.has("continue=p2") ? Answer{.body = list_of({"c"}, "9")}
                                    : Answer{.body = list_of({"a", "b"}, "9", "p2")};
  });
  std::vector<std::string> seen;
  const auto version =
      client(api).list({.resource = kPods, .ns = {}, .fields = "spec.nodeName=n1", .labels = {}},
                       [&](const Json& item) -> Result<> {
                         seen.push_back(meta_of(item).uid);
                         return {};
                       });
  ASSERT_TRUE(version) << version.error().message;
  EXPECT_EQ(*version, "9");
  EXPECT_THAT(seen, ElementsAre("a", "b", "c"));
  EXPECT_THAT(api.asked()[0].path, HasSubstr("fieldSelector=spec.nodeName%3Dn1"));
  EXPECT_THAT(api.asked()[0].head, HasSubstr("Authorization: Bearer secret"));
}

TEST_F(KubeTest, ManagedFieldsAreLeftOut) {
  const std::string body =
      R"({"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"uid":"a","managedFields":[{"x":{"y":1}}]}}]})";
  int items = 0;
  ASSERT_TRUE(visit_items(body, [&](const Json& item) -> Result<> {
    ++items;
    EXPECT_EQ(to_text(item), R"({"metadata":{"uid":"a"}})");
    return {};
  }));
  EXPECT_EQ(items, 1);
}

TEST_F(KubeTest, AnAnswerThatIsNoListIsCorrupt) {
  for (const char* body : {"", "[]", "{\"items\":[", "null", "x"}) {
    SCOPED_TRACE(body);
    const auto visited = visit_items(body, [](const Json&) -> Result<> { return {}; });
    ASSERT_FALSE(visited);
    EXPECT_EQ(visited.error().code, ErrorCode::Corrupt);
  }
}

TEST_F(KubeTest, ABusyServerIsAskedAgain) {
  std::atomic<int> count{0};
  FakeApi api([&](const Asked&) {
    const int n = count++;
    return n == 0   ? Answer{.status = 429,
                             .body = status(429, "TooManyRequests"),
                             .headers = "Retry-After: 1\r\n"}
           : n == 1 ? Answer{.status = 503, .body = "upstream is away"}
           : n == 2 ? Answer{.body = "{\"metadata\":", .breaks_off = true}
                    : Answer{.body = to_text(object("a"))};
  });
  const auto found = client(api).get({kPods, "ns", "a", {}});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(meta_of(*found).uid, "a");
  EXPECT_EQ(count, 4);
}

TEST_F(KubeTest, RefusalsSayWhatToDo) {
  struct Case {
    int status;
    const char* reason;
    ErrorCode code;
  };
  for (const Case& one :
       {Case{403, "Forbidden", ErrorCode::Denied}, Case{404, "NotFound", ErrorCode::NotFound},
        Case{409, "Conflict", ErrorCode::Changed}, Case{409, "AlreadyExists", ErrorCode::Exists},
        Case{410, "Expired", ErrorCode::Changed}, Case{422, "Invalid", ErrorCode::Invalid}}) {
    SCOPED_TRACE(one.reason);
    FakeApi api(
        [&](const Asked&) { return Answer{.status = one.status, .body = status(one.status, one.reason)}; });
    const auto found = client(api).get({kPods, "ns", "a", {}});
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().code, one.code);
    EXPECT_THAT(found.error().message, HasSubstr(std::string("told: ") + one.reason));
  }
}

TEST_F(KubeTest, AChangeIsMadeAgainWhileOthersChangeTheObject) {
  std::atomic<int> puts{0};
  FakeApi api([&](const Asked& asked) {
    if (asked.method == "GET") {
      return Answer{.body = to_text(object("a", std::to_string(puts)))};
    }
    return ++puts < 4 ? Answer{.status = 409, .body = status(409, "Conflict")} : Answer{.body = asked.body};
  });
  const auto changed = client(api).change({kLeases, "ns", "a", {}}, [](Json& found) -> Result<bool> {
    found["spec"]["holder"] = "me";
    return true;
  });
  ASSERT_TRUE(changed) << changed.error().message;
  EXPECT_EQ(text_of(member(*changed, "metadata", "resourceVersion")), "3");  // the last one that was read
  EXPECT_EQ(puts, 4);
}

TEST_F(KubeTest, ATokenThatIsRefusedIsReadAgain) {
  const test::TempDir temp;
  temp.write("token", "old\n");
  FakeApi api([&](const Asked& asked) {
    if (asked.head.find("Bearer old") != std::string::npos) {
      temp.write("token", "new\n");
      return Answer{.status = 401, .body = status(401, "Unauthorized")};
    }
    return Answer{.body = to_text(object("a"))};
  });
  ClusterConfig config;
  config.server = api.url();
  config.token_file = temp.path("token");
  Client client(executor_, rng_, stop_, config);
  const auto found = client.get({kPods, "ns", "a", {}});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_THAT(api.asked().back().head, HasSubstr("Bearer new"));
}

/// Writes down what it is told, and stops the watch when it has heard enough.
class Listener final : public Follower {
 public:
  Listener(base::StopFlag& stop, std::size_t enough) : stop_(stop), enough_(enough) {}
  void there(const Json& object) override { note("+" + meta_of(object).uid); }
  void gone(const std::string& uid) override { note("-" + uid); }
  void complete() override { note("complete"); }
  void problem(const Error& error) override { problems.push_back(error.message); }

  std::vector<std::string> heard;
  std::vector<std::string> problems;

 private:
  void note(std::string what) {
    heard.push_back(std::move(what));
    if (heard.size() == enough_) {
      stop_.request();
    }
  }
  base::StopFlag& stop_;
  const std::size_t enough_;
};

/// Answers watches and lists from a script, then never anything new.
class Script {
 public:
  explicit Script(std::deque<Answer> answers) : answers_(std::move(answers)) {}
  Answer operator()(const Asked&) {
    if (answers_.empty()) {
      return Answer{.body = "", .says_length = false};
    }
    Answer next = answers_.front();
    answers_.pop_front();
    next.says_length = next.status != 200;
    return next;
  }

 private:
  std::deque<Answer> answers_;
};

TEST_F(KubeTest, AWatchBeginsWithOneStreamAndGoesOnFromItsBookmark) {
  FakeApi api(Script({{.body = event("ADDED", object("a")) + event("ADDED", object("b")) + initial_end("7") +
                               event("BOOKMARK", object("", "12"))},
                      {.body = event("MODIFIED", object("a", "13")) + event("DELETED", object("b", "14"))}}));
  Client one = client(api);
  Listener listener(stop_, 5);
  Watch(one, {.resource = kPods, .ns = {}, .fields = {}, .labels = {}}, listener).run();
  EXPECT_THAT(listener.heard, ElementsAre("+a", "+b", "complete", "+a", "-b"));
  const auto asked = api.asked();
  EXPECT_TRUE(asked[0].has("sendInitialEvents=true")) << asked[0].path;
  EXPECT_TRUE(asked[1].has("&resourceVersion=12&")) << asked[1].path;
}

TEST_F(KubeTest, AServerWithoutInitialEventsIsListedAndWatched) {
  FakeApi api(Script({{.status = 422, .body = status(422, "Invalid")},
                      {.body = list_of({"a"}, "7")},
                      {.body = event("ADDED", object("b", "8"))}}));
  Client one = client(api);
  Listener listener(stop_, 3);
  Watch(one, {.resource = kPods, .ns = {}, .fields = {}, .labels = {}}, listener).run();
  EXPECT_THAT(listener.heard, ElementsAre("+a", "complete", "+b"));
  EXPECT_TRUE(api.asked()[2].has("&resourceVersion=7&"));
}

TEST_F(KubeTest, AnExpiredVersionIsListedAgainAndTheLostAreGone) {
  for (const bool in_stream : {true, false}) {
    SCOPED_TRACE(in_stream);
    base::StopFlag stop;
    const Answer expired = in_stream ? Answer{.body = event("ERROR", {{"code", 410}, {"reason", "Expired"}})}
                                     : Answer{.status = 410, .body = status(410, "Expired")};
    FakeApi api(
        Script({{.body = event("ADDED", object("a")) + event("ADDED", object("b")) + initial_end("7")},
                expired,
                {.body = event("ADDED", object("b")) + event("ADDED", object("c")) + initial_end("20")}}));
    Client one = client(api, stop);
    Listener listener(stop, 7);
    Watch(one, {.resource = kPods, .ns = {}, .fields = {}, .labels = {}}, listener).run();
    EXPECT_THAT(listener.heard, ElementsAre("+a", "+b", "complete", "+b", "+c", "-a", "complete"));
  }
}

TEST_F(KubeTest, HalfAnEventIsNothingAndTheWatchGoesOnBehindTheLastWholeOne) {
  const std::string whole = event("ADDED", object("b", "8"));
  FakeApi api(Script({{.body = event("ADDED", object("a")) + initial_end("7")},
                      {.body = whole + event("ADDED", object("c", "9")).substr(0, 30)},
                      {.body = event("ADDED", object("c", "9"))}}));
  Client one = client(api);
  Listener listener(stop_, 4);
  Watch(one, {.resource = kPods, .ns = {}, .fields = {}, .labels = {}}, listener).run();
  EXPECT_THAT(listener.heard, ElementsAre("+a", "complete", "+b", "+c"));
  EXPECT_TRUE(api.asked()[2].has("&resourceVersion=8&")) << api.asked()[2].path;
}

TEST_F(KubeTest, WhatIsNoEventIsAProblemAndTriedAgain) {
  FakeApi api(Script({{.body = event("ADDED", object("a")) + initial_end("7")},
                      {.body = "this is not JSON\n"},
                      {.body = event("ADDED", object("b", "8"))}}));
  Client one = client(api);
  Listener listener(stop_, 3);
  Watch(one, {.resource = kPods, .ns = {}, .fields = {}, .labels = {}}, listener).run();
  EXPECT_THAT(listener.heard, ElementsAre("+a", "complete", "+b"));
  EXPECT_EQ(listener.problems.size(), 1U);
}

TEST(KubeTimes, AreReadAndWrittenInUtc) {
  const auto time = parse_time_text("2026-11-21T18:24:24.5Z");
  ASSERT_TRUE(time);
  EXPECT_EQ(time_text(*time), "2026-11-21T18:24:24Z");
  EXPECT_EQ(micro_time_text(*time), "2026-11-21T18:24:24.500000Z");
  for (const char* bad :
       {"", "2026-11-21", "2026-13-21T18:24:24Z", "2026-02-30T00:00:00Z", "2026-11-21T24:00:00Z",
        "2026-11-21T18:24:24", "2026-11-21T18:24:24+01:00", "x026-11-21T18:24:24Z"}) {
    EXPECT_FALSE(parse_time_text(bad)) << bad;
  }
}

TEST(KubeConfig, AKubeconfigGivesServerTrustAndCredential) {
  const test::TempDir temp;
  temp.write("ca.pem", "AUTHORITY");
  temp.write("config", R"(
current-context: two
contexts:
- {name: one, context: {cluster: none, user: none}}
- {name: two, context: {cluster: c, user: u, namespace: ns}}
clusters:
- {name: c, cluster: {server: "https://h:6443/", certificate-authority: ca.pem}}
users:
- {name: u, user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}}
)");
  const auto config = load_kubeconfig(temp.path("config"));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->server, "https://h:6443");
  EXPECT_EQ(config->tls.authorities, "AUTHORITY");
  EXPECT_EQ(config->tls.certificate, "CERT");
  EXPECT_EQ(config->tls.key, "KEY");
  EXPECT_EQ(config->ns, "ns");
}

TEST(KubeConfig, WhatIsWrongIsNamed) {
  const test::TempDir temp;
  for (const char* text :
       {"- a list", "{", "current-context: gone", "contexts: [{name: '', context: {cluster: x}}]"}) {
    SCOPED_TRACE(text);
    temp.write("config", text);
    const auto config = load_kubeconfig(temp.path("config"));
    ASSERT_FALSE(config);
    EXPECT_EQ(config.error().code, ErrorCode::Invalid);
    EXPECT_THAT(config.error().message, HasSubstr(temp.path("config")));
  }
}

TEST(KubeConfig, APluginIsAskedAgainWhenItsCredentialWasRefused) {
  const test::TempDir temp;
  temp.write("plugin",
             "#!/bin/sh\necho x >>\"$COUNT\"\n"
             "echo '{\"status\":{\"token\":\"t'$(wc -l <\"$COUNT\" | tr -d ' ')'\"}}'\n");
  ASSERT_EQ(::chmod(temp.path("plugin").c_str(), 0700), 0);
  const base::SystemClock clock;
  ClusterConfig config;
  config.exec = ExecPlugin{.command = temp.path("plugin"),
                           .arguments = {},
                           .environment = {{"COUNT", temp.path("count")}},
                           .api_version = "client.authentication.k8s.io/v1"};
  Credentials credentials(config, clock);
  EXPECT_EQ(credentials.get(false)->token, "t1");
  EXPECT_EQ(credentials.get(false)->token, "t1");
  EXPECT_EQ(credentials.get(true)->token, "t2");
}

TEST(KubeObjects, AConditionKeepsItsTimeWhileItsStatusStays) {
  std::vector<Condition> all;
  const base::WallTime first{1'000'000'000};
  const base::WallTime second{9'000'000'000};
  set(all, {.type = "Running", .status = "True", .reason = "A", .message = {}, .since = {}}, first);
  set(all, {.type = "Running", .status = "True", .reason = "B", .message = {}, .since = {}}, second);
  EXPECT_EQ(find(all, "Running")->since, time_text(first));
  set(all, {.type = "Running", .status = "False", .reason = "C", .message = {}, .since = {}}, second);
  EXPECT_EQ(find(all, "Running")->since, time_text(second));
}

TEST(KubeObjects, AStaticPodLiesUnderItsMirrorId) {
  const auto json =
      parse_json(R"({"metadata":{"name":"p","uid":"u","annotations":{"kubernetes.io/config.mirror":"m"}},
    "spec":{"volumes":[{"name":"e","emptyDir":{"medium":"Memory"}},{"name":"g","ephemeral":{}},
                       {"name":"s","secret":{"secretName":"x"}}],
            "initContainers":[{"volumeDevices":[{"name":"g"}]}]}})");
  ASSERT_TRUE(json);
  const Pod pod = pod_of(*json);
  EXPECT_EQ(pod.directory, "m");
  ASSERT_EQ(pod.volumes.size(), 3U);
  EXPECT_TRUE(pod.volumes[0].in_memory);
  EXPECT_EQ(pod.volumes[1].claim, "p-g");
  EXPECT_TRUE(pod.volumes[1].block);
  EXPECT_EQ(pod.volumes[2].kind, PodVolume::Kind::Generated);
}

TEST(KubeRequests, AStatusSaysNoMoreThanTheSchemaTakes) {
  StatusChange change;
  change.conditions = {{.type = "Succeeded",
                        .status = "False",
                        .reason = "X",
                        .message = std::string(9000, 'm'),
                        .since = {}}};
  for (int i = 0; i < 30; ++i) {
    change.first_errors.push_back({std::string(5000, 'p') + "\xff", "why"});
    change.notes.push_back("note");
  }
  const Json patch = status_patch(change, "7");
  EXPECT_LE(text_of(patch["status"]["conditions"][0]["message"]).size(), 4096U);
  EXPECT_EQ(patch["status"]["firstErrors"].size(), 10U);
  EXPECT_EQ(patch["status"]["notes"].size(), 16U);
  EXPECT_EQ(text_of(patch["metadata"]["resourceVersion"]), "7");
  EXPECT_TRUE(parse_json(to_text(patch)));
}

}  // namespace
}  // namespace firn::kube
