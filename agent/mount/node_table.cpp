#include "agent/mount/node_table.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace firn::mount {
namespace {

/// The finaliser of SplitMix64: every bit of the input reaches every bit of the output.
std::uint64_t mixed(std::uint64_t value) {
  value ^= value >> 30;
  value *= 0xBF58476D1CE4E5B9U;
  value ^= value >> 27;
  value *= 0x94D049BB133111EBU;
  return value ^ (value >> 31);
}

std::uint64_t hash_of(std::uint64_t seed, std::string_view bytes) {
  std::uint64_t hash = mixed(seed + 0x9E3779B97F4A7C15U * (bytes.size() + 1));
  while (!bytes.empty()) {
    std::uint64_t word = 0;
    const std::size_t count = std::min(bytes.size(), sizeof(word));
    std::memcpy(&word, bytes.data(), count);
    hash = mixed(hash ^ word) + 0x9E3779B97F4A7C15U;
    bytes.remove_prefix(count);
  }
  return mixed(hash);
}

/// 0 and 1 have meanings of their own.
NodeNumber allowed(std::uint64_t hash) { return hash <= kRootNumber ? hash + 2 : hash; }

}  // namespace

NodeNumber number_of(NodeNumber parent, std::string_view name) { return allowed(hash_of(parent, name)); }

NodeNumber number_of_group(NodeNumber placement, std::uint32_t device, std::uint64_t inode) {
  return allowed(mixed(mixed(mixed(placement + 0x5851F42D4C957F2DU) ^ device) ^ inode));
}

NodeNumber number_of_snapshot(NodeNumber parent, std::string_view name, const format::SnapshotId& id) {
  return allowed(hash_of(hash_of(parent, name), as_text(id.view())));
}

void NodeTable::State::append(Node& node) {
  node.older = newest;
  node.newer = nullptr;
  (newest == nullptr ? oldest : newest->newer) = &node;
  newest = &node;
}

void NodeTable::State::unlink(Node& node) {
  (node.older == nullptr ? oldest : node.older->newer) = node.newer;
  (node.newer == nullptr ? newest : node.newer->older) = node.older;
}

void NodeTable::State::drop(NodeNumber number) {
  for (auto node = nodes.find(number);
       node != nodes.end() && node->second.lookups == 0 && node->second.children == 0;) {
    const NodeNumber parent = node->second.parent;
    unlink(node->second);
    nodes.erase(node);
    node = nodes.find(parent);
    if (node != nodes.end()) {
      node->second.children -= 1;
    }
  }
}

NodeNumber NodeTable::remember(const Fresh& fresh) {
  auto state = state_.lock();
  auto& nodes = state->nodes;
  if (fresh.parent != kRootNumber && !nodes.contains(fresh.parent)) {
    return 0;
  }
  for (NodeNumber number = fresh.hash;; number = allowed(number + 1)) {
    const auto [found, is_new] = nodes.try_emplace(number);
    Node& node = found->second;
    if (is_new) {
      node.parent = fresh.parent;
      node.placement = fresh.placement;
      node.name = fresh.name;
      node.lookups = 1;
      node.group = fresh.group.value_or(0);
      node.is_group = fresh.group.has_value();
      node.has_xattrs = fresh.has_xattrs;
      state->append(node);
      if (fresh.parent != kRootNumber) {
        nodes.find(fresh.parent)->second.children += 1;
      }
      return number;
    }
    const bool is_it = fresh.group
                           ? node.is_group && node.group == *fresh.group && node.placement == fresh.placement
                           : !node.is_group && node.parent == fresh.parent && node.name == fresh.name;
    if (is_it) {
      node.lookups += 1;
      return number;
    }
  }
}

void NodeTable::forget(NodeNumber number, std::uint64_t lookups) {
  auto state = state_.lock();
  const auto node = state->nodes.find(number);
  if (node == state->nodes.end()) {
    return;
  }
  node->second.lookups -= std::min(lookups, node->second.lookups);
  state->drop(number);
}

std::vector<NodeTable::Name> NodeTable::oldest(std::size_t count_max) {
  auto state = state_.lock();
  std::vector<Name> names;
  // Each is looked at once: those that are needed for others become new, too.
  for (std::size_t left = state->nodes.size(); left > 0 && names.size() < count_max; --left) {
    Node& node = *state->oldest;
    state->unlink(node);
    state->append(node);
    if (node.placement && node.children == 0) {
      names.push_back({.parent = node.parent, .name = node.name});
    }
  }
  return names;
}

std::optional<NodeTable::Place> NodeTable::find(NodeNumber number) {
  Place place;
  if (number == kRootNumber) {
    return place;
  }
  auto state = state_.lock();
  const auto& nodes = state->nodes;
  auto node = nodes.find(number);
  if (node == nodes.end()) {
    return std::nullopt;
  }
  place.placement = node->second.placement;
  place.has_xattrs = node->second.has_xattrs;
  std::vector<const std::string*> names;
  // The root of a snapshot has a name in the layout only.
  while (node != nodes.end() && !(place.placement && place.placement->number == node->first)) {
    names.push_back(&node->second.name);
    node = nodes.find(node->second.parent);
  }
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    place.path += place.path.empty() ? **name : "/" + **name;
  }
  return place;
}

std::size_t NodeTable::size() { return state_.lock()->nodes.size(); }

}  // namespace firn::mount
