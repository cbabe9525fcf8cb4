// The directories above the snapshots: which snapshot stands where, by templates.
//
// A template is a path whose variables each snapshot fills in: %i id (8 digits), %I whole id, %T time, %h
// host, %u user, %t tag, %p path, %n namespace, %P pod and volume claim, %v volume. A variable with several
// values (tags, paths, pod and claim) gives a place for each; without a value there is no place. A path keeps
// its parts as directories; a slash in other values becomes '_'. Two snapshots at one place: the later one
// gets "-1" behind its name. Every directory that holds snapshots has a link `latest` to the newest of them.
// Pure: no time, no repository. A Layout does not change. Threads: any.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "repo/base/clock.h"
#include "repo/base/result.h"
#include "repo/format/ids.h"
#include "repo/format/snapshot.h"

namespace firn::mount {

/// A snapshot as the layout sees it. Borrows.
struct Listed {
  format::SnapshotId id;
  const format::Snapshot* snapshot = nullptr;
  std::string time;  // as the time template writes it
};

/// Where snapshots stand unless templates are given.
std::vector<std::string> default_templates();
/// Errors: Invalid (unknown variable, no part, "." or "..").
Result<> check_template(std::string_view path_template);

class Layout {
 public:
  enum class Kind : std::uint8_t { Directory, Snapshot, Link };
  struct Node {
    Kind kind = Kind::Directory;
    std::size_t snapshot = 0;  // of a Snapshot: its place in the list
    std::string target;        // of a Link
    base::WallTime time;       // of the newest snapshot below
    unsigned directories = 0;  // among the children
    std::map<std::string, Node, std::less<>> children;
  };

  /// `snapshots` by time, oldest first; templates that check_template() took.
  static Layout build(const std::vector<Listed>& snapshots, const std::vector<std::string>& templates);

  const Node& root() const { return root_; }
  /// By names joined with '/'; the empty path is the root.
  const Node* find(std::string_view path) const;

 private:
  Node root_;
};

}  // namespace firn::mount
