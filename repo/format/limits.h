// Every bound of the format in one place. A parser refuses what exceeds one before it allocates; an encoder
// answers Invalid. docs/FORMAT.md repeats the table.
#pragma once

#include <cstddef>
#include <cstdint>

namespace firn::format {

inline constexpr std::uint32_t kFormatVersion = 1;

// Chunks and packs.
inline constexpr std::uint32_t kPlainBytesMax = 8U << 20;      // of any chunk, before its codec
inline constexpr std::uint32_t kChunkOverheadBytes = 12 + 16;  // nonce and tag
inline constexpr std::uint32_t kStoredBytesMax = kPlainBytesMax + kChunkOverheadBytes;
inline constexpr std::uint32_t kPackBytesMax = 64U << 20;
inline constexpr std::uint32_t kPackSizeMin = 1U << 20;  // of the parameter pack_size
inline constexpr std::uint32_t kPackChunksMax = 65536;

// Sealed small objects. The padding of a body of the largest size adds at most 1/32.
inline constexpr std::uint32_t kBodyBytesMax = 64U << 20;
inline constexpr std::uint32_t kExtraBytesMax = 1U << 20;  // what follows the signature
inline constexpr std::uint64_t kSealedObjectBytesMax = 68U << 20;
inline constexpr std::uint32_t kClearObjectBytesMax = 1U << 20;

// Lists and texts of small records.
inline constexpr std::uint32_t kTextBytesMax = 4096;       // names of hosts, users, programs, …
inline constexpr std::uint32_t kListMax = 4096;            // tags, paths, excludes, features, …
inline constexpr std::uint32_t kLongListMax = 1U << 20;    // packs, sessions, names in maint/ records
inline constexpr std::uint32_t kIndexPacksMax = 1U << 20;  // packs of one index object
inline constexpr std::uint32_t kCapsMax = 4096;            // capabilities riding in a snapshot
inline constexpr std::uint32_t kObjectNameBytesMax = 200;

// The tree.
inline constexpr std::size_t kNameBytesMax = 255;
inline constexpr std::size_t kDirectoryBytesMax = 32768;
inline constexpr std::size_t kTargetBytesMax = 4096;  // of a symbolic link
inline constexpr std::size_t kXattrNameBytesMax = 255;
inline constexpr std::size_t kXattrValueBytesMax = 65536;
inline constexpr std::size_t kXattrsBytesMax = kPlainBytesMax;  // all of one entry, encoded
inline constexpr std::size_t kInlineContentBytesMax = 256;
inline constexpr std::size_t kInlineBlobBytesMax = 1024;  // xattrs and hole maps inside an entry
inline constexpr std::size_t kEntrySlicesMax = 32;
inline constexpr std::size_t kEntryBytesMax = 16384;  // one encoded E
inline constexpr std::size_t kPageBytesMin = 16384;   // before the cut rule may end a page
inline constexpr std::size_t kPageBytesMax = 262144;
inline constexpr std::uint8_t kPageLevelMax = 15;
inline constexpr std::size_t kKeyBytesMax = 2 * kDirectoryBytesMax + 2 + kNameBytesMax;
inline constexpr std::size_t kRefsMax = 16384;  // ids of one kind in a refs page
inline constexpr std::uint64_t kFileBytesMax = INT64_MAX;

}  // namespace firn::format
