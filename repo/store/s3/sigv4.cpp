#include "repo/store/s3/sigv4.h"

#include <algorithm>
#include <utility>

#include "crypto/digest.h"
#include "repo/store/s3/times.h"

namespace firn::store::s3 {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::size_t kDateSize = 8;  // of "20130524T000000Z"

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

/// Without blanks around it, and with one where there are several.
std::string trimmed(std::string_view value) {
  std::string out;
  for (const char c : value) {
    const bool blank = c == ' ' || c == '\t';
    if (!blank) {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  if (!out.empty() && out.back() == ' ') {
    out.pop_back();
  }
  return out;
}

struct CanonicalHeaders {
  std::string lines;  // "name:value\n" each
  std::string names;  // "a;b;c"
};

CanonicalHeaders canonical_headers(const SigningInput& input) {
  std::vector<std::pair<std::string, std::string>> headers{{"host", std::string(input.host)}};
  for (const HttpHeader& header : input.headers) {
    headers.emplace_back(lower(header.name), trimmed(header.value));
  }
  std::sort(headers.begin(), headers.end());
  CanonicalHeaders out;
  for (const auto& [name, value] : headers) {
    out.lines.append(name).append(":").append(value).append("\n");
    out.names.append(out.names.empty() ? "" : ";").append(name);
  }
  return out;
}

crypto::Digest signing_key(const Credentials& credentials, std::string_view date, const SigningScope& scope) {
  constexpr std::string_view kPrefix = "AWS4";
  crypto::SecretBytes start(kPrefix.size() + credentials.secret.size());
  const auto rest = std::copy(as_bytes(kPrefix).begin(), as_bytes(kPrefix).end(), start.writable().begin());
  std::copy(credentials.secret.bytes().begin(), credentials.secret.bytes().end(), rest);
  crypto::Digest key = crypto::hmac_sha256(start.bytes(), as_bytes(date));
  for (const std::string_view part : {scope.region, scope.service, std::string_view("aws4_request")}) {
    key = crypto::hmac_sha256(key, as_bytes(part));
  }
  return key;
}

}  // namespace

std::string payload_hash(ByteView payload) { return to_hex(crypto::sha256(payload)); }

std::string authorization(const SigningInput& input, const SigningScope& scope, std::string_view timestamp,
                          const Credentials& credentials) {
  const CanonicalHeaders headers = canonical_headers(input);
  std::string request;
  request.append(input.method).append("\n").append(input.path).append("\n").append(input.query).append("\n");
  request.append(headers.lines).append("\n").append(headers.names).append("\n").append(input.payload_hash);

  const std::string_view date = timestamp.substr(0, kDateSize);
  std::string scope_text(date);
  scope_text.append("/").append(scope.region).append("/").append(scope.service).append("/aws4_request");
  std::string to_sign(kAlgorithm);
  to_sign.append("\n").append(timestamp).append("\n").append(scope_text).append("\n");
  to_sign.append(payload_hash(as_bytes(request)));

  crypto::Digest key = signing_key(credentials, date, scope);
  const std::string signature = to_hex(crypto::hmac_sha256(key, as_bytes(to_sign)));
  crypto::wipe(key);

  std::string out(kAlgorithm);
  out.append(" Credential=").append(credentials.access_key_id).append("/").append(scope_text);
  out.append(", SignedHeaders=").append(headers.names).append(", Signature=").append(signature);
  return out;
}

std::vector<HttpHeader> signed_headers(SigningInput input, const SigningScope& scope, base::WallTime now,
                                       const Credentials& credentials) {
  const std::string timestamp = compact_time(now);
  input.headers.push_back({"x-amz-date", timestamp});
  input.headers.push_back({"x-amz-content-sha256", input.payload_hash});
  if (!credentials.session_token.empty()) {
    input.headers.push_back(
        {"x-amz-security-token", std::string(as_text(credentials.session_token.bytes()))});
  }
  std::string signature = authorization(input, scope, timestamp, credentials);
  input.headers.push_back({"Authorization", std::move(signature)});
  return std::move(input.headers);
}

}  // namespace firn::store::s3
