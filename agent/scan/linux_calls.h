// The Linux calls that reading and writing a tree share, wrapped once: descriptors, statx, getdents64,
// extended attributes and inode flags.
//
// Promise: a name is one component, is never followed when it is a symbolic link, and may hold any byte but
// '/' and NUL. Not here: what the calls are used for (linux_source_fs.h, restore/linux_target_fs.h).
// Threads: the functions may be called from any thread.
#pragma once

#include <fcntl.h>
#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/scan/source_fs.h"
#include "repo/base/files.h"

namespace firn::scan {

/// Whether `name` can stand in a directory: 1 to 255 bytes, no '/', no NUL, not "." or "..".
bool is_plain_name(std::string_view name);

/// `name` for a message: control bytes escaped, so that a hostile name cannot forge a line.
std::string printable(std::string_view name);

/// Opens `name` below `dir_fd` with O_NOFOLLOW | O_CLOEXEC added. A name that is not plain is Invalid; a
/// symbolic link in its place is Changed. EPERM for O_NOATIME is tried again without it.
Result<base::FileDescriptor> open_below(int dir_fd, const std::string& name, int flags, mode_t mode = 0);

/// Opens a directory by its path, which may be longer than PATH_MAX and may hold links. Reading opens it for
/// listing; Passage (O_PATH) also where it may only be passed through.
enum class OpenFor { Reading, Passage };
Result<base::FileDescriptor> open_directory_path(const std::string& path, OpenFor use);

/// statx of `name` below `dir_fd`, not followed; of `dir_fd` itself when `name` is empty.
Result<Stat> stat_below(int dir_fd, const std::string& name);

/// Runs over all names but "." and ".." of the directory, from its start.
Result<> list_names(int dir_fd, const std::function<Result<>(std::span<const ListedName>)>& visit);

/// The target of the symbolic link `name`.
Result<std::string> read_link_below(int dir_fd, const std::string& name);

/// A path that reaches `name` below `dir_fd` for calls that take no descriptor. `name` may be empty.
std::string proc_path(int dir_fd, std::string_view name);

/// The attributes that are kept (is_kept_xattr), sorted by name; empty where there are none or the file
/// system has no such thing.
Result<std::vector<Xattr>> xattrs_of_fd(int fd);
/// `path` as proc_path gives it for a descriptor without a name: the inode itself, also when it is a link.
Result<std::vector<Xattr>> xattrs_of_path(const std::string& path);
Result<std::vector<Xattr>> xattrs_below(int dir_fd, const std::string& name);
/// user, security, trusted and btrfs attributes, and POSIX ACLs.
bool is_kept_xattr(std::string_view name);

/// Inode flags and project id of an open regular file or directory; 0 where the file system has none.
Attributes attributes_of_fd(int fd);
/// Of `name`, or of `dir_fd` itself when it is empty. Not asked for: what is neither file nor directory (then
/// nothing is opened), and what may not be opened.
Result<Attributes> attributes_below(int dir_fd, const std::string& name, FileType type);

/// The next range of data at or after `offset`; the whole rest where holes cannot be asked for.
Result<std::optional<Extent>> next_data_of_fd(int fd, std::uint64_t offset);

}  // namespace firn::scan
