#include "agent/mount/file_system.h"

#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "agent/mount/repository_chunks.h"
#include "repo/format/file_mode.h"

namespace firn::mount {
namespace {

using format::FileType;

constexpr std::size_t kWarnedMax = 64;
constexpr std::uint64_t kBlockBytes = 4096;
/// A listing remembers a name every so many children, from where it can go on.
constexpr std::uint64_t kMarkEvery = 1024;

timespec time_of(const format::Timestamp& time) {
  return {.tv_sec = time.seconds, .tv_nsec = static_cast<long>(time.nanoseconds)};
}

timespec time_of(base::WallTime time) {
  constexpr std::int64_t kNanoseconds = 1'000'000'000;
  return {.tv_sec = time.nanoseconds / kNanoseconds,
          .tv_nsec = static_cast<long>(time.nanoseconds % kNanoseconds)};
}

std::string joined(const std::string& directory, std::string_view name) {
  return directory.empty() ? std::string(name) : directory + "/" + std::string(name);
}

/// A link that points elsewhere is another link: the kernel keeps what it read of one.
NodeNumber hash_in_layout(NodeNumber parent, std::string_view name, const Layout::Node& node) {
  return number_of(number_of(parent, name), node.target);
}

}  // namespace

struct stat status_of(const format::EntryFields& entry, NodeNumber number, std::uint64_t content_bytes,
                      std::size_t target_bytes, bool owner_root) {
  struct stat status {};
  status.st_ino = number;
  status.st_mode = format::file_type_bits(entry.type) | entry.mode;
  status.st_nlink = std::max(1U, entry.nlink);
  status.st_uid = owner_root ? 0 : entry.uid;
  status.st_gid = owner_root ? 0 : entry.gid;
  status.st_blksize = kBlockBytes;
  if (entry.type == FileType::Regular) {
    status.st_size = static_cast<off_t>(entry.size_bytes);
    status.st_blocks = static_cast<blkcnt_t>((content_bytes + 511) / 512);
  } else if (entry.type == FileType::Symlink) {
    status.st_size = static_cast<off_t>(target_bytes);
  } else if (entry.type == FileType::Directory) {
    status.st_size = static_cast<off_t>(kBlockBytes);
  } else if (entry.type == FileType::Block || entry.type == FileType::Character) {
    status.st_rdev =
        ::makedev(static_cast<unsigned>(entry.rdev >> 32), static_cast<unsigned>(entry.rdev & 0xFFFFFFFF));
  }
  status.st_mtim = time_of(entry.mtime);
  status.st_ctim = time_of(entry.ctime);
  status.st_atim = time_of(entry.atime.value_or(entry.mtime));
  return status;
}

FileSystem::FileSystem(const MountSource& source, const MountOptions& options)
    : options_(options),
      uid_(options.owner_root ? 0 : ::geteuid()),
      gid_(options.owner_root ? 0 : ::getegid()),
      catalogue_(source, options),
      cache_(cache_of(source.reader, options.cache_bytes)) {}

FileSystem::~FileSystem() = default;

void FileSystem::warn(const std::string& line) {
  {
    auto warned = warned_.lock();
    if (std::find(warned->begin(), warned->end(), line) != warned->end()) {
      return;
    }
    warned->push_back(line);
    if (warned->size() > kWarnedMax) {
      warned->pop_front();
    }
  }
  options_.warn(line);
}

template <class T>
Result<T> FileSystem::told(const std::string& name, Result<T> result) {
  if (result || result.error().code == ErrorCode::Cancelled) {
    return result;
  }
  Error error = std::move(result).error();
  warn(name + ": " + error.message);
  // What a snapshot names must be there: that a pack is not is damage, not the answer to a look-up.
  if (error.code == ErrorCode::NotFound) {
    error.code = ErrorCode::Corrupt;
  }
  return Failure(std::move(error));
}

std::string FileSystem::name_of(const NodeTable::Place& place) const {
  return "/" + place.path + " in snapshot " + place.placement->snapshot->short_id();
}

Result<NodeTable::Place> FileSystem::place(NodeNumber number) {
  auto found = nodes_.find(number);
  if (!found) {
    return fail(ErrorCode::NotFound, "inode " + std::to_string(number) + " is not known");
  }
  return *std::move(found);
}

Result<FileSystem::InSnapshot> FileSystem::open_snapshot(const NodeTable::Place& place, const Call& call) {
  const std::shared_ptr<MountedSnapshot>& snapshot = place.placement->snapshot;
  auto root = snapshot->root();
  if (!root) {
    const auto open = [snapshot]() -> Result<> {
      if (auto opened = snapshot->open(); !opened) {
        return Failure(std::move(opened).error());
      }
      return {};
    };
    FIRN_TRY(told("snapshot " + snapshot->short_id(), cache_.run(open, call)));
    root = snapshot->root();
  }
  return InSnapshot{.placement = place.placement, .root = *root};
}

Result<format::Entry> FileSystem::entry(const NodeTable::Place& place, const Call& call) {
  FIRN_LET(const InSnapshot at, open_snapshot(place, call));
  CachedPages pages(cache_, &call);
  const tree::TreeReader tree(pages, at.root);
  FIRN_LET(auto found, told(name_of(place), tree.find(place.path)));
  if (!found) {
    return fail(ErrorCode::NotFound, name_of(place) + " is not there");
  }
  return *std::move(found);
}

struct stat FileSystem::status_in_layout(const Layout::Node& node, NodeNumber number) const {
  struct stat status {};
  status.st_ino = number;
  status.st_uid = uid_;
  status.st_gid = gid_;
  status.st_blksize = kBlockBytes;
  status.st_mtim = status.st_ctim = status.st_atim = time_of(node.time);
  if (node.kind == Layout::Kind::Link) {
    status.st_mode = S_IFLNK | 0777;
    status.st_nlink = 1;
    status.st_size = static_cast<off_t>(node.target.size());
  } else {
    status.st_mode = S_IFDIR | 0555;
    status.st_nlink = 2 + node.directories;
    status.st_size = static_cast<off_t>(kBlockBytes);
  }
  return status;
}

struct stat FileSystem::status_in_snapshot(const format::EntryFields& fields, NodeNumber number,
                                           std::uint64_t content_bytes, std::size_t target_bytes) const {
  return status_of(fields, number, content_bytes, target_bytes, options_.owner_root);
}

NodeNumber FileSystem::hash_of(const Placement& placement, NodeNumber parent, std::string_view name,
                               const format::EntryFields& fields) const {
  const bool is_group = fields.nlink > 1 && fields.type != FileType::Directory;
  return is_group ? number_of_group(placement.number, fields.device, fields.inode) : number_of(parent, name);
}

namespace {
std::optional<std::uint64_t> group_of(const format::EntryFields& fields) {
  const bool is_group = fields.nlink > 1 && fields.type != FileType::Directory;
  return is_group ? std::optional(fields.inode) : std::nullopt;
}
}  // namespace

Result<FileSystem::Found> FileSystem::look_up(NodeNumber parent, std::string_view name, const Call& call) {
  FIRN_LET(const NodeTable::Place above, place(parent));
  if (!above.placement) {
    return look_up_in_layout(parent, above.path, name, call);
  }
  FIRN_LET(const InSnapshot at, open_snapshot(above, call));
  CachedPages pages(cache_, &call);
  const tree::TreeReader tree(pages, at.root);
  FIRN_LET(const auto entry, told(name_of(above), tree.find(joined(above.path, name))));
  Found found;
  found.is_fixed = true;
  if (!entry) {
    return found;
  }
  found.number = nodes_.remember({.parent = parent,
                                  .name = name,
                                  .hash = hash_of(*above.placement, parent, name, *entry),
                                  .placement = above.placement,
                                  .group = group_of(*entry),
                                  .has_xattrs = entry->xattrs.form != format::BlobForm::Empty});
  found.status = status_in_snapshot(*entry, found.number, entry->content.length(), entry->target.size());
  return found;
}

Result<FileSystem::Found> FileSystem::look_up_in_layout(NodeNumber parent, const std::string& path,
                                                        std::string_view name, const Call& call) {
  FIRN_LET(const Catalogue::SharedView view, catalogue_.current(cache_, call));
  Found found;
  const Layout::Node* node = view->layout.find(joined(path, name));
  if (node == nullptr) {
    return found;
  }
  if (node->kind != Layout::Kind::Snapshot) {
    found.number = nodes_.remember({.parent = parent,
                                    .name = name,
                                    .hash = hash_in_layout(parent, name, *node),
                                    .placement = nullptr,
                                    .group = std::nullopt,
                                    .has_xattrs = false});
    found.status = status_in_layout(*node, found.number);
    return found;
  }
  auto placement = std::make_shared<Placement>();
  placement->snapshot = view->snapshots[node->snapshot];
  placement->number = number_of_snapshot(parent, name, placement->snapshot->id());
  // Its attributes first: a root that cannot be read is not there.
  const NodeTable::Place root{.placement = placement, .path = {}, .has_xattrs = false};
  FIRN_LET(const format::Entry fields, entry(root, call));
  found.number = nodes_.remember({.parent = parent,
                                  .name = name,
                                  .hash = placement->number,
                                  .placement = placement,
                                  .group = std::nullopt,
                                  .has_xattrs = fields.xattrs.form != format::BlobForm::Empty});
  found.status = status_in_snapshot(fields, found.number, 0, 0);
  return found;
}

std::vector<NodeTable::Name> FileSystem::surplus() {
  const std::size_t known = nodes_.size();
  // An eighth more, so that a walk over millions is not interrupted for each of them.
  return known > options_.nodes_max ? nodes_.oldest(known - options_.nodes_max + options_.nodes_max / 8)
                                    : std::vector<NodeTable::Name>();
}

Result<FileSystem::Found> FileSystem::status(NodeNumber number, const Call& call) {
  FIRN_LET(const NodeTable::Place at, place(number));
  Found found;
  found.number = number;
  if (at.placement) {
    FIRN_LET(const format::Entry fields, entry(at, call));
    found.status = status_in_snapshot(fields, number, fields.content.length(), fields.target.size());
    found.is_fixed = true;
    return found;
  }
  FIRN_LET(const Catalogue::SharedView view, catalogue_.current(cache_, call));
  const Layout::Node* node = view->layout.find(at.path);
  if (node == nullptr || node->kind == Layout::Kind::Snapshot) {
    return fail(ErrorCode::NotFound, "/" + at.path + " is there no more");
  }
  found.status = status_in_layout(*node, number);
  return found;
}

Result<std::string> FileSystem::link_target(NodeNumber number, const Call& call) {
  FIRN_LET(const NodeTable::Place at, place(number));
  if (at.placement) {
    FIRN_LET(format::Entry fields, entry(at, call));
    return std::move(fields.target);
  }
  FIRN_LET(const Catalogue::SharedView view, catalogue_.current(cache_, call));
  const Layout::Node* node = view->layout.find(at.path);
  if (node == nullptr || node->kind != Layout::Kind::Link) {
    return fail(ErrorCode::NotFound, "/" + at.path + " is there no more");
  }
  return node->target;
}

Result<std::vector<format::ExtendedAttribute>> FileSystem::xattrs(NodeNumber number, const Call& call) {
  FIRN_LET(const NodeTable::Place at, place(number));
  if (!at.placement || !at.has_xattrs) {
    return std::vector<format::ExtendedAttribute>();
  }
  FIRN_LET(const format::Entry fields, entry(at, call));
  FIRN_LET(const Bytes encoded,
           told(name_of(at), read_blob(cache_, fields.xattrs, format::kXattrsBytesMax, call)));
  return told(name_of(at), format::parse_xattrs(encoded));
}

Result<FileSystem::Space> FileSystem::space(const Call& call) {
  FIRN_LET(const Catalogue::SharedView view, catalogue_.current(cache_, call));
  return Space{.stored_bytes = view->stored_bytes};
}

Result<std::unique_ptr<FileSystem::File>> FileSystem::open_file(NodeNumber number, const Call& call) {
  FIRN_LET(const NodeTable::Place at, place(number));
  if (!at.placement) {
    return fail(ErrorCode::Invalid, "/" + at.path + " is not a file");
  }
  FIRN_LET(const format::Entry fields, entry(at, call));
  auto file = std::make_unique<File>();
  file->name = name_of(at);
  FIRN_LET(file->content, told(file->name, FileContent::open(cache_, streams_, fields, call)));
  return file;
}

Result<std::vector<FileContent::Part>> FileSystem::read(File& file, std::uint64_t offset,
                                                        std::uint64_t length, const Call& call) {
  return told(file.name, file.content->read(offset, length, call));
}

Result<std::unique_ptr<FileSystem::Listing>> FileSystem::open_directory(NodeNumber number, const Call& call) {
  FIRN_LET(NodeTable::Place at, place(number));
  auto listing = std::make_unique<Listing>(cache_.executor(), number, std::move(at));
  if (!listing->place_.placement) {
    FIRN_LET(listing->view_, catalogue_.current(cache_, call));
    return listing;
  }
  FIRN_LET(const InSnapshot opened, open_snapshot(listing->place_, call));
  listing->pages_ = std::make_unique<CachedPages>(cache_);
  tree::ReadOptions options;
  options.prefetch = [this](format::ChunkType type, std::span<const format::ChunkSecret> pages) {
    if (type == format::ChunkType::TreePage) {
      cache_.prefetch(ChunkKind::TreePage, pages);
    }
  };
  listing->tree_.emplace(*listing->pages_, opened.root, std::move(options));
  return listing;
}

Result<> FileSystem::list(Listing& listing, std::uint64_t from, const Call& call,
                          const std::function<bool(const Child&)>& visit) {
  const base::TaskLock::Hold hold(listing.busy_);
  return listing.place_.placement ? list_snapshot(listing, from, call, visit)
                                  : list_layout(listing, from, visit);
}

Result<> FileSystem::list_layout(Listing& listing, std::uint64_t from,
                                 const std::function<bool(const Child&)>& visit) {
  const Layout::Node* node = listing.view_->layout.find(listing.place_.path);
  if (node == nullptr) {
    return {};
  }
  std::uint64_t place = 0;
  for (const auto& [name, child] : node->children) {
    if (place++ < from) {
      continue;
    }
    Child one;
    one.name = name;
    one.next = place;
    // A snapshot's own attributes cost a look into it: the kernel asks for those that it needs.
    const NodeNumber hash = hash_in_layout(listing.number_, name, child);
    one.status = status_in_layout(child, hash);
    if (child.kind == Layout::Kind::Snapshot) {
      one.status.st_ino =
          number_of_snapshot(listing.number_, name, listing.view_->snapshots[child.snapshot]->id());
      one.remember = [] { return NodeNumber{0}; };
    } else {
      one.remember = [&, hash, this] {
        return nodes_.remember({.parent = listing.number_,
                                .name = name,
                                .hash = hash,
                                .placement = nullptr,
                                .group = std::nullopt,
                                .has_xattrs = false});
      };
    }
    if (!visit(one)) {
      return {};
    }
  }
  return {};
}

Result<> FileSystem::list_snapshot(Listing& listing, std::uint64_t from, const Call& call,
                                   const std::function<bool(const Child&)>& visit) {
  listing.pages_->set_call(call);
  const std::string& directory = listing.place_.path;
  const auto failed = [&](Error error) -> Result<> {
    listing.children_.reset();
    return told(name_of(listing.place_), Result<>(Failure(std::move(error))));
  };
  if (!listing.children_ || from != listing.next_) {
    // Somebody went back, or a failed walk begins anew: on from the last mark before that place.
    listing.children_.emplace(listing.tree_->list_directory(directory));
    listing.has_current_ = false;
    const std::uint64_t mark = std::min<std::uint64_t>(from / kMarkEvery, listing.marks_.size());
    listing.next_ = mark * kMarkEvery;
    if (mark > 0) {
      if (auto sought = listing.children_->seek({directory, listing.marks_[mark - 1]}); !sought) {
        return failed(std::move(sought).error());
      }
      // The marked child itself was taken.
      if (auto more = listing.children_->next(); !more) {
        return failed(std::move(more).error());
      }
    }
  }
  for (bool any = false;; any = true) {
    if (!listing.has_current_) {
      auto more = listing.children_->next();
      if (!more) {
        auto told_of = failed(std::move(more).error());
        return any ? Result<>() : told_of;
      }
      if (!*more) {
        return {};
      }
      listing.has_current_ = true;
    }
    const format::EntryView& entry = listing.children_->entry();
    if (listing.next_ >= from) {
      const NodeNumber hash = hash_of(*listing.place_.placement, listing.number_, entry.name, entry);
      Child one;
      one.name = entry.name;
      one.status = status_in_snapshot(entry, hash, entry.content.length, entry.target.size());
      one.is_fixed = true;
      one.next = listing.next_ + 1;
      one.remember = [&, this] {
        return nodes_.remember({.parent = listing.number_,
                                .name = entry.name,
                                .hash = hash,
                                .placement = listing.place_.placement,
                                .group = group_of(entry),
                                .has_xattrs = entry.xattrs.form != format::BlobForm::Empty});
      };
      if (!visit(one)) {
        return {};
      }
    }
    listing.next_ += 1;
    listing.has_current_ = false;
    if (listing.next_ % kMarkEvery == 0 && listing.marks_.size() < listing.next_ / kMarkEvery) {
      listing.marks_.emplace_back(entry.name);
    }
  }
}

}  // namespace firn::mount
