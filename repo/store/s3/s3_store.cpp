#include "repo/store/s3/s3_store.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <utility>

#include "repo/store/s3/crc32c.h"
#include "repo/store/s3/percent.h"
#include "repo/store/s3/sigv4.h"
#include "repo/store/s3/times.h"
#include "repo/store/s3/xml.h"

namespace firn::store::s3 {
namespace {

constexpr std::string_view kDefaultRegion = "us-east-1";
constexpr std::uint32_t kPageKeysMax = 1000;
// A first try, another region, other credentials, and one more for a region that points to a third.
constexpr int kSendsMax = 4;
// Farther offsets are no object's; they would not fit a Range header of every server.
constexpr std::uint64_t kOffsetMax = 1ULL << 60;

/// What is retained under object lock. Sessions and maintenance records are removed soon.
constexpr std::array<std::string_view, 7> kRetained = {"config/", "keys/",      "data/", "meta/",
                                                       "index/",  "snapshots/", "caps/"};

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

/// "bytes 0-9/100", or "bytes */100" of a range that is not there.
struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t total = 0;
  bool satisfied = false;
};

std::optional<ContentRange> content_range(const HttpResponse& response) {
  constexpr std::string_view kUnit = "bytes ";
  std::string_view text = response.header("content-range");
  if (!text.starts_with(kUnit)) {
    return std::nullopt;
  }
  text.remove_prefix(kUnit.size());
  const auto slash = text.find('/');
  const auto total = slash == std::string_view::npos ? std::nullopt : parse_number(text.substr(slash + 1));
  if (!total) {
    return std::nullopt;
  }
  ContentRange range{.total = *total};
  text = text.substr(0, slash);
  if (text == "*") {
    return range;
  }
  const auto dash = text.find('-');
  const auto first = parse_number(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? std::nullopt : parse_number(text.substr(dash + 1));
  if (!first || !last || *first > *last || *last >= *total) {
    return std::nullopt;
  }
  range.first = *first;
  range.last = *last;
  range.satisfied = true;
  return range;
}

Failure ends_at(std::uint64_t size_bytes) {
  return fail(ErrorCode::Corrupt, "it ends at byte " + std::to_string(size_bytes));
}

/// Puts a range where the caller wants it.
class RangeSink final : public BodySink {
 public:
  RangeSink(std::uint64_t offset, MutableBytes out) : offset_(offset), out_(out) {}

  Result<> take(const HttpResponse& head, ByteView bytes) override {
    FIRN_TRY(check_head(head));
    if (bytes.size() > out_.size() - filled_) {
      return fail(ErrorCode::Unavailable, "the answer is longer than what was asked for");
    }
    std::memcpy(out_.data() + filled_, bytes.data(), bytes.size());
    filled_ += bytes.size();
    return {};
  }

  /// Whether `head` promises the very range. A server that knows no ranges sends the whole object.
  Result<> check_head(const HttpResponse& head) const {
    if (head.status == 200) {
      const bool is_all = offset_ == 0 && parse_number(head.header("content-length")) == out_.size();
      return is_all ? Result<>() : fail(ErrorCode::Unavailable, "the server did not answer with the range");
    }
    const auto range = content_range(head);
    if (!range || !range->satisfied || range->first != offset_) {
      return fail(ErrorCode::Unavailable, "the server answered with another range");
    }
    return range->last - range->first + 1 < out_.size() ? ends_at(range->total) : Result<>();
  }
  bool full() const { return filled_ == out_.size(); }

 private:
  const std::uint64_t offset_;
  const MutableBytes out_;
  std::size_t filled_ = 0;
};

/// Looks whether a body is equal to bytes at hand.
class CompareSink final : public BodySink {
 public:
  explicit CompareSink(ByteView expected) : rest_(expected) {}

  Result<> take(const HttpResponse&, ByteView bytes) override {
    same_ = same_ && bytes.size() <= rest_.size() && firn::equal(bytes, rest_.first(bytes.size()));
    rest_ = rest_.subspan(std::min(bytes.size(), rest_.size()));
    return same_ ? Result<>() : fail(ErrorCode::Exists, "another object has this name");
  }
  bool same() const { return same_ && rest_.empty(); }
  bool different() const { return !same_; }

 private:
  ByteView rest_;
  bool same_ = true;
};

/// Throws a body away, and ends it if it is more than was asked for.
class NoSink final : public BodySink {
 public:
  Result<> take(const HttpResponse& head, ByteView) override {
    if (head.status != 206 && !head.header("etag").empty()) {
      whole_size = parse_number(head.header("content-length"));
    }
    return head.status == 206 ? Result<>()
                              : fail(ErrorCode::Unavailable, "the server does not answer with ranges");
  }
  std::optional<std::uint64_t> whole_size;
};

Error in_context(std::string_view verb, std::string_view object, Error error) {
  return std::move(error).in(std::string(verb) + " " + std::string(object));
}

Outcome write_outcome(std::string_view verb, const ObjectName& name, Refusal refusal) {
  Error error = in_context(verb, name, std::move(refusal.error));
  return refusal.maybe_done ? Outcome(Unknown{std::move(error)}) : Outcome(NotDone{std::move(error)});
}

/// A success that S3 does not tell so: somebody in between said it, and the server may have seen nothing.
Outcome not_its_word(std::string_view verb, const ObjectName& name) {
  return Unknown{in_context(verb, name.str(), {ErrorCode::Unavailable, "the answer is not an S3 server's"})};
}

}  // namespace

/// One request to the bucket, before it is signed.
struct S3Store::Call {
  std::string method = "GET";
  std::string key = {};  // with the prefix; empty = the bucket
  std::vector<std::pair<std::string, std::string>> query = {};
  std::vector<HttpHeader> headers = {};
  ByteView body = {};
  std::string payload_hash = {};  // empty = of no payload
  std::size_t answer_bytes_max = kErrorBytesMax;
  BodySink* sink = nullptr;
};

/// What one attempt was signed with.
struct S3Store::Signing {
  SharedCredentials credentials;
  Asked asked;
};

S3Store::S3Store(Settings settings, std::unique_ptr<HttpClient> http,
                 std::unique_ptr<CredentialSource> credentials, base::Executor& executor,
                 const base::StopFlag* stop)
    : settings_(std::move(settings)),
      http_(std::move(http)),
      credentials_(std::move(credentials)),
      executor_(executor),
      pace_(executor, settings_.options.connections, stop) {
  std::string region = settings_.options.region;
  for (const std::string& next :
       {settings_.place.region, settings_.first_region, std::string(kDefaultRegion)}) {
    region = region.empty() ? next : region;
  }
  *region_.lock() = std::move(region);
}

Result<HttpRequest> S3Store::prepare(const Call& call, Signing& signing) {
  FIRN_LET(signing.credentials, in("credentials for S3", credentials_->get()));
  const Place& place = settings_.place;
  const std::string region = *region_.lock();
  // A dot in a bucket's name would need a certificate for its sub-domains.
  const bool by_path = settings_.options.path_style.value_or(
      !place.is_aws() || (place.tls && place.bucket.find('.') != std::string::npos));
  const Address address = address_of(place, region, by_path ? Style::Path : Style::VirtualHost,
                                     settings_.options.dual_stack, call.key);
  const std::string query = canonical_query(call.query);
  const base::WallTime now = executor_.clock().wall();
  signing.asked = Asked{.host = address.host,
                        .bucket = place.bucket,
                        .region = region,
                        .access_key_id = signing.credentials->access_key_id,
                        .key_from = credentials_->describe(),
                        .now = now};
  SigningInput input{.method = call.method,
                     .host = address.host,
                     .path = address.path,
                     .query = query,
                     .headers = call.headers,
                     .payload_hash = call.payload_hash.empty() ? payload_hash({}) : call.payload_hash};
  return HttpRequest{.method = call.method,
                     .url = address.url + (query.empty() ? "" : "?" + query),
                     .headers = signed_headers(std::move(input), {.region = region, .service = "s3"}, now,
                                               *signing.credentials),
                     .body = call.body,
                     .answer_bytes_max = call.answer_bytes_max,
                     .sink = call.sink};
}

S3Store::Answer S3Store::exchange(const HttpRequest& request, const Signing& signing) {
  pace_.enter();
  HttpResult result = http_->exchange(request);
  if (!result) {
    // A link or server that has too much to do gets less.
    pace_.leave({.answered = false, .throttled = result.error().stuck});
    return tl::unexpected<Refusal>(
        Refusal{.error = std::move(result).error().error, .maybe_done = result.error().maybe_sent});
  }
  if (result->status >= 200 && result->status < 300) {
    const std::uint64_t received = parse_number(result->header("content-length")).value_or(0);
    pace_.leave({.bytes = request.body.size() + received});
    return *std::move(result);
  }
  Refusal refusal = refusal_of(*result, signing.asked);
  refusal.maybe_done = refusal.maybe_done || result->resent;
  pace_.leave({.throttled = refusal.throttled, .leave_alone = refusal.leave_alone});
  return tl::unexpected<Refusal>(std::move(refusal));
}

S3Store::Answer S3Store::send(const Call& call) {
  SharedCredentials rejected;
  for (int attempt = 1;; ++attempt) {
    Signing signing;
    auto request = prepare(call, signing);
    if (!request) {
      return tl::unexpected<Refusal>(Refusal{.error = std::move(request).error()});
    }
    Answer answer = exchange(*request, signing);
    if (answer || attempt == kSendsMax) {
      return answer;
    }
    const Refusal& refusal = answer.error();
    if (!refusal.region.empty() && settings_.options.region.empty() &&
        refusal.region != signing.asked.region) {
      *region_.lock() = refusal.region;
      continue;
    }
    if (refusal.credentials_refused && !rejected) {
      rejected = signing.credentials;
      credentials_->reject(*rejected);
      if (const auto newer = credentials_->get(); newer && *newer != rejected) {
        continue;
      }
    }
    return answer;
  }
}

bool S3Store::asks_for_features() const {
  const Options& o = settings_.options;
  return !o.storage_class.empty() || !o.sse.empty() || !o.object_lock_mode.empty();
}

bool S3Store::retention_applies(std::string_view name) const {
  return !settings_.options.object_lock_mode.empty() &&
         std::any_of(kRetained.begin(), kRetained.end(),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

std::vector<HttpHeader> S3Store::put_headers(const ObjectName& name, ByteView bytes,
                                             PutOptions options) const {
  const Options& o = settings_.options;
  std::vector<HttpHeader> headers;
  if (!options.replace) {
    headers.push_back({"If-None-Match", "*"});
  }
  const bool retained = retention_applies(name);
  // A bucket with object lock takes no PUT without a checksum; elsewhere the signed payload is one.
  if (settings_.place.tls || retained) {
    headers.push_back({"x-amz-checksum-crc32c", crc32c_header(bytes)});
  }
  if (!o.storage_class.empty() && name.str().starts_with(format::kDataPrefix)) {
    headers.push_back({"x-amz-storage-class", o.storage_class});
  }
  if (!o.sse.empty()) {
    headers.push_back({"x-amz-server-side-encryption", o.sse});
  }
  if (!o.sse_kms_key_id.empty()) {
    headers.push_back({"x-amz-server-side-encryption-aws-kms-key-id", o.sse_kms_key_id});
  }
  if (retained) {
    const auto until = executor_.clock().wall().nanoseconds +
                       std::chrono::nanoseconds(settings_.options.object_lock_time).count();
    headers.push_back({"x-amz-object-lock-mode", o.object_lock_mode});
    headers.push_back({"x-amz-object-lock-retain-until-date", iso_time({until})});
  }
  return headers;
}

Outcome S3Store::put(const ObjectName& name, ByteView bytes, PutOptions options) {
  Answer answer =
      send({.method = "PUT",
            .key = key_of(name),
            .headers = put_headers(name, bytes, options),
            .body = bytes,
            .payload_hash = settings_.place.tls ? std::string(kUnsignedPayload) : payload_hash(bytes)});
  if (answer && (!answer->body.empty() || answer->header("etag").empty())) {
    return not_its_word("put", name);
  }
  if (answer) {
    return Done{};
  }
  if (answer.error().kind == Refusal::Kind::Exists) {
    const Outcome compared = compare_existing(name, bytes);
    return !compared.done() && answer.error().maybe_done ? Outcome(Unknown{compared.why()}) : compared;
  }
  Refusal refusal = std::move(answer).error();
  const bool is_understood =
      refusal.error.code != ErrorCode::Invalid && refusal.error.code != ErrorCode::Unsupported;
  if (!is_understood && asks_for_features()) {
    refusal.error.message +=
        "; the server may not know what the -o s3 options for classes, encryption or locks ask for";
  }
  return write_outcome("put", name, std::move(refusal));
}

/// What to answer when an object of this name is there: an earlier attempt of ours, or another's.
Outcome S3Store::compare_existing(const ObjectName& name, ByteView bytes) {
  CompareSink sink(bytes);
  Answer answer = send({.key = key_of(name), .sink = &sink});
  if (sink.different() || (answer && !sink.same())) {
    return NotDone{{ErrorCode::Exists, "put " + name.str() + ": another object has this name"}};
  }
  if (answer) {
    return Done{};
  }
  Refusal& refusal = answer.error();
  if (refusal.kind == Refusal::Kind::NoSuchKey) {
    return NotDone{
        {ErrorCode::Unavailable, "put " + name.str() + ": an object of this name was removed meanwhile"}};
  }
  return NotDone{in_context("put", name,
                            std::move(refusal.error).in("an object has this name, and cannot be compared"))};
}

Result<Bytes> S3Store::get(const ObjectName& name, std::uint64_t size_bytes_max) {
  Answer answer = send(
      {.key = key_of(name),
       .answer_bytes_max = static_cast<std::size_t>(std::min<std::uint64_t>(size_bytes_max, SIZE_MAX / 2))});
  if (!answer) {
    return Failure(in_context("get", name, std::move(answer).error().error));
  }
  // Without a length nobody could tell a body that was cut off.
  if (answer->status != 200 || parse_number(answer->header("content-length")) != answer->body.size()) {
    return fail(ErrorCode::Unavailable, "get " + name.str() + ": the answer is not a whole object");
  }
  return std::move(answer->body);
}

Result<> S3Store::get_range(const ObjectName& name, std::uint64_t offset, MutableBytes out) {
  if (out.empty() || offset > kOffsetMax || out.size() > kOffsetMax) {
    FIRN_LET(const std::uint64_t size_bytes, head(name));
    return out.empty() && offset <= size_bytes ? Result<>()
                                               : in("get " + name.str(), Result<>(ends_at(size_bytes)));
  }
  RangeSink sink(offset, out);
  const std::string range = "bytes=" + std::to_string(offset) + "-" + std::to_string(offset + out.size() - 1);
  Answer answer = send({.key = key_of(name), .headers = {{"Range", range}}, .sink = &sink});
  if (!answer) {
    return Failure(in_context("get", name, std::move(answer).error().error));
  }
  FIRN_TRY(in("get " + name.str(), sink.check_head(*answer)));
  if (!sink.full()) {
    return fail(ErrorCode::Unavailable, "get " + name.str() + ": the answer is shorter than it says");
  }
  return {};
}

Result<std::uint64_t> S3Store::head(const ObjectName& name) {
  NoSink sink;
  Answer answer = send({.key = key_of(name), .headers = {{"Range", "bytes=0-0"}}, .sink = &sink});
  if (sink.whole_size) {
    return *sink.whole_size;
  }
  if (!answer) {
    // An object of no bytes has no first one.
    if (answer.error().kind == Refusal::Kind::RangeEnds) {
      return 0;
    }
    return Failure(in_context("head", name, std::move(answer).error().error));
  }
  if (const auto range = content_range(*answer); answer->status == 206 && range && range->satisfied) {
    return range->total;
  }
  if (answer->status == 200 && !answer->header("etag").empty() &&
      parse_number(answer->header("content-length")) == 0U) {
    return 0;
  }
  return fail(ErrorCode::Unavailable, "head " + name.str() + ": the answer does not tell the object's size");
}

S3Store::Answer S3Store::list_request(std::string_view prefix, std::string_view after,
                                      std::uint32_t count_max) {
  std::vector<std::pair<std::string, std::string>> query{
      {"list-type", "2"},
      {"encoding-type", "url"},
      {"max-keys", std::to_string(std::clamp<std::uint32_t>(count_max, 1, kPageKeysMax))},
      {"prefix", key_of(prefix)}};
  if (!after.empty()) {
    query.emplace_back("start-after", std::string(after));
  }
  return send({.query = std::move(query), .answer_bytes_max = kListingBytesMax});
}

Result<ListPage> S3Store::list(std::string_view prefix, std::string_view after, std::uint32_t count_max) {
  const std::string& base = settings_.place.prefix;
  const std::string key_prefix = key_of(prefix);
  // An object may be called like the prefix itself, so that the two may be equal.
  std::string key_after = after.empty() || after < prefix ? std::string() : key_of(after);
  const std::string shown = "list " + std::string(prefix) + " in " + describe();
  while (true) {
    Answer answer = list_request(prefix, key_after, count_max);
    if (!answer) {
      Refusal& refusal = answer.error();
      refusal.error.code =
          refusal.kind == Refusal::Kind::NoSuchBucket ? ErrorCode::NotFound : refusal.error.code;
      return Failure(std::move(refusal.error).in(shown));
    }
    FIRN_LET(Listing listing, in(shown, parse_listing(answer->body)));
    ListPage page{.objects = {}, .last = !listing.truncated};
    for (const ListedKey& entry : listing.keys) {
      if (!entry.key.starts_with(key_prefix) || entry.key <= key_after) {
        return fail(ErrorCode::Unavailable, shown + ": the answer is not to this question");
      }
      if (page.objects.size() == count_max) {
        page.last = false;
        break;
      }
      // Keys that are no objects' names are somebody else's.
      if (auto name = ObjectName::parse(std::string_view(entry.key).substr(base.size()))) {
        page.objects.push_back({*std::move(name), entry.size_bytes, entry.modified});
      }
    }
    if (page.last || !page.objects.empty()) {
      return page;
    }
    key_after = listing.keys.back().key;
  }
}

Outcome S3Store::remove(const ObjectName& name) {
  Answer answer = send({.method = "DELETE", .key = key_of(name)});
  if (answer && !answer->body.empty()) {
    return not_its_word("remove", name);
  }
  if (answer || answer.error().kind == Refusal::Kind::NoSuchKey) {
    return Done{};
  }
  return write_outcome("remove", name, std::move(answer).error());
}

Result<base::WallTime> S3Store::now() {
  Answer answer = list_request("", {}, 1);
  if (!answer) {
    return Failure(std::move(answer).error().error.in("ask " + describe() + " for the time"));
  }
  const auto date = parse_http_date(answer->header("date"));
  if (!date) {
    return fail(ErrorCode::Unavailable, "ask " + describe() + " for the time: the answer has no Date");
  }
  // The header has whole seconds: nothing that was stored before the answer is later than this.
  return base::WallTime{date->nanoseconds + 999'999'999};
}

}  // namespace firn::store::s3
