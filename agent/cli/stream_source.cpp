#include "agent/cli/stream_source.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "agent/cli/text.h"
#include "repo/format/limits.h"

namespace firn::cli {
namespace {

using format::FileType;

constexpr int kStopPollMilliseconds = 200;

class StreamFile final : public scan::SourceFile {
 public:
  explicit StreamFile(StreamSource& source) : source_(source) {}

  Result<scan::Stat> stat() override {
    return scan::Stat{.type = FileType::Regular,
                      .mode = 0644,
                      .uid = ::geteuid(),
                      .gid = ::getegid(),
                      .size_bytes = format::kFileBytesMax,
                      .blocks_bytes = format::kFileBytesMax,
                      .mtime = source_.time(),
                      .ctime = source_.time(),
                      .atime = source_.time()};
  }
  Result<std::size_t> read_at(std::uint64_t, MutableBytes out) override { return source_.read(out); }
  bool is_stream() const override { return true; }
  Result<std::optional<scan::Extent>> next_data(std::uint64_t) override { return std::nullopt; }
  Result<std::vector<scan::Xattr>> xattrs() override { return std::vector<scan::Xattr>(); }
  Result<scan::Attributes> attributes() override { return scan::Attributes{}; }
  void done_with(std::uint64_t, std::uint64_t) override {}

 private:
  StreamSource& source_;
};

/// A directory on the way to the file: it holds one name.
class StreamDir final : public scan::SourceDir {
 public:
  /// `rest` is the path from here to the file.
  StreamDir(StreamSource& source, std::string_view rest)
      : source_(source), name_(rest.substr(0, rest.find('/'))), rest_(rest) {}

  Result<> list(const std::function<Result<>(std::span<const scan::ListedName>)>& visit) override {
    const scan::ListedName only{.name = name_, .type = child_type()};
    return visit(std::span(&only, 1));
  }
  Result<scan::Stat> stat(const std::string& name) override {
    FIRN_TRY(expect(name));
    FIRN_LET(scan::Stat stat, stat_self());
    if (child_type() == FileType::Regular) {
      stat.type = FileType::Regular;
      stat.mode = 0644;
    }
    return stat;
  }
  Result<scan::Stat> stat_self() override {
    return scan::Stat{.type = FileType::Directory,
                      .mode = 0755,
                      .uid = ::geteuid(),
                      .gid = ::getegid(),
                      .mtime = source_.time(),
                      .ctime = source_.time(),
                      .atime = source_.time()};
  }
  Result<std::unique_ptr<scan::SourceDir>> open_dir(const std::string& name) override {
    FIRN_TRY(expect(name));
    if (child_type() != FileType::Directory) {
      return fail(ErrorCode::NotFound, name + ": is no directory");
    }
    return std::make_unique<StreamDir>(source_, std::string_view(rest_).substr(name_.size() + 1));
  }
  Result<std::unique_ptr<scan::SourceFile>> open_file(const std::string& name) override {
    FIRN_TRY(expect(name));
    return std::make_unique<StreamFile>(source_);
  }
  Result<std::string> read_link(const std::string& name) override {
    return fail(ErrorCode::Invalid, name + ": is no link");
  }
  Result<std::vector<scan::Xattr>> xattrs(const std::string&, FileType) override {
    return std::vector<scan::Xattr>();
  }
  Result<scan::Attributes> attributes(const std::string&, FileType) override { return scan::Attributes{}; }

 private:
  FileType child_type() const {
    return name_.size() == rest_.size() ? FileType::Regular : FileType::Directory;
  }
  Result<> expect(const std::string& name) const {
    return name == name_ ? Result<>() : fail(ErrorCode::NotFound, name + ": is not there");
  }

  StreamSource& source_;
  const std::string name_;
  const std::string rest_;
};

}  // namespace

StreamSource::StreamSource(std::string path, int fd, const base::Clock& clock, const base::StopFlag& stop)
    : path_(std::move(path)), fd_(fd), time_(timestamp_of(clock.wall())), stop_(stop) {}

StreamSource::~StreamSource() {
  command_output_.reset();
  if (command_ > 0) {
    // Its output has nobody to read it any more.
    int status = 0;
    while (::waitpid(command_, &status, 0) < 0 && errno == EINTR) {
    }
  }
}

Result<> StreamSource::start_command(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (const std::string& word : words) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  command_name_ = words.front();
  std::array<int, 2> output{};
  std::array<int, 2> trouble{};
  if (::pipe2(output.data(), O_CLOEXEC) != 0) {
    return fail_errno(errno, "pipe", command_name_);
  }
  command_output_ = base::FileDescriptor(output[0]);
  base::FileDescriptor output_end(output[1]);
  if (::pipe2(trouble.data(), O_CLOEXEC) != 0) {
    return fail_errno(errno, "pipe", command_name_);
  }
  base::FileDescriptor trouble_read(trouble[0]);
  base::FileDescriptor trouble_write(trouble[1]);
  command_ = ::fork();
  if (command_ < 0) {
    return fail_errno(errno, "fork", command_name_);
  }
  if (command_ == 0) {
    ::dup2(output_end.get(), STDOUT_FILENO);
    ::signal(SIGPIPE, SIG_DFL);
    ::execvp(arguments[0], arguments.data());
    const int why = errno;
    [[maybe_unused]] const ssize_t told = ::write(trouble_write.get(), &why, sizeof(why));
    ::_exit(127);
  }
  trouble_write.reset();
  int why = 0;
  // Closed by a successful exec: then nothing comes.
  if (::read(trouble_read.get(), &why, sizeof(why)) == static_cast<ssize_t>(sizeof(why))) {
    return fail_errno(why, "run", command_name_);
  }
  fd_ = command_output_.get();
  return {};
}

Result<> StreamSource::end_command() {
  if (command_ < 0) {
    return {};
  }
  int status = 0;
  while (::waitpid(command_, &status, 0) < 0 && errno == EINTR) {
  }
  command_ = -1;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    return {};
  }
  return fail(ErrorCode::Unavailable,
              "the command " + command_name_ +
                  (WIFEXITED(status) ? " ended with exit code " + std::to_string(WEXITSTATUS(status))
                                     : " was ended by signal " + std::to_string(WTERMSIG(status))) +
                  ": no snapshot was made");
}

Result<> StreamSource::failure() {
  auto failure = failure_.lock();
  return *failure ? Result<>(Failure(**failure)) : Result<>();
}

Result<std::size_t> StreamSource::read(MutableBytes out) {
  const auto failed = [&](Failure failure) {
    *failure_.lock() = failure.value();
    return failure;
  };
  while (!ended_) {
    pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&waiting, 1, kStopPollMilliseconds);
    if (auto stop = stop_.check(); !stop) {
      return failed(Failure(std::move(stop).error()));
    }
    if (ready <= 0) {
      continue;
    }
    const ssize_t got = ::read(fd_, out.data(), out.size());
    if (got > 0) {
      return static_cast<std::size_t>(got);
    }
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
      continue;
    }
    if (got < 0) {
      return failed(fail_errno(errno, "read", command_name_.empty() ? "standard input" : command_name_));
    }
    ended_ = true;
    if (auto outcome = end_command(); !outcome) {
      return failed(Failure(std::move(outcome).error()));
    }
  }
  return 0;
}

Result<std::unique_ptr<scan::SourceDir>> StreamSource::open_root(const std::string& path) {
  const std::string_view here = path == "/" ? std::string_view() : std::string_view(path);
  if (!path_.starts_with(std::string(here) + "/") || here.size() + 1 >= path_.size()) {
    return fail(ErrorCode::NotFound, path + ": is not there");
  }
  return std::make_unique<StreamDir>(*this, std::string_view(path_).substr(here.size() + 1));
}

}  // namespace firn::cli
