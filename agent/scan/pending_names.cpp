#include "agent/scan/pending_names.h"

#include <algorithm>

#include "repo/base/check.h"

namespace firn::scan {

namespace {

// Read at once: a few hundred names.
constexpr std::size_t kBlockBytes = 8u << 10;

// How many of `bytes` are whole names.
std::size_t whole_names(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const std::size_t next = at + 1 + static_cast<unsigned char>(bytes[at]);
    if (next > bytes.size()) {
      break;
    }
    at = next;
  }
  return at;
}

}  // namespace

void PendingNames::push(std::string_view name) {
  FIRN_CHECK(!name.empty() && name.size() <= 255);
  tail_.push_back(static_cast<char>(name.size()));
  tail_.append(name);
}

Result<std::string> PendingNames::pop(base::ScratchFile* file) {
  FIRN_CHECK(!empty());
  if (front_at_ == front_.size()) {
    front_at_ = 0;
    if (segment_at_ < segments_.size()) {
      FIRN_CHECK(file != nullptr);
      Segment& segment = segments_[segment_at_];
      front_.resize(std::min<std::uint64_t>(segment.length, kBlockBytes));
      FIRN_TRY(file->read_at(segment.offset, std::as_writable_bytes(std::span(front_))));
      front_.resize(whole_names(front_));
      FIRN_CHECK(!front_.empty());
      segment.offset += front_.size();
      segment.length -= front_.size();
      segment_at_ += segment.length == 0 ? 1 : 0;
    } else {
      front_ = std::exchange(tail_, {});
    }
  }
  const std::size_t length = static_cast<unsigned char>(front_[front_at_]);
  std::string name = front_.substr(front_at_ + 1, length);
  front_at_ += 1 + length;
  if (empty()) {
    *this = {};
  }
  return name;
}

Result<> PendingNames::spill(base::ScratchFile& file) {
  const auto write = [&file](std::string_view names) -> Result<Segment> {
    const Segment segment{file.size(), names.size()};
    FIRN_TRY(file.append(as_bytes(names)));
    return segment;
  };
  std::vector<Segment> segments;
  if (front_at_ < front_.size()) {
    FIRN_LET(const Segment front, write(std::string_view(front_).substr(front_at_)));
    segments.push_back(front);
  }
  segments.insert(segments.end(), segments_.begin() + static_cast<std::ptrdiff_t>(segment_at_),
                  segments_.end());
  if (!tail_.empty()) {
    FIRN_LET(const Segment tail, write(tail_));
    segments.push_back(tail);
  }
  *this = {};
  segments_ = std::move(segments);
  return {};
}

}  // namespace firn::scan
