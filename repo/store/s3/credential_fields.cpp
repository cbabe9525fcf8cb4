#include "repo/store/s3/credential_fields.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <pugixml.hpp>
#include <utility>

#include "repo/base/bytes.h"
#include "repo/store/s3/times.h"

namespace firn::store::s3 {
namespace {

constexpr std::size_t kJsonDepthMax = 16;
constexpr std::size_t kMembersMax = 64;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && is_blank(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

Failure bad_line(std::size_t line, std::string_view what) {
  return fail(ErrorCode::Invalid, "line " + std::to_string(line) + " " + std::string(what));
}

/// The profile that a section's name stands for; none for sections that are no profiles.
std::optional<std::string> profile_name(std::string_view section, SharedFileKind kind) {
  if (kind == SharedFileKind::Credentials || section == "default") {
    return std::string(section);
  }
  constexpr std::string_view kWord = "profile";
  if (!section.starts_with(kWord) || section.size() == kWord.size() || !is_blank(section[kWord.size()])) {
    return std::nullopt;
  }
  std::string_view name = trim(section.substr(kWord.size()));
  if (name.size() >= 2 && (name.front() == '"' || name.front() == '\'') && name.back() == name.front()) {
    name = name.substr(1, name.size() - 2);
  }
  return std::string(name);
}

/// A value ends at a comment that a blank stands before.
std::string_view without_comment(std::string_view value) {
  for (std::size_t i = 1; i < value.size(); ++i) {
    if ((value[i] == '#' || value[i] == ';') && is_blank(value[i - 1])) {
      return trim(value.substr(0, i));
    }
  }
  return value;
}

// JSON.

class JsonReader {
 public:
  using Members = std::map<std::string, WipedText, std::less<>>;

  explicit JsonReader(std::string_view text) : rest_(text) {}

  Result<Members> read_object() {
    Members members;
    FIRN_TRY(expect('{'));
    if (!take('}')) {
      do {
        FIRN_LET(WipedText name, read_string());
        FIRN_TRY(expect(':'));
        skip_blanks();
        if (!rest_.empty() && rest_.front() == '"') {
          FIRN_LET(WipedText value, read_string());
          if (members.size() == kMembersMax ||
              !members.emplace(std::string(name.view()), std::move(value)).second) {
            return broken();
          }
        } else {
          FIRN_TRY(skip_value(1));
        }
      } while (take(','));
      FIRN_TRY(expect('}'));
    }
    skip_blanks();
    if (!rest_.empty()) {
      return broken();
    }
    return members;
  }

 private:
  static Failure broken() { return fail(ErrorCode::Corrupt, "the answer is not the JSON that it should be"); }

  void skip_blanks() {
    while (!rest_.empty() && (is_blank(rest_.front()) || rest_.front() == '\n')) {
      rest_.remove_prefix(1);
    }
  }
  bool take(char c) {
    skip_blanks();
    if (rest_.empty() || rest_.front() != c) {
      return false;
    }
    rest_.remove_prefix(1);
    return true;
  }
  Result<> expect(char c) {
    if (!take(c)) {
      return broken();
    }
    return {};
  }

  Result<WipedText> read_string() {
    FIRN_TRY(expect('"'));
    const std::size_t end = end_of_string();
    if (end == std::string_view::npos) {
      return broken();
    }
    // Decoded in place: it is never longer than written.
    WipedText decoded(rest_.substr(0, end));
    char* out = decoded.data();
    std::size_t length = 0;
    std::string_view text = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    while (!text.empty()) {
      if (static_cast<unsigned char>(text.front()) < 0x20) {
        return broken();
      }
      if (text.front() != '\\') {
        out[length++] = text.front();
        text.remove_prefix(1);
      } else if (!read_escape(text, out, length)) {
        return broken();
      }
    }
    decoded.truncate(length);
    return decoded;
  }

  std::size_t end_of_string() const {
    for (std::size_t i = 0; i < rest_.size(); ++i) {
      if (rest_[i] == '\\') {
        ++i;
      } else if (rest_[i] == '"') {
        return i;
      }
    }
    return std::string_view::npos;
  }

  static bool read_escape(std::string_view& text, char* out, std::size_t& length) {
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    if (text.size() < 2) {
      return false;
    }
    if (const auto at = kNames.find(text[1]); at != std::string_view::npos) {
      out[length++] = kMeanings[at];
      text.remove_prefix(2);
      return true;
    }
    std::uint32_t code = 0;
    if (text[1] != 'u' || text.size() < 6) {
      return false;
    }
    const auto [end, error] = std::from_chars(text.data() + 2, text.data() + 6, code, 16);
    // Surrogates would be names beyond what any credential holds.
    if (error != std::errc() || end != text.data() + 6 || code == 0 || (code >= 0xd800 && code <= 0xdfff)) {
      return false;
    }
    text.remove_prefix(6);
    if (code < 0x80) {
      out[length++] = static_cast<char>(code);
    } else if (code < 0x800) {
      out[length++] = static_cast<char>(0xc0 | (code >> 6));
      out[length++] = static_cast<char>(0x80 | (code & 0x3f));
    } else {
      out[length++] = static_cast<char>(0xe0 | (code >> 12));
      out[length++] = static_cast<char>(0x80 | ((code >> 6) & 0x3f));
      out[length++] = static_cast<char>(0x80 | (code & 0x3f));
    }
    return true;
  }

  Result<> skip_value(std::size_t depth) {
    skip_blanks();
    if (rest_.empty() || depth > kJsonDepthMax) {
      return broken();
    }
    if (rest_.front() == '"') {
      return read_string().map([](const WipedText&) {});
    }
    if (take('{')) {
      return skip_members(depth, '}');
    }
    if (take('[')) {
      return skip_members(depth, ']');
    }
    constexpr std::string_view kWordCharacters = "+-.0123456789abcdefghijklmnopqrstuvwxyzE";
    const std::size_t end = std::min(rest_.find_first_not_of(kWordCharacters), rest_.size());
    if (end == 0) {
      return broken();
    }
    rest_.remove_prefix(end);
    return {};
  }

  Result<> skip_members(std::size_t depth, char closing) {
    if (take(closing)) {
      return {};
    }
    do {
      if (closing == '}') {
        FIRN_TRY(read_string());
        FIRN_TRY(expect(':'));
      }
      FIRN_TRY(skip_value(depth + 1));
    } while (take(','));
    return expect(closing);
  }

  std::string_view rest_;
};

// XML.

std::string_view local_name(const pugi::xml_node& node) {
  const std::string_view name = node.name();
  return name.substr(name.find(':') == std::string_view::npos ? 0 : name.find(':') + 1);
}

pugi::xml_node child(const pugi::xml_node& parent, std::string_view name) {
  for (const pugi::xml_node& node : parent.children()) {
    if (local_name(node) == name) {
      return node;
    }
  }
  return {};
}

/// A document in `xml`'s own memory, so that wiping that wipes the secrets.
class XmlDocument {
 public:
  explicit XmlDocument(Bytes xml) : xml_(std::move(xml)) {
    good_ = !xml_.empty() && document_.load_buffer_inplace(xml_.data(), xml_.size(),
                                                           pugi::parse_minimal | pugi::parse_escapes);
  }
  XmlDocument(const XmlDocument&) = delete;
  XmlDocument& operator=(const XmlDocument&) = delete;
  ~XmlDocument() { crypto::wipe(xml_); }
  pugi::xml_node root() const { return good_ ? document_.document_element() : pugi::xml_node(); }

 private:
  Bytes xml_;
  pugi::xml_document document_;
  bool good_ = false;
};

/// At most 300 printable characters of a server's own words.
std::string shown(std::string_view text) {
  std::string out(text.substr(0, 300));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c < 0x20 || c > 0x7e; }, ' ');
  return out;
}

// Times.

std::optional<int> digits(std::string_view text, std::size_t at, std::size_t count) {
  int value = 0;
  if (at + count > text.size()) {
    return std::nullopt;
  }
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + at + count, value);
  return error == std::errc() && end == text.data() + at + count && value >= 0 ? std::optional(value)
                                                                               : std::nullopt;
}

/// Seconds east of UTC of "Z", "+01:00" or "-0730".
std::optional<int> offset_seconds(std::string_view text) {
  if (text == "Z" || text == "z") {
    return 0;
  }
  if (text.size() < 5 || (text[0] != '+' && text[0] != '-')) {
    return std::nullopt;
  }
  const bool colon = text[3] == ':';
  const auto hours = digits(text, 1, 2);
  const auto minutes = digits(text, colon ? 4 : 3, 2);
  if (!hours || !minutes || text.size() != (colon ? 6U : 5U)) {
    return std::nullopt;
  }
  return (text[0] == '-' ? -1 : 1) * (*hours * 3600 + *minutes * 60);
}

}  // namespace

WipedText& WipedText::operator=(WipedText&& other) noexcept {
  if (this != &other) {
    wipe();
    text_ = std::move(other.text_);
  }
  return *this;
}

void WipedText::truncate(std::size_t size) {
  crypto::wipe(std::as_writable_bytes(std::span(text_).subspan(size)));
  text_.resize(size);
}

void WipedText::wipe() { crypto::wipe(std::as_writable_bytes(std::span(text_.data(), text_.size()))); }

Result<Profiles> parse_shared_file(std::string_view text, SharedFileKind kind) {
  Profiles profiles;
  Profile* current = nullptr;
  bool in_section = false;
  for (std::size_t line = 1; !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view whole = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (whole.find('\0') != std::string_view::npos) {
      return bad_line(line, "holds a NUL byte");
    }
    const std::string_view content = trim(whole);
    if (content.empty() || content.front() == '#' || content.front() == ';') {
      continue;
    }
    if (content.front() == '[') {
      const std::size_t closing = content.find(']');
      if (closing == std::string_view::npos) {
        return bad_line(line, "begins with [ and has no ]");
      }
      const auto name = profile_name(trim(content.substr(1, closing - 1)), kind);
      current = name ? &profiles[*name] : nullptr;
      in_section = true;
      continue;
    }
    if (!in_section) {
      return bad_line(line, "stands before the first [section]");
    }
    if (is_blank(whole.front())) {
      continue;  // a nested setting of a service
    }
    const std::size_t equals = content.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return bad_line(line, "is not of the form key = value");
    }
    if (current != nullptr) {
      (*current)[lower(trim(content.substr(0, equals)))] =
          WipedText(without_comment(trim(content.substr(equals + 1))));
    }
  }
  return profiles;
}

Result<std::map<std::string, WipedText, std::less<>>> parse_json_strings(std::string_view json) {
  return JsonReader(json).read_object();
}

Result<Credentials> credentials_of_json(std::string_view json, std::string_view token_name) {
  FIRN_LET(const auto members, parse_json_strings(json));
  const auto find = [&members](std::string_view name) {
    const auto at = members.find(name);
    return at == members.end() ? std::string_view() : at->second.view();
  };
  if (const std::string_view code = find("Code"); !code.empty() && code != "Success") {
    return fail(ErrorCode::Denied, "the answer is " + shown(code) + ": " + shown(find("Message")));
  }
  if (find("AccessKeyId").empty() || find("SecretAccessKey").empty()) {
    return fail(ErrorCode::Corrupt, "the answer has no AccessKeyId or no SecretAccessKey");
  }
  Credentials credentials{.access_key_id = std::string(find("AccessKeyId")),
                          .secret = crypto::SecretBytes::copy_of(as_bytes(find("SecretAccessKey"))),
                          .session_token = crypto::SecretBytes::copy_of(as_bytes(find(token_name))),
                          .expires = std::nullopt};
  if (const std::string_view expires = find("Expiration"); !expires.empty()) {
    credentials.expires = parse_time(expires);
    if (!credentials.expires) {
      return fail(ErrorCode::Corrupt, "the answer's Expiration is no time");
    }
  }
  return credentials;
}

Result<Credentials> credentials_of_sts(Bytes xml, std::string_view action) {
  const XmlDocument document(std::move(xml));
  const pugi::xml_node root = document.root();
  const pugi::xml_node given = child(child(root, std::string(action) + "Result"), "Credentials");
  const auto text = [&given](std::string_view name) { return trim(child(given, name).child_value()); };
  if (local_name(root) != std::string(action) + "Response" || text("AccessKeyId").empty() ||
      text("SecretAccessKey").empty() || text("SessionToken").empty()) {
    return fail(ErrorCode::Corrupt, "the answer holds no credentials");
  }
  const auto expires = parse_time(text("Expiration"));
  if (!expires) {
    return fail(ErrorCode::Corrupt, "the answer's Expiration is no time");
  }
  return Credentials{.access_key_id = std::string(text("AccessKeyId")),
                     .secret = crypto::SecretBytes::copy_of(as_bytes(text("SecretAccessKey"))),
                     .session_token = crypto::SecretBytes::copy_of(as_bytes(text("SessionToken"))),
                     .expires = expires};
}

std::string error_of_sts(Bytes xml) {
  const XmlDocument document(std::move(xml));
  const pugi::xml_node root = document.root();
  const pugi::xml_node error = local_name(root) == "Error" ? root : child(root, "Error");
  const std::string code = shown(trim(child(error, "Code").child_value()));
  const std::string message = shown(trim(child(error, "Message").child_value()));
  return code.empty() ? std::string() : code + (message.empty() ? "" : ": " + message);
}

std::optional<base::WallTime> parse_time(std::string_view text) {
  const std::size_t zone = text.find_first_of("Zz+-", std::min<std::size_t>(text.size(), 19));
  if (zone == std::string_view::npos) {
    return std::nullopt;
  }
  const auto offset = offset_seconds(text.substr(zone));
  auto time = parse_iso_time(std::string(text.substr(0, zone)) + "Z");
  if (!time || !offset) {
    return std::nullopt;
  }
  time->nanoseconds -= *offset * std::int64_t{1'000'000'000};
  return time;
}

}  // namespace firn::store::s3
