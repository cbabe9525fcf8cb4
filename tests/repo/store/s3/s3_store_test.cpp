// The S3 store against a server that answers as a test tells it: what is sent, what each answer is taken for,
// and the sentence that a person gets. For real servers see tests/conformance.
#include "repo/store/s3/s3_store.h"

#include <gtest/gtest.h>

#include <atomic>

#include "repo/store/s3/crc32c.h"
#include "repo/store/s3/sigv4.h"
#include "repo/store/s3/times.h"
#include "tests/repo/store/s3/loopback_server.h"

namespace firn::store::s3 {
namespace {

using std::chrono::milliseconds;

ObjectName name_of(std::string_view text) { return ObjectName::parse(text).value(); }

std::string error_xml(std::string_view code, std::string_view more = "") {
  return "<?xml version=\"1.0\"?><Error><Code>" + std::string(code) + "</Code><Message>m</Message>" +
         std::string(more) + "</Error>";
}

Reply refuse(int status, std::string_view code, std::string_view more = "", std::string_view headers = "") {
  return reply(status, error_xml(code, more), headers);
}

Reply stored() { return reply(200, "", "ETag: \"0123\"\r\n"); }

/// Gives "first", and "second" after that was refused.
class TwoCredentials final : public CredentialSource {
 public:
  explicit TwoCredentials(bool has_second) : has_second_(has_second) { make("first"); }
  Result<SharedCredentials> get() override { return *now_.lock(); }
  void reject(const Credentials& refused) override {
    if (has_second_ && refused.access_key_id == "first") {
      make("second");
    }
  }
  std::string describe() const override { return "the test"; }

 private:
  void make(const char* id) {
    *now_.lock() = std::make_shared<const Credentials>(
        Credentials{.access_key_id = id,
                    .secret = crypto::SecretBytes::copy_of(as_bytes("hidden-secret")),
                    .session_token = crypto::SecretBytes::copy_of(as_bytes("hidden-token")),
                    .expires = std::nullopt});
  }
  const bool has_second_;
  base::Guarded<SharedCredentials> now_;
};

class S3StoreTest : public testing::Test {
 protected:
  std::unique_ptr<S3Store> store_at(const std::string& url, const OptionTexts& options = {},
                                    bool has_second = false) {
    Settings settings;
    settings.place = parse_place(url).value();
    settings.options = parse_options(options).value();
    auto http = HttpClient::open(executor_, nullptr, {.use_proxy = false});
    return std::make_unique<S3Store>(std::move(settings), *std::move(http),
                                     std::make_unique<TwoCredentials>(has_second), executor_, nullptr);
  }
  std::unique_ptr<S3Store> store_of(const LoopbackServer& server, const OptionTexts& options = {},
                                    bool has_second = false) {
    return store_at(server.url() + "/bucket/p/q", options, has_second);
  }

  base::ThreadExecutor executor_{2};
  const ObjectName name_ = name_of("data/ab/x");
};

TEST_F(S3StoreTest, SignsWhatItPutsAndReplacesNothing) {
  LoopbackServer server([](const ServedRequest&) { return stored(); });
  const auto store = store_of(server);
  ASSERT_TRUE(store->put(name_, as_bytes("12345")).done());
  ASSERT_TRUE(store->put(name_of("sessions/a.hb"), as_bytes("12345"), {.replace = true}).done());
  const auto requests = server.requests();
  EXPECT_TRUE(requests[0].head.starts_with("PUT /bucket/p/q/data/ab/x HTTP/1.1\r\n")) << requests[0].head;
  EXPECT_EQ(requests[0].body, "12345");
  EXPECT_EQ(requests[0].header("If-None-Match"), "*");
  EXPECT_EQ(requests[0].header("x-amz-content-sha256"), payload_hash(as_bytes("12345")));
  EXPECT_EQ(requests[0].header("x-amz-security-token"), "hidden-token");
  EXPECT_NE(requests[0].header("Authorization").find("Credential=first/"), std::string::npos);
  EXPECT_EQ(requests[1].header("If-None-Match"), "");
}

TEST_F(S3StoreTest, AsksTheBucketForWhatItsOptionsSay) {
  LoopbackServer server([](const ServedRequest&) { return stored(); });
  const auto store = store_of(server, {{"s3.storage-class", "STANDARD_IA"},
                                       {"s3.sse", "aws:kms"},
                                       {"s3.sse-kms-key-id", "key"},
                                       {"s3.object-lock-mode", "GOVERNANCE"},
                                       {"s3.object-lock-days", "2"}});
  for (const char* name : {"data/ab/x", "meta/ab/x", "sessions/x", "maint/fence/x"}) {
    ASSERT_TRUE(store->put(name_of(name), as_bytes("x")).done());
  }
  const auto requests = server.requests();
  const auto classes = [&](std::size_t i) { return requests[i].header("x-amz-storage-class"); };
  const auto locks = [&](std::size_t i) { return requests[i].header("x-amz-object-lock-mode"); };
  EXPECT_EQ(classes(0), "STANDARD_IA");
  EXPECT_EQ(classes(1) + classes(2) + classes(3), "");
  EXPECT_EQ(locks(0) + locks(1), "GOVERNANCEGOVERNANCE");
  EXPECT_EQ(locks(2) + locks(3), "");
  for (const ServedRequest& request : requests) {
    EXPECT_EQ(request.header("x-amz-server-side-encryption"), "aws:kms");
    EXPECT_EQ(request.header("x-amz-server-side-encryption-aws-kms-key-id"), "key");
  }
  EXPECT_EQ(requests[0].header("x-amz-checksum-crc32c"), crc32c_header(as_bytes("x")));
  const auto until = parse_iso_time(requests[0].header("x-amz-object-lock-retain-until-date"));
  ASSERT_TRUE(until.has_value());
  const std::int64_t ahead = until->nanoseconds - executor_.clock().wall().nanoseconds;
  EXPECT_NEAR(static_cast<double>(ahead) / 1e9, 2 * 86400, 60);
}

TEST_F(S3StoreTest, NamesItsOptionsWhenAServerDoesNotKnowThem) {
  LoopbackServer server([](const ServedRequest&) { return refuse(400, "InvalidArgument"); });
  const Outcome plain = store_of(server)->put(name_, as_bytes("x"));
  EXPECT_EQ(plain.why().message.find("-o s3"), std::string::npos) << plain.why().message;
  const Outcome asking = store_of(server, {{"s3.storage-class", "COLD"}})->put(name_, as_bytes("x"));
  EXPECT_NE(asking.why().message.find("-o s3"), std::string::npos) << asking.why().message;
}

enum class Is { Done, NotDone, Unknown };

Is kind_of(const Outcome& outcome) {
  return outcome.done() ? Is::Done : outcome.unknown() ? Is::Unknown : Is::NotDone;
}

TEST_F(S3StoreTest, TellsWritesThatAreDoneNotDoneAndUnknownApart) {
  struct Case {
    const char* what;
    Reply answer;
    Is put;
    Is remove;
    ErrorCode code;
  };
  const Case cases[] = {
      {"done", stored(), Is::Done, Is::Done, {}},
      {"a page of a portal", reply(200, "<html>Log in</html>"), Is::Unknown, Is::Unknown,
       ErrorCode::Unavailable},
      {"done without content", reply(204, "", "ETag: \"x\"\r\n"), Is::Done, Is::Done, {}},
      {"done by whom?", reply(200), Is::Unknown, Is::Done, ErrorCode::Unavailable},
      {"nothing to remove", refuse(404, "NoSuchKey"), Is::NotDone, Is::Done, ErrorCode::NotFound},
      {"no bucket", refuse(404, "NoSuchBucket"), Is::NotDone, Is::NotDone, ErrorCode::Denied},
      {"denied", refuse(403, "AccessDenied"), Is::NotDone, Is::NotDone, ErrorCode::Denied},
      {"quota", refuse(403, "QuotaExceeded"), Is::NotDone, Is::NotDone, ErrorCode::Exhausted},
      {"full", refuse(507, "XMinioStorageFull"), Is::NotDone, Is::NotDone, ErrorCode::Exhausted},
      {"slow down", refuse(503, "SlowDown"), Is::NotDone, Is::NotDone, ErrorCode::Unavailable},
      {"too many", reply(429), Is::NotDone, Is::NotDone, ErrorCode::Unavailable},
      {"a late body", refuse(400, "RequestTimeout"), Is::NotDone, Is::NotDone, ErrorCode::Unavailable},
      {"a damaged body", refuse(400, "XAmzContentSHA256Mismatch"), Is::NotDone, Is::NotDone,
       ErrorCode::Unavailable},
      {"a conflict", refuse(409, "ConditionalRequestConflict"), Is::NotDone, Is::NotDone,
       ErrorCode::Unavailable},
      {"not implemented", refuse(501, "NotImplemented"), Is::NotDone, Is::NotDone, ErrorCode::Unsupported},
      {"a bad class", refuse(400, "InvalidStorageClass"), Is::NotDone, Is::NotDone, ErrorCode::Invalid},
      {"internal", refuse(500, "InternalError"), Is::Unknown, Is::Unknown, ErrorCode::Unavailable},
      {"bad gateway", reply(502, "<html>"), Is::Unknown, Is::Unknown, ErrorCode::Unavailable},
      {"a proxy's 503", reply(503, "no server is available"), Is::Unknown, Is::Unknown,
       ErrorCode::Unavailable},
      {"gateway timeout", reply(504), Is::Unknown, Is::Unknown, ErrorCode::Unavailable},
      {"a proxy's 404", reply(404, "not found"), Is::NotDone, Is::NotDone, ErrorCode::Unavailable},
      {"closed", {.bytes = "", .close = true}, Is::Unknown, Is::Unknown, ErrorCode::Unavailable},
      {"cut off",
       {.bytes = "HTTP/1.1 200 OK\r\nContent-Le", .close = true},
       Is::Unknown,
       Is::Unknown,
       ErrorCode::Unavailable},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    LoopbackServer server([&](const ServedRequest&) { return c.answer; });
    const auto store = store_of(server);
    const Outcome put = store->put(name_, as_bytes("x"));
    EXPECT_EQ(kind_of(put), c.put);
    const Outcome removed = store->remove(name_);
    EXPECT_EQ(kind_of(removed), c.remove);
    for (const Outcome& outcome : {put, removed}) {
      if (!outcome.done()) {
        EXPECT_EQ(outcome.why().code, c.code) << outcome.why().message;
        EXPECT_NE(outcome.why().message.find("data/ab/x"), std::string::npos) << outcome.why().message;
      }
    }
  }
}

TEST_F(S3StoreTest, DoesNotKnowWhenLibcurlSentItAgainByItself) {
  // A kept connection dies under the second request; the third, which libcurl sends unasked, is refused.
  for (const Reply& last :
       {refuse(403, "AccessDenied"), refuse(503, "SlowDown"), refuse(412, "PreconditionFailed"), stored()}) {
    for (const bool removes : {false, true}) {
      std::atomic<int> count{0};
      LoopbackServer server([&](const ServedRequest& request) {
        const int number = ++count;
        return number == 1           ? stored()
               : number == 2         ? Reply{.bytes = "", .close = true}
               : request.has("GET ") ? reply(200, "another")
                                     : last;
      });
      const auto store = store_of(server);
      ASSERT_TRUE(store->put(name_of("data/ab/first"), as_bytes("x")).done());
      const Outcome outcome = removes ? store->remove(name_) : store->put(name_, as_bytes("x"));
      EXPECT_GE(server.requests().size(), 3U);
      EXPECT_EQ(kind_of(outcome), last.bytes.find(" 200 ") == std::string::npos ? Is::Unknown : Is::Done)
          << last.bytes;
    }
  }
}

TEST_F(S3StoreTest, KnowsThatAServerWhichIsNotThereHasDoneNothing) {
  std::string url;
  {
    LoopbackServer gone([](const ServedRequest&) { return stored(); });
    url = gone.url();
  }
  const Outcome outcome = store_at(url + "/bucket")->put(name_, as_bytes("x"));
  EXPECT_EQ(kind_of(outcome), Is::NotDone);
  EXPECT_EQ(outcome.why().code, ErrorCode::Unavailable);
}

TEST_F(S3StoreTest, ComparesWithAnObjectThatIsThere) {
  struct Case {
    const char* what;
    Reply existing;
    Is is;
    ErrorCode code;
  };
  const Case cases[] = {
      {"equal", reply(200, "12345"), Is::Done, {}},
      {"other", reply(200, "12346"), Is::NotDone, ErrorCode::Exists},
      {"shorter", reply(200, "1234"), Is::NotDone, ErrorCode::Exists},
      {"longer", reply(200, "123456"), Is::NotDone, ErrorCode::Exists},
      {"empty", stored(), Is::NotDone, ErrorCode::Exists},
      {"gone", refuse(404, "NoSuchKey"), Is::NotDone, ErrorCode::Unavailable},
      {"not readable", refuse(403, "AccessDenied"), Is::NotDone, ErrorCode::Denied},
      {"not answered", {.bytes = "", .close = true}, Is::NotDone, ErrorCode::Unavailable},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    LoopbackServer server([&](const ServedRequest& request) {
      return request.has("PUT ") ? refuse(412, "PreconditionFailed") : c.existing;
    });
    const Outcome outcome = store_of(server)->put(name_, as_bytes("12345"));
    EXPECT_EQ(kind_of(outcome), c.is);
    if (!outcome.done()) {
      EXPECT_EQ(outcome.why().code, c.code) << outcome.why().message;
    }
  }
}

TEST_F(S3StoreTest, TakesNoAnswerForAbsentButS3sOwn) {
  struct Case {
    const char* what;
    Reply answer;
    ErrorCode code;
  };
  const Case cases[] = {
      {"no such key", refuse(404, "NoSuchKey"), ErrorCode::NotFound},
      {"no such bucket", refuse(404, "NoSuchBucket"), ErrorCode::Denied},
      {"a proxy's page", reply(404, "<html>Not Found</html>"), ErrorCode::Unavailable},
      {"nothing", reply(404), ErrorCode::Unavailable},
      {"gone", reply(410), ErrorCode::Unavailable},
      {"no answer", {.bytes = "", .close = true}, ErrorCode::Unavailable},
      {"archived", refuse(403, "InvalidObjectState"), ErrorCode::Denied},
      {"a redirect", reply(302, "", "Location: http://elsewhere/\r\n"), ErrorCode::Invalid},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    LoopbackServer server([&](const ServedRequest&) { return c.answer; });
    const auto store = store_of(server);
    Bytes one(1);
    EXPECT_EQ(store->get(name_, 10).error().code, c.code) << store->get(name_, 10).error().message;
    EXPECT_EQ(store->get_range(name_, 0, one).error().code, c.code);
    EXPECT_EQ(store->head(name_).error().code, c.code);
  }
}

TEST_F(S3StoreTest, TakesOnlyWholeObjects) {
  struct Case {
    const char* what;
    Reply answer;
    ErrorCode code;
  };
  const Case cases[] = {
      {"too large", reply(200, "123456"), ErrorCode::Corrupt},
      {"cut off",
       {.bytes = "HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\n123", .close = true},
       ErrorCode::Unavailable},
      {"no length", {.bytes = "HTTP/1.1 200 X\r\n\r\n123", .close = true}, ErrorCode::Unavailable},
      {"a part", reply(206, "123", "Content-Range: bytes 0-2/5\r\n"), ErrorCode::Unavailable},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    LoopbackServer server([&](const ServedRequest&) { return c.answer; });
    EXPECT_EQ(store_of(server)->get(name_, 5).error().code, c.code);
  }
}

TEST_F(S3StoreTest, TakesTheVeryRangeThatItAskedFor) {
  struct Case {
    const char* what;
    Reply answer;
    std::optional<ErrorCode> code;
  };
  const Case cases[] = {
      {"right", reply(206, "cde", "Content-Range: bytes 2-4/9\r\n"), std::nullopt},
      {"another", reply(206, "cde", "Content-Range: bytes 3-5/9\r\n"), ErrorCode::Unavailable},
      {"unnamed", reply(206, "cde"), ErrorCode::Unavailable},
      {"garbage", reply(206, "cde", "Content-Range: bytes 2-1/x\r\n"), ErrorCode::Unavailable},
      {"the object ends", reply(206, "cd", "Content-Range: bytes 2-3/4\r\n"), ErrorCode::Corrupt},
      {"beyond the end", refuse(416, "InvalidRange"), ErrorCode::Corrupt},
      {"longer", reply(206, "cdef", "Content-Range: bytes 2-5/9\r\n"), ErrorCode::Unavailable},
      {"shorter than it says", reply(206, "cd", "Content-Range: bytes 2-4/9\r\n"), ErrorCode::Unavailable},
      {"cut off",
       {.bytes = "HTTP/1.1 206 X\r\nContent-Length: 3\r\nContent-Range: bytes 2-4/9\r\n\r\nc", .close = true},
       ErrorCode::Unavailable},
      {"the whole object", reply(200, "abcdefghi"), ErrorCode::Unavailable},
      {"nothing at all", stored(), ErrorCode::Unavailable},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    LoopbackServer server([&](const ServedRequest&) { return c.answer; });
    Bytes out(3);
    const auto read = store_of(server)->get_range(name_, 2, out);
    EXPECT_EQ(server.requests().front().header("Range"), "bytes=2-4");
    if (!c.code) {
      ASSERT_TRUE(read.has_value()) << read.error().message;
      EXPECT_EQ(as_text(out), "cde");
    } else {
      ASSERT_FALSE(read.has_value());
      EXPECT_EQ(read.error().code, *c.code) << read.error().message;
    }
  }
}

TEST_F(S3StoreTest, ReadsSizesFromTheFirstByte) {
  const std::pair<Reply, std::uint64_t> cases[] = {
      {reply(206, "a", "Content-Range: bytes 0-0/77\r\n"), 77},
      {refuse(416, "InvalidRange"), 0},
      {stored(), 0},
      {reply(200, "abc", "ETag: \"x\"\r\n"), 3},
  };
  for (const auto& c : cases) {
    LoopbackServer server([&](const ServedRequest&) { return c.first; });
    EXPECT_EQ(store_of(server)->head(name_).value(), c.second);
  }
}

std::string listing(const std::vector<std::string>& keys, bool truncated) {
  std::string out =
      "<ListBucketResult><IsTruncated>" + std::string(truncated ? "true" : "false") + "</IsTruncated>";
  for (const std::string& key : keys) {
    out += "<Contents><Key>" + key +
           "</Key><LastModified>2026-11-21T10:00:00Z</LastModified><Size>1</Size></Contents>";
  }
  return out + "</ListBucketResult>";
}

TEST_F(S3StoreTest, ListsPastKeysThatAreNotItsOwn) {
  LoopbackServer server([](const ServedRequest& request) {
    return reply(200, request.has("start-after=p%2Fq%2Fdata%2F.b HTTP")
                          ? listing({"p/q/data/a", "p/q/data/b"}, false)
                          : listing({"p/q/data/", "p/q/data/.b"}, true));
  });
  const auto store = store_of(server);
  auto page = store->list("data/", "", 10);
  ASSERT_TRUE(page.has_value()) << page.error().message;
  ASSERT_EQ(page->objects.size(), 2U);
  EXPECT_EQ(page->objects[0].name.str(), "data/a");
  EXPECT_TRUE(page->last);
  EXPECT_TRUE(server.requests().front().has(
      "GET /bucket?encoding-type=url&list-type=2&max-keys=10&prefix=p%2Fq%2Fdata%2F HTTP"))
      << server.requests().front().head;
  page = store->list("data/", "data/.b", 1);
  ASSERT_TRUE(page.has_value()) << page.error().message;
  EXPECT_EQ(page->objects.size(), 1U);
  EXPECT_FALSE(page->last);
}

TEST_F(S3StoreTest, ListsAfterTheObjectThatIsCalledLikeThePrefix) {
  LoopbackServer server([](const ServedRequest& request) {
    return reply(200, request.has("start-after=p%2Fq%2Fsessions%2Fab HTTP")
                          ? listing({"p/q/sessions/ab.end"}, false)
                          : listing({"p/q/sessions/ab"}, true));
  });
  const auto store = store_of(server);
  for (const auto& [after, name] : {std::pair("", "sessions/ab"), std::pair("a", "sessions/ab"),
                                    std::pair("sessions/ab", "sessions/ab.end")}) {
    const auto page = store->list("sessions/ab", after, 1);
    ASSERT_TRUE(page.has_value()) << page.error().message;
    ASSERT_EQ(page->objects.size(), 1U);
    EXPECT_EQ(page->objects[0].name.str(), name);
  }
}

TEST_F(S3StoreTest, TakesNoListingForAnswerButTheOneThatItAskedFor) {
  struct Case {
    const char* what;
    Reply answer;
    ErrorCode code;
  };
  const Case cases[] = {
      {"empty", stored(), ErrorCode::Unavailable},
      {"a page of a portal", reply(200, "<html>Log in</html>"), ErrorCode::Unavailable},
      {"another prefix", reply(200, listing({"p/q/meta/a"}, false)), ErrorCode::Unavailable},
      {"what came before", reply(200, listing({"p/q/data/a"}, false)), ErrorCode::Unavailable},
      {"no bucket", refuse(404, "NoSuchBucket"), ErrorCode::NotFound},
      {"a proxy's 404", reply(404, "not found"), ErrorCode::Unavailable},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    LoopbackServer server([&](const ServedRequest&) { return c.answer; });
    const auto page = store_of(server)->list("data/", "data/b", 10);
    ASSERT_FALSE(page.has_value());
    EXPECT_EQ(page.error().code, c.code) << page.error().message;
  }
}

TEST_F(S3StoreTest, TellsTheServersTime) {
  LoopbackServer server([](const ServedRequest&) {
    return reply(200, listing({}, false), "Date: Tue, 29 Feb 2000 00:00:01 GMT\r\n");
  });
  EXPECT_EQ(store_of(server)->now()->nanoseconds / 1'000'000'000, 951'782'401);
  LoopbackServer silent([](const ServedRequest&) { return reply(200, listing({}, false)); });
  EXPECT_EQ(store_of(silent)->now().error().code, ErrorCode::Unavailable);
}

TEST_F(S3StoreTest, FollowsABucketToItsRegion) {
  for (const bool by_header : {false, true}) {
    LoopbackServer server([&](const ServedRequest& request) {
      if (request.has("/eu-west-1/s3/")) {
        return stored();
      }
      return by_header ? refuse(301, "PermanentRedirect", "", "x-amz-bucket-region: eu-west-1\r\n")
                       : refuse(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>");
    });
    const auto store = store_of(server);
    EXPECT_TRUE(store->put(name_, as_bytes("x")).done());
    EXPECT_TRUE(store->put(name_, as_bytes("x")).done());
    EXPECT_EQ(server.requests().size(), 3U);
    const Outcome fixed = store_of(server, {{"s3.region", "us-west-2"}})->put(name_, as_bytes("x"));
    ASSERT_FALSE(fixed.done());
    EXPECT_NE(fixed.why().message.find("-o s3.region=eu-west-1"), std::string::npos) << fixed.why().message;
  }
}

TEST_F(S3StoreTest, FollowsNoRegionThatIsNone) {
  LoopbackServer server([](const ServedRequest&) {
    return refuse(301, "PermanentRedirect", "<Region>evil.example/</Region>", "x-amz-bucket-region: a/b\r\n");
  });
  EXPECT_EQ(store_of(server)->get(name_, 1).error().code, ErrorCode::Invalid);
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(S3StoreTest, FetchesNewCredentialsOnceWhenTheOldOnesAreRefused) {
  for (const char* code : {"ExpiredToken", "InvalidAccessKeyId", "InvalidToken"}) {
    SCOPED_TRACE(code);
    LoopbackServer server([&](const ServedRequest& request) {
      return request.has("Credential=second/") ? stored() : refuse(403, code);
    });
    EXPECT_TRUE(store_of(server, {}, true)->put(name_, as_bytes("x")).done());
    EXPECT_EQ(server.requests().size(), 2U);
    EXPECT_EQ(store_of(server, {}, false)->put(name_, as_bytes("x")).why().code, ErrorCode::Denied);
    EXPECT_EQ(server.requests().size(), 3U);
  }
}

TEST_F(S3StoreTest, SaysWhatToDoInADistinctSentence) {
  struct Case {
    Reply answer;
    const char* says;
  };
  const Case cases[] = {
      {refuse(404, "NoSuchBucket"), "there is no bucket bucket"},
      {refuse(403, "InvalidAccessKeyId"), "does not know the access key first"},
      {refuse(403, "SignatureDoesNotMatch"), "the secret key does not belong to the access key first"},
      {refuse(403, "SignatureDoesNotMatch", "", "Date: Tue, 29 Feb 2000 00:00:01 GMT\r\n"), "clock"},
      {refuse(403, "RequestTimeTooSkewed"), "this machine's clock differs too much"},
      {refuse(403, "RequestTimeTooSkewed", "", "Date: Tue, 29 Feb 2000 00:00:01 GMT\r\n"), "ahead of"},
      {refuse(403, "AccessDenied", "", "Date: Tue, 29 Feb 2000 00:00:01 GMT\r\n"), "set it"},
      {refuse(400, "ExpiredToken"), "has expired"},
      {refuse(403, "AccessDenied"), "it may not do this"},
      {refuse(403, "QuotaExceeded"), "is full"},
      {refuse(403, "InvalidObjectState"), "is archived"},
      {refuse(301, "PermanentRedirect"), "name its region with -o s3.region=REGION"},
      {reply(400, "Client sent an HTTP request to an HTTPS server.\n"), "write https://"},
      {reply(404, "not found"), "is it an S3 server?"},
      {refuse(503, "SlowDown"), "asks to slow down"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.says);
    LoopbackServer server([&](const ServedRequest&) { return c.answer; });
    const auto got = store_of(server)->get(name_, 1);
    ASSERT_FALSE(got.has_value());
    const std::string& message = got.error().message;
    EXPECT_NE(message.find(c.says), std::string::npos) << message;
    EXPECT_EQ(message.find("hidden"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace firn::store::s3
