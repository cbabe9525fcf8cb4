#include "agent/service/parent_roots.h"

#include <algorithm>

#include "crypto/secret.h"
#include "repo/base/files.h"

namespace firn::service {
namespace {

constexpr std::string_view kPurpose = "parent-root";
constexpr std::size_t kSealedBytesMax = 1024;

std::string folder_of(const std::string& state_dir, const repo::Repository& repository) {
  return state_dir + "/parents/" + repository.id().hex();
}

}  // namespace

std::optional<ParentRoot> read_parent_root(const std::string& state_dir, const repo::Repository& repository,
                                           const format::SourceTag& tag) {
  const auto sealed = base::read_file(folder_of(state_dir, repository) + "/" + tag.hex(), kSealedBytesMax);
  if (!sealed) {
    return std::nullopt;
  }
  auto plain = repository.open_local(kPurpose, *sealed);
  ParentRoot parent;
  if (!plain || plain->size() != parent.snapshot.bytes.size() + parent.root.bytes.size()) {
    return std::nullopt;
  }
  const auto middle = plain->begin() + static_cast<std::ptrdiff_t>(parent.snapshot.bytes.size());
  std::copy(plain->begin(), middle, parent.snapshot.bytes.begin());
  std::copy(middle, plain->end(), parent.root.bytes.begin());
  crypto::wipe(*plain);
  return parent;
}

void write_parent_root(const std::string& state_dir, const repo::Repository& repository,
                       const format::SourceTag& tag, const ParentRoot& parent) {
  const std::string folder = folder_of(state_dir, repository);
  Bytes plain = to_bytes(parent.snapshot.view());
  append(plain, parent.root.view());
  if (base::make_directories(folder)) {
    static_cast<void>(base::replace_file(folder + "/" + tag.hex(), repository.seal_local(kPurpose, plain)));
  }
  crypto::wipe(plain);
}

}  // namespace firn::service
