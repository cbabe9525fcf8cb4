#include "repo/retag.h"

#include <utility>

#include "repo/copy.h"
#include "repo/tree/refs_walk.h"

namespace firn::repo {

using format::ChunkId;

class Recommitter::Checker final : public tree::RefsVisitor {
 public:
  explicit Checker(Recommitter& owner) : owner_(owner) {}

  Result<bool> enter(const ChunkId& refs_page) override {
    FIRN_TRY(chunk(refs_page));
    return owner_.refs_seen_.insert(refs_page).second;
  }
  Result<> chunk(const ChunkId& id) override {
    FIRN_LET(const bool there, owner_.session_.may_refer(id));
    if (!there) {
      return fail(ErrorCode::Changed, "chunk " + id.hex() +
                                          " lies in no pack that a new snapshot may rely on: maintenance is "
                                          "moving it; run this again after a 'firn prune'");
    }
    return {};
  }

 private:
  Recommitter& owner_;
};

Result<format::SnapshotId> Recommitter::commit(const SnapshotInfo& info, format::Snapshot changed) {
  FIRN_LET(const format::ChunkSecret root, open_root(session_.repository(), info));
  Checker checker(*this);
  RepositoryPages pages(reader_);
  FIRN_TRY(checker.chunk(info.snapshot.root));
  if (auto walked = tree::walk_refs(pages, info.snapshot.refs_root, checker); !walked) {
    refs_seen_.clear();  // a page that was entered may not be checked to its end
    return Failure(std::move(walked).error());
  }
  changed.original = original_of(info);
  changed.root = info.snapshot.root;
  changed.refs_root = info.snapshot.refs_root;
  return session_.commit(std::move(changed), root);
}

}  // namespace firn::repo
