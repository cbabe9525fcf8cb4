// The type of an entry as the bits that stat(2) has for it in a mode (S_IFMT), which are the same on every
// Linux.
//
// An unknown type is that of a regular file. Threads: any.
#pragma once

#include <cstdint>

#include "repo/format/tree.h"

namespace firn::format {

constexpr std::uint32_t file_type_bits(FileType type) {
  switch (type) {
    case FileType::Directory:
      return 0040000;
    case FileType::Symlink:
      return 0120000;
    case FileType::Fifo:
      return 0010000;
    case FileType::Socket:
      return 0140000;
    case FileType::Block:
      return 0060000;
    case FileType::Character:
      return 0020000;
    case FileType::Regular:
    case FileType::Unknown:
      break;
  }
  return 0100000;
}

}  // namespace firn::format
