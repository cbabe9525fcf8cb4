#include "repo/format/file_mode.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace firn::format {
namespace {

TEST(FileTypeBits, AreThoseOfThisSystem) {
  EXPECT_EQ(file_type_bits(FileType::Directory), S_IFDIR);
  EXPECT_EQ(file_type_bits(FileType::Symlink), S_IFLNK);
  EXPECT_EQ(file_type_bits(FileType::Fifo), S_IFIFO);
  EXPECT_EQ(file_type_bits(FileType::Socket), S_IFSOCK);
  EXPECT_EQ(file_type_bits(FileType::Block), S_IFBLK);
  EXPECT_EQ(file_type_bits(FileType::Character), S_IFCHR);
  EXPECT_EQ(file_type_bits(FileType::Regular), S_IFREG);
  EXPECT_EQ(file_type_bits(FileType::Unknown), S_IFREG);
}

}  // namespace
}  // namespace firn::format
