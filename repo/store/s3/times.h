// Times as S3 writes them, to the calendar and back.
//
// Threads: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "repo/base/clock.h"

namespace firn::store::s3 {

/// "20130524T000000Z", as requests are signed.
std::string compact_time(base::WallTime time);

/// "2013-05-24T00:00:00Z", as object lock wants it.
std::string iso_time(base::WallTime time);

/// "2013-05-24T00:00:00Z", with or without a fraction of up to nine digits, as lists have it. Years
/// 1970–2261.
std::optional<base::WallTime> parse_iso_time(std::string_view text);

/// "Fri, 24 May 2013 00:00:00 GMT", as the Date header has it; whole seconds.
std::optional<base::WallTime> parse_http_date(std::string_view text);

}  // namespace firn::store::s3
