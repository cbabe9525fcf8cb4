// Compares two trees with eyes that are not ours: rsync's.
#pragma once

#include <string>

namespace firn::test {

/// What rsync would change in `copy` to make it `original`: content by checksum, all metadata, hard links,
/// ACLs and xattrs. Empty: they are the same. What rsync says when it fails is a difference too.
std::string differences(const std::string& original, const std::string& copy);

}  // namespace firn::test
