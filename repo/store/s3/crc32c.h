// CRC-32C (Castagnoli), the cheapest checksum that S3 verifies a body with.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <string>

#include "repo/base/bytes.h"

namespace firn::store::s3 {

std::uint32_t crc32c(ByteView bytes);

/// As the header x-amz-checksum-crc32c has it: base64 of the big-endian value.
std::string crc32c_header(ByteView bytes);

}  // namespace firn::store::s3
