// A file's data and holes by offset: where a byte of the file lies in its content, which has no holes.
//
// Pure. Memory: 24 bytes a hole. Threads: any.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "repo/format/blobs.h"

namespace firn::mount {

class Extents {
 public:
  /// `holes` as parse_holes() gives them for a file of that size.
  Extents(std::vector<format::Hole> holes, std::uint64_t size_bytes);

  /// A run of data or one hole.
  struct Run {
    bool is_hole = false;
    std::uint64_t begin = 0;  // in the file
    std::uint64_t end = 0;
    std::uint64_t content_begin = 0;  // of data: where `begin` lies in the content
  };
  /// The run that holds `offset`, which is below the file's size.
  Run at(std::uint64_t offset) const;

  /// As lseek(2) has it: the first byte at or behind `offset` that is data, or a hole (the end of the file
  /// is one). Nothing (ENXIO) when `offset` is not in the file, or no data follows.
  std::optional<std::uint64_t> seek_data(std::uint64_t offset) const;
  std::optional<std::uint64_t> seek_hole(std::uint64_t offset) const;

  std::uint64_t size_bytes() const { return size_bytes_; }

 private:
  std::vector<format::Hole> holes_;
  std::vector<std::uint64_t> holes_before_;  // bytes of the holes before each one
  std::uint64_t size_bytes_;
};

}  // namespace firn::mount
