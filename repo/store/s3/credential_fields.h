// What credential files and endpoints say, read from text: AWS's shared files, JSON answers, STS's XML.
//
// Promise: hostile input gives an error, never more memory than a few times its size; what was read is wiped
// when its owner goes. Pure functions. Not here: which of them is asked (credential_chain.h). Threads: any.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "repo/base/bytes.h"
#include "repo/base/clock.h"
#include "repo/base/result.h"
#include "repo/store/s3/credentials.h"

namespace firn::store::s3 {

/// Text that may be a secret: wiped when it goes. It never grows beyond what it was made with.
class WipedText {
 public:
  WipedText() = default;
  explicit WipedText(std::string_view text) : text_(text.begin(), text.end()) {}
  WipedText(WipedText&& other) noexcept : text_(std::move(other.text_)) {}
  WipedText& operator=(WipedText&& other) noexcept;
  WipedText(const WipedText&) = delete;
  WipedText& operator=(const WipedText&) = delete;
  ~WipedText() { wipe(); }
  std::string_view view() const { return {text_.data(), text_.size()}; }
  bool empty() const { return text_.empty(); }
  crypto::SecretBytes secret() const { return crypto::SecretBytes::copy_of(as_bytes(view())); }
  char* data() { return text_.data(); }
  /// Wipes what stands behind the first `size` characters.
  void truncate(std::size_t size);

 private:
  void wipe();
  std::vector<char> text_;  // moves with its owner, as a short string would not
};

/// The settings of one profile: key in lower case → value.
using Profile = std::map<std::string, WipedText, std::less<>>;

/// Profiles of a shared file by name. In the config file they are called "profile NAME", but for "default";
/// other sections ("sso-session x") are left out. A profile that stands there twice is one. Errors: Invalid,
/// with the line's number and never its text.
enum class SharedFileKind { Credentials, Config };
using Profiles = std::map<std::string, Profile, std::less<>>;
Result<Profiles> parse_shared_file(std::string_view text, SharedFileKind kind);

/// The string members of a JSON object, by name; members of other types are left out. Errors: Corrupt.
Result<std::map<std::string, WipedText, std::less<>>> parse_json_strings(std::string_view json);

/// Credentials in a JSON answer: of a container's or an instance's endpoint ("Token"), or of a credential
/// process
/// ("SessionToken"). Errors: Corrupt (not what it must be), Denied (it says why there are none).
Result<Credentials> credentials_of_json(std::string_view json, std::string_view token_name);

/// Credentials in STS's answer to `action`. Parsed in place: `xml` holds nothing afterwards. Errors: Corrupt.
Result<Credentials> credentials_of_sts(Bytes xml, std::string_view action);

/// Code and message of STS's error document, as "Code: message"; empty when it is none.
std::string error_of_sts(Bytes xml);

/// "2026-01-31T12:00:00Z", also with a fraction or an offset ("+00:00").
std::optional<base::WallTime> parse_time(std::string_view text);

}  // namespace firn::store::s3
