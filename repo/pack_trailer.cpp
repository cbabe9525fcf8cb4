#include "repo/pack_trailer.h"

#include <utility>

#include "repo/format/limits.h"
#include "repo/reread.h"

namespace firn::repo {
namespace {

Result<format::PackTrailer> read_once(const Repository& repository, const format::PackName& pack,
                                      std::uint64_t size_bytes) {
  const auto name = format::object_name(pack);
  if (size_bytes > format::kPackBytesMax ||
      size_bytes < format::kPackHeaderBytes + format::kPackFooterBytes) {
    return fail(ErrorCode::Corrupt, name.str() + ": impossible size");
  }
  auto& store = repository.store();
  Bytes head(format::kPackHeaderBytes);
  FIRN_TRY(store.get_range(name, 0, head));
  FIRN_LET(const format::PackHeader header, in(name.str(), format::parse_pack_header(head)));
  if (header.kind != pack.kind || header.repository != repository.id()) {
    return fail(ErrorCode::Corrupt, name.str() + ": pack is of another kind or repository");
  }
  Bytes footer(format::kPackFooterBytes);
  FIRN_TRY(store.get_range(name, size_bytes - footer.size(), footer));
  FIRN_LET(const std::uint32_t end_bytes, in(name.str(), format::pack_end_bytes(footer, size_bytes)));
  Bytes end(end_bytes);
  FIRN_TRY(store.get_range(name, size_bytes - end_bytes, end));
  FIRN_LET(format::OpenedTrailer opened,
           in(name.str(), format::open_pack_trailer(repository.keys().meta(), header, size_bytes, end)));
  return std::move(opened.trailer);
}

}  // namespace

Result<format::PackTrailer> read_trailer(const Repository& repository, const format::PackName& pack,
                                         std::uint64_t size_bytes) {
  return read_again_if_damaged([&] { return read_once(repository, pack, size_bytes); });
}

}  // namespace firn::repo
