#include "tests/repo/format/reencode.h"

#include <algorithm>
#include <array>

#include "repo/base/check.h"
#include "repo/format/blobs.h"
#include "repo/format/capability.h"
#include "repo/format/codec.h"
#include "repo/format/config.h"
#include "repo/format/index_object.h"
#include "repo/format/key_objects.h"
#include "repo/format/maintenance.h"
#include "repo/format/pack.h"
#include "repo/format/page.h"
#include "repo/format/refs.h"
#include "repo/format/sealed.h"
#include "repo/format/session.h"
#include "repo/format/slice_page.h"
#include "repo/format/snapshot.h"

namespace firn::format::test {
namespace {

template <auto Parse>
Result<Bytes> record(ByteView bytes) {
  FIRN_LET(const auto parsed, Parse(bytes));
  return encode(parsed);
}

Result<Bytes> key_secrets(ByteView bytes) {
  FIRN_LET(const KeySecrets secrets, parse_key_secrets(bytes));
  return to_bytes(encode(secrets).bytes());
}

Result<Bytes> key_file(ByteView bytes) {
  FIRN_LET(const KeyFile file, parse_key_file(bytes));
  return to_bytes(encode(file).bytes());
}

Result<Bytes> capabilities(ByteView bytes) {
  FIRN_LET(const auto parsed, parse_capabilities(bytes));
  return encode_capabilities(parsed);
}

Result<Bytes> pack_header(ByteView bytes) {
  FIRN_LET(const PackHeader header, parse_pack_header(bytes));
  return encode_pack_header(header);
}

Result<Bytes> pack_trailer(ByteView bytes) {
  FIRN_LET(const PackTrailer trailer, parse_pack_trailer(bytes));
  return encode_pack_trailer(trailer);
}

Result<Bytes> clear_object(ByteView bytes) {
  const std::string kid(32, '0');
  const std::string snapshot(64, '0');
  // The kind in the object must be that of its name: one name of each kind.
  const std::array names{std::string("config/00000001"), "keys/" + kid + "/cert-00000001",
                         "keys/" + kid + "/wrap-00000001", "keys/" + kid + "/revoked",
                         "caps/" + snapshot + "/" + kid};
  Result<Bytes> last = fail(ErrorCode::Corrupt, "of no kind");
  for (const std::string& name : names) {
    const auto parsed = parse_clear_object(name, bytes);
    if (parsed) {
      return encode_clear_object(name, *parsed);
    }
  }
  return last;
}

Result<Bytes> sealed_plaintext(ByteView bytes) {
  FIRN_LET(const OpenedObject object, parse_sealed_plaintext(bytes));
  return encode_sealed_plaintext(object);
}

Result<Bytes> object_names(ByteView bytes) {
  FIRN_LET(const ParsedName name, parse_name(as_text(bytes)));
  const ObjectName again = std::visit([](const auto& each) { return object_name(each); }, name);
  FIRN_CHECK(ObjectName::parse(again.str()).has_value());
  return to_bytes(as_bytes(again.str()));
}

Result<Bytes> leaf_page(ByteView bytes) {
  FIRN_LET(LeafPageReader reader, LeafPageReader::open(bytes));
  LeafPageWriter copies(0);
  LeafPageWriter encodes(0);
  while (true) {
    FIRN_LET(const bool any, reader.next());
    if (!any) {
      break;
    }
    FIRN_CHECK(copies.add(reader.directory(), reader.entry()).has_value());
    FIRN_CHECK(encodes.add(reader.directory(), to_entry(reader.entry())).has_value());
  }
  Bytes page = copies.take().bytes;
  FIRN_CHECK(page == encodes.take().bytes);
  return page;
}

Result<Bytes> inner_page(ByteView bytes) {
  FIRN_LET(InnerPageReader reader, InnerPageReader::open(bytes));
  InnerPageWriter writer(0, reader.level());
  while (true) {
    FIRN_LET(const bool any, reader.next());
    if (!any) {
      return writer.take().bytes;
    }
    writer.add(reader.child());
  }
}

Result<Bytes> slice_page(ByteView bytes) {
  FIRN_LET(SlicePageReader reader, SlicePageReader::open(bytes));
  SlicePageWriter writer(0);
  Slice slice;
  while (true) {
    FIRN_LET(const bool any, reader.next(slice));
    if (!any) {
      return writer.take().bytes;
    }
    writer.add(slice);
  }
}

Result<Bytes> slice_inner_page(ByteView bytes) {
  FIRN_LET(SliceInnerReader reader, SliceInnerReader::open(bytes));
  SliceInnerWriter writer(0, reader.level());
  SlicePages child;
  while (true) {
    FIRN_LET(const bool any, reader.next(child));
    if (!any) {
      return writer.take().bytes;
    }
    writer.add(child);
  }
}

Result<Bytes> xattrs(ByteView bytes) {
  const auto parsed = parse_xattrs(bytes);
  FIRN_CHECK(parsed.has_value() == xattrs_are_valid(bytes));
  return parsed ? encode_xattrs(*parsed) : fail(ErrorCode::Corrupt, "not xattrs");
}

Result<Bytes> holes(ByteView bytes) {
  constexpr std::size_t piece_bytes = 7;
  HoleReader reader;
  std::vector<Hole> holes;
  for (std::size_t at = 0; at < bytes.size(); at += piece_bytes) {
    FIRN_TRY(reader.feed(bytes.subspan(at, std::min(piece_bytes, bytes.size() - at)), holes));
  }
  Bytes again;
  HoleWriter writer(again);
  for (const Hole& hole : holes) {
    writer.add(hole);
  }
  FIRN_TRY(reader.finish(INT64_MAX, INT64_MAX - writer.hole_bytes()));
  FIRN_CHECK(parse_holes(bytes, INT64_MAX, INT64_MAX - writer.hole_bytes()).has_value());
  return again;
}

/// The one codec has no second direction: what decodes is only asked not to do harm.
Result<Bytes> zstd(ByteView bytes) {
  static Decompressor decompressor;
  Bytes plain(4096);
  FIRN_TRY(decompressor.decode(Codec::Zstd, bytes, plain));
  return to_bytes(bytes);
}

constexpr std::array kReencoders{
    Reencoder{"config", record<parse_config>},
    Reencoder{"cert", record<parse_cert>},
    Reencoder{"wrap", record<parse_wrap>},
    Reencoder{"revoked", record<parse_revoked>},
    Reencoder{"key_secrets", key_secrets},
    Reencoder{"key_file", key_file},
    Reencoder{"capability",
              [](ByteView bytes) -> Result<Bytes> {
                FIRN_LET(const SealedCapability parsed, parse_capability(bytes));
                return encode(parsed);
              }},
    Reencoder{"capabilities", capabilities},
    Reencoder{"index", record<parse_index>},
    Reencoder{"snapshot", record<parse_snapshot>},
    Reencoder{"session", record<parse_session_marker>},
    Reencoder{"heartbeat", record<parse_heartbeat>},
    Reencoder{"end", record<parse_session_end>},
    Reencoder{"condemn", record<parse_condemn>},
    Reencoder{"fence", record<parse_fence>},
    Reencoder{"seal", record<parse_seal>},
    Reencoder{"forget", record<parse_forget>},
    Reencoder{"union", record<parse_union>},
    Reencoder{"catalog", record<parse_catalog>},
    Reencoder{"pack_header", pack_header},
    Reencoder{"pack_trailer", pack_trailer},
    Reencoder{"clear_object", clear_object},
    Reencoder{"sealed_plaintext", sealed_plaintext},
    Reencoder{"object_name", object_names},
    Reencoder{"leaf_page", leaf_page},
    Reencoder{"inner_page", inner_page},
    Reencoder{"slice_page", slice_page},
    Reencoder{"slice_inner_page", slice_inner_page},
    Reencoder{"refs_page", record<parse_refs_page>},
    Reencoder{"xattrs", xattrs},
    Reencoder{"holes", holes},
    Reencoder{"zstd", zstd},
};

}  // namespace

std::span<const Reencoder> reencoders() { return kReencoders; }

Result<Bytes> reencode(std::string_view record, ByteView bytes) {
  const auto found = std::find_if(kReencoders.begin(), kReencoders.end(),
                                  [record](const Reencoder& each) { return each.record == record; });
  FIRN_CHECK(found != kReencoders.end());
  return found->run(bytes);
}

}  // namespace firn::format::test
