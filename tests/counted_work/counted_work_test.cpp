// The work of a small backup, of one without a change and of a restore, counted: how often each byte is
// hashed, compressed, sealed, copied; how often source, target and store are asked; allocations.
//
// Nothing is timed, and nothing depends on the machine: the seeded executor runs everything on one thread,
// and the portable kernels do the hashing. A limit is what the program needs today and a little more, so that
// a pass over the data that somebody adds fails here; the last test adds such passes. Who makes the program
// do less lowers the limit.
#include <gmock/gmock.h>

#include <map>
#include <string>
#include <vector>

#include "crypto/kernels.h"
#include "crypto/leaf_hash.h"
#include "repo/base/seeded_executor.h"
#include "repo/format/codec.h"
#include "repo/kv/memory_kv.h"
#include "repo/store/memory_store.h"
#include "tests/counted_work/counters.h"
#include "tests/support/engine.h"
#include "tests/support/forwarding_store.h"
#include "tests/support/memory_fs.h"

namespace firn {
namespace {

using test::Engine;
using test::FsCall;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

/// Counts by name; of bytes, how many for each 1000 of content, so that 1000 is one pass over it.
using Counts = std::map<std::string, std::uint64_t>;

class CountingStore final : public test::ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  store::Outcome put(const store::ObjectName& name, ByteView bytes, store::PutOptions options) override {
    requests["put"] += 1;
    return inner_.put(name, bytes, options);
  }
  Result<Bytes> get(const store::ObjectName& name, std::uint64_t size_bytes_max) override {
    requests["get"] += 1;
    return inner_.get(name, size_bytes_max);
  }
  Result<> get_range(const store::ObjectName& name, std::uint64_t offset, MutableBytes out) override {
    requests["get"] += 1;
    return inner_.get_range(name, offset, out);
  }
  Result<std::uint64_t> head(const store::ObjectName& name) override {
    requests["head"] += 1;
    return inner_.head(name);
  }
  Result<store::ListPage> list(std::string_view prefix, std::string_view after,
                               std::uint32_t count_max) override {
    requests["list"] += 1;
    return inner_.list(prefix, after, count_max);
  }

  Counts requests;
};

std::string random_text(std::size_t size_bytes, std::uint64_t seed) {
  base::SeededRng rng(seed);
  std::string text(size_bytes, '\0');
  rng.fill(std::as_writable_bytes(std::span(text)));
  return text;
}

std::string words(std::size_t size_bytes, std::uint64_t seed) {
  const std::string choice = random_text(size_bytes / 4, seed);
  std::string text;
  for (std::size_t i = 0; text.size() < size_bytes; ++i) {
    text += std::to_string(static_cast<unsigned char>(choice[i]) % 50) + " words, ";
  }
  text.resize(size_bytes);
  return text;
}

/// What is done to the content of each file beside the program's own work.
using ExtraPass = std::function<void(ByteView content)>;

/// One repository and one source; each member counts one job.
class Job {
 public:
  Job() {
    crypto::use_implementation(crypto::Implementation::OpenSsl);
    for (unsigned i = 0; i < 300; ++i) {
      add("/data/dir" + std::to_string(i % 10) + "/file" + std::to_string(i), words(2000 + 60 * i, i));
    }
    add("/data/random", random_text(12 << 20, 1));
    add("/data/words", words(8 << 20, 2));
    tree_.set_hook([this](FsCall call, const std::string& path) { return on_call(call, path); });
    executor_.run([&] { ASSERT_TRUE(repo::Repository::init(services_, store_, test::key_file(), {})); });
  }

  Counts backup() {
    return count([&](Engine& engine) {
      const auto done = engine.backup(tree_.source(), "/data");
      ASSERT_TRUE(done) << done.error().message;
      EXPECT_THAT(done->observer.problems, IsEmpty());
      snapshot_ = *done->report.snapshot;
    });
  }

  Counts restore() {
    return count([&](Engine& engine) {
      restore::RestoreOptions options;
      options.target = "/back";
      options.subpath = "data";
      const auto done = engine.restore(tree_.target(), snapshot_, options);
      ASSERT_TRUE(done) << done.error().message;
      EXPECT_THAT(done->problems, IsEmpty());
    });
  }

  void set_extra_pass(ExtraPass pass) { extra_pass_ = std::move(pass); }

  /// Reads a file once more than the program does.
  void read_again(const std::string& path) {
    const auto root = tree_.source().open_root("/data");
    const auto file = (*root)->open_file(path);
    Bytes buffer(1 << 20);
    static_cast<void>((*file)->read_at(0, buffer));
  }

 private:
  void add(const std::string& path, std::string content) {
    tree_.write(path, content);
    content_bytes_ += content.size();
    contents_[path.substr(std::string_view("/data").size())] = std::move(content);
  }

  Result<> on_call(FsCall call, const std::string& path) {
    switch (call) {
      case FsCall::Read:
        calls_["source reads"] += 1;
        break;
      case FsCall::OpenFile:
        calls_["source opens"] += 1;
        break;
      case FsCall::Stat:
        calls_["source stats"] += 1;
        break;
      case FsCall::List:
        calls_["source lists"] += 1;
        break;
      case FsCall::Xattrs:
      case FsCall::Attributes:
        calls_["source attributes"] += 1;
        break;
      case FsCall::Write:
        calls_["target writes"] += 1;
        break;
      default:
        calls_["other file calls"] += 1;
    }
    if (extra_pass_ && (call == FsCall::OpenFile || call == FsCall::Finish)) {
      const auto content = contents_.find(path.substr(path.find('/', 1)));
      if (content != contents_.end()) {
        const ExtraPass pass = std::exchange(extra_pass_, {});  // its own calls add nothing more
        pass(as_bytes(std::string_view(content->second)));
        extra_pass_ = pass;
      }
    }
    return {};
  }

  Counts count(const std::function<void(Engine&)>& job) {
    Counts counts;
    executor_.run([&] {
      auto engine = Engine::open(services_, store_, state_, test::key_file());
      ASSERT_TRUE(engine) << engine.error().message;
      calls_.clear();
      store_.requests.clear();
      const test::Work before = test::work_so_far();
      job(*engine);
      const test::Work after = test::work_so_far();
      counts = calls_;
      for (const auto& [kind, number] : store_.requests) {
        counts["store " + kind] = number;
      }
      const auto passes = [&](std::uint64_t test::Work::*member) {
        return 1000 * (after.*member - before.*member) / content_bytes_;
      };
      counts["hashed"] = passes(&test::Work::hashed_bytes);
      counts["sealed"] = passes(&test::Work::sealed_bytes);
      counts["opened"] = passes(&test::Work::opened_bytes);
      counts["compressed"] = passes(&test::Work::compressed_bytes);
      counts["decompressed"] = passes(&test::Work::decompressed_bytes);
      counts["copied"] = passes(&test::Work::copied_bytes);
      counts["filled"] = passes(&test::Work::filled_bytes);
      counts["allocations"] = after.allocations - before.allocations;
    });
    return counts;
  }

  base::SeededExecutor executor_{base::SeededExecutorOptions{.seed = 1, .spurious_wakes_per_1024 = 0}};
  base::SeededRng rng_{1};
  base::MemoryScratch scratch_;
  repo::Services services_{executor_, rng_, executor_.clock(), scratch_};
  store::MemoryStore inner_{executor_};
  CountingStore store_{inner_};
  kv::MemoryKv state_{executor_};
  test::MemoryTree tree_;
  std::map<std::string, std::string> contents_;  // by path below the top
  std::uint64_t content_bytes_ = 0;
  Counts calls_;
  ExtraPass extra_pass_;
  format::SnapshotId snapshot_;
};

/// What is above its limit, or has none.
std::vector<std::string> excess(const Counts& counts, const Counts& limits) {
  std::vector<std::string> found;
  for (const auto& [what, number] : counts) {
    const auto limit = limits.find(what);
    if (limit == limits.end() ? number != 0 : number > limit->second) {
      found.push_back(what + ": " + std::to_string(number) + ", limit " +
                      (limit == limits.end() ? "0" : std::to_string(limit->second)));
    }
  }
  return found;
}

std::string listed(const Counts& counts) {
  std::string text;
  for (const auto& [what, number] : counts) {
    text += "  " + what + ": " + std::to_string(number) + "\n";
  }
  return text;
}

const Counts kFirstBackup = {
    {"allocations", 10'000},
    {"compressed", 1010},
    {"copied", 2820},
    {"decompressed", 490},
    {"filled", 510},
    {"hashed", 2800},
    {"opened", 600},
    {"other file calls", 12},
    {"sealed", 605},
    {"source lists", 11},
    {"source attributes", 628},
    {"source opens", 302},
    {"source reads", 310},
    {"source stats", 918},
    {"store head", 1},
    {"store list", 3},
    {"store put", 6},
};
const Counts kNoChange = {
    {"allocations", 2750}, {"copied", 5},    {"decompressed", 1},      {"filled", 5},
    {"hashed", 4},         {"sealed", 1},    {"other file calls", 12}, {"source lists", 11},
    {"source stats", 314}, {"store get", 1}, {"store head", 1},        {"store list", 3},
    {"store put", 3},
};
const Counts kRestore = {
    {"allocations", 16'700}, {"copied", 680},  {"decompressed", 490},     {"filled", 255},
    {"hashed", 1020},        {"opened", 600},  {"other file calls", 645}, {"source opens", 302},
    {"source stats", 302},   {"store get", 5}, {"store list", 3},         {"target writes", 382},
};

TEST(CountedWork, OfAFirstBackupStaysBelowItsLimits) {
  Job job;
  const Counts counts = job.backup();
  EXPECT_THAT(excess(counts, kFirstBackup), IsEmpty()) << listed(counts);
}

TEST(CountedWork, OfABackupWithoutAChangeStaysBelowItsLimits) {
  Job job;
  job.backup();
  const Counts counts = job.backup();
  EXPECT_THAT(excess(counts, kNoChange), IsEmpty()) << listed(counts);
}

TEST(CountedWork, OfARestoreStaysBelowItsLimits) {
  Job job;
  job.backup();
  const Counts counts = job.restore();
  EXPECT_THAT(excess(counts, kRestore), IsEmpty()) << listed(counts);
}

TEST(CountedWork, IsTheSameInEveryRun) {
  Job one;
  Job another;
  EXPECT_EQ(one.backup(), another.backup());
}

TEST(CountedWork, ShowsAPassThatIsAdded) {
  struct Case {
    const char* what;
    ExtraPass pass;
    bool also_in_restore;
  };
  Job* job = nullptr;
  format::Compressor compressor(1);
  Bytes buffer(16 << 20);
  const std::vector<Case> cases = {
      {"hashed",
       [](ByteView content) {
         std::vector<crypto::Digest> digests;
         crypto::leaf_digests(content, digests);
       },
       true},
      {"compressed",
       [&](ByteView content) {
         for (; !content.empty(); content = content.subspan(std::min<std::size_t>(content.size(), 1 << 20))) {
           compressor.encode(content.first(std::min<std::size_t>(content.size(), 1 << 20)));
         }
       },
       true},
      {"copied", [&](ByteView content) { std::copy(content.begin(), content.end(), buffer.begin()); }, true},
      {"filled", [&](ByteView content) { std::fill_n(buffer.begin(), content.size(), std::byte{0}); }, true},
      {"source reads", [&](ByteView) { job->read_again("random"); }, false},
  };
  for (const auto& [what, pass, also_in_restore] : cases) {
    SCOPED_TRACE(what);
    Job made;
    job = &made;
    made.set_extra_pass(pass);
    EXPECT_THAT(excess(made.backup(), kFirstBackup), Contains(HasSubstr(what)));
    if (also_in_restore) {
      EXPECT_THAT(excess(made.restore(), kRestore), Contains(HasSubstr(what)));
    }
  }
}

}  // namespace
}  // namespace firn
