#include "agent/mount/session.h"

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <utility>

#include "repo/base/monitor.h"

namespace firn::mount {
namespace {

/// Inside of a snapshot nothing ever changes.
constexpr double kForever_s = 30.0 * 24 * 3600;
constexpr double kFresh_s = static_cast<double>(kFreshFor.count());
/// A name that was not there may appear with the next snapshot.
constexpr double kAbsent_s = 1;
/// Requests that wait for the store at one time: one more could not be interrupted until one of them ends.
constexpr unsigned kThreadsMax = 256;
constexpr unsigned kThreadsIdle = 8;
/// Requests that the kernel has in flight on its own account, for read-ahead.
constexpr unsigned kBackgroundMax = 64;
/// Below the 1,024 that writev takes.
constexpr std::size_t kPiecesMax = 512;
constexpr std::chrono::milliseconds kLookForStop{100};
constexpr std::chrono::milliseconds kLookForSurplus{200};

struct FreeLoopConfig {
  void operator()(struct fuse_loop_config* config) const noexcept { ::fuse_loop_cfg_destroy(config); }
};
struct FreeSession {
  void operator()(struct fuse_session* session) const noexcept { ::fuse_session_destroy(session); }
};

int errno_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::Cancelled:
      return EINTR;
    case ErrorCode::NotFound:
      return ENOENT;
    case ErrorCode::Denied:
      return EACCES;
    default:
      return EIO;
  }
}

/// One request, until it is answered.
class Request {
 public:
  explicit Request(fuse_req_t request) : request_(request), files_(files_of(request)) {
    ::fuse_req_interrupt_func(request_, on_interrupt, this);
  }
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  FileSystem& files() { return files_; }
  const Call& call() const { return call_; }

  /// Before the answer: nothing interrupts it any more.
  fuse_req_t take() {
    ::fuse_req_interrupt_func(request_, nullptr, nullptr);
    return request_;
  }
  void fail(const Error& error) { ::fuse_reply_err(take(), errno_of(error)); }
  void fail(int errno_value) { ::fuse_reply_err(take(), errno_value); }

  static FileSystem& files_of(fuse_req_t request) {
    return *static_cast<FileSystem*>(::fuse_req_userdata(request));
  }

 private:
  static void on_interrupt(fuse_req_t, void* self) {
    auto* request = static_cast<Request*>(self);
    request->call_.interrupt();
    request->files_.wake();
  }

  fuse_req_t request_;
  FileSystem& files_;
  Call call_;
};

fuse_entry_param entry_of(const FileSystem::Found& found) {
  fuse_entry_param entry{};
  entry.ino = found.number;
  entry.attr = found.status;
  entry.attr_timeout = found.is_fixed ? kForever_s : kFresh_s;
  entry.entry_timeout = found.is_fixed ? kForever_s : found.number == 0 ? kAbsent_s : kFresh_s;
  return entry;
}

void on_init(void* userdata, struct fuse_conn_info* connection) {
  static_cast<void>(userdata);
  connection->time_gran = 1;
  connection->max_background = kBackgroundMax;
  connection->congestion_threshold = kBackgroundMax * 3 / 4;
  connection->want |= connection->capable & FUSE_CAP_CACHE_SYMLINKS;
  // Attributes with every listing: they stand beside the names, and one by one each costs a look into a page.
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_READDIRPLUS_AUTO);
}

/// The kernel judges by ACLs, too, where it judges at all.
void on_init_with_permissions(void* userdata, struct fuse_conn_info* connection) {
  on_init(userdata, connection);
  connection->want |= connection->capable & FUSE_CAP_POSIX_ACL;
}

void on_lookup(fuse_req_t raw, fuse_ino_t parent, const char* name) {
  Request request(raw);
  const auto found = request.files().look_up(parent, name, request.call());
  if (!found) {
    request.fail(found.error());
    return;
  }
  // Number 0 says for how long there is no such thing.
  const fuse_entry_param entry = entry_of(*found);
  FileSystem& files = request.files();
  if (::fuse_reply_entry(request.take(), &entry) != 0 && entry.ino != 0) {
    // The process gave up before the answer: the kernel has not counted it.
    files.forget(entry.ino, 1);
  }
}

void on_forget(fuse_req_t request, fuse_ino_t number, std::uint64_t lookups) {
  Request::files_of(request).forget(number, lookups);
  ::fuse_reply_none(request);
}

void on_forget_multi(fuse_req_t request, std::size_t count, struct fuse_forget_data* forgets) {
  for (std::size_t i = 0; i < count; ++i) {
    Request::files_of(request).forget(forgets[i].ino, forgets[i].nlookup);
  }
  ::fuse_reply_none(request);
}

void on_getattr(fuse_req_t raw, fuse_ino_t number, struct fuse_file_info*) {
  Request request(raw);
  const auto found = request.files().status(number, request.call());
  if (!found) {
    request.fail(found.error());
    return;
  }
  ::fuse_reply_attr(request.take(), &found->status, found->is_fixed ? kForever_s : kFresh_s);
}

void on_readlink(fuse_req_t raw, fuse_ino_t number) {
  Request request(raw);
  const auto target = request.files().link_target(number, request.call());
  if (!target) {
    request.fail(target.error());
    return;
  }
  ::fuse_reply_readlink(request.take(), target->c_str());
}

FileSystem::File* file_of(const struct fuse_file_info* info) {
  return reinterpret_cast<FileSystem::File*>(info->fh);
}

void on_open(fuse_req_t raw, fuse_ino_t number, struct fuse_file_info* info) {
  Request request(raw);
  auto file = request.files().open_file(number, request.call());
  if (!file) {
    request.fail(file.error());
    return;
  }
  info->fh = reinterpret_cast<std::uint64_t>(file->get());
  info->keep_cache = 1;
  if (::fuse_reply_open(request.take(), info) == 0) {
    file->release();
  }
}

void on_release(fuse_req_t request, fuse_ino_t, struct fuse_file_info* info) {
  delete file_of(info);
  ::fuse_reply_err(request, 0);
}

/// Zeros for holes.
constexpr std::array<char, 64 << 10> kZeros{};

void on_read(fuse_req_t raw, fuse_ino_t, std::size_t size, off_t offset, struct fuse_file_info* info) {
  Request request(raw);
  const auto parts =
      request.files().read(*file_of(info), static_cast<std::uint64_t>(offset), size, request.call());
  if (!parts) {
    request.fail(parts.error());
    return;
  }
  std::vector<iovec> pieces;
  for (const FileContent::Part& part : *parts) {
    if (part.chunk) {
      // The kernel only reads from it.
      auto* data = const_cast<std::byte*>(part.chunk->data());
      pieces.push_back({.iov_base = data + part.offset, .iov_len = part.length});
      continue;
    }
    for (std::uint64_t rest = part.length; rest > 0;) {
      const std::size_t count = std::min<std::uint64_t>(rest, kZeros.size());
      pieces.push_back({.iov_base = const_cast<char*>(kZeros.data()), .iov_len = count});
      rest -= count;
    }
  }
  if (pieces.size() <= kPiecesMax) {
    ::fuse_reply_iov(request.take(), pieces.data(), static_cast<int>(pieces.size()));
    return;
  }
  std::string whole;
  whole.reserve(size);
  for (const iovec& piece : pieces) {
    whole.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  ::fuse_reply_buf(request.take(), whole.data(), whole.size());
}

void on_lseek(fuse_req_t raw, fuse_ino_t, off_t offset, int whence, struct fuse_file_info* info) {
  Request request(raw);
  if (whence != SEEK_DATA && whence != SEEK_HOLE) {
    request.fail(EINVAL);
    return;
  }
  const Extents& extents = file_of(info)->content->extents();
  const auto from = static_cast<std::uint64_t>(offset);
  const auto found = whence == SEEK_DATA ? extents.seek_data(from) : extents.seek_hole(from);
  if (!found) {
    request.fail(ENXIO);
    return;
  }
  ::fuse_reply_lseek(request.take(), static_cast<off_t>(*found));
}

FileSystem::Listing* listing_of(const struct fuse_file_info* info) {
  return reinterpret_cast<FileSystem::Listing*>(info->fh);
}

void on_opendir(fuse_req_t raw, fuse_ino_t number, struct fuse_file_info* info) {
  Request request(raw);
  auto listing = request.files().open_directory(number, request.call());
  if (!listing) {
    request.fail(listing.error());
    return;
  }
  info->fh = reinterpret_cast<std::uint64_t>(listing->get());
  info->keep_cache = (*listing)->is_fixed() ? 1 : 0;
  info->cache_readdir = info->keep_cache;
  if (::fuse_reply_open(request.take(), info) == 0) {
    listing->release();
  }
}

void on_releasedir(fuse_req_t request, fuse_ino_t, struct fuse_file_info* info) {
  delete listing_of(info);
  ::fuse_reply_err(request, 0);
}

/// "." and ".." stand at the places 0 and 1 of every listing.
constexpr std::uint64_t kDots = 2;

void reply_listing(fuse_req_t raw, fuse_ino_t number, std::size_t size, off_t offset,
                   struct fuse_file_info* info, bool plus) {
  Request request(raw);
  std::string buffer(size, '\0');
  std::size_t used = 0;
  std::vector<NodeNumber> remembered;
  const auto add = [&](const char* name, const fuse_entry_param& entry, std::uint64_t next) {
    const std::size_t room = size - used;
    char* at = buffer.data() + used;
    const std::size_t needed =
        plus ? ::fuse_add_direntry_plus(raw, at, room, name, &entry, static_cast<off_t>(next))
             : ::fuse_add_direntry(raw, at, room, name, &entry.attr, static_cast<off_t>(next));
    if (needed > room) {
      return false;
    }
    used += needed;
    return true;
  };
  auto place = static_cast<std::uint64_t>(offset);
  for (; place < kDots; ++place) {
    // Number 0: the kernel knows these two itself.
    fuse_entry_param dot{};
    dot.attr.st_ino = number;
    dot.attr.st_mode = S_IFDIR;
    if (!add(place == 0 ? "." : "..", dot, place + 1)) {
      ::fuse_reply_buf(request.take(), buffer.data(), used);
      return;
    }
  }
  std::string name;
  const auto visit = [&](const FileSystem::Child& child) {
    name.assign(child.name);
    FileSystem::Found found{.number = 0, .status = child.status, .is_fixed = child.is_fixed};
    fuse_entry_param entry = entry_of(found);
    if (plus) {
      // Room is known before the look-up is counted.
      if (::fuse_add_direntry_plus(raw, nullptr, 0, name.c_str(), nullptr, 0) > size - used) {
        return false;
      }
      entry.ino = child.remember();
      if (entry.ino != 0) {
        entry.attr.st_ino = entry.ino;
        remembered.push_back(entry.ino);
      }
    }
    return add(name.c_str(), entry, child.next + kDots);
  };
  const auto listed = request.files().list(*listing_of(info), place - kDots, request.call(), visit);
  if (!listed && used == 0) {
    request.fail(listed.error());
    return;
  }
  FileSystem& files = request.files();
  if (::fuse_reply_buf(request.take(), buffer.data(), used) != 0) {
    for (const NodeNumber one : remembered) {
      files.forget(one, 1);
    }
  }
}

void on_readdir(fuse_req_t request, fuse_ino_t number, std::size_t size, off_t offset,
                struct fuse_file_info* info) {
  reply_listing(request, number, size, offset, info, false);
}

void on_readdirplus(fuse_req_t request, fuse_ino_t number, std::size_t size, off_t offset,
                    struct fuse_file_info* info) {
  reply_listing(request, number, size, offset, info, true);
}

void on_statfs(fuse_req_t raw, fuse_ino_t) {
  Request request(raw);
  const auto space = request.files().space(request.call());
  if (!space) {
    request.fail(space.error());
    return;
  }
  // What the repository stores is what is used; nothing is free, for nothing can be written.
  struct statvfs status {};
  status.f_bsize = 4096;
  status.f_frsize = 4096;
  status.f_blocks = (space->stored_bytes + status.f_frsize - 1) / status.f_frsize;
  status.f_namemax = 255;
  ::fuse_reply_statfs(request.take(), &status);
}

/// Answers with bytes, or with their length where no room was given.
void reply_xattr(Request& request, ByteView bytes, std::size_t size) {
  if (size == 0) {
    ::fuse_reply_xattr(request.take(), bytes.size());
  } else if (bytes.size() > size) {
    request.fail(ERANGE);
  } else {
    ::fuse_reply_buf(request.take(), reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
}

void on_getxattr(fuse_req_t raw, fuse_ino_t number, const char* name, std::size_t size) {
  Request request(raw);
  const auto attributes = request.files().xattrs(number, request.call());
  if (!attributes) {
    request.fail(attributes.error());
    return;
  }
  for (const format::ExtendedAttribute& attribute : *attributes) {
    if (attribute.name == name) {
      reply_xattr(request, attribute.value, size);
      return;
    }
  }
  request.fail(ENODATA);
}

void on_listxattr(fuse_req_t raw, fuse_ino_t number, std::size_t size) {
  Request request(raw);
  const auto attributes = request.files().xattrs(number, request.call());
  if (!attributes) {
    request.fail(attributes.error());
    return;
  }
  std::string names;
  const bool is_root = ::fuse_req_ctx(raw)->uid == 0;
  for (const format::ExtendedAttribute& attribute : *attributes) {
    // As every file system has it: trusted attributes are not even listed for others.
    if (is_root || !attribute.name.starts_with("trusted.")) {
      names.append(attribute.name).push_back('\0');
    }
  }
  reply_xattr(request, as_bytes(names), size);
}

fuse_lowlevel_ops operations(const MountOptions& options) {
  fuse_lowlevel_ops ops{};
  ops.init = options.default_permissions ? on_init_with_permissions : on_init;
  ops.lookup = on_lookup;
  ops.forget = on_forget;
  ops.forget_multi = on_forget_multi;
  ops.getattr = on_getattr;
  ops.readlink = on_readlink;
  ops.open = on_open;
  ops.read = on_read;
  ops.release = on_release;
  ops.lseek = on_lseek;
  ops.opendir = on_opendir;
  ops.readdir = on_readdir;
  ops.readdirplus = on_readdirplus;
  ops.releasedir = on_releasedir;
  ops.statfs = on_statfs;
  ops.getxattr = on_getxattr;
  ops.listxattr = on_listxattr;
  return ops;
}

std::string mount_options(const MountOptions& options) {
  std::string text = "ro,nosuid,nodev,noatime,fsname=firn,subtype=firn";
  text += options.default_permissions ? ",default_permissions" : "";
  text += options.allow_other ? ",allow_other" : "";
  return text;
}

/// What libfuse says goes where everything goes. libfuse has one place for it in a process.
base::Guarded<const MountOptions*> speaking;  // NOLINT: see above

void on_fuse_log(enum fuse_log_level level, const char* form, va_list arguments) {
  std::array<char, 512> line{};
  std::vsnprintf(line.data(), line.size(), form, arguments);
  std::string_view text = line.data();
  while (text.ends_with('\n')) {
    text.remove_suffix(1);
  }
  auto options = speaking.lock();
  if (level <= FUSE_LOG_WARNING && *options != nullptr) {
    (*options)->warn(text);
  }
}

/// Interrupts the loop's wait and does nothing else.
extern "C" void on_kick(int) {}

class Kick {
 public:
  Kick() {
    struct sigaction action {};
    action.sa_handler = on_kick;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGUSR1, &action, &before_);
  }
  ~Kick() { ::sigaction(SIGUSR1, &before_, nullptr); }
  Kick(const Kick&) = delete;
  Kick& operator=(const Kick&) = delete;

 private:
  struct sigaction before_ {};
};

/// Keeps the kernel from remembering more names than there is memory for: it gives back what it is told to
/// forget, unless somebody uses it. Not on a thread that answers: the kernel waits for answers while it holds
/// the locks that this needs.
class Forgetter {
 public:
  Forgetter(struct fuse_session* session, FileSystem& files, base::Executor& executor)
      : is_over_(executor), task_(executor.spawn("mount-forget", [this, session, &files, &executor] {
          while (!wait(executor)) {
            for (const NodeTable::Name& name : files.surplus()) {
              ::fuse_lowlevel_notify_inval_entry(session, name.parent, name.name.c_str(), name.name.size());
              if (*is_over_.lock()) {
                return;
              }
            }
          }
        })) {}
  ~Forgetter() { end(); }
  Forgetter(const Forgetter&) = delete;
  Forgetter& operator=(const Forgetter&) = delete;

  /// While requests are still answered.
  void end() {
    {
      auto over = is_over_.lock();
      *over = true;
      over.notify();
    }
    task_->join();
  }

 private:
  bool wait(base::Executor& executor) {
    auto over = is_over_.lock();
    return over.wait_until(executor.clock().steady() + kLookForSurplus, [](bool is) { return is; });
  }

  base::Monitor<bool> is_over_;
  std::unique_ptr<base::Task> task_;
};

/// Serves until the kernel says that it is unmounted, or `stop` is requested.
Result<> run_loop(struct fuse_session* session, FileSystem& files, base::Executor& executor,
                  const base::StopFlag& stop) {
  const std::unique_ptr<struct fuse_loop_config, FreeLoopConfig> config(::fuse_loop_cfg_create());
  ::fuse_loop_cfg_set_max_threads(config.get(), kThreadsMax);
  ::fuse_loop_cfg_set_idle_threads(config.get(), kThreadsIdle);
  const Kick kick;
  const pthread_t loop = ::pthread_self();
  base::Monitor<bool> is_over(executor);
  Forgetter forgetter(session, files, executor);
  // The loop sleeps until libfuse ends it: somebody must look for the request to stop, end every request that
  // still waits, and wake the loop until it has seen that it is over.
  const auto watcher = executor.spawn("mount-stop", [&] {
    auto over = is_over.lock();
    while (!*over) {
      over.wait_until(executor.clock().steady() + kLookForStop, [](bool is) { return is; });
      if (!*over && stop.requested()) {
        files.stop();
        forgetter.end();
        ::fuse_session_exit(session);
        ::pthread_kill(loop, SIGUSR1);
      }
    }
  });
  const int outcome = ::fuse_session_loop_mt(session, config.get());
  {
    auto over = is_over.lock();
    *over = true;
    over.notify();
  }
  watcher->join();
  files.stop();
  // Positive: a signal ended it. ENODEV and the like mean that somebody unmounted it.
  if (outcome < 0 && outcome != -ENODEV && outcome != -EINTR && !stop.requested()) {
    return fail_errno(-outcome, "serve", "the mount");
  }
  return {};
}

}  // namespace

Result<> serve(FileSystem& files, base::Executor& executor, const MountOptions& options,
               const base::StopFlag& stop) {
  *speaking.lock() = &options;
  ::fuse_set_log_func(on_fuse_log);
  const std::string option_text = mount_options(options);
  std::array<std::string, 3> words = {"firn", "-o", option_text};
  std::array<char*, 3> argv = {words[0].data(), words[1].data(), words[2].data()};
  struct fuse_args arguments = FUSE_ARGS_INIT(static_cast<int>(argv.size()), argv.data());
  const fuse_lowlevel_ops ops = operations(options);
  const std::unique_ptr<struct fuse_session, FreeSession> session(
      ::fuse_session_new(&arguments, &ops, sizeof(ops), &files));
  ::fuse_opt_free_args(&arguments);
  Result<> served;
  if (!session) {
    served = fail(ErrorCode::Unsupported, "libfuse does not take the options " + option_text);
  } else if (::fuse_session_mount(session.get(), options.directory.c_str()) != 0) {
    served =
        fail(ErrorCode::Denied, "cannot mount on " + options.directory +
                                    ": is it a directory of yours, is /dev/fuse there, and is fusermount3 "
                                    "installed?");
  } else {
    options.mounted();
    served = run_loop(session.get(), files, executor, stop);
    ::fuse_session_unmount(session.get());
  }
  *speaking.lock() = nullptr;
  return served;
}

}  // namespace firn::mount
