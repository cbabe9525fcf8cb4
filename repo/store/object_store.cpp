#include "repo/store/object_store.h"

#include "repo/base/check.h"

namespace firn::store {
namespace {

// A folder of the local store is read anew for each page, so pages are large; an entry is some 150 bytes.
constexpr std::uint32_t kListPageObjects = 10'000;

}  // namespace

const Error& Outcome::why() const {
  if (const auto* not_done = std::get_if<NotDone>(&state_)) {
    return not_done->why;
  }
  const auto* unknown = std::get_if<Unknown>(&state_);
  FIRN_CHECK(unknown != nullptr);
  return unknown->why;
}

Result<> Outcome::as_result() const {
  if (done()) {
    return {};
  }
  return Failure(why());
}

Result<> list_all(ObjectStore& store, std::string_view prefix,
                  const std::function<Result<>(const ListedObject&)>& visit) {
  std::string after;
  while (true) {
    FIRN_LET(const ListPage page, store.list(prefix, after, kListPageObjects));
    for (const ListedObject& object : page.objects) {
      FIRN_TRY(visit(object));
    }
    if (page.last) {
      return {};
    }
    if (page.objects.empty() || page.objects.back().name.str() <= after) {
      return fail(ErrorCode::Unavailable, "list " + std::string(prefix) + " in " + store.describe() +
                                              ": the store's pages do not advance");
    }
    after = page.objects.back().name.str();
  }
}

}  // namespace firn::store
