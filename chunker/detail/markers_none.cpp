// A processor without a vector form.
#include "chunker/detail/markers.h"

namespace firn::chunker::detail {

std::span<const LineMarker> line_markers() { return {}; }

}  // namespace firn::chunker::detail
