// The definition of the cuts, written down as plainly as possible and slowly; every other form must agree.
//
// It computes each hash from its 32 bytes anew, and shares no code with chunker/ beyond the table and rules.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "chunker/gear.h"
#include "chunker/rules.h"

namespace firn::chunker::oracle {

/// The hash of the (at most) 32 bytes before `offset`.
inline std::uint32_t hash_at(const GearTable& table, std::span<const std::byte> file, std::size_t offset) {
  std::uint32_t hash = 0;
  for (std::size_t age = 0; age < std::min<std::size_t>(offset, 32); ++age) {
    hash += table.word(file[offset - 1 - age]) << age;
  }
  return hash;
}

inline bool has_leading_zeros(std::uint32_t hash, std::uint32_t bits) { return (hash >> (32 - bits)) == 0; }

inline std::vector<Candidate> candidates(const GearTable& table, const CutRules& rules,
                                         std::span<const std::byte> file) {
  std::vector<Candidate> found;
  std::size_t quiet_from = 0;  // no candidate before this offset
  for (std::size_t offset = 1; offset <= file.size(); ++offset) {
    const std::uint32_t hash = hash_at(table, file, offset);
    if (!has_leading_zeros(hash, rules.loose_bits)) {
      continue;
    }
    if (offset >= quiet_from) {
      found.push_back({.offset = offset, .strict = has_leading_zeros(hash, rules.strict_bits)});
    }
    quiet_from = offset + 32;
  }
  return found;
}

inline std::vector<std::uint64_t> cuts(const GearTable& table, const CutRules& rules,
                                       std::span<const std::byte> file) {
  const auto found = candidates(table, rules, file);
  std::vector<std::uint64_t> ends;
  for (std::uint64_t start = 0; start < file.size(); start = ends.back()) {
    const auto ends_chunk = [&](const Candidate& candidate) {
      return candidate.offset >= start + rules.min_bytes &&
             (candidate.strict || candidate.offset >= start + rules.normal_bytes);
    };
    const auto first = std::find_if(found.begin(), found.end(), ends_chunk);
    const std::uint64_t longest = std::min<std::uint64_t>(file.size(), start + rules.max_bytes);
    ends.push_back(first == found.end() ? longest : std::min(longest, first->offset));
  }
  return ends;
}

}  // namespace firn::chunker::oracle
