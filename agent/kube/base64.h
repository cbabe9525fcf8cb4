// Bytes in the API's JSON: base64 with padding (RFC 4648, section 4).
//
// Threads: any.
#pragma once

#include <string>
#include <string_view>

#include "repo/base/bytes.h"
#include "repo/base/result.h"

namespace firn::kube {

std::string base64_text(ByteView bytes);
/// Blanks and line ends are skipped. Errors: Invalid (names `what`).
Result<Bytes> base64_bytes(std::string_view text, const std::string& what);

}  // namespace firn::kube
