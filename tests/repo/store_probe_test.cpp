// Every assumption that a store can break is found and named; rights are told as they are.
#include "repo/store_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <optional>

#include "repo/base/seeded_executor.h"
#include "repo/store/memory_store.h"
#include "tests/support/forwarding_store.h"

namespace firn::repo {
namespace {

using store::ListPage;
using store::NotDone;
using store::ObjectName;
using store::Outcome;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// A store whose answers a test bends. Without a bend it is honest.
class BentStore final : public test::ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;

  Outcome put(const ObjectName& name, ByteView bytes, store::PutOptions options = {}) override {
    if (on_put) {
      if (auto bent = on_put(name, bytes, options)) {
        return *bent;
      }
    }
    return inner_.put(name, bytes, options);
  }
  Result<Bytes> get(const ObjectName& name, std::uint64_t size_bytes_max) override {
    auto answer = inner_.get(name, size_bytes_max);
    return on_get ? on_get(name, std::move(answer)) : answer;
  }
  Result<> get_range(const ObjectName& name, std::uint64_t offset, MutableBytes out) override {
    if (ignores_ranges) {
      auto whole = inner_.get(name, 1 << 20);
      std::copy_n(whole->begin(), std::min(out.size(), whole->size()), out.begin());
      return {};
    }
    auto done = inner_.get_range(name, offset, out);
    return done || !cuts_ranges ? done : Result<>();
  }
  Result<std::uint64_t> head(const ObjectName& name) override {
    auto size = inner_.head(name);
    return size && wrong_size ? *size + 1 : size;
  }
  Result<ListPage> list(std::string_view prefix, std::string_view after, std::uint32_t count_max) override {
    auto page = inner_.list(prefix, after, count_max);
    return on_list ? on_list(std::move(page), prefix, after, count_max) : page;
  }
  Result<ListPage> list_inner(std::string_view prefix, std::uint32_t count_max) {
    return inner_.list(prefix, {}, count_max);
  }
  Outcome remove(const ObjectName& name) override {
    if (on_remove) {
      if (auto bent = on_remove(name)) {
        return *bent;
      }
    }
    return inner_.remove(name);
  }
  Result<base::WallTime> now() override {
    auto time = inner_.now();
    time->nanoseconds += clock_ahead.count();
    return time;
  }

  std::function<std::optional<Outcome>(const ObjectName&, ByteView, store::PutOptions)> on_put;
  std::function<Result<Bytes>(const ObjectName&, Result<Bytes>)> on_get;
  std::function<Result<ListPage>(Result<ListPage>, std::string_view, std::string_view, std::uint32_t)>
      on_list;
  std::function<std::optional<Outcome>(const ObjectName&)> on_remove;
  bool ignores_ranges = false;
  bool cuts_ranges = false;
  bool wrong_size = false;
  std::chrono::nanoseconds clock_ahead{0};
};

Outcome denied() { return NotDone{{ErrorCode::Denied, "PUT: 403"}}; }

struct Rig {
  base::SeededExecutor executor{5};
  base::SeededRng rng{6};
  base::MemoryScratch scratch;
  store::MemoryStore memory{executor};
  BentStore bent{memory};
  Services services{executor, rng, executor.clock(), scratch};

  Result<StoreProbe> probe() {
    Result<StoreProbe> report = fail(ErrorCode::Invalid, "did not run");
    executor.run([&] { report = probe_store(services, bent); });
    return report;
  }
  Posture posture() {
    Result<Posture> posture = fail(ErrorCode::Invalid, "did not run");
    executor.run([&] { posture = probe_posture(services, bent); });
    EXPECT_TRUE(posture.has_value());
    return posture ? *posture : Posture{};
  }
  std::vector<std::string> stored() {
    std::vector<std::string> names;
    executor.run([&] {
      const auto page = memory.list("", {}, 1000);
      for (const auto& object : page->objects) {
        names.push_back(object.name.str());
      }
    });
    return names;
  }
};

TEST(StoreProbe, FindsNothingWrongWithAnHonestStoreAndLeavesNothingBehind) {
  Rig rig;
  rig.bent.clock_ahead = std::chrono::minutes(7);
  const auto report = rig.probe();
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_TRUE(report->tested);
  EXPECT_THAT(report->broken, IsEmpty());
  EXPECT_THAT(report->left_behind, IsEmpty());
  EXPECT_TRUE(report->refuses_replacement_unasked);
  EXPECT_EQ(report->clock_offset, std::chrono::minutes(7));
  EXPECT_THAT(rig.stored(), IsEmpty());
}

struct Lie {
  const char* what;
  std::function<void(BentStore&)> bend;
  const char* said;
};

TEST(StoreProbe, NamesEveryLie) {
  // Shared by a lie's calls, for what a store remembers.
  const auto memory = std::make_shared<std::map<std::string, Bytes>>();
  const auto lists = std::make_shared<int>(0);
  const auto removed = std::make_shared<bool>(false);
  const Lie lies[] = {
      {"forgets what it was given",
       [](BentStore& s) { s.on_put = [](auto&&...) { return Outcome(store::Done{}); }; },
       "a GET right after a PUT fails"},
      {"turns a bit",
       [](BentStore& s) {
         s.on_get = [](const ObjectName&, Result<Bytes> answer) {
           if (answer) {
             answer->back() ^= std::byte{1};
           }
           return answer;
         };
       },
       "a GET right after a PUT gives other bytes"},
      {"tells a wrong size", [](BentStore& s) { s.wrong_size = true; },
       "a HEAD right after a PUT tells another size"},
      {"invents objects",
       [](BentStore& s) {
         s.on_get = [](const ObjectName&, Result<Bytes> answer) {
           return answer ? std::move(answer) : Bytes(3);
         };
       },
       "a GET of an object that was never stored does not say so"},
      {"ignores ranges", [](BentStore& s) { s.ignores_ranges = true; }, "a ranged GET gives other bytes"},
      {"reads beyond the end", [](BentStore& s) { s.cuts_ranges = true; },
       "a ranged GET over an object's end"},
      {"lists late",
       [lists](BentStore& s) {
         *lists = 0;
         s.on_list = [lists](Result<ListPage> page, auto&&...) {
           return ++*lists == 1 ? ListPage{} : std::move(page);
         };
       },
       "a LIST right after a PUT does not show the object"},
      {"lists without order",
       [](BentStore& s) {
         s.on_list = [](Result<ListPage> page, auto&&...) {
           std::reverse(page->objects.begin(), page->objects.end());
           return page;
         };
       },
       "a LIST does not show all objects in the order"},
      {"ends a list after its first page",
       [](BentStore& s) {
         s.on_list = [](Result<ListPage> page, auto&&...) {
           page->last = true;
           return page;
         };
       },
       "a LIST in pages shows other objects"},
      {"begins each page anew",
       [](BentStore& s) {
         s.on_list = [&s](Result<ListPage>, std::string_view prefix, std::string_view, std::uint32_t count) {
           return s.list_inner(prefix, count);
         };
       },
       "a LIST"},
      {"gives back old bytes",
       [memory](BentStore& s) {
         s.on_get = [memory](const ObjectName& name, Result<Bytes> answer) {
           if (!answer) {
             return answer;
           }
           return Result<Bytes>(memory->try_emplace(name.str(), *answer).first->second);
         };
       },
       "a GET right after an object was replaced gives its old bytes"},
      {"replaces in pieces",
       [](BentStore& s) {
         s.on_get = [](const ObjectName& name, Result<Bytes> answer) {
           if (answer && name.str().ends_with("02") && answer->size() > 1000) {
             answer->resize(answer->size() - 1);
           }
           return answer;
         };
       },
       "an object that is replaced is seen in pieces"},
      {"finds what was deleted",
       [](BentStore& s) { s.on_remove = [](const ObjectName&) { return Outcome(store::Done{}); }; },
       "a GET right after a DELETE still finds the object"},
      {"lists what was deleted",
       [removed](BentStore& s) {
         *removed = false;
         s.on_remove = [removed](const ObjectName&) -> std::optional<Outcome> {
           *removed = true;
           return std::nullopt;
         };
         s.on_list = [removed](Result<ListPage> page, std::string_view prefix, auto&&...) {
           if (*removed) {
             page->objects.insert(page->objects.begin(),
                                  {ObjectName::parse(std::string(prefix) + "01").value(), 3, {}});
           }
           return page;
         };
       },
       "a LIST right after a DELETE still shows the object"},
      {"will not delete twice",
       [removed](BentStore& s) {
         *removed = false;
         s.on_remove = [removed](const ObjectName& name) -> std::optional<Outcome> {
           if (name.str().ends_with("01") && std::exchange(*removed, true)) {
             return NotDone{{ErrorCode::NotFound, "DELETE: 404"}};
           }
           return std::nullopt;
         };
       },
       "a DELETE of what is gone fails"},
  };
  for (const Lie& lie : lies) {
    SCOPED_TRACE(lie.what);
    memory->clear();
    Rig rig;
    lie.bend(rig.bent);
    const auto report = rig.probe();
    ASSERT_TRUE(report.has_value()) << report.error().message;
    EXPECT_THAT(report->broken, testing::Contains(HasSubstr(lie.said)));
  }
}

TEST(StoreProbe, TellsNothingOfAPlaceWhereItMayNotWrite) {
  Rig rig;
  rig.bent.on_put = [](auto&&...) { return denied(); };
  const auto report = rig.probe();
  ASSERT_TRUE(report.has_value());
  EXPECT_FALSE(report->tested);
  EXPECT_EQ(report->why_not, "PUT: 403");
  EXPECT_THAT(report->broken, IsEmpty());
}

TEST(StoreProbe, FindsAStoreFitThatRefusesOnlyReplacementsAndDeletes) {
  Rig rig;
  rig.bent.on_put = [](const ObjectName&, ByteView, store::PutOptions options) {
    return options.replace ? std::optional(denied()) : std::nullopt;
  };
  rig.bent.on_remove = [](const ObjectName&) { return denied(); };
  const auto report = rig.probe();
  ASSERT_TRUE(report.has_value());
  EXPECT_THAT(report->broken, IsEmpty());
  EXPECT_EQ(report->left_behind.size(), 3U);
}

TEST(StoreProbe, DoesNotTakeSilenceForALie) {
  Rig rig;
  rig.bent.on_get = [](const ObjectName&, Result<Bytes>) -> Result<Bytes> {
    return fail(ErrorCode::Unavailable, "GET: no answer");
  };
  const auto report = rig.probe();
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code, ErrorCode::Unavailable);
  EXPECT_THAT(rig.stored(), IsEmpty()) << "what was made is removed all the same";
}

TEST(StorePosture, SaysWhatAThiefCouldDestroy) {
  Rig rig;
  const Posture posture = rig.posture();
  EXPECT_TRUE(posture.can_write && posture.can_overwrite && posture.can_delete);
  EXPECT_THAT(rig.stored(), IsEmpty());
  const auto lines = describe(posture);
  EXPECT_THAT(lines, testing::Contains(HasSubstr("can DELETE every object")));
  EXPECT_THAT(lines, testing::Contains(HasSubstr("can OVERWRITE every object")));
}

TEST(StorePosture, SaysWhatTheKeyMayNot) {
  Rig rig;
  rig.bent.on_put = [](const ObjectName&, ByteView, store::PutOptions options) {
    return options.replace ? std::optional(denied()) : std::nullopt;
  };
  rig.bent.on_remove = [](const ObjectName&) { return denied(); };
  const Posture posture = rig.posture();
  EXPECT_TRUE(posture.can_write);
  EXPECT_FALSE(posture.can_overwrite || posture.can_delete);
  EXPECT_THAT(posture.left_behind, testing::UnorderedElementsAreArray(rig.stored()));
  const auto lines = describe(posture);
  EXPECT_THAT(lines, testing::Contains(HasSubstr("cannot delete")));
  EXPECT_THAT(lines, testing::Contains(HasSubstr("cannot overwrite")));
  EXPECT_THAT(lines, testing::Contains(HasSubstr("left behind, because it could not be removed: data/")));
}

TEST(StorePosture, LooksAtEachKindOfObject) {
  Rig rig;
  // Deletes are forbidden but where packs lie: that is enough to destroy every backup.
  rig.bent.on_remove = [](const ObjectName& name) {
    return name.str().starts_with("data/") ? std::nullopt : std::optional(denied());
  };
  EXPECT_TRUE(rig.posture().can_delete);
}

TEST(StorePosture, OfAKeyThatMayOnlyRead) {
  Rig rig;
  rig.bent.on_put = [](auto&&...) { return denied(); };
  EXPECT_THAT(describe(rig.posture()), ElementsAre(HasSubstr("can write nothing")));
}

}  // namespace
}  // namespace firn::repo
