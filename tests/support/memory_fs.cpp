#include "tests/support/memory_fs.h"

#include <algorithm>
#include <atomic>

#include "agent/scan/linux_calls.h"
#include "repo/base/check.h"

namespace firn::test {

using format::FileType;
using format::Timestamp;
using restore::Access;
using restore::Metadata;
using restore::Shortfalls;
using restore::TargetDir;
using restore::TargetFile;
using scan::Attributes;
using scan::Extent;
using scan::ListedName;
using scan::SourceDir;
using scan::SourceFile;
using scan::Stat;
using scan::Xattr;

using Node = std::shared_ptr<MemoryNode>;

namespace {

constexpr std::size_t kListBatch = 7;

std::vector<std::string> components(const std::string& path) {
  FIRN_CHECK(path.starts_with('/'));
  std::vector<std::string> parts;
  std::size_t at = 1;
  while (at < path.size()) {
    const std::size_t slash = std::min(path.find('/', at), path.size());
    if (slash > at) {
      parts.push_back(path.substr(at, slash - at));
    }
    at = slash + 1;
  }
  return parts;
}

Failure no_such(const std::string& path) { return fail(ErrorCode::NotFound, path + ": no such file"); }

Stat stat_of(const MemoryNode& node) {
  Stat stat;
  stat.type = node.type;
  stat.mode = node.mode;
  stat.uid = node.uid;
  stat.gid = node.gid;
  stat.size_bytes = node.type == FileType::Symlink ? node.link_target.size() : node.size_bytes;
  stat.blocks_bytes = node.blocks.size() * kMemoryBlockBytes;
  stat.mtime = node.mtime;
  stat.ctime = node.ctime;
  stat.atime = node.atime;
  stat.inode = node.inode;
  stat.device = node.device;
  stat.mount_id = node.mount_id;
  stat.nlink = node.nlink;
  stat.rdev = node.rdev;
  return stat;
}

void write_blocks(MemoryNode& node, std::uint64_t offset, ByteView bytes) {
  node.size_bytes = std::max(node.size_bytes, offset + bytes.size());
  while (!bytes.empty()) {
    auto& block = node.blocks[offset / kMemoryBlockBytes];
    const std::size_t within = offset % kMemoryBlockBytes;
    const std::size_t step = std::min(bytes.size(), kMemoryBlockBytes - within);
    std::copy_n(bytes.begin(), step, block.begin() + static_cast<std::ptrdiff_t>(within));
    bytes = bytes.subspan(step);
    offset += step;
  }
}

std::size_t read_blocks(const MemoryNode& node, std::uint64_t offset, MutableBytes out) {
  if (offset >= node.size_bytes) {
    return 0;
  }
  const std::size_t length = std::min<std::uint64_t>(out.size(), node.size_bytes - offset);
  for (std::size_t done = 0; done < length;) {
    const std::size_t within = (offset + done) % kMemoryBlockBytes;
    const std::size_t step = std::min(length - done, kMemoryBlockBytes - within);
    const auto block = node.blocks.find((offset + done) / kMemoryBlockBytes);
    if (block == node.blocks.end()) {
      std::fill_n(out.begin() + static_cast<std::ptrdiff_t>(done), step, std::byte{0});
    } else {
      std::copy_n(block->second.begin() + static_cast<std::ptrdiff_t>(within), step,
                  out.begin() + static_cast<std::ptrdiff_t>(done));
    }
    done += step;
  }
  return length;
}

// Zeros [from, to): whole blocks become holes.
void punch_blocks(MemoryNode& node, std::uint64_t from, std::uint64_t to) {
  for (auto block = node.blocks.lower_bound(from / kMemoryBlockBytes); block != node.blocks.end();) {
    const std::uint64_t begin = block->first * kMemoryBlockBytes;
    const std::uint64_t end = begin + kMemoryBlockBytes;
    if (begin >= to) {
      break;
    }
    if (begin >= from && (end <= to || to >= node.size_bytes)) {
      block = node.blocks.erase(block);
      continue;
    }
    const auto at = [&](std::uint64_t offset) {
      return block->second.begin() + static_cast<std::ptrdiff_t>(std::clamp(offset, begin, end) - begin);
    };
    std::fill(at(from), at(to), std::byte{0});
    ++block;
  }
}

void resize_node(MemoryNode& node, std::uint64_t size_bytes) {
  if (size_bytes < node.size_bytes) {
    punch_blocks(node, size_bytes, node.size_bytes);
  }
  node.size_bytes = size_bytes;
}

std::optional<Extent> next_extent(const MemoryNode& node, std::uint64_t offset) {
  auto block = node.blocks.lower_bound(offset / kMemoryBlockBytes);
  if (block == node.blocks.end() || offset >= node.size_bytes) {
    return std::nullopt;
  }
  const std::uint64_t begin = std::max(offset, block->first * kMemoryBlockBytes);
  std::uint64_t end = (block->first + 1) * kMemoryBlockBytes;
  while (++block != node.blocks.end() && block->first * kMemoryBlockBytes == end) {
    end += kMemoryBlockBytes;
  }
  end = std::min(end, node.size_bytes);
  return Extent{begin, end - begin};
}

std::vector<Xattr> xattrs_of(const MemoryNode& node) {
  std::vector<Xattr> xattrs;
  for (const auto& [name, value] : node.xattrs) {
    xattrs.push_back({name, value});
  }
  return xattrs;
}

std::string join(const std::string& directory, const std::string& name) {
  return directory == "/" ? "/" + name : directory + "/" + name;
}

Result<> check_name(const std::string& name) {
  if (!scan::is_plain_name(name)) {
    return fail(ErrorCode::Invalid, "not a name that can stand in a directory");
  }
  return {};
}

}  // namespace

// Shared by the tree and its handles, which may outlive a removed entry but not the tree's test.
struct MemoryTree::Core {
  struct Data {
    Node root;
    std::uint64_t next_inode = 2;
    std::int64_t now_seconds = 1'000'000'000;
  };
  base::Guarded<Data> data;
  Hook hook;
  std::atomic<std::size_t> open{0};
  std::atomic<std::size_t> peak{0};

  Result<> call(FsCall what, const std::string& path) { return hook ? hook(what, path) : Result<>{}; }

  static Timestamp now(const Data& d) { return {d.now_seconds, 7}; }
  static void touch(const Data& d, MemoryNode& node, bool content) {
    node.ctime = now(d);
    if (content) {
      node.mtime = node.ctime;
    }
  }
  static Node add(Data& d, MemoryNode& parent, const std::string& name, FileType type) {
    auto node = std::make_shared<MemoryNode>();
    node->type = type;
    node->mode = type == FileType::Directory ? 0755 : type == FileType::Symlink ? 0777 : 0644;
    node->inode = d.next_inode++;
    node->device = parent.device;
    node->mount_id = parent.mount_id;
    node->nlink = type == FileType::Directory ? 2 : 1;
    node->mtime = node->atime = node->ctime = now(d);
    parent.children[name] = node;
    touch(d, parent, true);
    return node;
  }
  static void unlink(const Data& d, MemoryNode& parent, const std::string& name) {
    const auto found = parent.children.find(name);
    if (found != parent.children.end()) {
      found->second->nlink -= 1;
      touch(d, *found->second, false);
      parent.children.erase(found);
      touch(d, parent, true);
    }
  }
  static Node find(const Data& d, const std::string& path) {
    Node at = d.root;
    for (const std::string& name : components(path)) {
      const auto found = at->children.find(name);
      if (found == at->children.end()) {
        return nullptr;
      }
      at = found->second;
    }
    return at;
  }
  // The directory above the last component, made when it lacks.
  static Node make_parent(Data& d, const std::vector<std::string>& parts) {
    Node at = d.root;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = at->children.find(parts[i]);
      at = found != at->children.end() ? found->second : add(d, *at, parts[i], FileType::Directory);
      FIRN_CHECK(at->type == FileType::Directory);
    }
    return at;
  }
  // The node at `path`, made as `type` when it lacks.
  static Node make(Data& d, const std::string& path, FileType type) {
    d.now_seconds += 1;
    const auto parts = components(path);
    if (parts.empty()) {
      return d.root;
    }
    const Node parent = make_parent(d, parts);
    const auto found = parent->children.find(parts.back());
    const Node node = found != parent->children.end() ? found->second : add(d, *parent, parts.back(), type);
    FIRN_CHECK(node->type == type);
    return node;
  }
};

namespace {

using Core = MemoryTree::Core;

// What every handle has: the node, its path for the hook, and a place in the count.
class Handle {
 public:
  Handle(std::shared_ptr<Core> core, Node node, std::string path)
      : core_(std::move(core)), node_(std::move(node)), path_(std::move(path)) {
    const std::size_t open = ++core_->open;
    std::size_t peak = core_->peak.load();
    while (open > peak && !core_->peak.compare_exchange_weak(peak, open)) {
    }
  }
  ~Handle() { --core_->open; }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  Result<> call(FsCall what, const std::string& name = {}) {
    return core_->call(what, name.empty() ? path_ : join(path_, name));
  }
  Result<Node> child(const std::string& name) {
    auto data = core_->data.lock();
    const auto found = node_->children.find(name);
    if (found == node_->children.end()) {
      return no_such(join(path_, name));
    }
    return found->second;
  }

  std::shared_ptr<Core> core_;
  const Node node_;
  const std::string path_;
};

// The parts that source and target directories answer alike.
class DirHandle : public Handle {
 public:
  using Handle::Handle;

  Result<Stat> stat_child(const std::string& name) {
    FIRN_TRY(check_name(name));
    FIRN_TRY(call(FsCall::Stat, name));
    FIRN_LET(const Node node, child(name));
    auto data = core_->data.lock();
    return stat_of(*node);
  }
  Result<Stat> stat_node() {
    FIRN_TRY(call(FsCall::Stat));
    auto data = core_->data.lock();
    return stat_of(*node_);
  }
  Result<> list_names(const std::function<Result<>(std::span<const ListedName>)>& visit) {
    FIRN_TRY(call(FsCall::List));
    std::vector<std::pair<std::string, FileType>> names;
    {
      auto data = core_->data.lock();
      for (auto child = node_->children.rbegin(); child != node_->children.rend(); ++child) {
        const bool tells = child->second->inode % 3 != 0;
        names.emplace_back(child->first, tells ? child->second->type : FileType::Unknown);
      }
    }
    std::vector<ListedName> batch;
    for (std::size_t i = 0; i < names.size(); ++i) {
      batch.push_back({names[i].first, names[i].second});
      if (batch.size() == kListBatch || i + 1 == names.size()) {
        FIRN_TRY(visit(batch));
        batch.clear();
      }
    }
    return {};
  }
  Result<std::string> read_link_of(const std::string& name) {
    FIRN_TRY(check_name(name));
    FIRN_TRY(call(FsCall::ReadLink, name));
    FIRN_LET(const Node node, child(name));
    auto data = core_->data.lock();
    if (node->type != FileType::Symlink) {
      return fail(ErrorCode::Changed, join(path_, name) + ": it is no link now");
    }
    return node->link_target;
  }
  Result<std::vector<Xattr>> xattrs_of_name(const std::string& name) {
    FIRN_TRY(call(FsCall::Xattrs, name));
    Node node = node_;
    if (!name.empty()) {
      FIRN_LET(node, child(name));
    }
    auto data = core_->data.lock();
    return xattrs_of(*node);
  }
  Result<Attributes> attributes_of_name(const std::string& name) {
    FIRN_TRY(call(FsCall::Attributes, name));
    Node node = node_;
    if (!name.empty()) {
      FIRN_LET(node, child(name));
    }
    auto data = core_->data.lock();
    if (node->type != FileType::Regular && node->type != FileType::Directory) {
      return Attributes{};
    }
    return Attributes{node->inode_flags, node->project_id};
  }
};

class FileHandle : public Handle {
 public:
  using Handle::Handle;

  Result<Stat> stat_node() {
    FIRN_TRY(call(FsCall::Stat));
    auto data = core_->data.lock();
    return stat_of(*node_);
  }
  Result<std::size_t> read(std::uint64_t offset, MutableBytes out) {
    FIRN_TRY(call(FsCall::Read));
    auto data = core_->data.lock();
    if (node_->type == FileType::Directory) {
      return fail(ErrorCode::Invalid, path_ + ": is a directory");
    }
    return read_blocks(*node_, offset, out);
  }
  Result<std::optional<Extent>> next(std::uint64_t offset) {
    FIRN_TRY(call(FsCall::NextData));
    auto data = core_->data.lock();
    return next_extent(*node_, offset);
  }
};

class MemorySourceFile final : public SourceFile {
 public:
  MemorySourceFile(std::shared_ptr<Core> core, Node node, std::string path)
      : file_(std::move(core), std::move(node), std::move(path)) {}
  Result<Stat> stat() override { return file_.stat_node(); }
  Result<std::size_t> read_at(std::uint64_t offset, MutableBytes out) override {
    return file_.read(offset, out);
  }
  Result<std::optional<Extent>> next_data(std::uint64_t offset) override { return file_.next(offset); }
  Result<std::vector<Xattr>> xattrs() override {
    FIRN_TRY(file_.call(FsCall::Xattrs));
    auto data = file_.core_->data.lock();
    return xattrs_of(*file_.node_);
  }
  Result<Attributes> attributes() override {
    FIRN_TRY(file_.call(FsCall::Attributes));
    auto data = file_.core_->data.lock();
    return Attributes{file_.node_->inode_flags, file_.node_->project_id};
  }
  void done_with(std::uint64_t, std::uint64_t) override {}

 private:
  FileHandle file_;
};

class MemorySourceDir final : public SourceDir {
 public:
  MemorySourceDir(std::shared_ptr<Core> core, Node node, std::string path)
      : dir_(std::move(core), std::move(node), std::move(path)) {}
  Result<> list(const std::function<Result<>(std::span<const ListedName>)>& visit) override {
    return dir_.list_names(visit);
  }
  Result<Stat> stat(const std::string& name) override { return dir_.stat_child(name); }
  Result<Stat> stat_self() override { return dir_.stat_node(); }
  Result<std::unique_ptr<SourceDir>> open_dir(const std::string& name) override {
    FIRN_TRY(check_name(name));
    FIRN_TRY(dir_.call(FsCall::OpenDir, name));
    FIRN_LET(Node node, dir_.child(name));
    if (node->type != FileType::Directory) {
      return no_such(join(dir_.path_, name));
    }
    return std::make_unique<MemorySourceDir>(dir_.core_, std::move(node), join(dir_.path_, name));
  }
  Result<std::unique_ptr<SourceFile>> open_file(const std::string& name) override {
    FIRN_TRY(check_name(name));
    FIRN_TRY(dir_.call(FsCall::OpenFile, name));
    FIRN_LET(Node node, dir_.child(name));
    if (node->type == FileType::Symlink || node->type == FileType::Socket) {
      return fail(ErrorCode::Changed, join(dir_.path_, name) + ": it is a link or socket now");
    }
    return std::make_unique<MemorySourceFile>(dir_.core_, std::move(node), join(dir_.path_, name));
  }
  Result<std::string> read_link(const std::string& name) override { return dir_.read_link_of(name); }
  Result<std::vector<Xattr>> xattrs(const std::string& name, FileType) override {
    return dir_.xattrs_of_name(name);
  }
  Result<Attributes> attributes(const std::string& name, FileType) override {
    return dir_.attributes_of_name(name);
  }

 private:
  DirHandle dir_;
};

void apply(const MemoryTree::Core::Data& data, MemoryNode& node, const Metadata& metadata) {
  node.mode = metadata.type == FileType::Symlink ? 0777 : metadata.mode;
  node.uid = metadata.uid;
  node.gid = metadata.gid;
  node.xattrs.clear();
  for (const Xattr& xattr : metadata.xattrs) {
    node.xattrs[xattr.name] = xattr.value;
  }
  if (metadata.type == FileType::Regular || metadata.type == FileType::Directory) {
    node.inode_flags = metadata.inode_flags;
    node.project_id = metadata.project_id;
  }
  Core::touch(data, node, false);
  node.mtime = metadata.mtime;
  node.atime = metadata.atime.value_or(node.atime);
}

class MemoryTargetFile final : public TargetFile {
 public:
  MemoryTargetFile(std::shared_ptr<Core> core, Node node, std::string path)
      : file_(std::move(core), std::move(node), std::move(path)) {}
  void prepare(std::uint32_t) override {}
  Result<> allocate(std::uint64_t size_bytes, bool) override {
    FIRN_TRY(file_.call(FsCall::Allocate));
    auto data = file_.core_->data.lock();
    resize_node(*file_.node_, size_bytes);
    Core::touch(*data, *file_.node_, true);
    return {};
  }
  Result<> write_at(std::uint64_t offset, ByteView bytes) override {
    FIRN_TRY(file_.call(FsCall::Write));
    auto data = file_.core_->data.lock();
    write_blocks(*file_.node_, offset, bytes);
    Core::touch(*data, *file_.node_, true);
    return {};
  }
  Result<std::size_t> read_at(std::uint64_t offset, MutableBytes out) override {
    return file_.read(offset, out);
  }
  Result<std::optional<Extent>> next_data(std::uint64_t offset) override { return file_.next(offset); }
  Result<> punch(std::uint64_t offset, std::uint64_t length) override {
    FIRN_TRY(file_.call(FsCall::Punch));
    auto data = file_.core_->data.lock();
    const std::uint64_t size = file_.node_->size_bytes;
    if (offset < size) {
      punch_blocks(*file_.node_, offset, offset + std::min(length, size - offset));
      Core::touch(*data, *file_.node_, true);
    }
    return {};
  }
  Result<Shortfalls> finish(const Metadata& metadata) override {
    FIRN_TRY(file_.call(FsCall::Finish));
    auto data = file_.core_->data.lock();
    apply(*data, *file_.node_, metadata);
    return Shortfalls{};
  }
  Result<Stat> stat() override { return file_.stat_node(); }

 private:
  FileHandle file_;
};

class MemoryTargetDir final : public TargetDir {
 public:
  MemoryTargetDir(std::shared_ptr<Core> core, Node node, std::string path)
      : dir_(std::move(core), std::move(node), std::move(path)) {}

  Result<Stat> stat(const std::string& name) override { return dir_.stat_child(name); }
  Result<Stat> stat_self() override { return dir_.stat_node(); }

  Result<std::unique_ptr<TargetDir>> make_dir(const std::string& name) override {
    FIRN_TRY(check_name(name));
    FIRN_TRY(dir_.call(FsCall::MakeDir, name));
    {
      auto data = dir_.core_->data.lock();
      if (!dir_.node_->children.contains(name)) {
        Core::add(*data, *dir_.node_, name, FileType::Directory)->mode = 0700;
      }
    }
    return open(name);
  }
  Result<std::unique_ptr<TargetDir>> open_dir(const std::string& name) override {
    FIRN_TRY(check_name(name));
    FIRN_TRY(dir_.call(FsCall::OpenDir, name));
    return open(name);
  }
  Result<std::unique_ptr<TargetFile>> open_file(const std::string& name, Access access) override {
    FIRN_TRY(check_name(name));
    FIRN_TRY(dir_.call(FsCall::OpenFile, name));
    auto data = dir_.core_->data.lock();
    const auto found = dir_.node_->children.find(name);
    Node node;
    if (found != dir_.node_->children.end()) {
      node = found->second;
      if (node->type != FileType::Regular || (access != Access::Read && node->nlink > 1)) {
        return fail(ErrorCode::Exists, join(dir_.path_, name) + ": no file with one name");
      }
    } else if (access == Access::WriteOrMake) {
      node = Core::add(*data, *dir_.node_, name, FileType::Regular);
      node->mode = 0600;
    } else {
      return no_such(join(dir_.path_, name));
    }
    return std::make_unique<MemoryTargetFile>(dir_.core_, std::move(node), join(dir_.path_, name));
  }
  Result<Shortfalls> make_special(const std::string& name, const Metadata& metadata,
                                  const std::string& link_target, std::uint64_t rdev) override {
    FIRN_TRY(check_name(name));
    FIRN_TRY(dir_.call(FsCall::MakeSpecial, name));
    if (metadata.type == FileType::Regular || metadata.type == FileType::Directory) {
      return fail(ErrorCode::Invalid, join(dir_.path_, name) + ": not a link or special file");
    }
    auto data = dir_.core_->data.lock();
    if (dir_.node_->children.contains(name)) {
      return fail(ErrorCode::Exists, join(dir_.path_, name) + ": exists");
    }
    const Node node = Core::add(*data, *dir_.node_, name, metadata.type);
    node->link_target = link_target;
    node->rdev = rdev;
    apply(*data, *node, metadata);
    return Shortfalls{};
  }
  Result<Shortfalls> finish_special(const std::string& name, const Metadata& metadata) override {
    FIRN_TRY(check_name(name));
    FIRN_TRY(dir_.call(FsCall::Finish, name));
    FIRN_LET(const Node node, dir_.child(name));
    auto data = dir_.core_->data.lock();
    if (node->type != metadata.type || node->type == FileType::Regular || node->type == FileType::Directory) {
      return fail(ErrorCode::Exists, join(dir_.path_, name) + ": it has another type");
    }
    apply(*data, *node, metadata);
    return Shortfalls{};
  }
  Result<> link(const std::string& name, TargetDir& existing_dir, const std::string& existing_name) override {
    FIRN_TRY(check_name(name));
    FIRN_TRY(check_name(existing_name));
    FIRN_TRY(dir_.call(FsCall::Link, name));
    auto* existing = dynamic_cast<MemoryTargetDir*>(&existing_dir);
    FIRN_CHECK(existing != nullptr);
    FIRN_LET(const Node node, existing->dir_.child(existing_name));
    auto data = dir_.core_->data.lock();
    if (dir_.node_->children.contains(name)) {
      return fail(ErrorCode::Exists, join(dir_.path_, name) + ": exists");
    }
    dir_.node_->children[name] = node;
    node->nlink += 1;
    Core::touch(*data, *node, false);
    Core::touch(*data, *dir_.node_, true);
    return {};
  }
  Result<> remove(const std::string& name) override {
    FIRN_TRY(check_name(name));
    FIRN_TRY(dir_.call(FsCall::Remove, name));
    FIRN_LET(const Node node, dir_.child(name));
    auto data = dir_.core_->data.lock();
    remove_below(*data, *node);
    Core::unlink(*data, *dir_.node_, name);
    return {};
  }
  Result<> list(const std::function<Result<>(std::span<const ListedName>)>& visit) override {
    return dir_.list_names(visit);
  }
  Result<std::string> read_link(const std::string& name) override { return dir_.read_link_of(name); }
  Result<std::vector<Xattr>> xattrs(const std::string& name, FileType) override {
    return dir_.xattrs_of_name(name);
  }
  Result<Attributes> attributes(const std::string& name, FileType) override {
    return dir_.attributes_of_name(name);
  }
  Result<Shortfalls> finish(const Metadata& metadata) override {
    FIRN_TRY(dir_.call(FsCall::Finish));
    auto data = dir_.core_->data.lock();
    apply(*data, *dir_.node_, metadata);
    return Shortfalls{};
  }
  Result<> sync() override { return dir_.call(FsCall::Sync); }

 private:
  Result<std::unique_ptr<TargetDir>> open(const std::string& name) {
    FIRN_LET(Node node, dir_.child(name));
    if (node->type != FileType::Directory) {
      return fail(ErrorCode::Exists, join(dir_.path_, name) + ": it is no directory");
    }
    return std::make_unique<MemoryTargetDir>(dir_.core_, std::move(node), join(dir_.path_, name));
  }

  static void remove_below(const MemoryTree::Core::Data& data, MemoryNode& top) {
    std::vector<MemoryNode*> todo{&top};
    std::vector<Node> removed;  // kept until the end, so that no destructor recurses
    while (!todo.empty()) {
      MemoryNode& node = *todo.back();
      todo.pop_back();
      for (auto& [name, child] : node.children) {
        child->nlink -= 1;
        Core::touch(data, *child, false);
        if (child->type == FileType::Directory) {
          todo.push_back(child.get());
        }
        removed.push_back(child);
      }
      node.children.clear();
    }
  }

  DirHandle dir_;
};

class MemorySourceFs final : public scan::SourceFs {
 public:
  explicit MemorySourceFs(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  Result<std::unique_ptr<SourceDir>> open_root(const std::string& path) override {
    FIRN_TRY(core_->call(FsCall::OpenRoot, path));
    auto data = core_->data.lock();
    Node node = Core::find(*data, path);
    if (!node || node->type != FileType::Directory) {
      return no_such(path);
    }
    return std::make_unique<MemorySourceDir>(core_, std::move(node), path);
  }
  std::string user_name(std::uint32_t uid) override { return uid == 0 ? "root" : ""; }
  std::string group_name(std::uint32_t gid) override { return gid == 0 ? "root" : ""; }

 private:
  std::shared_ptr<Core> core_;
};

class MemoryTargetFs final : public restore::TargetFs {
 public:
  explicit MemoryTargetFs(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  Result<std::unique_ptr<TargetDir>> open_existing_root(const std::string& path) override {
    {
      auto data = core_->data.lock();
      if (!Core::find(*data, path)) {
        return no_such(path);
      }
    }
    return open_root(path);
  }
  Result<std::unique_ptr<TargetDir>> open_root(const std::string& path) override {
    FIRN_TRY(core_->call(FsCall::OpenRoot, path));
    auto data = core_->data.lock();
    Node node = Core::find(*data, path);
    if (!node) {
      node = Core::make(*data, path, FileType::Directory);
    }
    if (node->type != FileType::Directory) {
      return no_such(path);
    }
    return std::make_unique<MemoryTargetDir>(core_, std::move(node), path);
  }

 private:
  std::shared_ptr<Core> core_;
};

void dump_content(const MemoryNode& node, std::string& out) {
  out += " size=" + std::to_string(node.size_bytes) + " data=";
  for (auto extent = next_extent(node, 0); extent;
       extent = next_extent(node, extent->offset + extent->length)) {
    // FNV-1a: short, and equal for equal bytes.
    std::uint64_t hash = 0xcbf29ce484222325;
    Bytes bytes(extent->length);
    read_blocks(node, extent->offset, bytes);
    for (const std::byte byte : bytes) {
      hash = (hash ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3;
    }
    out += "[" + std::to_string(extent->offset) + "+" + std::to_string(extent->length) + ":" +
           std::to_string(hash) + "]";
  }
}

void dump_node(const MemoryNode& node, const std::string& path,
               std::map<const MemoryNode*, std::string>& groups, std::string& out) {
  static constexpr const char* kTypes[] = {"?", "file", "dir", "link", "fifo", "socket", "block", "char"};
  out += scan::printable(path) + " " + kTypes[static_cast<std::size_t>(node.type)];
  out += " mode=" + std::to_string(node.mode) + " owner=" + std::to_string(node.uid) + ":" +
         std::to_string(node.gid) + " mtime=" + std::to_string(node.mtime.seconds) + "." +
         std::to_string(node.mtime.nanoseconds) + " flags=" + std::to_string(node.inode_flags) +
         " project=" + std::to_string(node.project_id) + " rdev=" + std::to_string(node.rdev);
  if (node.type == FileType::Symlink) {
    out += " target=" + scan::printable(node.link_target);
  }
  for (const auto& [name, value] : node.xattrs) {
    out += " " + scan::printable(name) + "=" + to_hex(value);
  }
  if (node.type == FileType::Regular) {
    dump_content(node, out);
  }
  if (node.type != FileType::Directory && node.nlink > 1) {
    out += " links=" + std::to_string(node.nlink) + ":" +
           scan::printable(groups.emplace(&node, path).first->second);
  }
  out += "\n";
}

void dump_below(const MemoryNode& dir, const std::string& path,
                std::map<const MemoryNode*, std::string>& groups, std::string& out) {
  for (const auto& [name, child] : dir.children) {
    dump_node(*child, path + "/" + name, groups, out);
  }
  for (const auto& [name, child] : dir.children) {
    if (child->type == FileType::Directory) {
      dump_below(*child, path + "/" + name, groups, out);
    }
  }
}

}  // namespace

MemoryTree::MemoryTree()
    : core_(std::make_shared<Core>()),
      source_(std::make_unique<MemorySourceFs>(core_)),
      target_(std::make_unique<MemoryTargetFs>(core_)) {
  auto data = core_->data.lock();
  data->root = std::make_shared<MemoryNode>();
  data->root->type = FileType::Directory;
  data->root->mode = 0755;
  data->root->inode = 1;
  data->root->nlink = 2;
}

MemoryTree::~MemoryTree() { remove("/"); }

scan::SourceFs& MemoryTree::source() { return *source_; }
restore::TargetFs& MemoryTree::target() { return *target_; }
void MemoryTree::set_hook(Hook hook) { core_->hook = std::move(hook); }

MemoryTree::Hook MemoryTree::failing(FsCall call, std::string path, Error error) {
  return [=](FsCall made, const std::string& about) -> Result<> {
    if (made == call && about == path) {
      return Failure(error);
    }
    return {};
  };
}

MemoryTree::Hook MemoryTree::changing(FsCall call, std::string path, unsigned nth,
                                      std::function<void()> change) {
  auto left = std::make_shared<std::atomic<unsigned>>(nth);
  return [=](FsCall made, const std::string& about) -> Result<> {
    if (made == call && about == path && left->fetch_sub(1) == 1) {
      change();
    }
    return {};
  };
}

void MemoryTree::make_dir(const std::string& path) {
  auto data = core_->data.lock();
  Core::make(*data, path, FileType::Directory);
}

void MemoryTree::write(const std::string& path, std::string_view content) {
  auto data = core_->data.lock();
  const Node node = Core::make(*data, path, FileType::Regular);
  resize_node(*node, 0);
  write_blocks(*node, 0, as_bytes(content));
  Core::touch(*data, *node, true);
}

void MemoryTree::write_at(const std::string& path, std::uint64_t offset, std::string_view content) {
  auto data = core_->data.lock();
  const Node node = Core::make(*data, path, FileType::Regular);
  write_blocks(*node, offset, as_bytes(content));
  Core::touch(*data, *node, true);
}

void MemoryTree::resize(const std::string& path, std::uint64_t size_bytes) {
  auto data = core_->data.lock();
  const Node node = Core::make(*data, path, FileType::Regular);
  resize_node(*node, size_bytes);
  Core::touch(*data, *node, true);
}

void MemoryTree::symlink(const std::string& path, std::string_view target) {
  auto data = core_->data.lock();
  Core::make(*data, path, FileType::Symlink)->link_target = target;
}

void MemoryTree::make_special(const std::string& path, FileType type, std::uint64_t rdev) {
  auto data = core_->data.lock();
  Core::make(*data, path, type)->rdev = rdev;
}

void MemoryTree::link(const std::string& path, const std::string& existing) {
  auto data = core_->data.lock();
  data->now_seconds += 1;
  const Node node = Core::find(*data, existing);
  FIRN_CHECK(node && node->type != FileType::Directory);
  const auto parts = components(path);
  const Node parent = Core::make_parent(*data, parts);
  FIRN_CHECK(!parent->children.contains(parts.back()));
  parent->children[parts.back()] = node;
  node->nlink += 1;
  Core::touch(*data, *node, false);
  Core::touch(*data, *parent, true);
}

void MemoryTree::rename(const std::string& from, const std::string& to) {
  remove(to);
  auto data = core_->data.lock();
  data->now_seconds += 1;
  const auto from_parts = components(from);
  const auto to_parts = components(to);
  const Node from_parent = Core::make_parent(*data, from_parts);
  const Node to_parent = Core::make_parent(*data, to_parts);
  const Node node = Core::find(*data, from);
  FIRN_CHECK(node);
  from_parent->children.erase(from_parts.back());
  to_parent->children[to_parts.back()] = node;
  Core::touch(*data, *node, false);
  Core::touch(*data, *from_parent, true);
  Core::touch(*data, *to_parent, true);
}

void MemoryTree::remove(const std::string& path) {
  std::vector<Node> removed;  // taken apart one by one: a deep tree must not recurse in destructors
  auto data = core_->data.lock();
  data->now_seconds += 1;
  const auto parts = components(path);
  const Node node = Core::find(*data, path);
  if (!node) {
    return;
  }
  removed.push_back(node);
  if (!parts.empty()) {
    Core::unlink(*data, *Core::make_parent(*data, parts), parts.back());
  }
  for (std::size_t i = 0; i < removed.size(); ++i) {
    const Node at = removed[i];
    for (const auto& [name, child] : at->children) {
      child->nlink -= 1;
      Core::touch(*data, *child, false);
      removed.push_back(child);
    }
    at->children.clear();
  }
}

void MemoryTree::edit(const std::string& path, const std::function<void(MemoryNode&)>& change) {
  auto data = core_->data.lock();
  data->now_seconds += 1;
  const Node node = Core::find(*data, path);
  FIRN_CHECK(node);
  Core::touch(*data, *node, false);
  change(*node);
}

bool MemoryTree::exists(const std::string& path) const {
  auto data = core_->data.lock();
  return Core::find(*data, path) != nullptr;
}

std::string MemoryTree::content(const std::string& path) const {
  auto data = core_->data.lock();
  const Node node = Core::find(*data, path);
  FIRN_CHECK(node && node->type == FileType::Regular);
  Bytes bytes(node->size_bytes);
  read_blocks(*node, 0, bytes);
  return std::string(as_text(bytes));
}

std::string MemoryTree::dump(const std::string& below) const {
  auto data = core_->data.lock();
  const Node node = Core::find(*data, below);
  FIRN_CHECK(node);
  std::map<const MemoryNode*, std::string> groups;
  std::string out;
  dump_node(*node, "", groups, out);
  dump_below(*node, "", groups, out);
  return out;
}

std::size_t MemoryTree::open_handles() const { return core_->open.load(); }
std::size_t MemoryTree::open_handles_peak() const { return core_->peak.load(); }

}  // namespace firn::test
