// A session as commands other than backup open it.
#pragma once

#include <memory>

#include "agent/cli/context.h"
#include "agent/cli/open.h"
#include "repo/session.h"

namespace firn::cli {

struct SessionUse {
  bool dry_run = false;
};

/// Opens a session; index objects that cannot be used are warned about. Errors: Denied, those of the store.
Result<std::unique_ptr<repo::WriteSession>> open_session(
    Context& context, OpenRepository& open, format::SessionKind kind = format::SessionKind::Other,
    SessionUse use = {});

}  // namespace firn::cli
