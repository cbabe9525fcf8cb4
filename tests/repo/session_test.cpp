// The session protocol: the order of its requests, what a fence, a lost answer and a crash do to it, and the
// promise that an acknowledged snapshot is readable (docs/PROTOCOL.md, chapter "Session").

#include "repo/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "repo/base/task_group.h"
#include "repo/format/index_object.h"
#include "tests/repo/maintainer.h"
#include "tests/repo/recording_store.h"
#include "tests/repo/rig.h"
#include "tests/support/fault_store.h"

namespace firn::repo {
namespace {

using test::Fault;
using test::FaultStore;
using test::Operation;
using testing::Contains;
using testing::IsEmpty;

constexpr std::size_t kBig = 900'000;  // fills a pack of 1 MiB nearly

Files files_of(std::uint64_t seed, int count = 3) {
  Files files;
  for (int i = 0; i < count; ++i) {
    files["d/" + std::to_string(i)] = random_bytes(seed * 1000 + static_cast<std::uint64_t>(i), 5000);
  }
  return files;
}

std::vector<std::string> packs_of(const Repository& repository, World& world,
                                  const std::string& index_object) {
  const auto name = World::object(index_object);
  const auto object = must(repository.open_sealed(name, world.bytes(index_object)));
  std::vector<std::string> packs;
  for (const format::IndexedPack& pack : must(format::parse_index(object.signed_body.body)).packs) {
    packs.push_back(format::object_name(pack.name).str());
  }
  return packs;
}

TEST(Session, MakesItsRequestsInTheOrderOfItsSteps) {
  under_each_executor([](base::Executor& executor) {
    World world(executor);
    make_repository(world);
    RecordingStore store(world.store);
    kv::MemoryKv kv(executor);
    Node node(world, store, kv, key_file_of(1));
    store.forget();
    must(node.backup(files_of(1)));

    const auto marker = store.first("PUT answered", "sessions/");
    ASSERT_GE(marker, 0);
    EXPECT_EQ(store.first("PUT", ""), marker - 1);
    EXPECT_LT(marker, store.first("LIST", "maint/"));
    EXPECT_LT(store.last("LIST", "maint/"), store.first("LIST", "index/"));
    for (const std::string_view packs : {"data/", "meta/"}) {
      EXPECT_LT(store.last("LIST", "index/"), store.first("PUT", packs));
      EXPECT_LT(store.last("PUT answered", packs), store.last("PUT", "index/"));
    }
    EXPECT_LT(store.last("PUT answered", "index/"), store.first("PUT", "snapshots/"));
    const auto committed = store.first("PUT answered", "snapshots/");
    const auto fence = store.first("HEAD", "maint/fence/");
    EXPECT_LT(committed, fence);
    ASSERT_GE(fence, 0);
    const auto end = store.last("PUT", "sessions/");
    EXPECT_LT(fence, end);
    EXPECT_TRUE(store.requests()[static_cast<std::size_t>(end)].name.ends_with(".end"));
    EXPECT_EQ(store.count("DELETE", ""), 0u);
  });
}

TEST(Session, IndexObjectsNameOnlyPacksThatWereAnswered) {
  under_each_executor([](base::Executor& executor) {
    World world(executor);
    make_repository(world);
    RecordingStore store(world.store);
    kv::MemoryKv kv(executor);
    Node node(world, store, kv, key_file_of(1));
    auto session = must(node.session());
    // Seventy packs: at least two index objects.
    ChunkWriter writer(*session);
    for (std::uint64_t i = 0; i < 70; ++i) {
      must(writer.store(format::ChunkType::Data, random_bytes(i, kBig)));
    }
    must(node.backup(*session, files_of(1)));
    session->end();
    const auto index_objects = world.names("index/");
    EXPECT_GE(index_objects.size(), 2u);
    std::size_t packs = 0;
    for (const std::string& name : index_objects) {
      for (const std::string& pack : packs_of(node.repository(), world, name)) {
        ++packs;
        const auto answered = store.first("PUT answered", pack);
        EXPECT_GE(answered, 0);
        EXPECT_LT(answered, store.first("PUT", name));
      }
    }
    EXPECT_EQ(packs, world.names("data/").size() + world.names("meta/").size());
  });
}

TEST(Session, IsNotAcknowledgedOnceItIsFenced) {
  under_each_executor([](base::Executor& executor) {
    World world(executor);
    make_repository(world);
    kv::MemoryKv kv(executor);
    auto first = std::make_unique<Node>(world, world.store, kv, key_file_of(1));
    Node& node = *first;
    auto session = must(node.session());
    Maintainer(world, node.repository()).fence(session->id());
    const auto id = node.backup(*session, files_of(1));
    ASSERT_FALSE(id);
    EXPECT_EQ(id.error().code, ErrorCode::Changed);
    session->end();
    EXPECT_EQ(world.names("sessions/").size(), 1u) << "a fenced session must not say that it ended";

    // What was uploaded is kept: the next session only commits.
    session.reset();
    first.reset();
    RecordingStore store(world.store);
    Node again(world, store, kv, key_file_of(1));
    must(again.backup(files_of(1)));
    EXPECT_EQ(store.count("PUT", "data/"), 0u);
  });
}

TEST(Session, AFenceThatCannotBeAskedForIsNoAnswer) {
  base::ThreadExecutor executor(2);
  World world(executor);
  make_repository(world);
  class NoHead final : public test::ForwardingStore {
   public:
    using test::ForwardingStore::ForwardingStore;
    Result<std::uint64_t> head(const store::ObjectName& name) override {
      if (name.str().starts_with("maint/fence/")) {
        return fail(ErrorCode::Unavailable, "no answer");
      }
      return inner_.head(name);
    }
  } store(world.store);
  kv::MemoryKv kv(executor);
  Node node(world, store, kv, key_file_of(1));
  auto session = must(node.session());
  const auto id = node.backup(*session, files_of(1));
  ASSERT_FALSE(id);
  EXPECT_EQ(id.error().code, ErrorCode::Unavailable);
  session->end();
  EXPECT_EQ(world.names("sessions/").size(), 1u);
}

/// A backup through a store whose request `index` meets `fault`. False when there was no such request.
bool backup_with_fault(base::Executor& executor, std::uint64_t index, Fault fault) {
  World world(executor);
  make_repository(world);
  FaultStore store(world.store, executor);
  kv::MemoryKv kv(executor);
  std::optional<format::SnapshotId> acknowledged;
  std::string hit;
  {
    Node node(world, store, kv, key_file_of(1));
    const std::uint64_t begin = store.request_count();
    store.fail_request(begin + index, fault);
    store.set_hooks(
        [&](const FaultStore::Request& request) {
          if (request.index == begin + index && applies(request.operation, fault)) {
            hit = request.name;
          }
        },
        {});
    auto session = node.session();
    if (session) {
      const auto id = node.backup(**session, files_of(1));
      if (id) {
        acknowledged = *id;
      }
      (*session)->end();
    }
    if (store.request_count() <= begin + index) {
      return false;
    }
  }
  SCOPED_TRACE("request " + std::to_string(index) + " " + hit);
  const auto markers = world.names("sessions/");
  const bool ended = std::any_of(markers.begin(), markers.end(),
                                 [](const std::string& name) { return name.ends_with(".end"); });
  const bool lost_answer =
      fault == Fault::LostAnswer || fault == Fault::LostRequest || fault == Fault::LateWrite;
  if (lost_answer && !hit.empty() && !hit.ends_with(".end")) {
    // Nothing whose answer is unknown may be followed by an .end; reads have no unknown outcomes.
    const bool was_write = hit.starts_with("sessions/") || hit.starts_with("data/") ||
                           hit.starts_with("meta/") || hit.starts_with("index/0") ||
                           hit.starts_with("snapshots/");
    EXPECT_FALSE(was_write && ended);
    EXPECT_FALSE(was_write && acknowledged);
  }
  store.release_late_writes();
  // Whatever happened: the next session works, and what was acknowledged is there.
  Node next(world, world.store, kv, key_file_of(1));
  const auto second = must(next.backup(files_of(2), "other"));
  kv::MemoryKv fresh(executor);
  Node reader(world, world.store, fresh, key_file_of(1));
  EXPECT_EQ(must(reader.restore(second)), files_of(2));
  if (acknowledged) {
    EXPECT_EQ(must(reader.restore(*acknowledged)), files_of(1));
  }
  return true;
}

TEST(Session, EveryFaultAtEveryRequestIsSurvived) {
  for (const Fault fault : {Fault::ErrorBefore, Fault::Denied, Fault::Exhausted, Fault::LostRequest,
                            Fault::LostAnswer, Fault::LateWrite, Fault::NotFound, Fault::Stall}) {
    SCOPED_TRACE("fault " + std::to_string(static_cast<int>(fault)));
    for (const std::uint64_t seed : {1U, 2U}) {
      std::uint64_t index = 0;
      bool more = true;
      while (more) {
        base::SeededExecutor executor(seed * 1000 + index);
        executor.run([&] { more = backup_with_fault(executor, index, fault); });
        ++index;
      }
      EXPECT_GT(index, 8u);
    }
  }
}

TEST(Session, StoresChunksOfCondemnedPacksAnew) {
  under_each_executor([](base::Executor& executor) {
    World world(executor);
    make_repository(world);
    kv::MemoryKv kv(executor);
    Node node(world, world.store, kv, key_file_of(1));
    Maintainer maintainer(world, node.repository());
    must(node.backup(files_of(1)));
    const auto old = world.names("data/");
    const auto old_meta = world.names("meta/");
    maintainer.condemn(old);
    maintainer.condemn(old_meta);
    const auto id = must(node.backup(files_of(1)));
    EXPECT_EQ(world.names("data/").size(), 2 * old.size());
    for (const std::string& name : old) {
      world.remove(name);
    }
    for (const std::string& name : old_meta) {
      world.remove(name);
    }
    kv::MemoryKv fresh(executor);
    Node reader(world, world.store, fresh, key_file_of(1));
    EXPECT_EQ(must(reader.restore(id)), files_of(1));
  });
}

TEST(Session, TwoNodesMayStoreTheSameChunkAtOnce) {
  under_each_executor([](base::Executor& executor) {
    World world(executor);
    make_repository(world);
    kv::MemoryKv kvs[2] = {kv::MemoryKv(executor), kv::MemoryKv(executor)};
    format::SnapshotId ids[2];
    base::TaskGroup tasks(executor);
    std::vector<std::unique_ptr<Node>> nodes;
    for (auto& kv : kvs) {
      nodes.push_back(std::make_unique<Node>(world, world.store, kv, key_file_of(1)));
    }
    for (std::size_t i = 0; i < 2; ++i) {
      tasks.spawn("node", [&, i]() -> Result<> {
        FIRN_LET(ids[i], nodes[i]->backup(files_of(1), "node" + std::to_string(i)));
        return {};
      });
    }
    must(tasks.join());
    kv::MemoryKv fresh(executor);
    Node reader(world, world.store, fresh, key_file_of(1));
    for (const auto& id : ids) {
      EXPECT_EQ(must(reader.restore(id)), files_of(1));
    }
  });
}

TEST(Session, TwoWorkersStoreTheSameChunkOnce) {
  under_each_executor([](base::Executor& executor) {
    World world(executor);
    make_repository(world);
    kv::MemoryKv kv(executor);
    Node node(world, world.store, kv, key_file_of(1));
    auto session = must(node.session());
    std::atomic<int> added{0};
    base::TaskGroup tasks(executor);
    for (int worker = 0; worker < 4; ++worker) {
      tasks.spawn("worker", [&]() -> Result<> {
        ChunkWriter writer(*session);
        for (std::uint64_t i = 0; i < 20; ++i) {
          FIRN_LET(const StoredChunk chunk, writer.store(format::ChunkType::Data, random_bytes(i, 30'000)));
          added += chunk.added ? 1 : 0;
        }
        return {};
      });
    }
    must(tasks.join());
    must(session->flush());
    EXPECT_EQ(added, 20);
    EXPECT_EQ(session->totals().data_chunks, 20u);
  });
}

// The jobs of an agent share a session. One job refers to a chunk that another is about to add, and commits:
// the snapshot must wait for that chunk as well.
TEST(Session, ASnapshotWaitsForChunksThatOtherJobsClaimed) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    base::SeededExecutor executor(seed);
    executor.run([&] {
      World world(executor);
      make_repository(world);
      RecordingStore store(world.store);
      // Uneven, so that now the one job gets room for a pack first and now the other.
      base::SeededRng delays(seed);
      store.before = [&](const RecordingStore::Request& request) {
        if (request.verb == "PUT" && request.name.starts_with("data/")) {
          executor.sleep_for(std::chrono::milliseconds(1000 + delays.below(9000)));
        }
      };
      kv::MemoryKv kv(executor);
      Node node(world, store, kv, key_file_of(1));
      SessionOptions options;
      options.pack_memory_bytes = 1;  // the least: adding waits for uploads
      auto session = must(node.session(options));
      const Bytes shared = random_bytes(777, 60'000);
      const auto content = node.repository().keys().content();
      const auto shared_id =
          format::chunk_id(format::chunk_capability(*content, format::ChunkType::Data, shared));
      base::TaskGroup tasks(executor);
      tasks.spawn("first", [&]() -> Result<> {
        ChunkWriter writer(*session);
        for (std::uint64_t i = 0; i < 6; ++i) {
          FIRN_TRY(writer.store(format::ChunkType::Data, random_bytes(i, kBig + 100'000)));
        }
        FIRN_TRY(writer.store(format::ChunkType::Data, shared));
        return {};
      });
      format::SnapshotId id;
      tasks.spawn("second", [&]() -> Result<> {
        while (true) {
          FIRN_LET(const bool there, session->may_refer(shared_id));
          if (there) {
            break;
          }
          executor.sleep_for(std::chrono::milliseconds(1));
        }
        FIRN_LET(id, node.backup(*session, {{"shared", shared}}));
        // The process dies here: what is acknowledged must be readable without another request of it.
        kv::MemoryKv fresh(executor);
        Node reader(world, world.store, fresh, key_file_of(1));
        FIRN_LET(const Files files, reader.restore(id));
        EXPECT_EQ(files, (Files{{"shared", shared}}));
        return {};
      });
      must(tasks.join());
    });
  }
}

TEST(Session, AnEndWaitsForWhatIsOnItsWay) {
  base::SeededExecutor executor(5);
  executor.run([&] {
    World world(executor);
    make_repository(world);
    RecordingStore store(world.store);
    store.before = [&](const RecordingStore::Request& request) {
      if (request.verb == "PUT" && request.name.starts_with("data/")) {
        executor.sleep_for(std::chrono::seconds(5));
      }
    };
    kv::MemoryKv kv(executor);
    Node node(world, store, kv, key_file_of(1));
    auto session = must(node.session());
    ChunkWriter writer(*session);
    for (std::uint64_t i = 0; i < 3; ++i) {
      must(writer.store(format::ChunkType::Data, random_bytes(i, kBig)));
    }
    executor.sleep_for(std::chrono::seconds(1));
    ASSERT_EQ(store.count("PUT answered", "data/"), 0u);
    session->end();
    EXPECT_LT(store.last("PUT answered", "data/"), store.last("PUT", "sessions/"));
    session.reset();
    EXPECT_EQ(store.last("PUT answered", "sessions/"),
              static_cast<std::ptrdiff_t>(store.requests().size()) - 1);
  });
}

TEST(Session, ManyRefsPagesFitIntoTheirPacks) {
  base::ThreadExecutor executor(2);
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    World world(executor, seed);
    make_repository(world);
    kv::MemoryKv kv(executor);
    Node node(world, world.store, kv, key_file_of(1));
    auto session = must(node.session());
    SessionPages sink(*session);
    base::SeededRng rng(seed);
    std::vector<format::ChunkId> refs;
    std::vector<Bytes> plain;
    for (std::uint64_t i = 0; i < 3000; ++i) {
      must(sink.store_page(format::ChunkType::SlicePage,
                           random_bytes(seed * 100'000 + i, 50 + rng.below(3000))));
      plain.push_back(random_bytes(seed * 200'000 + i, 40 + rng.below(700)));
      refs.push_back(must(sink.store_refs(plain.back())));
    }
    must(session->flush());
    session->end();
    for (const std::string& pack : world.names("meta/")) {
      EXPECT_LE(world.bytes(pack).size(), 1u << 20);
    }
    ChunkReader reader(node.repository(), node.index(), node.cache());
    for (std::size_t i = 0; i < refs.size(); i += 100) {
      EXPECT_EQ(must(reader.read_refs(refs[i])), plain[i]);
    }
  }
}

TEST(Session, BeatsAfterHalfAnHourAndNotBefore) {
  base::SeededExecutor executor(3);
  executor.run([&] {
    World world(executor);
    make_repository(world);
    kv::MemoryKv kv(executor);
    Node node(world, world.store, kv, key_file_of(1));
    auto session = must(node.session());
    executor.sleep_for(std::chrono::minutes(29));
    EXPECT_EQ(world.names("sessions/").size(), 1u);
    executor.sleep_for(std::chrono::minutes(2));
    EXPECT_THAT(world.names("sessions/"), Contains("sessions/" + session->id().hex() + ".hb"));
    const Bytes first = world.bytes("sessions/" + session->id().hex() + ".hb");
    executor.sleep_for(std::chrono::minutes(11));
    EXPECT_NE(world.bytes("sessions/" + session->id().hex() + ".hb"), first);
    session->end();
    const auto count = world.names("sessions/").size();
    executor.sleep_for(std::chrono::hours(2));
    EXPECT_EQ(world.names("sessions/").size(), count);
  });
}

// ---- resuming

/// A session that stored five chunks in packs of their own, of which four were answered and none is in an
/// index object, and that died.
void die_after_four_packs(base::SeededExecutor& executor, World& world, kv::MemoryKv& kv) {
  Node node(world, world.store, kv, key_file_of(1));
  auto session = must(node.session());
  ChunkWriter writer(*session);
  for (std::uint64_t i = 0; i < 5; ++i) {
    must(writer.store(format::ChunkType::Data, random_bytes(i, kBig)));
  }
  executor.sleep_for(std::chrono::seconds(1));
  ASSERT_EQ(world.names("data/").size(), 4u);
  ASSERT_THAT(world.names("index/"), IsEmpty());
}

std::size_t data_puts_of_the_same_chunks(World& world, kv::MemoryKv& kv, std::size_t* heads = nullptr) {
  RecordingStore store(world.store);
  Node node(world, store, kv, key_file_of(1));
  store.forget();
  auto session = must(node.session());
  if (heads != nullptr) {
    *heads = store.count("HEAD", "data/");
  }
  ChunkWriter writer(*session);
  for (std::uint64_t i = 0; i < 5; ++i) {
    must(writer.store(format::ChunkType::Data, random_bytes(i, kBig)));
  }
  must(session->flush());
  session->end();
  return store.count("PUT", "data/");
}

TEST(Resume, WhatAKilledSessionUploadedIsNotUploadedAgain) {
  base::SeededExecutor executor(1);
  executor.run([&] {
    World world(executor);
    make_repository(world);
    kv::MemoryKv kv(executor);
    die_after_four_packs(executor, world, kv);
    EXPECT_EQ(data_puts_of_the_same_chunks(world, kv), 1u);
    EXPECT_EQ(data_puts_of_the_same_chunks(world, kv), 0u);
  });
}

TEST(Resume, PacksThatAreGoneCondemnedOrDamagedAreStoredAnewAndForgotten) {
  base::SeededExecutor executor(2);
  executor.run([&] {
    World world(executor);
    make_repository(world);
    kv::MemoryKv kv(executor);
    die_after_four_packs(executor, world, kv);
    const auto packs = world.names("data/");
    world.remove(packs[0]);
    {
      kv::MemoryKv other(executor);
      Node node(world, world.store, other, key_file_of(1));
      Maintainer(world, node.repository()).condemn({packs[1]});
    }
    world.flip(packs[2], world.bytes(packs[2]).size() - 1);
    std::size_t heads = 0;
    EXPECT_EQ(data_puts_of_the_same_chunks(world, kv, &heads), 4u);
    EXPECT_EQ(heads, 3u);
    EXPECT_EQ(data_puts_of_the_same_chunks(world, kv, &heads), 0u);
    EXPECT_EQ(heads, 0u) << "dead entries of the journal are asked for again";
  });
}

TEST(Resume, ALostJournalOnlyCostsUploads) {
  base::SeededExecutor executor(3);
  executor.run([&] {
    World world(executor);
    make_repository(world);
    kv::MemoryKv kv(executor);
    die_after_four_packs(executor, world, kv);
    kv.damage("journal");
    EXPECT_EQ(data_puts_of_the_same_chunks(world, kv), 5u);
  });
}

TEST(Resume, ACrashAtAnyRequestLosesNothingAcknowledged) {
  for (std::uint64_t index = 0;; ++index) {
    SCOPED_TRACE("crash at request " + std::to_string(index));
    base::SeededExecutor executor(index + 1);
    bool crashed = false;
    executor.run([&] {
      World world(executor);
      make_repository(world);
      FaultStore store(world.store, executor);
      kv::MemoryKv kv(executor);
      std::map<format::SnapshotId, Files> acknowledged;
      auto victim = executor.spawn_in("victim", "victim", [&] {
        Node node(world, store, kv, key_file_of(1));
        for (std::uint64_t run = 1; run <= 3; ++run) {
          const auto id = node.backup(files_of(run));
          if (id) {
            acknowledged[*id] = files_of(run);
          }
        }
      });
      store.set_hooks(
          [&](const FaultStore::Request& request) {
            if (request.index == index) {
              crashed = true;
              executor.crash("victim");
            }
          },
          {});
      victim->join();
      store.set_hooks({}, {});
      kv.kill();
      Node next(world, world.store, kv, key_file_of(1));
      acknowledged[must(next.backup(files_of(9)))] = files_of(9);
      kv::MemoryKv fresh(executor);
      Node reader(world, world.store, fresh, key_file_of(1));
      for (const auto& [id, files] : acknowledged) {
        EXPECT_EQ(must(reader.restore(id)), files);
      }
    });
    if (!crashed) {
      EXPECT_GT(index, 8u);
      break;
    }
  }
}

}  // namespace
}  // namespace firn::repo
