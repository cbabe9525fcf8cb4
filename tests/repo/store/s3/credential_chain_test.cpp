// Which credentials are taken, from servers of the test's own; and that a broken place is told, not passed
// over.
#include "repo/store/s3/credential_chain.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <ctime>
#include <fstream>
#include <map>

#include "repo/base/bytes.h"
#include "repo/store/s3/times.h"
#include "tests/repo/store/s3/loopback_server.h"
#include "tests/support/temp_dir.h"

namespace firn::store::s3 {
namespace {

using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

/// Threads and clocks of the machine, and a steady clock that can be put forward.
class ShiftedExecutor final : public base::Executor {
 public:
  std::unique_ptr<base::Task> spawn(std::string_view name, std::function<void()> body) override {
    return inner_.spawn(name, std::move(body));
  }
  std::unique_ptr<base::Condition> make_condition() override { return inner_.make_condition(); }
  void sleep_for(nanoseconds duration) override { inner_.sleep_for(duration); }
  void yield() override {}
  unsigned cpu_count() const override { return 1; }
  const base::Clock& clock() const override { return clock_; }
  void advance(nanoseconds by) { clock_.shift = clock_.shift.load() + by; }

 private:
  struct ShiftedClock final : base::Clock {
    base::WallTime wall() const override { return system.wall(); }
    base::SteadyTime steady() const override { return system.steady() + shift.load(); }
    base::SystemClock system;
    std::atomic<nanoseconds> shift{nanoseconds(0)};
  };
  base::ThreadExecutor inner_{1};
  ShiftedClock clock_;
};

class CredentialChain : public testing::Test {
 protected:
  void SetUp() override {
    set("HOME", home_.path());
    ASSERT_EQ(::mkdir((home_.path() + "/.aws").c_str(), 0700), 0);
  }

  void set(const std::string& name, const std::string& value) { environment_[name] = value; }
  std::string file(const std::string& name, std::string_view text) {
    const std::string path = home_.path() + "/" + name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  ChainSeams seams() {
    return {.variables = [this](const std::string& name) -> std::optional<std::string> {
              const auto found = environment_.find(name);
              return found == environment_.end() ? std::nullopt : std::optional(found->second);
            },
            .executor = executor_,
            .stop = &stop_,
            .open_http =
                [this](bool) {
                  return HttpClient::open(executor_, &stop_,
                                          {.use_proxy = false, .connect_timeout = seconds(5)});
                }};
  }
  Result<std::unique_ptr<CredentialSource>> chain() { return credential_chain(options_, seams()); }

  /// "id/secret/token" of what the chain gives, or the error.
  std::string given() {
    auto source = chain();
    return source ? given_by(**source) : told(source.error());
  }
  static std::string given_by(CredentialSource& source) {
    const auto credentials = source.get();
    if (!credentials) {
      return told(credentials.error());
    }
    return (*credentials)->access_key_id + "/" + std::string(as_text((*credentials)->secret.bytes())) + "/" +
           std::string(as_text((*credentials)->session_token.bytes()));
  }
  static std::string told(const Error& error) {
    EXPECT_EQ(error.message.find("hush"), std::string::npos) << error.message;
    return std::string(to_string(error.code)) + ": " + error.message;
  }

  static std::string after(nanoseconds from_now) {
    return iso_time({base::SystemClock().wall().nanoseconds + from_now.count()});
  }
  static std::string json(const std::string& id, nanoseconds life, const std::string& token_name = "Token") {
    return R"({"Version":1,"Code":"Success","AccessKeyId":")" + id + R"(","SecretAccessKey":"hush",")" +
           token_name + R"(":"t","Expiration":")" + after(life) + "\"}";
  }
  static std::string sts(const std::string& action, const std::string& id) {
    return "<" + action + "Response><" + action + "Result><Credentials><AccessKeyId>" + id +
           "</AccessKeyId><SecretAccessKey>hush</SecretAccessKey><SessionToken>t</SessionToken><Expiration>" +
           after(minutes(60)) + "</Expiration></Credentials></" + action + "Result></" + action + "Response>";
  }

  test::TempDir home_{testing::TempDir()};
  std::map<std::string, std::string> environment_;
  ChainOptions options_;
  ShiftedExecutor executor_;
  base::StopFlag stop_;
};

TEST_F(CredentialChain, SaysWhereItLookedWhenNothingIsSet) {
  const std::string said = given();
  EXPECT_NE(said.find("there are no credentials for S3: set AWS_ACCESS_KEY_ID"), std::string::npos) << said;
  EXPECT_NE(said.find(home_.path() + "/.aws/credentials"), std::string::npos) << said;
}

TEST_F(CredentialChain, TakesTheEnvironmentBeforeTheFiles) {
  file(".aws/credentials", "[default]\naws_access_key_id=file\naws_secret_access_key=hush\n");
  EXPECT_EQ(given(), "file/hush/");
  set("AWS_ACCESS_KEY_ID", "env");
  EXPECT_NE(given().find("AWS_SECRET_ACCESS_KEY is not"), std::string::npos)
      << "half a key is told, not passed over";
  set("AWS_SECRET_ACCESS_KEY", "hush");
  EXPECT_EQ(given(), "env/hush/");
}

TEST_F(CredentialChain, TakesTheProfileThatIsNamed) {
  file(".aws/credentials",
       "[default]\naws_access_key_id=d\naws_secret_access_key=hush\n"
       "[a]\naws_access_key_id=a\naws_secret_access_key=hush\naws_session_token=t\n");
  file(".aws/config", "[profile b]\naws_access_key_id=b\naws_secret_access_key=hush\nregion=eu-west-3\n");
  set("AWS_PROFILE", "a");
  EXPECT_EQ(given(), "a/hush/t");
  options_.profile = "b";
  EXPECT_EQ(given(), "b/hush/");
  EXPECT_EQ(configured_region(options_, seams()).value(), "eu-west-3");
  set("AWS_REGION", "x");
  EXPECT_EQ(configured_region(options_, seams()).value(), "x");
}

TEST_F(CredentialChain, DoesNotPassABrokenProfileOver) {
  struct Case {
    const char* what;
    const char* files;
    const char* profile;
    const char* said;
  };
  const Case cases[] = {
      {"no such profile", "[default]\naws_access_key_id=d\naws_secret_access_key=hush\n", "gone",
       "names the profile \"gone\", which is not in"},
      {"a profile without credentials", "[profile p]\nregion=x\n", "p", "has no credentials"},
      {"half a key", "[profile p]\naws_access_key_id=p\n", "p",
       "aws_access_key_id and no aws_secret_access_key"},
      {"SSO", "[profile p]\nsso_session=x\n", "p", "uses SSO"},
      {"a device's code", "[profile p]\nrole_arn=r\nsource_profile=p\nmfa_serial=m\n", "p", "mfa_serial"},
      {"a role alone", "[profile p]\nrole_arn=r\n", "p", "exactly one of source_profile"},
      {"a circle", "[profile p]\nrole_arn=r\nsource_profile=q\n[profile q]\nrole_arn=r\nsource_profile=p\n",
       "p", "leads to itself"},
      {"a source that is not there", "[profile p]\nrole_arn=r\nsource_profile=q\n", "p",
       "names the source_profile \"q\""},
      {"an unknown source", "[profile p]\nrole_arn=r\ncredential_source=Moon\n", "p",
       "credential_source \"Moon\""},
      {"a file that is none", "[profile p\n", "p", "line 1 begins with [ and has no ]"},
  };
  // A broader place that would work must not be asked.
  LoopbackServer container([](const ServedRequest&) { return reply(200, json("broader", minutes(60))); });
  set("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url() + "/");
  for (const auto& [what, files, profile, said] : cases) {
    SCOPED_TRACE(what);
    file(".aws/config", files);
    set("AWS_PROFILE", profile);
    EXPECT_NE(given().find(said), std::string::npos) << given();
  }
  EXPECT_TRUE(container.requests().empty());
}

TEST_F(CredentialChain, TellsAFileThatItMayNotRead) {
  set("AWS_SHARED_CREDENTIALS_FILE", home_.path());  // a directory
  EXPECT_NE(given().find("credentials for S3: "), std::string::npos) << given();
}

TEST_F(CredentialChain, ShowsAWebIdentityToSts) {
  LoopbackServer server(
      [](const ServedRequest&) { return reply(200, sts("AssumeRoleWithWebIdentity", "irsa")); });
  set("AWS_WEB_IDENTITY_TOKEN_FILE", file("token", "hush+/=\n"));
  EXPECT_NE(given().find("AWS_ROLE_ARN is not"), std::string::npos);
  set("AWS_ROLE_ARN", "arn:aws:iam::1:role/r");
  set("AWS_ROLE_SESSION_NAME", "node-7");
  set("AWS_ENDPOINT_URL_STS", server.url());
  auto source = chain();
  ASSERT_TRUE(source.has_value());
  EXPECT_EQ(given_by(**source), "irsa/hush/t");
  EXPECT_EQ(given_by(**source), "irsa/hush/t");
  ASSERT_EQ(server.requests().size(), 1U) << "what is good is kept";
  const ServedRequest request = server.requests().front();
  EXPECT_TRUE(request.has("POST / HTTP/1.1")) << request.head;
  EXPECT_EQ(request.header("Authorization"), "");
  EXPECT_EQ(request.body,
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr"
            "&RoleSessionName=node-7&WebIdentityToken=hush%2B%2F%3D");
}

TEST_F(CredentialChain, TellsWhatStsRefuses) {
  LoopbackServer server([](const ServedRequest&) {
    return reply(400,
                 "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>old</Message></Error></"
                 "ErrorResponse>");
  });
  set("AWS_WEB_IDENTITY_TOKEN_FILE", file("token", "hush"));
  set("AWS_ROLE_ARN", "the-role");
  set("AWS_ENDPOINT_URL_STS", server.url());
  const std::string said = given();
  EXPECT_NE(said.find("denied: the role the-role at 127.0.0.1:"), std::string::npos) << said;
  EXPECT_NE(said.find("it answered 400 (InvalidIdentityToken: old)"), std::string::npos) << said;
  file("token", "");
  EXPECT_NE(given().find("/token is empty"), std::string::npos);
}

TEST_F(CredentialChain, TakesARoleWithTheKeysOfAnotherProfile) {
  LoopbackServer server([](const ServedRequest&) { return reply(200, sts("AssumeRole", "assumed")); });
  file(".aws/config",
       "[profile p]\nrole_arn=arn:r\nsource_profile=base\nexternal_id=x y\nduration_seconds=900\n"
       "role_session_name=n\nregion=eu-1\n"
       "[profile base]\naws_access_key_id=AKBASE\naws_secret_access_key=hush\n");
  set("AWS_PROFILE", "p");
  set("AWS_ENDPOINT_URL_STS", server.url());
  EXPECT_EQ(given(), "assumed/hush/t");
  const ServedRequest request = server.requests().front();
  EXPECT_NE(request.header("Authorization").find("Credential=AKBASE/"), std::string::npos) << request.head;
  EXPECT_NE(request.header("Authorization").find("/eu-1/sts/aws4_request"), std::string::npos)
      << request.head;
  EXPECT_EQ(request.body,
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Ar&RoleSessionName=n"
            "&ExternalId=x%20y&DurationSeconds=900");
}

TEST_F(CredentialChain, AsksTheContainersEndpointWithItsToken) {
  LoopbackServer server([](const ServedRequest& request) {
    return request.header("Authorization") == "hush2" ? reply(200, json("pod", minutes(60)))
                                                      : reply(401, "hush");
  });
  set("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url() + "/v1/credentials");
  set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file("token", "hush1"));
  auto source = chain();
  ASSERT_TRUE(source.has_value());
  EXPECT_NE(given_by(**source).find("it answered 401"), std::string::npos);
  file("token", "hush2\n");  // the kubelet replaces it
  EXPECT_EQ(given_by(**source), "pod/hush/t");
  EXPECT_TRUE(server.requests().back().has("GET /v1/credentials "));
}

TEST_F(CredentialChain, SendsATokenToNobodyElse) {
  for (const char* url : {"http://example.com/", "http://10.0.0.1/", "http://127.0.0.1@10.0.0.1/",
                          "http://169.253.1.1/", "http://[fd00:ec2::24]/", "ftp://127.0.0.1/", "http:///"}) {
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
    EXPECT_NE(given().find("AWS_CONTAINER_CREDENTIALS_FULL_URI must be https"), std::string::npos) << url;
  }
  for (const char* url : {"http://127.1.2.3/", "http://[::1]:80/", "http://169.254.170.23/v1",
                          "http://[fd00:ec2::23]/", "https://example.com/", "http://localhost:1/"}) {
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
    EXPECT_TRUE(chain().has_value()) << url;
  }
}

TEST_F(CredentialChain, AsksTheInstanceOnlyIfEnabled) {
  LoopbackServer server([](const ServedRequest& request) {
    if (request.has("PUT /latest/api/token ")) {
      return reply(200, "hush-token");
    }
    if (request.header("X-aws-ec2-metadata-token") != "hush-token") {
      return reply(401);
    }
    return request.has("/security-credentials/the-role ") ? reply(200, json("imds", minutes(60)))
                                                          : reply(200, "the-role\n");
  });
  set("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url() + "/");
  EXPECT_NE(given().find("there are no credentials"), std::string::npos);
  EXPECT_TRUE(server.requests().empty());
  options_.instance_metadata = true;
  EXPECT_EQ(given(), "imds/hush/t");
  set("AWS_EC2_METADATA_DISABLED", "true");
  EXPECT_NE(given().find("AWS_EC2_METADATA_DISABLED is true"), std::string::npos);
}

TEST_F(CredentialChain, RunsACredentialProcess) {
  set("AWS_PROFILE", "p");
  const std::string answer = file("answer", json("process", minutes(60), "SessionToken"));
  file(".aws/config", "[profile p]\ncredential_process = cat \"" + answer + "\"\n");
  EXPECT_EQ(given(), "process/hush/t");
  file(".aws/config", "[profile p]\ncredential_process = echo hush; exit 3\n");
  EXPECT_NE(given().find("the credential_process of the profile \"p\": the command failed with exit code 3"),
            std::string::npos)
      << given();
  file(".aws/config", "[profile p]\ncredential_process = echo hush\n");
  EXPECT_NE(given().find("not the JSON"), std::string::npos);
}

TEST_F(CredentialChain, StopsACredentialProcessThatHangs) {
  set("AWS_PROFILE", "p");
  file(".aws/config", "[profile p]\ncredential_process = exec >&-; sleep 1000 & wait\n");
  auto source = chain();
  ASSERT_TRUE(source.has_value());
  stop_.request();
  EXPECT_NE(given_by(**source).find("cancelled"), std::string::npos);
}

TEST_F(CredentialChain, MeasuresALifeByTheGiversClock) {
  int asked = 0;
  const std::time_t ahead = std::time(nullptr) + 48 * 3600;
  LoopbackServer server([&](const ServedRequest&) {
    char date[64];
    std::strftime(date, sizeof date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", std::gmtime(&ahead));
    return reply(200, json("id" + std::to_string(++asked), minutes(49 * 60)), date);
  });
  set("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url() + "/");
  auto source = chain();
  ASSERT_TRUE(source.has_value());
  EXPECT_EQ(given_by(**source), "id1/hush/t");
  executor_.advance(minutes(57));
  EXPECT_EQ(given_by(**source), "id2/hush/t");
}

TEST_F(CredentialChain, RefreshesByTheSteadyClock) {
  int asked = 0;
  bool up = true;
  LoopbackServer server([&](const ServedRequest&) {
    return up ? reply(200, json("id" + std::to_string(++asked), minutes(60))) : reply(503);
  });
  set("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url() + "/");
  auto source = chain();
  ASSERT_TRUE(source.has_value());
  EXPECT_EQ(given_by(**source), "id1/hush/t");
  executor_.advance(minutes(54));
  EXPECT_EQ(given_by(**source), "id1/hush/t");
  executor_.advance(minutes(2));
  EXPECT_EQ(given_by(**source), "id2/hush/t");
  up = false;
  executor_.advance(minutes(56));
  EXPECT_EQ(given_by(**source), "id2/hush/t") << "the old ones are good for four minutes more";
  EXPECT_EQ(given_by(**source), "id2/hush/t");
  EXPECT_EQ(server.requests().size(), 3U) << "an endpoint that is away is not asked for each request";
  executor_.advance(minutes(5));
  EXPECT_NE(given_by(**source).find("unavailable: the container's endpoint"), std::string::npos);
  up = true;
  EXPECT_EQ(given_by(**source), "id3/hush/t");
}

TEST_F(CredentialChain, FetchesAnewWhatTheServerRefused) {
  int asked = 0;
  LoopbackServer server([&asked](const ServedRequest&) {
    return reply(200, json("id" + std::to_string(++asked), minutes(60)));
  });
  set("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url() + "/");
  auto source = chain();
  ASSERT_TRUE(source.has_value());
  const SharedCredentials first = (*source)->get().value();
  (*source)->reject(*first);
  EXPECT_EQ(given_by(**source), "id2/hush/t");
  (*source)->reject(*first);  // somebody else's late answer about the same old ones
  EXPECT_EQ(given_by(**source), "id2/hush/t");
}

TEST_F(CredentialChain, RefusesWhatHasExpiredAlready) {
  LoopbackServer server([](const ServedRequest&) { return reply(200, json("old", minutes(-1))); });
  set("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url() + "/");
  EXPECT_NE(given().find("what was given has expired already"), std::string::npos);
}

}  // namespace
}  // namespace firn::store::s3
