// A mount without a kernel: the file system and its catalogue over a repository in memory, by a clock that
// the test moves.
#include "agent/mount/file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <map>
#include <thread>

#include "repo/forget.h"
#include "repo/kv/memory_kv.h"
#include "repo/store/memory_store.h"
#include "tests/support/engine.h"
#include "tests/support/forwarding_store.h"
#include "tests/support/memory_fs.h"

namespace firn::mount {
namespace {

using test::Engine;
using testing::HasSubstr;

class SetClock final : public base::Clock {
 public:
  base::WallTime wall() const override { return {1'770'000'000'000'000'000 + now_.load()}; }
  base::SteadyTime steady() const override { return {std::chrono::nanoseconds(now_.load())}; }
  void advance(std::chrono::nanoseconds by) { now_ += by.count(); }

 private:
  std::atomic<std::int64_t> now_{0};
};

/// May be away, or hold a LIST up.
class MoodyStore final : public test::ForwardingStore {
 public:
  using test::ForwardingStore::ForwardingStore;
  std::atomic<bool> is_away{false};
  std::atomic<unsigned> lists{0};
  std::function<void()> before_list;

  Result<store::ListPage> list(std::string_view prefix, std::string_view after,
                               std::uint32_t count_max) override {
    ++lists;
    if (before_list) {
      before_list();
    }
    if (is_away) {
      return fail(ErrorCode::Unavailable, "nobody answers");
    }
    return inner_.list(prefix, after, count_max);
  }
  Result<> get_range(const store::ObjectName& name, std::uint64_t offset, MutableBytes out) override {
    return is_away ? Result<>(fail(ErrorCode::Unavailable, "nobody answers"))
                   : inner_.get_range(name, offset, out);
  }
};

class Mounted : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(repo::Repository::init(services_, inner_, test::key_file(), {}));
    writer_.emplace(open(inner_, writer_state_));
    options_.warn = [this](std::string_view line) { warnings_.lock()->emplace_back(line); };
  }

  Engine open(store::ObjectStore& store, kv::LocalKv& state) {
    auto engine = Engine::open(services_, store, state, test::key_file());
    EXPECT_TRUE(engine) << engine.error().message;
    return *std::move(engine);
  }
  /// The id of a snapshot of "/data", by its first digits.
  std::string back_up() {
    clock_.advance(std::chrono::seconds(1));
    auto done = writer_->backup(tree_.source(), "/data");
    EXPECT_TRUE(done) << done.error().message;
    last_ = done->report.snapshot.value();
    return last_.hex().substr(0, 8);
  }
  void forget_last() {
    const auto maintenance = repo::load_maintenance(*writer_->repository, *writer_->cache);
    ASSERT_TRUE(maintenance);
    const auto known = repo::list_snapshots(*writer_->repository, *writer_->cache, *maintenance);
    ASSERT_TRUE(known);
    const auto info = repo::find_by_prefix(*known, last_.hex());
    ASSERT_TRUE(info);
    const auto report = repo::forget_snapshots(*writer_->repository, {&(*info)->snapshot.name, 1});
    ASSERT_TRUE(report);
    ASSERT_EQ(report->forgotten, 1U);
  }
  FileSystem& mount() {
    reader_.emplace(open(store_, reader_state_));
    chunks_ = std::make_unique<repo::ChunkReader>(*reader_->repository, *reader_->index, *reader_->cache);
    source_.emplace(MountSource{*reader_->repository, *reader_->cache, *reader_->index, *chunks_});
    files_ = std::make_unique<FileSystem>(*source_, options_);
    const auto started = files_->start();
    EXPECT_TRUE(started) << started.error().message;
    return *files_;
  }
  /// The number at the end of a path from the mount's root; 0 where something is not there.
  FileSystem::Found walk(const std::string& path) {
    FileSystem::Found found;
    found.number = kRootNumber;
    for (std::size_t at = 0; at < path.size() && found.number != 0;) {
      const std::size_t slash = std::min(path.find('/', at), path.size());
      auto next = files_->look_up(found.number, path.substr(at, slash - at), call_);
      EXPECT_TRUE(next) << next.error().message;
      found = next ? *next : FileSystem::Found{};
      at = slash + 1;
    }
    return found;
  }
  std::string read(FileSystem::File& file, std::uint64_t offset, std::uint64_t length) {
    const auto parts = files_->read(file, offset, length, call_);
    EXPECT_TRUE(parts) << parts.error().message;
    std::string text;
    for (const FileContent::Part& part : parts ? *parts : std::vector<FileContent::Part>()) {
      text += part.chunk ? std::string(as_text(ByteView(*part.chunk).subspan(part.offset, part.length)))
                         : std::string(part.length, '\0');
    }
    return text;
  }
  std::unique_ptr<FileSystem::File> open_file(const std::string& path) {
    auto file = files_->open_file(walk(path).number, call_);
    EXPECT_TRUE(file) << file.error().message;
    return file ? *std::move(file) : nullptr;
  }
  struct Listed {
    std::string name;
    std::uint64_t number;
    std::uint64_t next;
  };
  /// At most `count_max` children from a place on.
  std::vector<Listed> list(FileSystem::Listing& listing, std::uint64_t from, std::size_t count_max) {
    std::vector<Listed> found;
    const auto listed = files_->list(listing, from, call_, [&](const FileSystem::Child& child) {
      if (found.size() == count_max) {
        return false;
      }
      found.push_back({std::string(child.name), child.status.st_ino, child.next});
      return true;
    });
    EXPECT_TRUE(listed) << listed.error().message;
    return found;
  }
  std::vector<std::string> ids() {
    auto listing = files_->open_directory(walk("ids").number, call_);
    EXPECT_TRUE(listing);
    std::vector<std::string> names;
    for (const Listed& one : list(**listing, 0, 100)) {
      if (one.name != "latest") {
        names.push_back(one.name);
      }
    }
    return names;
  }
  std::vector<std::string> warnings() { return *warnings_.lock(); }

  base::ThreadExecutor executor_{2};
  base::SystemRng rng_;
  SetClock clock_;
  base::MemoryScratch scratch_;
  repo::Services services_{executor_, rng_, clock_, scratch_};
  store::MemoryStore inner_{executor_};
  MoodyStore store_{inner_};
  kv::MemoryKv writer_state_{executor_};
  kv::MemoryKv reader_state_{executor_};
  test::MemoryTree tree_;
  std::optional<Engine> writer_;
  format::SnapshotId last_;
  base::Guarded<std::vector<std::string>> warnings_;
  MountOptions options_;
  const Call call_;
  std::optional<Engine> reader_;
  std::unique_ptr<repo::ChunkReader> chunks_;
  std::optional<MountSource> source_;
  std::unique_ptr<FileSystem> files_;
};

TEST_F(Mounted, ShowsWhatWasBackedUp) {
  tree_.write("/data/small", "hello");
  tree_.write("/data/caf\xff\n", "bytes, not text");
  tree_.symlink("/data/link", "small");
  tree_.link("/data/other", "/data/small");
  tree_.make_special("/data/device", format::FileType::Character, (std::uint64_t{5} << 32) | 7);
  tree_.edit("/data/small", [](test::MemoryNode& node) { node.xattrs["user.a"] = to_bytes(as_bytes("b")); });
  const std::string root = "ids/" + back_up() + "/data/";
  FileSystem& files = mount();
  EXPECT_EQ(read(*open_file(root + "small"), 0, 100), "hello");
  EXPECT_EQ(read(*open_file(root + "caf\xff\n"), 7, 3), "not");
  EXPECT_EQ(*files.link_target(walk(root + "link").number, call_), "small");
  EXPECT_EQ(walk(root + "small").number, walk(root + "other").number);
  EXPECT_EQ(walk(root + "small").status.st_nlink, 2U);
  EXPECT_TRUE(S_ISCHR(walk(root + "device").status.st_mode));
  const auto attributes = files.xattrs(walk(root + "small").number, call_);
  ASSERT_TRUE(attributes);
  ASSERT_EQ(attributes->size(), 1U);
  EXPECT_EQ(attributes->front().name, "user.a");
  EXPECT_EQ(walk(root + "missing").number, 0U);
  EXPECT_THAT(warnings(), testing::IsEmpty());
}

TEST_F(Mounted, FilesLargerThanFourTebibytesHaveTheirSizeAndHoles) {
  constexpr std::uint64_t kAt = 5ULL << 40;
  tree_.write_at("/data/huge", kAt, std::string(test::kMemoryBlockBytes, 'x'));
  tree_.resize("/data/huge", kAt + (1 << 20));
  const std::string path = "ids/" + back_up() + "/data/huge";
  mount();
  EXPECT_EQ(walk(path).status.st_size, static_cast<off_t>(kAt + (1 << 20)));
  EXPECT_LT(walk(path).status.st_blocks, 100);
  const auto file = open_file(path);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->content->extents().seek_data(0), kAt);
  EXPECT_EQ(file->content->extents().seek_hole(kAt), kAt + test::kMemoryBlockBytes);
  EXPECT_EQ(read(*file, kAt - 2, 4), std::string("\0\0xx", 4));
  EXPECT_EQ(read(*file, 3ULL << 40, 3), std::string(3, '\0'));
  EXPECT_EQ(read(*file, kAt + (1 << 20) - 1, 100), std::string(1, '\0'));
  EXPECT_EQ(read(*file, kAt + (1 << 20), 100), "");
}

TEST_F(Mounted, AListingGoesOnFromEveryPlaceThatItGave) {
  constexpr std::size_t kCount = 5000;
  for (std::size_t i = 0; i < kCount; ++i) {
    tree_.write("/data/f" + std::to_string(10'000 + i), "");
  }
  const std::string path = "ids/" + back_up() + "/data";
  FileSystem& files = mount();
  const auto listing = files.open_directory(walk(path).number, call_);
  ASSERT_TRUE(listing);
  const std::vector<Listed> all = list(**listing, 0, kCount + 1);
  ASSERT_EQ(all.size(), kCount);
  for (const std::size_t place : {4999UL, 0UL, 1023UL, 1024UL, 1025UL, 3000UL, 2999UL, 2048UL, 4998UL}) {
    SCOPED_TRACE(place);
    const std::vector<Listed> rest = list(**listing, all[place].next, 2);
    ASSERT_EQ(rest.size(), std::min<std::size_t>(2, kCount - place - 1));
    for (std::size_t i = 0; i < rest.size(); ++i) {
      EXPECT_EQ(rest[i].name, all[place + 1 + i].name);
      EXPECT_EQ(rest[i].number, all[place + 1 + i].number);
    }
  }
  EXPECT_EQ(walk(path + "/f10007").number, all[7].number) << "a listing names the number of a look-up";
}

TEST_F(Mounted, WhatCannotBeReadIsToldOnceWithItsName) {
  tree_.write("/data/large", std::string(300'000, 'a'));
  const std::string id = back_up();
  mount();
  const auto file = open_file("ids/" + id + "/data/large");
  ASSERT_TRUE(file);
  store_.is_away = true;
  for (int i = 0; i < 3; ++i) {
    const auto parts = files_->read(*file, 0, 10, call_);
    ASSERT_FALSE(parts);
    EXPECT_EQ(parts.error().code, ErrorCode::Unavailable);
  }
  ASSERT_EQ(warnings().size(), 1U);
  EXPECT_THAT(warnings()[0], HasSubstr("/data/large in snapshot " + id));
  store_.is_away = false;
  EXPECT_EQ(read(*file, 299'999, 10), "a") << "an error is not kept";
}

TEST_F(Mounted, NewSnapshotsAppearWhenTheViewIsOldEnough) {
  tree_.write("/data/file", "one");
  const std::string first = back_up();
  mount();
  tree_.write("/data/file", "two");
  const std::string second = back_up();
  EXPECT_EQ(ids(), std::vector{first}) << "looked at a second ago";
  clock_.advance(kFreshFor);
  EXPECT_THAT(ids(), testing::UnorderedElementsAre(first, second));
  EXPECT_EQ(read(*open_file("ids/" + second + "/data/file"), 0, 9), "two");
  EXPECT_EQ(read(*open_file("ids/" + first + "/data/file"), 0, 9), "one");
}

TEST_F(Mounted, AForgottenSnapshotVanishesAndWhatIsOpenStays) {
  tree_.write("/data/file", std::string(200'000, 'a'));
  const std::string id = back_up();
  FileSystem& files = mount();
  const auto file = open_file("ids/" + id + "/data/file");
  const FileSystem::Found known = walk("ids/" + id + "/data");
  forget_last();
  clock_.advance(kFreshFor);
  EXPECT_EQ(ids(), std::vector<std::string>());
  EXPECT_EQ(walk("ids/" + id).number, 0U);
  EXPECT_EQ(read(*file, 199'999, 1), "a");
  EXPECT_TRUE(files.look_up(known.number, "file", call_)) << "whoever stands in it goes on";
}

TEST_F(Mounted, WhatWasKnownIsShownWhileTheStoreIsAway) {
  tree_.write("/data/file", "one");
  const std::string id = back_up();
  mount();
  store_.is_away = true;
  clock_.advance(kFreshFor);
  EXPECT_EQ(ids(), std::vector{id});
  ASSERT_FALSE(warnings().empty());
  EXPECT_THAT(warnings()[0], HasSubstr("nobody answers"));
  const unsigned asked = store_.lists;
  EXPECT_EQ(ids(), std::vector{id});
  EXPECT_EQ(store_.lists, asked) << "one try in a while, not one a look";
  store_.is_away = false;
  clock_.advance(kFreshFor);
  EXPECT_EQ(ids(), std::vector{id});
  EXPECT_GT(store_.lists, asked);
}

TEST_F(Mounted, OneWaitsForASilentStoreAndCanGiveUpWhileOthersLook) {
  tree_.write("/data/file", "one");
  const std::string id = back_up();
  FileSystem& files = mount();
  std::latch asked(1);
  std::latch answer(1);
  std::atomic<bool> first{true};
  store_.before_list = [&] {
    if (first.exchange(false)) {
      asked.count_down();
      answer.wait();
    }
  };
  clock_.advance(kFreshFor);
  Call patient;
  std::jthread waiting([&] {
    const auto gave_up = files.look_up(kRootNumber, "ids", patient);
    ASSERT_FALSE(gave_up);
    EXPECT_EQ(gave_up.error().code, ErrorCode::Cancelled);
  });
  asked.wait();
  EXPECT_EQ(ids(), std::vector{id});
  patient.interrupt();
  files.wake();
  waiting.join();
  EXPECT_EQ(ids(), std::vector{id}) << "the question goes on without who asked it";
  answer.count_down();
}

TEST_F(Mounted, ManyThatReadAtOnceReadTheSame) {
  std::string content;
  for (int i = 0; content.size() < 3'000'000; ++i) {
    content += std::to_string(i) + ",";
  }
  tree_.write("/data/large", content);
  const std::string path = "ids/" + back_up() + "/data/large";
  options_.cache_bytes = 1 << 20;
  mount();
  const NodeNumber number = walk(path).number;
  std::vector<std::jthread> readers;
  std::atomic<int> wrong{0};
  for (std::size_t reader = 0; reader < 10; ++reader) {
    readers.emplace_back([&, reader] {
      auto file = files_->open_file(number, call_);
      for (std::size_t at = reader * 100'000; file && at < content.size(); at += 131'072) {
        wrong += read(**file, at, 131'072) == content.substr(at, 131'072) ? 0 : 1;
      }
    });
  }
  readers.clear();
  EXPECT_EQ(wrong, 0);
}

TEST_F(Mounted, KnowsNoMoreNamesThanItMay) {
  for (int i = 0; i < 100; ++i) {
    tree_.write("/data/f" + std::to_string(i), "");
  }
  const std::string path = "ids/" + back_up() + "/data";
  options_.nodes_max = 20;
  FileSystem& files = mount();
  const NodeNumber folder = walk(path).number;
  std::map<std::string, NodeNumber> numbers;
  for (int i = 0; i < 100; ++i) {
    numbers["f" + std::to_string(i)] = walk(path + "/f" + std::to_string(i)).number;
  }
  const auto surplus = files.surplus();
  EXPECT_GE(surplus.size(), 80U);
  for (const NodeTable::Name& name : surplus) {
    EXPECT_EQ(name.parent, folder);
    files.forget(numbers.at(name.name), 1);
  }
  EXPECT_TRUE(files.surplus().empty());
}

}  // namespace
}  // namespace firn::mount
