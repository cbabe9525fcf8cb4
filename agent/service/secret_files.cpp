#include "agent/service/secret_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "repo/base/files.h"

namespace firn::service {
namespace {

constexpr std::size_t kSecretBytesMax = 64U << 10;

/// Into memory that is wiped.
Result<crypto::SecretBytes> read_secret(const std::string& path) {
  FIRN_LET(const base::FileDescriptor file, base::open_at(AT_FDCWD, path, O_RDONLY));
  crypto::SecretBytes buffer(kSecretBytesMax);
  std::size_t filled = 0;
  while (filled < buffer.size()) {
    const ssize_t got = ::read(file.get(), buffer.writable().data() + filled, buffer.size() - filled);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return fail_errno(errno, "read", path);
    }
    if (got == 0) {
      break;
    }
    filled += static_cast<std::size_t>(got);
  }
  return crypto::SecretBytes::copy_of(buffer.bytes().first(filled));
}

}  // namespace

Outcome<repo::Unlock> read_unlock(const std::string& key_root, const std::string& repository) {
  const std::string name = key_root + "/" + repository;
  repo::Unlock unlock;
  if (const auto key = read_secret(name + ".key")) {
    auto parsed = format::parse_key_file(key->bytes());
    if (!parsed) {
      return refuse("WrongKey", name + ".key: " + parsed.error().message);
    }
    unlock.key_file = *std::move(parsed);
    return unlock;
  }
  const auto password = read_secret(name + ".password");
  if (!password) {
    return refuse("KeyMissing",
                  "there is no " + name + ".key and no " + name +
                      ".password: put the repository's key into the Secret that is mounted there "
                      "(docs/OPERATING.md)");
  }
  ByteView text = password->bytes();
  while (!text.empty() && (text.back() == std::byte{'\n'} || text.back() == std::byte{'\r'})) {
    text = text.first(text.size() - 1);
  }
  unlock.password = crypto::SecretBytes::copy_of(text);
  return unlock;
}

}  // namespace firn::service
