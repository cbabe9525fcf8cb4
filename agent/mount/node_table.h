// The inodes that the kernel knows: from a number to where the thing stands.
//
// Promise: the number of a thing is the same whenever it is met, also after another mount of the repository:
// it is a hash of the place (of a hard link: of its group). Two things never have one number: where hashes
// meet, the one met later gets the next free number. A thing is remembered until the kernel has forgotten it
// and everything below it. Not here: what the things are. Threads: any.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "repo/base/monitor.h"
#include "repo/format/ids.h"

namespace firn::mount {

class MountedSnapshot;

using NodeNumber = std::uint64_t;
inline constexpr NodeNumber kRootNumber = 1;

/// A snapshot at one place of the layout; it is shared by the nodes below.
struct Placement {
  std::shared_ptr<MountedSnapshot> snapshot;
  NodeNumber number = 0;  // of its root
};

/// What a number is made of.
NodeNumber number_of(NodeNumber parent, std::string_view name);
NodeNumber number_of_group(NodeNumber placement, std::uint32_t device, std::uint64_t inode);
NodeNumber number_of_snapshot(NodeNumber parent, std::string_view name, const format::SnapshotId& id);

class NodeTable {
 public:
  struct Fresh {
    NodeNumber parent = 0;
    std::string_view name;
    NodeNumber hash = 0;                         // one of the number_of…()
    std::shared_ptr<const Placement> placement;  // null in the layout
    std::optional<std::uint64_t> group;          // of hard links, by source inode: any of its places will do
    bool has_xattrs = false;
  };
  /// The kernel is told of a thing: counts one look-up. The number is 0 when the parent is not known.
  NodeNumber remember(const Fresh& fresh);
  /// The kernel gave `lookups` of them back.
  void forget(NodeNumber number, std::uint64_t lookups);

  struct Place {
    std::shared_ptr<const Placement> placement;  // null in the layout
    std::string path;                            // in the snapshot, or in the layout
    bool has_xattrs = false;
  };
  std::optional<Place> find(NodeNumber number);

  /// A name that the kernel may be asked to forget.
  struct Name {
    NodeNumber parent = 0;
    std::string name;
  };
  /// Up to `count_max` names in snapshots, the oldest first, that nothing stands below: for a table that has
  /// grown too large. What is given counts as new, so that the next call gives others.
  std::vector<Name> oldest(std::size_t count_max);

  std::size_t size();

 private:
  struct Node {
    NodeNumber parent = 0;
    std::shared_ptr<const Placement> placement;
    std::string name;
    std::uint64_t lookups = 0;
    std::uint64_t group = 0;  // only where is_group
    std::uint32_t children = 0;
    bool is_group = false;
    bool has_xattrs = false;
    // Neighbours by age. The map does not move its values.
    Node* older = nullptr;
    Node* newer = nullptr;
  };
  struct State {
    std::unordered_map<NodeNumber, Node> nodes;
    Node* oldest = nullptr;
    Node* newest = nullptr;

    void append(Node& node);
    void unlink(Node& node);
    /// Removes the node, and those above it, that nobody needs any more.
    void drop(NodeNumber number);
  };

  base::Guarded<State> state_;
};

}  // namespace firn::mount
