#include "agent/cli/secrets.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "agent/cli/shell_words.h"
#include "repo/base/files.h"

namespace firn::cli {
namespace {

constexpr std::size_t kSecretBytesMax = 64 << 10;

/// Reads until the end, or the end of a line, into memory that is wiped.
Result<crypto::SecretBytes> read_secret(int fd, const std::string& name, bool whole_file,
                                        const base::StopFlag* stop) {
  crypto::SecretBytes buffer(kSecretBytesMax);
  std::size_t filled = 0;
  while (filled < buffer.size()) {
    pollfd waiting{.fd = fd, .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, 200) == 0) {
      if (stop != nullptr) {
        FIRN_TRY(stop->check());
      }
      continue;
    }
    // Byte by byte from a terminal or pipe would not be faster in any way that a person could notice.
    const ssize_t got =
        ::read(fd, buffer.writable().data() + filled, whole_file ? buffer.size() - filled : 1);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return fail_errno(errno, "read", name);
    }
    if (got == 0) {
      break;
    }
    filled += static_cast<std::size_t>(got);
    if (!whole_file && buffer.bytes()[filled - 1] == std::byte{'\n'}) {
      break;
    }
  }
  if (filled == buffer.size()) {
    return fail(ErrorCode::Invalid, name + " is too long for a password or key");
  }
  return crypto::SecretBytes::copy_of(buffer.bytes().first(filled));
}

/// Without the end of its line.
crypto::SecretBytes without_line_end(const crypto::SecretBytes& secret) {
  ByteView bytes = secret.bytes();
  while (!bytes.empty() && (bytes.back() == std::byte{'\n'} || bytes.back() == std::byte{'\r'})) {
    bytes = bytes.first(bytes.size() - 1);
  }
  return crypto::SecretBytes::copy_of(bytes);
}

Result<crypto::SecretBytes> read_secret_file(const std::string& path) {
  FIRN_LET(const base::FileDescriptor file, base::open_at(AT_FDCWD, path, O_RDONLY));
  return read_secret(file.get(), path, true, nullptr);
}

Result<crypto::SecretBytes> password_from_file(const std::string& path) {
  FIRN_LET(const crypto::SecretBytes content, in("password file", read_secret_file(path)));
  crypto::SecretBytes password = without_line_end(content);
  if (password.empty()) {
    return fail(ErrorCode::Invalid, "password file " + path + " is empty");
  }
  return password;
}

/// What the command prints. It is split into words as a shell would, and run without one.
Result<crypto::SecretBytes> password_from_command(const std::string& command, const base::StopFlag& stop) {
  FIRN_LET(const std::vector<std::string> words, in("password command", split_shell_words(command)));
  if (words.empty()) {
    return fail(ErrorCode::Invalid, "the password command is empty");
  }
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (const std::string& word : words) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail_errno(errno, "pipe", "password command");
  }
  base::FileDescriptor reading(ends[0]);
  base::FileDescriptor writing(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) {
    return fail_errno(errno, "fork", "password command");
  }
  if (child == 0) {
    ::dup2(writing.get(), STDOUT_FILENO);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  writing.reset();
  auto output = read_secret(reading.get(), "the password command's output", true, &stop);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!output) {
    return output;
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return fail(ErrorCode::Denied,
                "the password command " + words[0] +
                    (WIFEXITED(status) && WEXITSTATUS(status) == 127 ? " could not be run" : " failed"));
  }
  crypto::SecretBytes password = without_line_end(*output);
  if (password.empty()) {
    return fail(ErrorCode::Invalid, "the password command printed nothing");
  }
  return password;
}

/// Takes a password out of the environment: its copy there is overwritten.
std::optional<crypto::SecretBytes> password_from_variable(Context& context, const std::string& prefix) {
  for (const char* brand : {"FIRN_", "RESTIC_"}) {
    const std::string name = brand + prefix + "PASSWORD";
    auto value = context.world.variable(name);
    if (!value || value->empty()) {
      continue;
    }
    auto password = crypto::SecretBytes::copy_of(as_bytes(*value));
    crypto::wipe(std::as_writable_bytes(std::span(value->data(), value->size())));
    if (char* original = ::getenv(name.c_str())) {
      crypto::wipe(std::as_writable_bytes(std::span(original, std::strlen(original))));
    }
    return password;
  }
  return std::nullopt;
}

/// A terminal without echo while this lives.
class EchoOff {
 public:
  explicit EchoOff(int fd) : fd_(fd), good_(::tcgetattr(fd, &before_) == 0) {
    if (good_) {
      termios silent = before_;
      silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
      silent.c_lflag |= ECHONL;
      good_ = ::tcsetattr(fd, TCSAFLUSH, &silent) == 0;
    }
  }
  ~EchoOff() {
    if (good_) {
      ::tcsetattr(fd_, TCSAFLUSH, &before_);
    }
  }
  EchoOff(const EchoOff&) = delete;
  EchoOff& operator=(const EchoOff&) = delete;

 private:
  int fd_;
  termios before_{};
  bool good_;
};

Result<crypto::SecretBytes> ask_once(Context& context, const std::string& question) {
  auto terminal = base::open_at(AT_FDCWD, "/dev/tty", O_RDWR | O_NOCTTY);
  // No terminal: standard input may still hold the password, piped in by a script.
  const int fd = terminal ? terminal->get() : context.world.in_fd;
  if (terminal) {
    FIRN_TRY(base::write_all(fd, as_bytes(question + ": "), "/dev/tty"));
  }
  const EchoOff silence(fd);
  FIRN_LET(const crypto::SecretBytes line, read_secret(fd, "standard input", false, &context.world.stop));
  return without_line_end(line);
}

Result<crypto::SecretBytes> ask(Context& context, const std::string& what, bool twice) {
  FIRN_LET(crypto::SecretBytes password, ask_once(context, "enter " + what));
  if (password.empty()) {
    return fail(ErrorCode::Invalid,
                "no password was given: use --password-file, --password-command, "
                "--key-file or FIRN_PASSWORD");
  }
  if (twice && base::open_at(AT_FDCWD, "/dev/tty", O_RDWR | O_NOCTTY)) {
    FIRN_LET(const crypto::SecretBytes again, ask_once(context, "enter it again"));
    if (!equal(password.bytes(), again.bytes())) {
      return fail(ErrorCode::Invalid, "the two passwords differ");
    }
  }
  return password;
}

Result<repo::Unlock> unlock(Context& context, const Place& place, const std::string& prefix,
                            const std::string& what, bool twice) {
  repo::Unlock result;
  if (place.key_hint) {
    result.hint = format::KeyId::parse(*place.key_hint);
    if (!result.hint) {
      return fail(ErrorCode::Invalid, "--key-hint: a key's id has 32 hex digits");
    }
  }
  const int ways =
      (place.password_file ? 1 : 0) + (place.password_command ? 1 : 0) + (place.key_file ? 1 : 0);
  if (ways > 1) {
    return fail(ErrorCode::Invalid, "give one of --password-file, --password-command and --key-file");
  }
  if (place.key_file) {
    FIRN_LET(const crypto::SecretBytes content, in("key file", read_secret_file(*place.key_file)));
    FIRN_LET(result.key_file, in("key file " + *place.key_file, format::parse_key_file(content.bytes())));
    return result;
  }
  if (place.password_file) {
    FIRN_LET(result.password, password_from_file(*place.password_file));
  } else if (place.password_command) {
    FIRN_LET(result.password, password_from_command(*place.password_command, context.world.stop));
  } else if (auto password = password_from_variable(context, prefix)) {
    result.password = std::move(password);
  } else {
    FIRN_LET(result.password, ask(context, what, twice));
  }
  return result;
}

}  // namespace

Result<repo::Unlock> read_unlock(Context& context, const Place& place, const std::string& prefix,
                                 const std::string& what) {
  return unlock(context, place, prefix, what, false);
}

Result<repo::Unlock> read_new_unlock(Context& context, const Place& place, const std::string& what) {
  return unlock(context, place, "", what, true);
}

Result<crypto::SecretBytes> read_new_password(Context& context, const std::optional<std::string>& file) {
  if (file) {
    return password_from_file(*file);
  }
  return ask(context, "new password", true);
}

}  // namespace firn::cli
