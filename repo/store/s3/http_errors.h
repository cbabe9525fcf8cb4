// What libcurl says went wrong, as an error with a sentence that says what to do.
//
// Threads: any.
#pragma once

#include <curl/curl.h>

#include <string_view>

#include "repo/base/result.h"

namespace firn::store::s3 {

/// `detail` is libcurl's own text, `url` that of the request. Nothing but its authority is shown.
Error error_of_curl(CURLcode code, std::string_view detail, std::string_view url);

}  // namespace firn::store::s3
