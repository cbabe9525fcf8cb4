#include "repo/maintenance_plan.h"

#include <algorithm>
#include <array>
#include <utility>

#include "repo/base/record_sorter.h"
#include "repo/format/limits.h"
#include "repo/store/object_store.h"

namespace firn::repo {
namespace {

using format::ChunkId;
using format::PackKind;
using format::PackName;

constexpr std::size_t kPackKeyBytes = 1 + format::PackId::kBytes;
/// So many packs are condemned by one run: their names are in memory.
constexpr std::size_t kCondemnMax = 1U << 18;
/// Small packs are packs below a quarter; so many of a kind are merged at once, or as many as fill one.
constexpr std::size_t kSmallPacksMin = 8;
constexpr std::size_t kSmallPacksMax = 1U << 16;

template <class T>
void append_big(Bytes& out, T value) {
  for (std::size_t i = sizeof(T); i-- > 0;) {
    out.push_back(static_cast<std::byte>(value >> (8 * i)));
  }
}
template <class T>
T load_big(ByteView in, std::size_t at) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>((value << 8) | std::to_integer<T>(in[at + i]));
  }
  return value;
}
void append_pack(Bytes& out, const PackName& name) {
  out.push_back(static_cast<std::byte>(name.kind));
  append(out, name.id.bytes);
}
PackName pack_at(ByteView in) {
  PackName name{.kind = static_cast<PackKind>(in[0]), .id = {}};
  std::copy_n(in.begin() + 1, name.id.bytes.size(), name.id.bytes.begin());
  return name;
}

/// A finished sorter, one record ahead.
class Ahead {
 public:
  explicit Ahead(base::RecordSorter& sorter) : sorter_(sorter) {}
  Result<> advance() {
    FIRN_LET(record_, sorter_.next());
    return {};
  }
  bool any() const { return !record_.empty(); }
  ByteView record() const { return record_; }
  PackName pack() const { return pack_at(record_); }

 private:
  base::RecordSorter& sorter_;
  ByteView record_;
};

/// What is known of one pack.
struct PackFacts {
  PackName name;
  std::uint64_t size_bytes = 0;
  std::uint32_t entries = 0;
  std::uint64_t stored_bytes = 0;  // of the entries
  std::uint32_t used_entries = 0;
  std::uint64_t used_bytes = 0;
  bool exists = false;
  bool indexed = false;

  std::uint64_t unused_bytes() const { return stored_bytes - std::min(stored_bytes, used_bytes); }
};

/// Worth rewriting, the most unused first: share of what is used u32, pack 33, size u32, entries u32, used
/// entries u32, stored u64, used u64; all big-endian.
constexpr std::size_t kCandidateBytes = 4 + kPackKeyBytes + 4 + 4 + 4 + 8 + 8;

class Planner {
 public:
  explicit Planner(const PlanInput& input)
      : input_(input),
        scratch_(input.repository.services().scratch),
        memory_(input.memory_bytes / 8),
        pack_size_(input.repository.config().parameters.pack_size) {}

  Result<Plan> run() {
    base::RecordSorter usage(scratch_, kUsageBytes, memory_);
    base::RecordSorter packs(scratch_, kPackBytes, memory_);
    base::RecordSorter listed(scratch_, kListedBytes, memory_);
    FIRN_TRY(find_usage(usage));
    FIRN_TRY(usage.finish());
    FIRN_TRY(read_packs(packs));
    FIRN_TRY(list_packs(listed));
    base::RecordSorter candidates(scratch_, kCandidateBytes, memory_);
    FIRN_TRY(judge_all(usage, packs, listed, candidates));
    FIRN_TRY(candidates.finish());
    FIRN_TRY(choose_candidates(candidates));
    merge_small();
    finish_counts();
    return std::move(plan_);
  }

 private:
  /// Pack 33, the first 8 bytes of the id, stored u32.
  static constexpr std::size_t kUsageBytes = kPackKeyBytes + 8 + 4;
  /// Pack 33, size u32, entries u32, stored u64.
  static constexpr std::size_t kPackBytes = kPackKeyBytes + 4 + 4 + 8;
  /// Pack 33, size u64.
  static constexpr std::size_t kListedBytes = kPackKeyBytes + 8;

  /// Which needed chunks lie in which packs, and which lie in none.
  Result<> find_usage(base::RecordSorter& usage) {
    IdCursor needed(input_.needed);
    Result<> done;
    ChunkId last;
    Bytes record;
    const auto missed = [&](const ChunkId& id) { miss(id); };
    FIRN_TRY(input_.index.for_each_entry([&](const ChunkId& id, const index::Location& location) {
      auto hit = needed.advance_to(id, missed);
      if (!hit) {
        done = Failure(std::move(hit).error());
        return false;
      }
      if (!*hit) {
        return true;
      }
      if (id != last) {
        last = id;
        plan_.counts.blobs.used += 1;
        plan_.counts.bytes.used += location.shape.stored;
      }
      record.clear();
      append_pack(record, location.pack);
      append(record, ByteView(id.bytes).first(8));
      append_big(record, location.shape.stored);
      done = usage.add(record);
      return done.has_value();
    }));
    FIRN_TRY(std::move(done));
    return needed.finish(missed);
  }

  void miss(const ChunkId& id) {
    plan_.missing_count += 1;
    if (plan_.missing.size() < kMissingMax) {
      plan_.missing.insert(id);
    }
  }

  Result<> read_packs(base::RecordSorter& packs) {
    Result<> done;
    Bytes record;
    FIRN_TRY(input_.index.for_each_pack([&](const index::PackSummary& pack) {
      record.clear();
      append_pack(record, pack.name);
      append_big(record, pack.size_bytes);
      append_big(record, pack.entries);
      append_big(record, pack.stored_bytes);
      done = packs.add(record);
      return done.has_value();
    }));
    FIRN_TRY(std::move(done));
    return packs.finish();
  }

  Result<> list_packs(base::RecordSorter& listed) {
    Bytes record;
    const auto note = [&](const store::ListedObject& object) -> Result<> {
      if (const auto name = format::parse_name_as<PackName>(object.name)) {
        record.clear();
        append_pack(record, *name);
        append_big(record, object.size_bytes);
        return listed.add(record);
      }
      return input_.stop.check();
    };
    for (const std::string_view prefix : {format::kDataPrefix, format::kMetaPrefix}) {
      FIRN_TRY(store::list_all(input_.repository.store(), prefix, note));
    }
    return listed.finish();
  }

  /// Brings the three lists together, pack by pack.
  Result<> judge_all(base::RecordSorter& usage, base::RecordSorter& packs, base::RecordSorter& listed,
                     base::RecordSorter& candidates) {
    Ahead used(usage);
    Ahead indexed(packs);
    Ahead existing(listed);
    FIRN_TRY(used.advance());
    FIRN_TRY(indexed.advance());
    FIRN_TRY(existing.advance());
    while (indexed.any() || existing.any()) {
      FIRN_TRY(input_.stop.check());
      PackFacts facts;
      const bool index_first = indexed.any() && (!existing.any() || indexed.pack() <= existing.pack());
      facts.name = index_first ? indexed.pack() : existing.pack();
      while (indexed.any() && indexed.pack() == facts.name) {
        facts.indexed = true;
        // Index objects that list a pack differently: the one that says more.
        facts.size_bytes = load_big<std::uint32_t>(indexed.record(), kPackKeyBytes);
        facts.entries = std::max(facts.entries, load_big<std::uint32_t>(indexed.record(), kPackKeyBytes + 4));
        facts.stored_bytes =
            std::max(facts.stored_bytes, load_big<std::uint64_t>(indexed.record(), kPackKeyBytes + 8));
        FIRN_TRY(indexed.advance());
      }
      if (existing.any() && existing.pack() == facts.name) {
        facts.exists = true;
        facts.size_bytes = load_big<std::uint64_t>(existing.record(), kPackKeyBytes);
        FIRN_TRY(existing.advance());
      }
      FIRN_TRY(count_usage(used, facts));
      FIRN_TRY(judge(facts, candidates));
    }
    return {};
  }

  static Result<> count_usage(Ahead& used, PackFacts& facts) {
    std::array<std::byte, 8> last{};
    bool any = false;
    while (used.any() && used.pack() <= facts.name) {
      const ByteView id = used.record().subspan(kPackKeyBytes, 8);
      if (used.pack() == facts.name && !(any && std::equal(last.begin(), last.end(), id.begin()))) {
        facts.used_entries += 1;
        facts.used_bytes += load_big<std::uint32_t>(used.record(), kPackKeyBytes + 8);
      }
      any = true;
      std::copy(id.begin(), id.end(), last.begin());
      FIRN_TRY(used.advance());
    }
    return {};
  }

  Result<> judge(const PackFacts& facts, base::RecordSorter& candidates) {
    const bool condemned = input_.condemned.contains(facts.name);
    plan_.packs_indexed += facts.indexed ? 1 : 0;
    if (!facts.exists) {
      plan_.packs_gone += condemned ? 1 : 0;
      return {};
    }
    MaintenanceCounts& counts = plan_.counts;
    counts.packs.total += 1;
    counts.blobs.total += facts.entries;
    if (!facts.indexed) {
      counts.packs.unreferenced += 1;
      counts.bytes.unreferenced += facts.size_bytes;
      FIRN_LET(const bool abandoned, condemned ? Result<bool>(true) : input_.is_abandoned(doomed(facts)));
      if (abandoned) {
        doom(facts, condemned);
      }
      return {};
    }
    counts.bytes.total += facts.stored_bytes;
    used_entries_ += facts.used_entries;
    used_bytes_ += facts.used_bytes;
    (facts.used_entries == 0               ? counts.packs.unused
     : facts.used_entries == facts.entries ? counts.packs.used
                                           : counts.packs.partly_used) += 1;
    if (condemned || facts.used_entries == 0) {
      doom(facts, condemned);
      return {};
    }
    kept_unused_ += facts.unused_bytes();
    kept_used_ += facts.used_bytes;
    if (facts.unused_bytes() > 0) {
      return candidates.add(candidate(facts));
    }
    auto& small = facts.name.kind == PackKind::Data ? small_data_ : small_meta_;
    if (facts.size_bytes < pack_size_ / 4 && small.size() < kSmallPacksMax) {
      small.push_back(facts);
    }
    return {};
  }

  static Bytes candidate(const PackFacts& facts) {
    Bytes record;
    const std::uint64_t share = facts.stored_bytes == 0 ? 0 : (facts.used_bytes << 20) / facts.stored_bytes;
    append_big(record, static_cast<std::uint32_t>(share));
    append_pack(record, facts.name);
    append_big(record, static_cast<std::uint32_t>(facts.size_bytes));
    append_big(record, facts.entries);
    append_big(record, facts.used_entries);
    append_big(record, facts.stored_bytes);
    append_big(record, facts.used_bytes);
    return record;
  }
  static PackFacts facts_of(ByteView record) {
    PackFacts facts;
    std::size_t at = 4;
    facts.name = pack_at(record.subspan(at));
    at += kPackKeyBytes;
    facts.size_bytes = load_big<std::uint32_t>(record, at);
    facts.entries = load_big<std::uint32_t>(record, at + 4);
    facts.used_entries = load_big<std::uint32_t>(record, at + 8);
    facts.stored_bytes = load_big<std::uint64_t>(record, at + 12);
    facts.used_bytes = load_big<std::uint64_t>(record, at + 20);
    facts.exists = true;
    facts.indexed = true;
    return facts;
  }

  std::uint64_t unused_allowed() const {
    const UnusedLimit& limit = input_.max_unused;
    switch (limit.kind) {
      case UnusedLimit::Kind::Bytes:
        return limit.bytes;
      case UnusedLimit::Kind::Unlimited:
        return UINT64_MAX;
      case UnusedLimit::Kind::Percent:
        break;
    }
    if (limit.percent >= 100) {
      return UINT64_MAX;
    }
    return static_cast<std::uint64_t>(static_cast<double>(kept_used_) * limit.percent /
                                      (100 - limit.percent));
  }

  /// True while the rewriting of so many more bytes is allowed.
  bool may_repack(std::uint64_t bytes) const {
    return !input_.repack_bytes_max || repack_packs_bytes_ + bytes <= *input_.repack_bytes_max;
  }

  Result<> choose_candidates(base::RecordSorter& candidates) {
    while (kept_unused_ > unused_allowed()) {
      FIRN_LET(const ByteView record, candidates.next());
      if (record.empty()) {
        break;
      }
      const PackFacts facts = facts_of(record);
      if (!may_repack(facts.size_bytes)) {
        break;
      }
      repack(facts);
      kept_unused_ -= facts.unused_bytes();
    }
    return {};
  }

  void merge_small() {
    for (std::vector<PackFacts>* small : {&small_data_, &small_meta_}) {
      std::uint64_t bytes = 0;
      for (const PackFacts& facts : *small) {
        bytes += facts.size_bytes;
      }
      const bool worth = small->size() >= kSmallPacksMin || bytes >= pack_size_;
      for (const PackFacts& facts : *small) {
        if (worth && may_repack(facts.size_bytes)) {
          repack(facts);
        }
      }
    }
  }

  void repack(const PackFacts& facts) {
    repack_packs_bytes_ += facts.size_bytes;
    doom(facts, false);
  }

  static DoomedPack doomed(const PackFacts& facts) {
    return {.name = facts.name,
            .size_bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(facts.size_bytes, UINT32_MAX))};
  }

  /// The pack goes: `condemned` already, or by this run.
  void doom(const PackFacts& facts, bool condemned) {
    if (!condemned && plan_.condemn.size() == kCondemnMax) {
      plan_.more = true;
      return;
    }
    if (!condemned) {
      plan_.condemn.push_back(facts.name);
    }
    plan_.doomed.push_back(doomed(facts));
    MaintenanceCounts& counts = plan_.counts;
    if (facts.used_entries > 0) {
      counts.packs.repack += 1;
      counts.blobs.repack += facts.used_entries;
      counts.blobs.repack_remove += facts.entries - std::min(facts.entries, facts.used_entries);
      counts.bytes.repack += facts.used_bytes;
      removed_bytes_ += facts.unused_bytes();
    } else {
      counts.packs.remove += 1;
      counts.blobs.remove += facts.entries;
      counts.bytes.remove += facts.indexed ? facts.stored_bytes : facts.size_bytes;
    }
  }

  void finish_counts() {
    std::sort(plan_.condemn.begin(), plan_.condemn.end());
    std::sort(plan_.doomed.begin(), plan_.doomed.end());
    MaintenanceCounts& counts = plan_.counts;
    counts.blobs.duplicate = used_entries_ - std::min(used_entries_, counts.blobs.used);
    counts.blobs.unused = counts.blobs.total - std::min(counts.blobs.total, used_entries_);
    counts.blobs.remove_total = counts.blobs.remove + counts.blobs.repack_remove;
    counts.blobs.remaining = counts.blobs.total - counts.blobs.remove_total;
    counts.bytes.duplicate = used_bytes_ - std::min(used_bytes_, counts.bytes.used);
    counts.bytes.unused = counts.bytes.total - std::min(counts.bytes.total, used_bytes_);
    counts.bytes.total += counts.bytes.unreferenced;
    counts.bytes.remove_total = counts.bytes.remove + removed_bytes_;
    counts.bytes.remaining = counts.bytes.total - counts.bytes.remove_total;
    counts.bytes.remaining_unused = kept_unused_;
    counts.packs.remove_total = counts.packs.remove + counts.packs.repack;
    counts.packs.keep = counts.packs.total - counts.packs.remove_total;
  }

  const PlanInput& input_;
  base::Scratch& scratch_;
  const std::size_t memory_;
  const std::uint64_t pack_size_;
  Plan plan_;
  std::vector<PackFacts> small_data_;
  std::vector<PackFacts> small_meta_;
  std::uint64_t used_entries_ = 0;
  std::uint64_t used_bytes_ = 0;
  std::uint64_t kept_used_ = 0;    // in packs that stay
  std::uint64_t kept_unused_ = 0;  // likewise
  std::uint64_t repack_packs_bytes_ = 0;
  std::uint64_t removed_bytes_ = 0;
};

}  // namespace

Result<Plan> make_plan(const PlanInput& input) { return Planner(input).run(); }

}  // namespace firn::repo
