// Path and time templates from a command line, and a snapshot's words from a stranger: they are refused, or
// give a layout of names that a directory can hold, in which every link leads somewhere.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/mount/layout.h"
#include "agent/mount/time_template.h"
#include "repo/base/check.h"

namespace {

using namespace firn::mount;

/// Input = words with zeros between them; those that lack are empty.
std::array<std::string, 5> words_of(std::string_view input) {
  std::array<std::string, 5> words;
  for (std::string& word : words) {
    const std::size_t zero = std::min(input.find('\0'), input.size());
    word = input.substr(0, zero);
    input.remove_prefix(std::min(input.size(), zero + 1));
  }
  return words;
}

std::size_t check_names(const Layout::Node& directory) {
  std::size_t snapshots = 0;
  for (const auto& [name, node] : directory.children) {
    FIRN_CHECK(!name.empty() && name.size() <= 255 && name != "." && name != "..");
    FIRN_CHECK(name.find('/') == std::string::npos && name.find('\0') == std::string::npos);
    if (node.kind == Layout::Kind::Link) {
      const auto target = directory.children.find(node.target);
      FIRN_CHECK(target != directory.children.end() && target->second.kind == Layout::Kind::Snapshot);
    }
    snapshots += node.kind == Layout::Kind::Snapshot ? 1 : check_names(node);
  }
  return snapshots;
}

LocalTime time_of(std::string_view words) {
  LocalTime time;
  std::uint32_t state = 0;
  for (const char c : words) {
    state = state * 31 + static_cast<unsigned char>(c);
  }
  time.year = static_cast<int>(state % 3000);
  time.month = static_cast<int>(state % 12) + 1;
  time.day = static_cast<int>(state % 28) + 1;
  time.hour = static_cast<int>(state % 24);
  time.nanosecond = static_cast<int>(state % 1'000'000'000);
  time.weekday = static_cast<int>(state % 7);
  time.utc_offset_s = static_cast<int>(state % 86'400) - 43'200;
  time.zone_name = words.substr(0, 4);
  return time;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto [path_template, time_template, host, tag, path] =
      words_of(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!check_template(path_template)) {
    return 0;
  }
  firn::format::Snapshot snapshot;
  snapshot.source.host = snapshot.source.ns = snapshot.source.pod = host;
  snapshot.source.user = snapshot.source.volume = tag;
  snapshot.source.tags = {tag, host};
  snapshot.source.paths = {path, tag};
  const std::string time =
      check_time_template(time_template) ? format_time(time_template, time_of(host)) : std::string();
  const std::vector<Listed> listed(2, {.id = {}, .snapshot = &snapshot, .time = time});
  const Layout layout = Layout::build(listed, {path_template});
  check_names(layout.root());
  FIRN_CHECK(path_template != "%I" || check_names(layout.root()) == 2);
  return 0;
}
