// For every parser of repo/format: parse, then encode again. Shared by property tests and fuzz targets.
#pragma once

#include <span>
#include <string_view>

#include "repo/base/bytes.h"
#include "repo/base/result.h"

namespace firn::format::test {

struct Reencoder {
  std::string_view record;
  /// What the parser accepts, encoded again; the parser's error otherwise.
  Result<Bytes> (*run)(ByteView);
};

std::span<const Reencoder> reencoders();
/// Aborts for a record that is not in the list.
Result<Bytes> reencode(std::string_view record, ByteView bytes);

}  // namespace firn::format::test
