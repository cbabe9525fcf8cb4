// Fuzz: the rows of the local index. What a parser accepts encodes back to the same bytes.
//
// Input: a byte that chooses the parser, a byte with the length of the key, the key, the rest.
#include <cstdlib>

#include "repo/index/rows.h"

namespace {

using namespace firn;
using namespace firn::index;

void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) {
    return 0;
  }
  const ByteView rest = std::as_bytes(std::span(data, size)).subspan(2);
  const ByteView key = rest.first(std::min<std::size_t>(data[1], rest.size()));
  const ByteView payload = rest.subspan(key.size());
  switch (data[0] % 8) {
    case 0:
      if (const auto row = parse_meta(payload)) {
        require(equal(encode(*row), payload));
      }
      break;
    case 1:
      if (const auto row = parse_pack(payload)) {
        require(equal(encode(*row), payload));
      }
      break;
    case 2:
      if (const auto row = parse_entry(key, payload)) {
        const EntryRecord record = encode(row->listing, row->entry);
        require(equal(record.key, key) && equal(record.payload, payload));
      }
      break;
    case 3:
      if (const auto name = parse_object_key(key)) {
        require(equal(object_key(*name), key));
      }
      break;
    case 4:
      if (const auto listings = parse_listings(payload)) {
        require(equal(encode(*listings), payload));
      }
      break;
    case 5:
      if (const auto pack = parse_pack_key(key)) {
        require(equal(pack_key(*pack), key));
      }
      break;
    case 6:
      if (const auto number = parse_number(payload)) {
        require(equal(number_key(*number), payload));
      }
      break;
    default:
      for (const Table table : kRowTables) {
        if (const auto row = check_row(table, key, payload)) {
          Bytes value = to_bytes(row->payload);
          append_check(value, row->hash);
          require(equal(value, payload));
        }
      }
      break;
  }
  return 0;
}
