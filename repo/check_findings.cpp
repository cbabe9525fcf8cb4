#include "repo/check_findings.h"

#include <algorithm>
#include <utility>

namespace firn::repo {
namespace {

constexpr std::size_t kDefectsMax = 10'000;
constexpr std::size_t kBlamedMax = 1 << 18;
constexpr std::size_t kAffectsMax = 20;
constexpr std::size_t kBrokenPacksMax = 1000;
/// Stands for every defect beyond the bound.
constexpr DefectId kBeyond{static_cast<std::size_t>(-1)};

}  // namespace

void CheckFindings::tell(Finding::Kind kind, std::string message) {
  if (kind == Finding::Kind::Damage) {
    state_.lock()->errors += 1;
  }
  found_(Finding{.kind = kind, .message = std::move(message), .affects = {}});
}

DefectId CheckFindings::add_defect(std::string message, std::optional<format::PackName> pack) {
  auto state = state_.lock();
  state->errors += 1;
  if (pack && state->broken_packs.size() < kBrokenPacksMax) {
    const std::string name = format::object_name(*pack).str();
    if (std::find(state->broken_packs.begin(), state->broken_packs.end(), name) ==
        state->broken_packs.end()) {
      state->broken_packs.push_back(name);
    }
  }
  if (state->defects.size() == kDefectsMax) {
    state->defects_beyond += 1;
    return kBeyond;
  }
  state->defects.push_back({.message = std::move(message), .affects = {}, .last = {}, .more = 0});
  return DefectId{state->defects.size() - 1};
}

void CheckFindings::rename_defect(DefectId defect, std::string message) {
  if (defect != kBeyond) {
    state_.lock()->defects[static_cast<std::size_t>(defect)].message = std::move(message);
  }
}

void CheckFindings::blame(const format::ChunkId& chunk, DefectId defect) {
  auto state = state_.lock();
  if (defect == kBeyond || state->blamed.size() >= kBlamedMax) {
    return;
  }
  const auto [begin, end] = state->blamed.equal_range(chunk);
  if (std::none_of(begin, end, [&](const auto& known) { return known.second == defect; })) {
    state->blamed.emplace(chunk, defect);
  }
}

bool CheckFindings::any_blamed() { return !state_.lock()->blamed.empty(); }

std::vector<DefectId> CheckFindings::blamed(const format::ChunkId& chunk) {
  auto state = state_.lock();
  const auto [begin, end] = state->blamed.equal_range(chunk);
  std::vector<DefectId> defects;
  for (auto it = begin; it != end; ++it) {
    defects.push_back(it->second);
  }
  return defects;
}

void CheckFindings::affects(DefectId defect, std::string line) {
  auto state = state_.lock();
  Defect& known = state->defects[static_cast<std::size_t>(defect)];
  if (line == known.last) {
    return;
  }
  known.last = line;
  if (known.affects.size() < kAffectsMax) {
    known.affects.push_back(std::move(line));
  } else {
    known.more += 1;
  }
}

void CheckFindings::tell_defects() {
  std::vector<Defect> defects;
  std::uint64_t beyond = 0;
  {
    auto state = state_.lock();
    defects = std::exchange(state->defects, {});
    beyond = std::exchange(state->defects_beyond, 0);
    state->blamed.clear();
  }
  for (Defect& defect : defects) {
    if (defect.more > 0) {
      defect.affects.push_back("and " + std::to_string(defect.more) + " more");
    }
    found_(Finding{.kind = Finding::Kind::Damage,
                   .message = std::move(defect.message),
                   .affects = std::move(defect.affects)});
  }
  if (beyond > 0) {
    found_(Finding{.kind = Finding::Kind::Damage,
                   .message = "and " + std::to_string(beyond) + " more damaged objects, not listed",
                   .affects = {}});
  }
}

std::uint64_t CheckFindings::errors() { return state_.lock()->errors; }

std::vector<std::string> CheckFindings::broken_packs() { return state_.lock()->broken_packs; }

}  // namespace firn::repo
