#include "repo/store/s3/xml.h"

#include <algorithm>
#include <charconv>
#include <pugixml.hpp>
#include <string_view>

#include "repo/store/s3/percent.h"
#include "repo/store/s3/times.h"

namespace firn::store::s3 {
namespace {

constexpr std::size_t kKeysMax = 1000;
constexpr std::size_t kMessageBytesMax = 300;
constexpr unsigned kParseFlags =
    pugi::parse_escapes | pugi::parse_eol | pugi::parse_cdata | pugi::parse_ws_pcdata_single;

Failure damaged(const char* what) {
  return fail(ErrorCode::Unavailable, std::string("the answer is no listing: ") + what);
}

/// The document's one root element, or a null node.
pugi::xml_node load(pugi::xml_document& document, ByteView body) {
  if (std::find(body.begin(), body.end(), std::byte{0}) != body.end() ||
      !document.load_buffer(body.data(), body.size(), kParseFlags, pugi::encoding_utf8)) {
    return {};
  }
  const pugi::xml_node root = document.first_child();
  return root.next_sibling() ? pugi::xml_node() : root;
}

/// The text of the one child of that name. Nothing when there is none, several, or one with children.
std::optional<std::string_view> text_of(const pugi::xml_node& parent, const char* name) {
  const pugi::xml_node child = parent.child(name);
  if (!child || child.next_sibling(name)) {
    return std::nullopt;
  }
  const pugi::xml_node text = child.first_child();
  if (text &&
      (text.next_sibling() || (text.type() != pugi::node_pcdata && text.type() != pugi::node_cdata))) {
    return std::nullopt;
  }
  return std::string_view(text.value());
}

std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

Result<ListedKey> parse_entry(const pugi::xml_node& node, bool encoded) {
  const auto key = text_of(node, "Key");
  const auto size = text_of(node, "Size");
  const auto modified = text_of(node, "LastModified");
  if (!key || !size || !modified) {
    return damaged("an entry lacks its key, size or time");
  }
  auto decoded = encoded ? percent_decode(*key) : std::optional(std::string(*key));
  const auto size_bytes = number_of(*size);
  const auto time = parse_iso_time(*modified);
  if (!decoded || decoded->empty() || !size_bytes || !time) {
    return damaged("an entry's key, size or time is malformed");
  }
  return ListedKey{*std::move(decoded), *size_bytes, *time};
}

/// At most `size` bytes that a terminal can show.
std::string shown(std::string_view text, std::size_t size) {
  std::string out(text.substr(0, size));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, ' ');
  return out;
}

}  // namespace

Result<Listing> parse_listing(ByteView body) {
  if (body.size() > kListingBytesMax) {
    return damaged("it is too long");
  }
  pugi::xml_document document;
  const pugi::xml_node root = load(document, body);
  if (!root || std::string_view(root.name()) != "ListBucketResult") {
    return damaged("no ListBucketResult");
  }
  const auto truncated = text_of(root, "IsTruncated");
  if (!truncated || (*truncated != "true" && *truncated != "false")) {
    return damaged("it does not say whether it is truncated");
  }
  const bool encoded = text_of(root, "EncodingType").value_or("") == "url";
  Listing listing;
  listing.truncated = *truncated == "true";
  for (const pugi::xml_node& node : root.children("Contents")) {
    FIRN_LET(ListedKey entry, parse_entry(node, encoded));
    if (listing.keys.size() == kKeysMax) {
      return damaged("more than a thousand entries");
    }
    if (!listing.keys.empty() && listing.keys.back().key >= entry.key) {
      return damaged("its entries are not in order");
    }
    listing.keys.push_back(std::move(entry));
  }
  if (const auto count = text_of(root, "KeyCount"); count && number_of(*count) != listing.keys.size()) {
    return damaged("it has not the number of entries that it says");
  }
  if (listing.truncated && listing.keys.empty()) {
    return damaged("it is truncated and has no entry");
  }
  return listing;
}

std::optional<ServerError> parse_error(ByteView body) {
  if (body.size() > kErrorBytesMax) {
    return std::nullopt;
  }
  pugi::xml_document document;
  pugi::xml_node root = load(document, body);
  // STS and some gateways wrap the error once more.
  if (std::string_view(root.name()) == "ErrorResponse") {
    root = root.child("Error");
  }
  const auto code = text_of(root, "Code");
  if (std::string_view(root.name()) != "Error" || !code || code->empty() || code->size() > 100) {
    return std::nullopt;
  }
  return ServerError{shown(*code, 100), shown(text_of(root, "Message").value_or(""), kMessageBytesMax),
                     shown(text_of(root, "Region").value_or(""), 64)};
}

}  // namespace firn::store::s3
