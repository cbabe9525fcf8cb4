#include "repo/maintenance_copy.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "repo/base/codec.h"
#include "repo/base/queue.h"
#include "repo/base/record_sorter.h"
#include "repo/base/task_group.h"
#include "repo/format/limits.h"
#include "repo/format/pack.h"
#include "repo/pack_trailer.h"
#include "repo/reread.h"

namespace firn::repo {
namespace {

using format::ChunkId;
using format::PackEntry;
using format::PackName;

/// By id: id 32, number of the pack u32, offset u32, the entry 46. By pack: number u32, offset u32, the
/// entry. Numbers big-endian, so that they sort.
constexpr std::size_t kEntryBytes = format::kPackEntryBytes;
constexpr std::size_t kByIdBytes = ChunkId::kBytes + 8 + kEntryBytes;
constexpr std::size_t kByPackBytes = 8 + kEntryBytes;

void append_big(Bytes& out, std::uint32_t value) {
  for (unsigned shift = 32; shift > 0; shift -= 8) {
    out.push_back(static_cast<std::byte>(value >> (shift - 8)));
  }
}
std::uint32_t load_big(ByteView in) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    value = (value << 8) | std::to_integer<std::uint32_t>(in[i]);
  }
  return value;
}

struct Job {
  std::uint32_t pack = 0;
  std::vector<PackEntry> entries;
};

class Copying {
 public:
  explicit Copying(const CopyInput& input)
      : input_(input), executor_(input.repository.services().executor), memory_(input.memory_bytes / 3) {}

  Result<Copied> run() {
    auto by_id = sorter(kByIdBytes);
    FIRN_TRY(read_trailers(*by_id));
    FIRN_TRY(by_id->finish());
    auto work = sorter(kByPackBytes);
    FIRN_TRY(keep_needed(*by_id, *work));
    by_id.reset();
    damaged_ = sorter(kByPackBytes);
    while (work->count() > 0) {
      FIRN_TRY(work->finish());
      auto again = sorter(kByPackBytes);
      FIRN_TRY(copy_round(*work, *again));
      FIRN_TRY(input_.session.flush());
      work = std::move(again);
    }
    FIRN_TRY(judge_damaged());
    return std::move(*result_.lock());
  }

 private:
  std::unique_ptr<base::RecordSorter> sorter(std::size_t record_bytes) {
    return std::make_unique<base::RecordSorter>(input_.repository.services().scratch, record_bytes,
                                                memory_ / 2);
  }

  void keep(const PackName& pack) { result_.lock()->kept.insert(pack); }
  void keep_damaged(const PackName& pack, const Error& why) {
    auto result = result_.lock();
    result->kept.insert(pack);
    if (result->problems.size() < 100) {
      result->problems.push_back(format::object_name(pack).str() +
                                 ": is damaged and holds what a snapshot needs (" + why.message +
                                 "); it stays: run 'firn check', then 'firn repair packs'");
    }
  }

  // ---- what lies in the packs

  Result<> read_trailers(base::RecordSorter& by_id) {
    input_.progress.phase = "reading trailers";
    input_.progress.done = 0;
    input_.progress.total = input_.packs.size();
    base::TaskLock adding(executor_);
    std::atomic<std::size_t> next{0};
    base::TaskGroup group(executor_, [&] { next = input_.packs.size(); });
    const unsigned tasks = std::clamp<unsigned>(input_.repository.store().parallel_requests(), 1, 16);
    for (unsigned i = 0; i < tasks; ++i) {
      group.spawn("trailers", [&]() -> Result<> {
        for (std::size_t at = next++; at < input_.packs.size(); at = next++) {
          FIRN_TRY(input_.stop.check());
          FIRN_LET(const std::vector<PackEntry> entries, entries_of(at));
          const base::TaskLock::Hold hold(adding);
          for (const PackEntry& entry : entries) {
            FIRN_TRY(by_id.add(by_id_record(at, entry)));
          }
          input_.progress.done += 1;
        }
        return {};
      });
    }
    return group.join();
  }

  static Bytes by_id_record(std::size_t pack, const PackEntry& entry) {
    Bytes record = to_bytes(entry.id.bytes);
    append_big(record, static_cast<std::uint32_t>(pack));
    append_big(record, entry.offset);
    format::encode_pack_entry(entry, record);
    return record;
  }

  Result<std::vector<PackEntry>> entries_of(std::size_t number) {
    const DoomedPack& pack = input_.packs[number];
    if (!input_.steps.trailers_decide) {
      return indexed_entries(pack.name, Listings::First);
    }
    auto trailer = read_trailer(input_.repository, pack.name, pack.size_bytes);
    if (trailer) {
      return std::move(trailer->entries);
    }
    switch (trailer.error().code) {
      case ErrorCode::NotFound:
        // Dropped by another run, most likely. Should the answer be wrong, the pack stays.
        keep(pack.name);
        return std::vector<PackEntry>();
      case ErrorCode::Corrupt:
      case ErrorCode::Unsupported:
        if (!input_.needed_by_index.contains(pack.name)) {
          return std::vector<PackEntry>();
        }
        untold_.lock()->try_emplace(pack.name, std::move(trailer).error());
        return indexed_entries(pack.name, Listings::All);
      default:
        return Failure(std::move(trailer).error());
    }
  }

  enum class Listings { First, All };

  /// What index objects say of a pack: not to be believed, see MaintenanceSteps::trailers_decide, but all
  /// there is when the trailer cannot be read. All listings then: a writer may have added one that says less.
  Result<std::vector<PackEntry>> indexed_entries(const PackName& name, Listings listings) {
    std::vector<PackEntry> entries;
    FIRN_TRY(input_.index.for_each_pack_with_entries([&](const index::PackSummary& pack, auto listed) {
      if (pack.name == name) {
        entries.insert(entries.end(), listed.begin(), listed.end());
      }
      return pack.name != name || listings == Listings::All;
    }));
    return entries;
  }

  Result<> keep_needed(base::RecordSorter& by_id, base::RecordSorter& work) {
    IdCursor needed(input_.needed);
    Bytes record;
    while (true) {
      FIRN_LET(const ByteView entry, by_id.next());
      if (entry.empty()) {
        return {};
      }
      ChunkId id;
      std::copy_n(entry.begin(), id.bytes.size(), id.bytes.begin());
      FIRN_LET(const bool is_needed, needed.advance_to(id, [](const ChunkId&) {}));
      if (is_needed && input_.steps.copy_out) {
        FIRN_TRY(work.add(entry.subspan(ChunkId::kBytes)));
      }
    }
  }

  // ---- copying

  /// Copies what `work` names, pack by pack. What must wait for a flush goes to `again`.
  Result<> copy_round(base::RecordSorter& work, base::RecordSorter& again) {
    input_.progress.phase = "copying";
    input_.progress.done = 0;
    input_.progress.total = work.count();
    const std::uint64_t each = 2ULL * input_.repository.config().parameters.pack_size;
    const auto tasks = std::clamp<std::uint64_t>(
        memory_ / each, 1,
        std::max<unsigned>(executor_.cpu_count(), input_.repository.store().parallel_requests()));
    base::TaskLock adding(executor_);
    base::BoundedQueue<Job> queue(executor_, tasks);
    base::TaskGroup group(executor_, [&] { queue.abort(); });
    for (std::uint64_t i = 0; i < tasks; ++i) {
      group.spawn("copy", [&]() -> Result<> {
        while (auto job = queue.pop()) {
          FIRN_TRY(input_.stop.check());
          std::vector<PackEntry> later;
          FIRN_LET(const bool sound, copy_pack(*job, later));
          const base::TaskLock::Hold hold(adding);
          for (const PackEntry& entry : sound ? later : job->entries) {
            FIRN_TRY((sound ? again : *damaged_)
                         .add(ByteView(by_id_record(job->pack, entry)).subspan(ChunkId::kBytes)));
          }
          input_.progress.done += job->entries.size();
        }
        return {};
      });
    }
    auto fed = feed(work, [&](Job job) -> Result<bool> { return queue.push(std::move(job)); });
    fed ? queue.close() : queue.abort();
    auto joined = group.join();
    FIRN_TRY(std::move(fed));
    return joined;
  }

  /// Pushes what `work` names, pack by pack, until `push` takes no more.
  template <class Push>
  static Result<> feed(base::RecordSorter& work, Push push) {
    std::optional<Job> job;
    while (true) {
      FIRN_LET(const ByteView record, work.next());
      const bool last = record.empty();
      if (job && (last || load_big(record) != job->pack)) {
        FIRN_LET(const bool more, push(*std::exchange(job, std::nullopt)));
        if (!more) {
          return {};
        }
      }
      if (last) {
        return {};
      }
      if (!job) {
        job.emplace().pack = load_big(record);
      }
      base::Reader in(record.subspan(8));
      format::parse_pack_entry(in, job->entries.emplace_back());
    }
  }

  /// The whole object; nothing, and the pack stays, when it is gone. Corrupt: the store has no such bytes.
  Result<std::optional<Bytes>> fetch(const PackName& pack) {
    const auto name = format::object_name(pack);
    auto bytes = input_.repository.store().get(name, format::kPackBytesMax);
    if (!bytes && bytes.error().code == ErrorCode::NotFound) {
      keep(pack);
      return std::optional<Bytes>();
    }
    if (!bytes) {
      return Failure(std::move(bytes).error().in(name.str()));
    }
    return std::optional<Bytes>(std::move(*bytes));
  }

  /// Why nothing may be copied from these bytes: another name than they have, or a trailer that tells
  /// nothing.
  Result<> sound(const PackName& pack, ByteView bytes) {
    {
      auto untold = untold_.lock();
      if (const auto why = untold->find(pack); why != untold->end()) {
        return Failure(Error(why->second));
      }
    }
    FIRN_TRY(format::verify_pack_name(pack, input_.repository.id(), bytes));
    return {};
  }

  /// False for a damaged pack, nothing of which is copied.
  Result<bool> copy_pack(const Job& job, std::vector<PackEntry>& later) {
    const PackName& pack = input_.packs[job.pack].name;
    std::optional<Bytes> bytes;
    auto read = read_again_if_damaged([&]() -> Result<> {
      bytes.reset();
      FIRN_LET(bytes, fetch(pack));
      const auto good = bytes ? sound(pack, *bytes) : Result<>();
      return good ? Result<>() : fail(ErrorCode::Corrupt, good.error().message);
    });
    if (!read) {
      return read.error().code == ErrorCode::Corrupt ? Result<bool>(false) : Failure(std::move(read).error());
    }
    if (!bytes) {
      return true;
    }
    const ByteView content = *bytes;
    for (const PackEntry& entry : job.entries) {
      if (std::uint64_t{entry.offset} + entry.shape.stored > content.size()) {
        continue;  // a trailer that lies: whoever wrote it has no such chunk
      }
      const ByteView stored = content.subspan(entry.offset, entry.shape.stored);
      FIRN_LET(const Survivor survivor, find_survivor(entry, stored));
      if (survivor == Survivor::Equal) {
        continue;
      }
      FIRN_LET(const bool copied, input_.session.copy_stored(entry.id, entry.shape, stored));
      if (copied) {
        input_.progress.bytes_copied += entry.shape.stored;
      } else {
        later.push_back(entry);
      }
    }
    return true;
  }

  // ---- damaged packs

  /// After all copying, since the copy that makes a damaged pack dispensable may be one of this run.
  Result<> judge_damaged() {
    FIRN_TRY(damaged_->finish());
    return feed(*damaged_, [&](const Job& job) -> Result<bool> {
      FIRN_TRY(input_.stop.check());
      FIRN_TRY(judge_damaged(job));
      return true;
    });
  }

  Result<> judge_damaged(const Job& job) {
    const PackName& pack = input_.packs[job.pack].name;
    const auto bytes = fetch(pack);
    if (!bytes) {
      if (bytes.error().code != ErrorCode::Corrupt) {
        return Failure(Error(bytes.error()));
      }
      keep_damaged(pack, bytes.error());
      return {};
    }
    if (!*bytes) {
      return {};
    }
    for (const PackEntry& entry : job.entries) {
      const bool inside = std::uint64_t{entry.offset} + entry.shape.stored <= (*bytes)->size();
      FIRN_LET(const Survivor survivor,
               find_survivor(
                   entry, inside ? ByteView(**bytes).subspan(entry.offset, entry.shape.stored) : ByteView()));
      if (survivor == Survivor::Equal) {
        continue;
      }
      // Other bytes elsewhere: most likely what was lost here and stored again since, but no key at hand
      // opens it. And a store may give good bytes the second time: the next run copies them.
      keep(pack);
      const auto why = sound(pack, **bytes);
      if (survivor == Survivor::None && !why) {
        keep_damaged(pack, why.error());
      }
    }
    return {};
  }

  enum class Survivor { None, Other, Equal };

  /// I6: a copy counts when it lies in an indexed pack that no condemn record names, and its bytes were read
  /// and are equal. Other: there are copies with other bytes.
  Result<Survivor> find_survivor(const PackEntry& entry, ByteView stored) {
    FIRN_LET(const auto locations, input_.index.find(entry.id));
    Survivor found = Survivor::None;
    Bytes there;
    for (const index::Location& location : locations) {
      if (location.state == index::PackState::Condemned && input_.steps.survivors_uncondemned) {
        continue;
      }
      if (!input_.steps.compare_survivors) {
        return Survivor::Equal;
      }
      there.resize(location.shape.stored);
      const auto read =
          input_.repository.store().get_range(format::object_name(location.pack), location.offset, there);
      if (read && location.shape == entry.shape &&
          std::equal(there.begin(), there.end(), stored.begin(), stored.end())) {
        return Survivor::Equal;
      }
      if (read) {
        found = Survivor::Other;
      }
    }
    return found;
  }

  const CopyInput& input_;
  base::Executor& executor_;
  const std::size_t memory_;
  base::Guarded<Copied> result_;
  base::Guarded<std::map<PackName, Error>> untold_;  // whose trailers cannot be read
  std::unique_ptr<base::RecordSorter> damaged_;      // needed entries of packs that cannot be copied from
};

}  // namespace

Result<Copied> copy_out(const CopyInput& input) { return Copying(input).run(); }

}  // namespace firn::repo
