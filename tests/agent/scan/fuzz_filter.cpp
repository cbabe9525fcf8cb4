// Patterns from a file against a path: they parse or are refused, end soon, and give the same answer step by
// step, over the whole path, and for a path below what matched.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/scan/filter.h"
#include "repo/base/check.h"

namespace {

using namespace firn::scan;

void check_list(const PatternList& list, std::string_view path, bool negated) {
  const bool whole = list.match_path(path).matched;
  PatternList::State state = list.root();
  bool stepwise = false;
  bool matched_above = false;
  bool hopeless = false;
  std::size_t at = 0;
  while (at < path.size()) {
    const std::size_t slash = std::min(path.find('/', at), path.size());
    const std::string_view name = path.substr(at, slash - at);
    at = slash + 1;
    if (name.empty()) {
      continue;
    }
    const PatternList::Outcome outcome = list.match(state, name);
    stepwise = outcome.matched;
    if (!negated) {
      FIRN_CHECK(!matched_above || outcome.matched);  // everything below a match matches
      FIRN_CHECK(!hopeless || !outcome.matched);      // below_may_match told the truth
      FIRN_CHECK(!outcome.matched || outcome.below_may_match);
      hopeless = hopeless || !outcome.below_may_match;
    }
    matched_above = outcome.matched;
    state = list.enter(state, name);
  }
  FIRN_CHECK(stepwise == whole);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t zero = std::min(input.find('\0'), input.size());
  const auto patterns = parse_pattern_file(input.substr(0, zero), [](std::string_view name) {
    return name == "HOME" ? std::string("/home/u") : std::string(name.substr(0, name.size() / 2));
  });
  const std::string_view path = input.substr(std::min(input.size(), zero + 1));
  bool negated = false;
  for (const std::string& pattern : patterns) {
    negated = negated || pattern.starts_with('!');
  }
  for (const Case sensitivity : {Case::Sensitive, Case::Insensitive}) {
    const auto list = PatternList::parse(patterns, sensitivity);
    if (list) {
      check_list(*list, path, negated);
    }
  }
  (void)parse_tag_file(input);
  (void)parse_size_bytes(input);
  return 0;
}
