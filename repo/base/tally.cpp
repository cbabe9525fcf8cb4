#include "repo/base/tally.h"

#include <algorithm>

#include "repo/base/check.h"
#include "repo/base/codec.h"

namespace firn::base {

Result<> Tally::add(ByteView name, std::uint64_t number) {
  Bytes record;
  record.reserve(kRecordBytes);
  Writer out(record);
  FIRN_CHECK(name.size() <= Name{}.size());
  out.bytes(name);
  record.resize(Name{}.size());
  out.u64(number);
  return sorter_.add(record);
}

Result<> Tally::finish() {
  FIRN_TRY(sorter_.finish());
  return read();
}

Result<> Tally::read() {
  ahead_.reset();
  FIRN_LET(const ByteView record, sorter_.next());
  if (!record.empty()) {
    Reader in(record);
    const ByteView name = in.bytes(Name{}.size());
    ahead_.emplace();
    std::copy(name.begin(), name.end(), ahead_->name.begin());
    ahead_->least = ahead_->sum = in.u64();
  }
  return {};
}

Result<std::optional<Tally::Row>> Tally::next() {
  if (!ahead_) {
    return std::nullopt;
  }
  Row row = *ahead_;
  FIRN_TRY(read());
  while (ahead_ && ahead_->name == row.name) {
    row.least = std::min(row.least, ahead_->least);
    row.sum += ahead_->sum;
    FIRN_TRY(read());
  }
  return row;
}

}  // namespace firn::base
