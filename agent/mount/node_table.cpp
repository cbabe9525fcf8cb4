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

NodeNumber NodeTable::remember(const Fresh& fresh) {
  auto nodes = nodes_.lock();
  if (fresh.parent != kRootNumber && !nodes->contains(fresh.parent)) {
    return 0;
  }
  for (NodeNumber number = fresh.hash;; number = allowed(number + 1)) {
    const auto [found, is_new] = nodes->try_emplace(number);
    Node& node = found->second;
    if (is_new) {
      node = {.parent = fresh.parent,
              .placement = fresh.placement,
              .name = std::string(fresh.name),
              .lookups = 1,
              .group = fresh.group.value_or(0),
              .children = 0,
              .is_group = fresh.group.has_value(),
              .has_xattrs = fresh.has_xattrs};
      if (fresh.parent != kRootNumber) {
        nodes->find(fresh.parent)->second.children += 1;
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

void NodeTable::drop(Nodes& nodes, Nodes::iterator node) {
  while (node != nodes.end() && node->second.lookups == 0 && node->second.children == 0) {
    const NodeNumber parent = node->second.parent;
    nodes.erase(node);
    node = nodes.find(parent);
    if (node != nodes.end()) {
      node->second.children -= 1;
    }
  }
}

void NodeTable::forget(NodeNumber number, std::uint64_t lookups) {
  auto nodes = nodes_.lock();
  const auto node = nodes->find(number);
  if (node == nodes->end()) {
    return;
  }
  node->second.lookups -= std::min(lookups, node->second.lookups);
  drop(*nodes, node);
}

std::optional<NodeTable::Place> NodeTable::find(NodeNumber number) {
  Place place;
  if (number == kRootNumber) {
    return place;
  }
  auto nodes = nodes_.lock();
  auto node = nodes->find(number);
  if (node == nodes->end()) {
    return std::nullopt;
  }
  place.placement = node->second.placement;
  place.has_xattrs = node->second.has_xattrs;
  std::vector<const std::string*> names;
  // The root of a snapshot has a name in the layout only.
  while (node != nodes->end() && !(place.placement && place.placement->number == node->first)) {
    names.push_back(&node->second.name);
    node = nodes->find(node->second.parent);
  }
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    place.path += place.path.empty() ? **name : "/" + **name;
  }
  return place;
}

std::size_t NodeTable::size() { return nodes_.lock()->size(); }

}  // namespace firn::mount
