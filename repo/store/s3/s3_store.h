// Objects in a bucket of an S3 server: the object `data/ab/cd…` is the key of that name below the prefix.
//
// Promise: as ObjectStore. One PUT an object, never multipart, with If-None-Match: * unless it replaces.
// Outcomes: a request that was refused, or that no byte was sent of, is NotDone; a lost answer or a 5xx that
// is not the server's own word is Unknown, and so is a 200 to a PUT that has no ETag. A 404 counts as "not
// there" only with S3's own NoSuchKey: what a proxy says is Unavailable. Over https the payload is not
// signed, TLS and a CRC-32C protect it; over http it is signed. Expired credentials are fetched anew and a
// bucket's region is followed, once each for a request.
//
// Not here: trying again (retry_store.h), where credentials come from (credentials.h), bytes on the wire
// (http.h, the door to the real network: not for a seeded executor).
// Threads: any.
#pragma once

#include <memory>
#include <string>

#include "repo/base/executor.h"
#include "repo/base/monitor.h"
#include "repo/base/stop.h"
#include "repo/store/object_store.h"
#include "repo/store/s3/credentials.h"
#include "repo/store/s3/http.h"
#include "repo/store/s3/options.h"
#include "repo/store/s3/pace.h"
#include "repo/store/s3/place.h"
#include "repo/store/s3/refusal.h"

namespace firn::store::s3 {

struct Settings {
  Place place;
  Options options;
  std::string first_region;  // to begin with when no option names one; empty = us-east-1
};

class S3Store final : public ObjectStore {
 public:
  /// Asks the server nothing. `executor` and `stop` (may be null) must outlive the store.
  S3Store(Settings settings, std::unique_ptr<HttpClient> http, std::unique_ptr<CredentialSource> credentials,
          base::Executor& executor, const base::StopFlag* stop);

  Outcome put(const ObjectName& name, ByteView bytes, PutOptions options = {}) override;
  Result<Bytes> get(const ObjectName& name, std::uint64_t size_bytes_max) override;
  Result<> get_range(const ObjectName& name, std::uint64_t offset, MutableBytes out) override;
  /// A GET of the first byte: the answer to a HEAD has no body that tells a missing object from a missing
  /// bucket, or from a word of somebody in between.
  Result<std::uint64_t> head(const ObjectName& name) override;
  Result<ListPage> list(std::string_view prefix, std::string_view after, std::uint32_t count_max) override;
  Outcome remove(const ObjectName& name) override;
  /// The Date header of the answer to a LIST: whole seconds, which some servers make once a second.
  Result<base::WallTime> now() override;
  std::string describe() const override { return settings_.place.describe; }
  /// A reader in a distant region finds out late that its index is old.
  std::chrono::seconds deletion_delay() const override { return std::chrono::hours(24); }
  unsigned parallel_requests() const override { return settings_.options.connections; }

 private:
  struct Call;
  struct Signing;
  using Answer = tl::expected<HttpResponse, Refusal>;

  Answer send(const Call& call);
  Result<HttpRequest> prepare(const Call& call, Signing& signing);
  Answer exchange(const HttpRequest& request, const Signing& signing);
  std::vector<HttpHeader> put_headers(const ObjectName& name, ByteView bytes, PutOptions options) const;
  Outcome compare_existing(const ObjectName& name, ByteView bytes);
  Answer list_request(std::string_view prefix, std::string_view after, std::uint32_t count_max);
  bool asks_for_features() const;
  bool retention_applies(std::string_view name) const;
  std::string key_of(std::string_view name) const { return settings_.place.prefix + std::string(name); }

  const Settings settings_;
  const std::unique_ptr<HttpClient> http_;
  const std::unique_ptr<CredentialSource> credentials_;
  base::Executor& executor_;
  Pace pace_;
  base::Guarded<std::string> region_;
};

}  // namespace firn::store::s3
