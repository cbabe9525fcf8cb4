// Percent-encoding as AWS signs it: every byte but A–Z a–z 0–9 - . _ ~ becomes %XX.
//
// Threads: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace firn::store::s3 {

enum class Slash { Keep, Encode };
std::string percent_encode(std::string_view text, Slash slash);

/// The bytes of an encoding=url answer, where a plus is a space. Nothing for a percent sign that is not
/// followed by two hex digits.
std::optional<std::string> percent_decode(std::string_view text);

/// "a=1&b=%20" of names and values, encoded and sorted as AWS signs them.
std::string canonical_query(std::vector<std::pair<std::string, std::string>> parameters);

}  // namespace firn::store::s3
