// What --read-data-subset says.
#pragma once

#include <string_view>

#include "repo/check.h"

namespace firn::cli {

/// "2/7", "5%", "10G". Errors: Invalid.
Result<repo::DataSubset> parse_subset(std::string_view text);

}  // namespace firn::cli
