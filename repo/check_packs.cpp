#include "repo/check_packs.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "repo/base/codec.h"
#include "repo/base/queue.h"
#include "repo/base/task_group.h"
#include "repo/check_trees.h"
#include "repo/format/chunk.h"
#include "repo/format/limits.h"
#include "repo/format/pack.h"
#include "repo/reread.h"

namespace firn::repo {
namespace {

using format::ChunkId;
using format::ChunkSecret;
using format::ChunkType;
using format::PackEntry;
using format::PackKind;
using format::PackName;

constexpr std::size_t kUnlistedMax = 10'000;
/// Pack kind, pack id, size as u64, entries as u32, state; numbers big-endian, so that they sort.
constexpr std::size_t kPackRecordBytes = 1 + 32 + 8 + 4 + 1;
using PackRecord = std::array<std::byte, kPackRecordBytes>;

struct PackRow {
  PackName name;
  std::uint64_t size_bytes = 0;
  std::uint32_t entries = 0;
  bool condemned = false;
};

template <class T>
void store_big(std::byte* out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    out[i] = static_cast<std::byte>(value >> (8 * (sizeof(T) - 1 - i)));
  }
}
template <class T>
T load_big(const std::byte* in) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>((value << 8) | std::to_integer<T>(in[i]));
  }
  return value;
}

PackRecord encode_row(const PackRow& row) {
  PackRecord record{};
  record[0] = static_cast<std::byte>(row.name.kind);
  std::copy(row.name.id.bytes.begin(), row.name.id.bytes.end(), record.begin() + 1);
  store_big(record.data() + 33, row.size_bytes);
  store_big(record.data() + 41, row.entries);
  record[45] = static_cast<std::byte>(row.condemned);
  return record;
}

PackName name_at(ByteView record) {
  PackName name{.kind = static_cast<PackKind>(record[0]), .id = {}};
  std::copy_n(record.begin() + 1, 32, name.id.bytes.begin());
  return name;
}

/// Rows from a finished sorter, one ahead.
class RowReader {
 public:
  explicit RowReader(base::RecordSorter& sorter) : sorter_(sorter) {}
  Result<> advance() {
    FIRN_LET(const ByteView record, sorter_.next());
    row_.reset();
    if (!record.empty()) {
      row_ = PackRow{.name = name_at(record),
                     .size_bytes = load_big<std::uint64_t>(record.data() + 33),
                     .entries = load_big<std::uint32_t>(record.data() + 41),
                     .condemned = record[45] != std::byte{0}};
    }
    return {};
  }
  const std::optional<PackRow>& row() const { return row_; }

 private:
  base::RecordSorter& sorter_;
  std::optional<PackRow> row_;
};

std::string text(const PackName& name) { return format::object_name(name).str(); }

Result<> list_into(const Repository& repository, base::RecordSorter& sorter, CheckFindings& findings) {
  for (const std::string_view prefix : {format::kDataPrefix, format::kMetaPrefix}) {
    FIRN_TRY(store::list_all(repository.store(), prefix, [&](const store::ListedObject& object) -> Result<> {
      const auto name = format::parse_name_as<PackName>(object.name);
      if (!name) {
        findings.tell(Finding::Kind::Leftover, object.name.str() + ": is nothing that firn knows");
        return {};
      }
      return sorter.add(
          encode_row({.name = *name, .size_bytes = object.size_bytes, .entries = 0, .condemned = false}));
    }));
  }
  return sorter.finish();
}

Result<> index_into(index::ChunkIndex& index, base::RecordSorter& sorter) {
  Result<> added;
  FIRN_TRY(index.for_each_pack([&](const index::PackSummary& pack) {
    added = sorter.add(encode_row({.name = pack.name,
                                   .size_bytes = pack.size_bytes,
                                   .entries = pack.entries,
                                   .condemned = pack.state == index::PackState::Condemned}));
    return added.has_value();
  }));
  FIRN_TRY(std::move(added));
  return sorter.finish();
}

/// What the index says of one pack: more than one row when index objects differ.
struct Indexed {
  PackName name;
  std::vector<PackRow> rows;
};

Result<std::optional<Indexed>> next_indexed(RowReader& reader) {
  if (!reader.row()) {
    return std::nullopt;
  }
  Indexed indexed{.name = reader.row()->name, .rows = {}};
  while (reader.row() && reader.row()->name == indexed.name) {
    if (indexed.rows.size() < 16) {
      indexed.rows.push_back(*reader.row());
    }
    FIRN_TRY(reader.advance());
  }
  return indexed;
}

/// The packs that are condemned by what the repository says now.
Result<std::set<PackName>> condemned_now(index::ChunkIndex& index, const std::function<Result<>()>& sync) {
  FIRN_TRY(sync());
  std::set<PackName> condemned;
  FIRN_TRY(index.for_each_pack([&](const index::PackSummary& pack) {
    if (pack.state == index::PackState::Condemned) {
      condemned.insert(pack.name);
    }
    return true;
  }));
  return condemned;
}

}  // namespace

Result<PackLists> list_packs(const Repository& repository, index::ChunkIndex& index,
                             std::uint64_t memory_bytes, const std::function<Result<>()>& sync,
                             CheckFindings& findings) {
  base::Scratch& scratch = repository.services().scratch;
  base::RecordSorter in_index(scratch, kPackRecordBytes, memory_bytes / 3);
  base::RecordSorter in_store(scratch, kPackRecordBytes, memory_bytes / 3);
  // The index was read before: what it names was stored by then.
  FIRN_TRY(index_into(index, in_index));
  FIRN_TRY(list_into(repository, in_store, findings));
  PackLists lists;
  lists.existing = std::make_unique<base::RecordSorter>(scratch, kPackRecordBytes, memory_bytes / 3);

  RowReader stored(in_store);
  RowReader known(in_index);
  FIRN_TRY(stored.advance());
  FIRN_TRY(known.advance());
  std::vector<PackName> missing;
  FIRN_LET(std::optional<Indexed> indexed, next_indexed(known));
  while (stored.row() || indexed) {
    if (!indexed || (stored.row() && stored.row()->name < indexed->name)) {
      lists.unlisted_count += 1;
      if (lists.unlisted.size() < kUnlistedMax) {
        const std::uint64_t size = std::min<std::uint64_t>(stored.row()->size_bytes, UINT32_MAX);
        lists.unlisted.push_back(
            {.name = stored.row()->name, .size_bytes = static_cast<std::uint32_t>(size), .entries = 0});
      }
      FIRN_TRY(stored.advance());
      continue;
    }
    const bool exists = stored.row() && stored.row()->name == indexed->name;
    const bool condemned = indexed->rows.front().condemned;
    if (!exists && !condemned) {
      missing.push_back(indexed->name);
    }
    if (exists) {
      PackRow row = *stored.row();
      row.entries = indexed->rows.front().entries;
      row.condemned = condemned;
      const auto wrong = std::find_if(indexed->rows.begin(), indexed->rows.end(),
                                      [&](const PackRow& r) { return r.size_bytes != row.size_bytes; });
      if (wrong != indexed->rows.end() && !condemned) {
        lists.bad.emplace(
            row.name, findings.add_defect(text(row.name) + ": has " + std::to_string(row.size_bytes) +
                                              " bytes, the index says " + std::to_string(wrong->size_bytes),
                                          row.name));
      }
      if (row.size_bytes <= format::kPackBytesMax) {
        lists.existing_count += 1;
        lists.existing_bytes += row.size_bytes;
        FIRN_TRY(lists.existing->add(encode_row(row)));
      }
      FIRN_TRY(stored.advance());
    }
    FIRN_LET(indexed, next_indexed(known));
  }
  FIRN_TRY(lists.existing->finish());

  if (!missing.empty()) {
    // A prune beside this check may have condemned and dropped them since the index was read.
    FIRN_LET(const std::set<PackName> dropped, condemned_now(index, sync));
    for (const PackName& pack : missing) {
      FIRN_LET(const bool still_listed, index.contains_pack(pack));
      if (still_listed && !dropped.contains(pack)) {
        lists.bad.emplace(pack, findings.add_defect(text(pack) + ": is missing", pack));
      }
    }
  }
  return lists;
}

namespace {

/// Which packs a subset names.
class Choice {
 public:
  Choice(const DataSubset& subset, std::uint64_t total_bytes, base::Rng& rng)
      : subset_(subset), rng_(rng), share_(share_of(subset, total_bytes)) {}

  bool chosen(const PackName& name) {
    if (subset_.kind == DataSubset::Kind::All) {
      return true;
    }
    if (subset_.kind == DataSubset::Kind::Part) {
      return subset_.of > 0 && load_big<std::uint64_t>(name.id.bytes.data()) % subset_.of + 1 == subset_.part;
    }
    if (subset_.kind == DataSubset::Kind::None) {
      return false;
    }
    const auto bytes = rng_.bytes<8>();
    const double draw = static_cast<double>(load_big<std::uint64_t>(bytes.data())) * 0x1p-64;
    return draw < share_;
  }

 private:
  static double share_of(const DataSubset& subset, std::uint64_t total_bytes) {
    if (subset.kind == DataSubset::Kind::Percent) {
      return subset.percent / 100;
    }
    return total_bytes == 0 ? 1 : static_cast<double>(subset.bytes) / static_cast<double>(total_bytes);
  }

  const DataSubset& subset_;
  base::Rng& rng_;
  const double share_;
};

struct Opener {
  ChunkId id;
  ChunkSecret t;
};

/// One pack to read, and what can be opened in it, by id.
struct PackJob {
  PackRow row;
  std::vector<Opener> openers;
};

/// Gives the openers of one pack after the other, in order of pack names.
class OpenerReader {
 public:
  explicit OpenerReader(base::RecordSorter& wanted) : wanted_(wanted) {}

  Result<std::vector<Opener>> of(const PackName& name) {
    std::vector<Opener> openers;
    while (true) {
      if (!started_ || used_) {
        FIRN_LET(const ByteView record, wanted_.next());
        started_ = true;
        used_ = false;
        ended_ = record.empty();
        if (!ended_) {
          std::copy(record.begin(), record.end(), record_.begin());
        }
      }
      if (ended_) {
        return openers;
      }
      const PackName at = name_at(record_);
      if (at > name) {
        return openers;
      }
      used_ = true;
      if (at == name) {
        Opener opener;
        std::copy_n(record_.begin() + 33, 32, opener.id.bytes.begin());
        std::copy_n(record_.begin() + 65, 32, opener.t.bytes.begin());
        if (openers.empty() || openers.back().id != opener.id) {
          openers.push_back(opener);
        }
      }
    }
  }

 private:
  base::RecordSorter& wanted_;
  std::array<std::byte, kWantedBytes> record_{};
  bool started_ = false;
  bool used_ = false;
  bool ended_ = false;
};

struct SomePacks {
  std::uint64_t count = 0;
  std::string first;
};

/// What all reading tasks share.
struct Reading {
  const Repository& repository;
  index::ChunkIndex& index;
  const PackLists& lists;
  const base::StopFlag& stop;
  CheckProgress& progress;
  CheckFindings& findings;
  base::BoundedQueue<PackJob> queue;
  base::Guarded<std::vector<PackJob>> vanished{};
  base::Guarded<SomePacks> damaged_condemned{};
  std::atomic<std::uint64_t> packs{0};
  std::atomic<std::uint64_t> chunks_opened{0};
  std::atomic<bool> index_disagrees{false};
};

/// One defect for the pack; chunks that lie in another good pack too are not lost. A condemned pack whose
/// chunks all lie in uncondemned ones is no defect: nothing relies on it any more.
Result<> blame(Reading& shared, const PackRow& pack, std::span<const ChunkId> bad, const std::string& what) {
  std::vector<ChunkId> lost;
  bool needed = !pack.condemned;
  for (const ChunkId& id : bad) {
    FIRN_LET(const auto locations, shared.index.find(id));
    bool elsewhere = false;
    bool live = false;
    for (const index::Location& location : locations) {
      const bool good = location.pack != pack.name && !shared.lists.bad.contains(location.pack);
      elsewhere = elsewhere || good;
      live = live || (good && location.state == index::PackState::Live);
    }
    needed = needed || !live;
    if (!elsewhere) {
      lost.push_back(id);
    }
  }
  if (!needed) {
    auto damaged = shared.damaged_condemned.lock();
    damaged->count += 1;
    damaged->first = damaged->first.empty() ? text(pack.name) : damaged->first;
    return {};
  }
  const DefectId defect = shared.findings.add_defect(text(pack.name) + ": " + what, pack.name);
  for (const ChunkId& id : lost) {
    shared.findings.blame(id, defect);
  }
  return {};
}

/// One task's hand in it, with buffers of its own.
class PackTask {
 public:
  explicit PackTask(Reading& shared) : shared_(shared) {}

  Result<> run() {
    while (auto job = shared_.queue.pop()) {
      FIRN_TRY(shared_.stop.check());
      FIRN_TRY(in(text(job->row.name), check(*job)));
      shared_.progress.packs_done += 1;
    }
    return {};
  }

 private:
  enum class Opened : std::uint8_t { Good, Bad, NotTried };

  struct Tally {
    std::vector<ChunkId> bad;
    std::vector<ChunkId> not_tried;
  };

  Result<> check(const PackJob& job) {
    const PackRow& row = job.row;
    // An allocation of another size would hold on to more than the budget allows.
    if (bytes_.capacity() > 2 * std::max<std::size_t>(row.size_bytes, 1 << 20)) {
      bytes_ = Bytes();
    }
    bytes_.resize(row.size_bytes);
    bool has_come = false;
    auto trailer = read_again_if_damaged([&]() -> Result<format::PackTrailer> {
      auto read = shared_.repository.store().get_range(format::object_name(row.name), 0, bytes_);
      has_come = read.has_value();
      FIRN_TRY(std::move(read));
      return format::open_pack(shared_.repository.keys().meta(), row.name, shared_.repository.id(), bytes_);
    });
    if (!trailer && trailer.error().code == ErrorCode::NotFound) {
      return gone(job);
    }
    if (!trailer && !has_come && trailer.error().code != ErrorCode::Corrupt) {
      return Failure(std::move(trailer).error());
    }
    shared_.packs += 1;
    shared_.progress.bytes_read += row.size_bytes;
    if (!trailer) {
      return damaged(job, std::move(trailer).error(),
                     has_come ? salvaged_entries() : std::vector<PackEntry>());
    }
    FIRN_TRY(hold_against_index(job, trailer->entries));
    const Tally tally = open_all(job, trailer->entries);
    if (tally.bad.empty()) {
      return {};
    }
    return blame(shared_, job.row, tally.bad,
                 std::to_string(tally.bad.size()) + " of " + std::to_string(trailer->entries.size()) +
                     " chunks do not open though the pack is as it was stored; the first is " +
                     tally.bad.front().hex());
  }

  /// Between LIST and now: a prune may delete what it condemned, anything else is damage. Judged at the end.
  Result<> gone(const PackJob& job) {
    if (!job.row.condemned) {
      shared_.vanished.lock()->push_back(job);
    }
    return {};
  }

  std::vector<PackEntry> salvaged_entries() const {
    const auto header = format::parse_pack_header(
        ByteView(bytes_).first(std::min<std::size_t>(bytes_.size(), format::kPackHeaderBytes)));
    if (!header) {
      return {};
    }
    auto opened = format::open_pack_trailer(shared_.repository.keys().meta(), *header, bytes_.size(), bytes_);
    return opened ? std::move(opened->trailer.entries) : std::vector<PackEntry>();
  }

  /// Tries every chunk of a damaged pack, to tell what is lost from what is not.
  Result<> damaged(const PackJob& job, Error error, std::vector<PackEntry> entries) {
    if (entries.empty()) {
      FIRN_LET(entries, indexed_entries(job));
    }
    Tally tally = open_all(job, entries);
    std::string message = std::move(error).message;
    if (!entries.empty()) {
      message += "; " + std::to_string(tally.bad.size()) + " of " + std::to_string(entries.size()) +
                 " chunks do not open";
    }
    if (!tally.not_tried.empty()) {
      message += ", " + std::to_string(tally.not_tried.size()) +
                 (contents() ? " are in no snapshot that this key reads" : " cannot be tried with this key");
    }
    if (!contents()) {
      tally.bad.insert(tally.bad.end(), tally.not_tried.begin(), tally.not_tried.end());
    }
    return blame(shared_, job.row, tally.bad, message);
  }

  bool contents() const { return shared_.repository.keys().content() != nullptr; }

  /// Where the pack cannot say itself what lies in it.
  Result<std::vector<PackEntry>> indexed_entries(const PackJob& job) {
    std::vector<PackEntry> entries;
    for (const Opener& opener : job.openers) {
      FIRN_LET(const auto locations, shared_.index.find(opener.id));
      for (const index::Location& location : locations) {
        if (location.pack == job.row.name) {
          entries.push_back({.id = opener.id, .offset = location.offset, .shape = location.shape});
        }
      }
    }
    return entries;
  }

  Tally open_all(const PackJob& job, std::span<const PackEntry> entries) {
    Tally tally;
    for (const PackEntry& entry : entries) {
      switch (open(job, entry)) {
        case Opened::Good:
          shared_.chunks_opened += 1;
          break;
        case Opened::Bad:
          tally.bad.push_back(entry.id);
          break;
        case Opened::NotTried:
          tally.not_tried.push_back(entry.id);
          break;
      }
    }
    return tally;
  }

  Opened open(const PackJob& job, const PackEntry& entry) {
    const Repository& repository = shared_.repository;
    const bool is_refs = entry.shape.type == ChunkType::RefsPage;
    const auto opener = std::lower_bound(job.openers.begin(), job.openers.end(), entry.id,
                                         [](const Opener& o, const ChunkId& id) { return o.id < id; });
    const bool known = opener != job.openers.end() && opener->id == entry.id;
    if (!is_refs && (!known || !contents())) {
      return Opened::NotTried;
    }
    if (std::uint64_t{entry.offset} + entry.shape.stored > bytes_.size()) {
      return Opened::Bad;
    }
    const ByteView stored = ByteView(bytes_).subspan(entry.offset, entry.shape.stored);
    const auto opened = is_refs ? format::open_refs_chunk(repository.keys().refs(), entry.id, repository.id(),
                                                          entry.shape, stored, decompressor_, plain_)
                                : format::open_chunk(*repository.keys().content(), opener->t, repository.id(),
                                                     entry.shape, stored, decompressor_, plain_);
    return opened ? Opened::Good : Opened::Bad;
  }

  /// The trailer decides; where the index says something else, whoever believes it finds nothing.
  Result<> hold_against_index(const PackJob& job, std::span<const PackEntry> entries) {
    std::vector<ChunkId> wrong;
    std::vector<ChunkId> held;
    for (const PackEntry& entry : entries) {
      FIRN_LET(const auto locations, shared_.index.find(entry.id));
      const bool right = std::any_of(locations.begin(), locations.end(), [&](const index::Location& l) {
        return l.pack == job.row.name && l.offset == entry.offset && l.shape == entry.shape;
      });
      if (!right) {
        wrong.push_back(entry.id);
      }
      held.push_back(entry.id);
    }
    std::sort(held.begin(), held.end());
    for (const Opener& opener : job.openers) {
      if (!std::binary_search(held.begin(), held.end(), opener.id)) {
        wrong.push_back(opener.id);
      }
    }
    if (wrong.empty() && job.row.entries == entries.size()) {
      return {};
    }
    shared_.index_disagrees = true;
    const std::size_t count = std::max<std::size_t>(
        wrong.size(), static_cast<std::size_t>(std::abs(static_cast<std::int64_t>(job.row.entries) -
                                                        static_cast<std::int64_t>(entries.size()))));
    return blame(shared_, job.row, wrong,
                 "the index disagrees with the pack about " + std::to_string(count) +
                     " chunks: run 'firn repair index'");
  }

  Reading& shared_;
  Bytes bytes_;
  Bytes plain_;
  format::Decompressor decompressor_;
};

Result<> judge_vanished(Reading& shared, const std::function<Result<>()>& sync) {
  const std::vector<PackJob> vanished = std::exchange(*shared.vanished.lock(), {});
  if (vanished.empty()) {
    return {};
  }
  FIRN_LET(const std::set<PackName> condemned, condemned_now(shared.index, sync));
  for (const PackJob& job : vanished) {
    FIRN_LET(const bool listed, shared.index.contains_pack(job.row.name));
    if (!listed || condemned.contains(job.row.name)) {
      continue;
    }
    std::vector<ChunkId> lost;
    for (const Opener& opener : job.openers) {
      lost.push_back(opener.id);
    }
    FIRN_TRY(blame(shared, job.row, lost, "vanished while it was checked"));
  }
  return {};
}

}  // namespace

Result<PacksRead> read_packs(const Repository& repository, index::ChunkIndex& index, PackLists& lists,
                             base::RecordSorter& wanted, const ReadPacksOptions& options,
                             const std::function<Result<>()>& sync, const base::StopFlag& stop,
                             CheckProgress& progress, CheckFindings& findings) {
  base::Executor& executor = repository.services().executor;
  // Each task holds one pack and one chunk; for a store behind a network more of them are worth it than there
  // are processors.
  const format::Parameters& parameters = repository.config().parameters;
  const std::uint64_t each =
      parameters.pack_size + std::max(parameters.chunk_max, 2 * parameters.bundle_size);
  const std::uint64_t useful =
      std::max<std::uint64_t>(executor.cpu_count(), repository.store().parallel_requests());
  const std::uint64_t tasks = std::clamp<std::uint64_t>(options.memory_bytes / each, 1, useful);
  Reading shared{.repository = repository,
                 .index = index,
                 .lists = lists,
                 .stop = stop,
                 .progress = progress,
                 .findings = findings,
                 .queue = base::BoundedQueue<PackJob>(executor, tasks)};
  base::TaskGroup group(executor, [&] { shared.queue.abort(); });
  for (std::uint64_t i = 0; i < tasks; ++i) {
    group.spawn("check", [&] { return PackTask(shared).run(); });
  }
  Choice choice(options.subset, lists.existing_bytes, repository.services().rng);
  RowReader rows(*lists.existing);
  OpenerReader openers(wanted);
  auto fed = [&]() -> Result<> {
    while (true) {
      FIRN_TRY(rows.advance());
      if (!rows.row()) {
        return {};
      }
      FIRN_LET(auto its_openers, openers.of(rows.row()->name));
      if (!choice.chosen(rows.row()->name)) {
        continue;
      }
      progress.packs_total += 1;
      if (!shared.queue.push({.row = *rows.row(), .openers = std::move(its_openers)})) {
        return {};
      }
    }
  }();
  if (fed) {
    shared.queue.close();
  } else {
    shared.queue.abort();
  }
  auto joined = group.join();
  FIRN_TRY(std::move(fed));
  FIRN_TRY(std::move(joined));
  FIRN_TRY(judge_vanished(shared, sync));
  if (const SomePacks damaged = *shared.damaged_condemned.lock(); damaged.count > 0) {
    findings.tell(Finding::Kind::Leftover,
                  std::to_string(damaged.count) + (damaged.count == 1 ? " pack" : " packs") +
                      " damaged, and condemned: what is needed of it lies in others; " + damaged.first);
  }
  return PacksRead{.packs = shared.packs,
                   .chunks_opened = shared.chunks_opened,
                   .index_disagrees = shared.index_disagrees};
}

}  // namespace firn::repo
