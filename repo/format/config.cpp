#include "repo/format/config.h"

#include <algorithm>

#include "repo/format/detail/fields.h"

namespace firn::format {
namespace {

constexpr std::uint8_t kChunkerLast = 1;
constexpr std::size_t kFeatureBytesMax = 64;
constexpr std::uint32_t kChunkBytesMin = 1024;
constexpr std::uint32_t kBundleSizeMin = 4096;

bool feature_is_valid(const std::string& feature) {
  return !feature.empty() && feature.size() <= kFeatureBytesMax &&
         std::all_of(feature.begin(), feature.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

bool parameters_are_valid(const Parameters& p) {
  return p.pack_size >= kPackSizeMin && p.pack_size <= kPackBytesMax && p.chunker >= 1 &&
         p.chunker <= kChunkerLast && p.chunk_min >= kChunkBytesMin && p.chunk_min <= p.chunk_average &&
         p.chunk_average <= p.chunk_max && p.chunk_max <= kPlainBytesMax && p.bundle_size >= kBundleSizeMin &&
         p.bundle_size <= kPlainBytesMax / 2;
}

constexpr auto kFields = [](auto& io, auto& config) {
  io.id(config.repository);
  io.number(config.format);
  io.time(config.created);
  io.sorted_list(config.required_features, kListMax, [](auto& each, auto& feature) {
    each.text(feature);
    each.require(feature_is_valid(feature));
  });
  io.number(config.parameters.pack_size);
  io.number(config.parameters.chunker);
  io.number(config.parameters.chunk_min);
  io.number(config.parameters.chunk_average);
  io.number(config.parameters.chunk_max);
  io.number(config.parameters.bundle_size);
  io.require(parameters_are_valid(config.parameters));
  io.raw(config.admin.bytes);
};

}  // namespace

Result<Bytes> encode(const Config& config) {
  if (config.format != kFormatVersion) {
    return fail(ErrorCode::Invalid, "config of another format version");
  }
  return detail::encode_record(config, "config", kFields);
}

Result<Config> parse_config(ByteView body) {
  base::Reader in(body);
  in.bytes(RepositoryId::kBytes);
  const std::uint32_t format = in.u32();
  if (in.ok() && format != kFormatVersion) {
    return fail(ErrorCode::Unsupported, "the repository is of format " + std::to_string(format) +
                                            ", this program knows format " + std::to_string(kFormatVersion));
  }
  return detail::parse_record<Config>(body, "config", kFields);
}

std::vector<std::string> unknown_features(const Config& config) { return config.required_features; }

}  // namespace firn::format
