#include "agent/mount/extents.h"

#include <algorithm>
#include <utility>

#include "repo/base/check.h"

namespace firn::mount {

Extents::Extents(std::vector<format::Hole> holes, std::uint64_t size_bytes)
    : holes_(std::move(holes)), size_bytes_(size_bytes) {
  std::uint64_t before = 0;
  holes_before_.reserve(holes_.size());
  for (const format::Hole& hole : holes_) {
    holes_before_.push_back(before);
    before += hole.length;
  }
}

Extents::Run Extents::at(std::uint64_t offset) const {
  FIRN_CHECK(offset < size_bytes_);
  const auto behind =
      std::upper_bound(holes_.begin(), holes_.end(), offset,
                       [](std::uint64_t at, const format::Hole& hole) { return at < hole.offset; });
  Run run;
  run.end = behind == holes_.end() ? size_bytes_ : behind->offset;
  if (behind == holes_.begin()) {
    return run;
  }
  const auto index = static_cast<std::size_t>(behind - holes_.begin()) - 1;
  const format::Hole& hole = holes_[index];
  if (offset - hole.offset < hole.length) {
    return {.is_hole = true, .begin = hole.offset, .end = hole.offset + hole.length, .content_begin = 0};
  }
  run.begin = hole.offset + hole.length;
  run.content_begin = run.begin - holes_before_[index] - hole.length;
  return run;
}

std::optional<std::uint64_t> Extents::seek_data(std::uint64_t offset) const {
  if (offset >= size_bytes_) {
    return std::nullopt;
  }
  const Run run = at(offset);
  if (!run.is_hole) {
    return offset;
  }
  // Between two holes there is data.
  return run.end < size_bytes_ ? std::optional(run.end) : std::nullopt;
}

std::optional<std::uint64_t> Extents::seek_hole(std::uint64_t offset) const {
  if (offset >= size_bytes_) {
    return std::nullopt;
  }
  const Run run = at(offset);
  return run.is_hole ? offset : run.end;
}

}  // namespace firn::mount
