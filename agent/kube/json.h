// JSON from the API server, read without surprises: what is missing or of another kind is empty.
//
// Nothing here throws. Threads: any.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "repo/base/result.h"

namespace firn::kube {

using Json = nlohmann::json;

/// Without managedFields. Errors: Corrupt.
Result<Json> parse_json(std::string_view text);

/// The member, or null.
const Json& member(const Json& object, const char* name);
/// The member of a member of …, or null.
template <class... More>
const Json& member(const Json& object, const char* name, More... more) {
  return member(member(object, name), more...);
}

std::string text_of(const Json& value);
bool bool_of(const Json& value);
std::optional<std::int64_t> number_of(const Json& value);
std::vector<std::string> texts_of(const Json& value);

/// The items of a list's body, one after the other, each forgotten before the next: memory is the body and
/// one item. managedFields, most of many an object, are left out. Errors: Corrupt, the visitor's.
struct ListMeta {
  std::string resource_version;
  std::string next;  // `continue` for the next page; empty on the last one
};
Result<ListMeta> visit_items(std::string_view body, const std::function<Result<>(const Json& item)>& visit);

/// Text of a value; bytes that are not UTF-8 are replaced.
std::string to_text(const Json& value);

}  // namespace firn::kube
