// JSON as scripts get it: members in the order in which they are documented, names that are not UTF-8 with
// U+FFFD in the place of each byte that is not (as restic writes them; the raw bytes are not recoverable from
// JSON).
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace firn::cli {

using Json = nlohmann::ordered_json;

/// In one line.
inline std::string json_text(const Json& document) {
  return document.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace firn::cli
