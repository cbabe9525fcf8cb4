#include "agent/cli/write_session.h"

#include "agent/cli/errors.h"
#include "agent/state/linux_identity.h"

namespace firn::cli {

Result<std::unique_ptr<repo::WriteSession>> open_session(Context& context, OpenRepository& open,
                                                         format::SessionKind kind, SessionUse use) {
  FIRN_LET(index::ChunkIndex * chunks, open.index());
  FIRN_LET(repo::ObjectCache * cache, open.cache());
  FIRN_LET(kv::LocalKv * state, open.state());
  repo::SessionOptions options;
  options.kind = kind;
  options.process = state::process_identity();
  options.dry_run = use.dry_run;
  options.pack_memory_bytes = open.memory().packs;
  FIRN_LET(auto session, repo::WriteSession::open(open.repository(), *chunks, *cache, *state, options));
  for (const std::string& problem : session->index_problems().lines) {
    context.out.warn(printable(problem));
  }
  return session;
}

}  // namespace firn::cli
