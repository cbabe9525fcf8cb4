#include "repo/index/chunk_index.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "repo/base/check.h"
#include "repo/base/codec.h"
#include "repo/base/record_sorter.h"
#include "repo/index/chunk_index_state.h"
#include "repo/index/update_state.h"

namespace firn::index {
namespace {

constexpr std::string_view kCurrentFile = "index-current";
constexpr std::string_view kFilterFile = "index-filter";
constexpr std::string_view kCurrentMagic = "firn-index-1 ";
constexpr std::size_t kCurrentBytesMax = 64;
constexpr std::uint64_t kFilterMagic = 0x316c69666e726966;
constexpr std::size_t kFilterHeaderBytes = 8 + 4 + 8 + 8 + 8 + 8;
constexpr std::size_t kFilterCheckBytes = 8;
constexpr std::size_t kIdleReadersMax = 64;
// Reading so many rows takes a few milliseconds; a filter file costs its fsync.
constexpr std::uint64_t kRowsForFilterFile = 1 << 14;
constexpr std::size_t kMemoryBytesMin = 1 << 20;

std::optional<std::uint32_t> parse_current(ByteView bytes) {
  std::string_view text = as_text(bytes);
  if (!text.starts_with(kCurrentMagic)) {
    return std::nullopt;
  }
  return Generation::parse_name(text.substr(kCurrentMagic.size()));
}

std::uint64_t hash_of(ByteView bytes) { return ::XXH3_64bits(bytes.data(), bytes.size()); }

Location location_of(const PackRow& pack, const format::PackEntry& entry) {
  return {pack.pack, pack.flags.condemned ? PackState::Condemned : PackState::Live, pack.size_bytes,
          entry.offset, entry.shape};
}

PackSummary summary_of(const PackRow& row) {
  return {row.pack, row.flags.condemned ? PackState::Condemned : PackState::Live, row.size_bytes, row.entries,
          row.stored_bytes};
}

/// Visits the entries of a chunk with the rows of their packs, seen by look-ups or not.
Result<> for_each_copy(kv::ReadTxn& txn, const format::ChunkId& chunk,
                       const std::function<bool(const PackRow&, const format::PackEntry&)>& visit) {
  return scan_rows(txn, Table::Chunks, chunk.bytes, [&](ByteView key, const CheckedRow& row) -> Result<bool> {
    const auto entry = parse_entry(key, row.payload);
    if (!entry) {
      return fail_damaged("an entry's row is wrong");
    }
    if (entry->entry.id != chunk) {
      return false;
    }
    FIRN_LET(const PackRow pack, get_pack(txn, entry->listing));
    return visit(pack, entry->entry);
  });
}

}  // namespace

ChunkIndex::State::~State() {
  if (damaged.load()) {
    static_cast<void>(kv.remove_file(kCurrentFile));
  }
}

Result<> ChunkIndex::State::load() {
  FIRN_LET(const bool loaded, try_load());
  if (!loaded) {
    return begin_empty();
  }
  return remove_others();
}

/// False when there is nothing that can be trusted.
Result<bool> ChunkIndex::State::try_load() {
  const auto unusable = [](const Error& error) {
    return error.code == ErrorCode::NotFound || error.code == ErrorCode::Corrupt;
  };
  const auto bytes = kv.read_file(kCurrentFile, kCurrentBytesMax);
  if (!bytes) {
    return unusable(bytes.error()) ? Result<bool>(false) : Failure(bytes.error());
  }
  const auto number = parse_current(*bytes);
  FIRN_LET(const std::vector<std::string> names, kv.names());
  if (!number || std::ranges::find(names, Generation::name(*number)) == names.end()) {
    return false;
  }
  auto opened = Generation::open(kv, *number, environment_options(true));
  if (!opened) {
    return unusable(opened.error()) ? Result<bool>(false) : Failure(opened.error());
  }
  Generation& generation = **opened;
  {
    FIRN_LET(const std::unique_ptr<kv::ReadTxn> txn, generation.environment().begin_read());
    const auto found = get_meta(*txn);
    if (!found || found->repository != repository) {
      return false;
    }
    meta = *found;
  }
  std::shared_ptr<ChunkFilter> filter;
  if (generation.environment().unchanged_since_close()) {
    FIRN_LET(filter, load_filter(generation));
  }
  filter_saved = filter != nullptr;
  if (!filter) {
    auto read = read_all(generation, meta);
    if (!read) {
      return unusable(read.error()) ? Result<bool>(false) : Failure(read.error());
    }
    filter = *std::move(read);
  }
  auto now = current.lock();
  now->generation = *std::move(opened);
  now->filter = std::move(filter);
  return true;
}

/// Nothing when there is no filter file of exactly this state.
Result<std::shared_ptr<ChunkFilter>> ChunkIndex::State::load_filter(const Generation& generation) {
  const auto file = kv.read_file(kFilterFile, kFilterHeaderBytes + filter_bytes_max() + kFilterCheckBytes);
  if (!file || file->size() < kFilterHeaderBytes + kFilterCheckBytes) {
    return nullptr;
  }
  const ByteView checked = ByteView(*file).first(file->size() - kFilterCheckBytes);
  base::Reader in(*file);
  const bool same = in.u64() == kFilterMagic && in.u32() == generation.number() && in.u64() == meta.commits &&
                    in.u64() == meta.sum;
  const std::uint64_t keys = in.u64();
  const std::uint64_t size_bytes = in.u64();
  if (!same || checked.size() != kFilterHeaderBytes + size_bytes || !std::has_single_bit(size_bytes) ||
      size_bytes < ChunkFilter::kBlockBytes ||
      base::load_little<std::uint64_t>(file->data() + checked.size()) != hash_of(checked)) {
    return nullptr;
  }
  auto filter = std::make_shared<ChunkFilter>(size_bytes);
  filter->load(checked.subspan(kFilterHeaderBytes), keys);
  return filter;
}

/// Reads and checks every row, and makes the filter. Errors: Corrupt.
Result<std::shared_ptr<ChunkFilter>> ChunkIndex::State::read_all(Generation& generation,
                                                                 const MetaRow& wanted) {
  FIRN_LET(const std::unique_ptr<kv::ReadTxn> txn, generation.environment().begin_read());
  FIRN_LET(const std::uint64_t rows, txn->count(table_id(Table::Chunks)));
  auto filter = std::make_shared<ChunkFilter>(ChunkFilter::size_for(rows * 2, filter_bytes_max()));
  std::uint64_t sum = 0;
  for (const Table table : kRowTables) {
    FIRN_TRY(scan_rows(*txn, table, {}, [&](ByteView key, const CheckedRow& row) -> Result<bool> {
      sum += row.hash;
      if (table == Table::Chunks) {
        const auto entry = parse_entry(key, row.payload);
        if (!entry) {
          return fail_damaged("an entry's row is wrong");
        }
        filter->add(entry->entry.id);
      }
      return true;
    }));
  }
  if (sum != wanted.sum) {
    return fail_damaged("rows are missing or old");
  }
  return filter;
}

Result<std::uint32_t> ChunkIndex::State::unused_number() {
  FIRN_LET(const std::vector<std::string> names, kv.names());
  std::uint32_t highest = 0;
  for (const std::string& name : names) {
    highest = std::max(highest, Generation::parse_name(name).value_or(0));
  }
  if (highest == UINT32_MAX) {
    // Nobody counts so far: the name is not ours.
    FIRN_TRY(kv.remove(Generation::name(highest)));
    return unused_number();
  }
  return highest + 1;
}

Result<> ChunkIndex::State::begin_empty() {
  // First, because they may be what fills the disk.
  FIRN_TRY(remove_others());
  FIRN_LET(const std::uint32_t number, unused_number());
  FIRN_LET(std::shared_ptr<Generation> generation, Generation::open(kv, number, environment_options(true)));
  MetaRow empty;
  empty.repository = repository;
  {
    FIRN_LET(const std::unique_ptr<kv::WriteTxn> txn, generation->environment().begin_write());
    Bytes payload = encode(empty);
    append_check(payload, row_hash(Table::Meta, meta_key(), payload));
    FIRN_TRY(txn->put(table_id(Table::Meta), meta_key(), payload));
    FIRN_TRY(txn->commit());
  }
  auto filter = std::make_shared<ChunkFilter>(ChunkFilter::size_for(0, filter_bytes_max()));
  FIRN_TRY(switch_to(std::move(generation), empty, std::move(filter)));
  damaged.store(false);
  return {};
}

/// Removes the generations that are not in use.
Result<> ChunkIndex::State::remove_others() {
  const std::shared_ptr<Generation> used = current.lock()->generation;
  FIRN_LET(const std::vector<std::string> names, kv.names());
  for (const std::string& name : names) {
    const auto number = Generation::parse_name(name);
    if (number && !(used && used->number() == *number)) {
      // One that readers still hold goes with the last of them; another one is tried again at the next
      // open().
      static_cast<void>(kv.remove(name));
    }
  }
  return {};
}

Result<> ChunkIndex::State::switch_to(std::shared_ptr<Generation> next, const MetaRow& next_meta,
                                      std::shared_ptr<ChunkFilter> next_filter) {
  const std::string text = std::string(kCurrentMagic) + Generation::name(next->number());
  FIRN_TRY(kv.write_file(kCurrentFile, as_bytes(text)));
  meta = next_meta;
  filter_saved = false;
  std::vector<Reader> idle;
  std::shared_ptr<Generation> old;
  {
    auto now = current.lock();
    old = std::exchange(now->generation, std::move(next));
    now->filter = std::move(next_filter);
    now->version += 1;
    idle.swap(now->idle);
  }
  if (old) {
    old->discard();
  }
  return {};
}

Result<Reader> ChunkIndex::State::take_reader() {
  Reader reader;
  {
    auto now = current.lock();
    if (!now->idle.empty()) {
      reader = std::move(now->idle.back());
      now->idle.pop_back();
      return reader;
    }
    reader.generation = now->generation;
    reader.version = now->version;
  }
  FIRN_LET(reader.txn, reader.generation->environment().begin_read());
  return reader;
}

void ChunkIndex::State::give_back(Reader reader) {
  auto now = current.lock();
  if (reader.version == now->version && now->idle.size() < kIdleReadersMax) {
    now->idle.push_back(std::move(reader));
  }
}

std::shared_ptr<ChunkFilter> ChunkIndex::State::filter() { return current.lock()->filter; }

void ChunkIndex::State::publish() {
  std::vector<Reader> idle;
  auto now = current.lock();
  now->version += 1;
  idle.swap(now->idle);
}

Result<> ChunkIndex::State::grow_filter() {
  const std::shared_ptr<ChunkFilter> old = filter();
  if (!old->is_crowded() || old->size_bytes() * 2 > filter_bytes_max()) {
    return {};
  }
  auto larger = std::make_shared<ChunkFilter>(ChunkFilter::size_for(old->keys() * 4, filter_bytes_max()));
  FIRN_LET(ReaderLease lease, ReaderLease::take(*this));
  FIRN_TRY(
      scan_rows(lease.txn(), Table::Chunks, {}, [&](ByteView key, const CheckedRow& row) -> Result<bool> {
        const auto entry = parse_entry(key, row.payload);
        if (!entry) {
          return fail_damaged("an entry's row is wrong");
        }
        larger->add(entry->entry.id);
        return true;
      }));
  current.lock()->filter = std::move(larger);
  return {};
}

Result<> ChunkIndex::State::save_filter() {
  const std::shared_ptr<ChunkFilter> kept = filter();
  if (filter_saved || damaged.load() || kept->keys() < kRowsForFilterFile) {
    return {};
  }
  Bytes file;
  file.reserve(kFilterHeaderBytes + kept->size_bytes() + kFilterCheckBytes);
  base::Writer out(file);
  out.u64(kFilterMagic);
  out.u32(current.lock()->generation->number());
  out.u64(meta.commits);
  out.u64(meta.sum);
  out.u64(kept->keys());
  out.u64(kept->size_bytes());
  file.resize(kFilterHeaderBytes + kept->size_bytes());
  kept->save(MutableBytes(file).subspan(kFilterHeaderBytes));
  out.u64(hash_of(file));
  FIRN_TRY(kv.write_file(kFilterFile, file));
  filter_saved = true;
  return {};
}

ChunkIndex::ChunkIndex(std::shared_ptr<State> state) : state_(std::move(state)) {}
ChunkIndex::~ChunkIndex() = default;

Result<std::unique_ptr<ChunkIndex>> ChunkIndex::open(base::Executor& executor, kv::LocalKv& kv,
                                                     base::Scratch& scratch,
                                                     const format::RepositoryId& repository,
                                                     const IndexOptions& options) {
  IndexOptions usable = options;
  usable.memory_bytes_max = std::max(usable.memory_bytes_max, kMemoryBytesMin);
  auto state = std::make_shared<State>(executor, kv, scratch, repository, usable);
  FIRN_TRY(in("local index", state->load()));
  return std::unique_ptr<ChunkIndex>(new ChunkIndex(std::move(state)));
}

Result<> ChunkIndex::close() {
  auto saved = [&] {
    const Turn turn(state_->taken);
    return state_->save_filter();
  }();
  state_.reset();
  return saved;
}

Result<bool> ChunkIndex::contains_live(const format::ChunkId& chunk) {
  if (!state_->filter()->may_contain(chunk)) {
    return false;
  }
  FIRN_LET(ReaderLease lease, ReaderLease::take(*state_));
  bool found = false;
  FIRN_TRY(
      state_->watch(for_each_copy(lease.txn(), chunk, [&](const PackRow& pack, const format::PackEntry&) {
        found = pack.visible() && !pack.flags.condemned;
        return !found;
      })));
  return found;
}

Result<std::vector<Location>> ChunkIndex::find(const format::ChunkId& chunk) {
  std::vector<Location> locations;
  if (!state_->filter()->may_contain(chunk)) {
    return locations;
  }
  FIRN_LET(ReaderLease lease, ReaderLease::take(*state_));
  FIRN_TRY(state_->watch(
      for_each_copy(lease.txn(), chunk, [&](const PackRow& pack, const format::PackEntry& entry) {
        if (pack.visible()) {
          locations.push_back(location_of(pack, entry));
        }
        return true;
      })));
  std::stable_partition(locations.begin(), locations.end(),
                        [](const Location& l) { return l.state == PackState::Live; });
  return locations;
}

Result<bool> ChunkIndex::contains_pack(const format::PackName& pack) {
  FIRN_LET(ReaderLease lease, ReaderLease::take(*state_));
  bool found = false;
  FIRN_TRY(state_->watch(for_each_listing(lease.txn(), pack, [&](ListingNumber listing) -> Result<bool> {
    FIRN_LET(const PackRow row, get_pack(lease.txn(), listing));
    found = row.visible();
    return !found;
  })));
  return found;
}

Result<std::set<format::IndexName>> ChunkIndex::applied() {
  FIRN_LET(ReaderLease lease, ReaderLease::take(*state_));
  std::set<format::IndexName> names;
  FIRN_TRY(state_->watch(
      scan_rows(lease.txn(), Table::Objects, {}, [&](ByteView key, const CheckedRow&) -> Result<bool> {
        const auto name = parse_object_key(key);
        if (!name) {
          return fail_damaged("an object's row is wrong");
        }
        names.insert(names.end(), *name);
        return true;
      })));
  return names;
}

Result<std::unique_ptr<Update>> ChunkIndex::begin_update() {
  return std::unique_ptr<Update>(new Update(std::make_unique<Update::State>(state_)));
}

bool ChunkIndex::damaged() const { return state_->damaged.load(); }

Result<> ChunkIndex::clear() {
  const Turn turn(state_->taken);
  return state_->begin_empty();
}

Result<bool> ChunkIndex::wants_compaction() {
  constexpr std::uint64_t kDeadMin = 1 << 16;
  FIRN_LET(const IndexStatistics now, statistics());
  return now.entries_dead > std::max(kDeadMin, now.entries);
}

Result<> ChunkIndex::compact() {
  Update::State update(state_);
  FIRN_TRY(update.begin_generation());
  return update.commit();
}

Result<> ChunkIndex::for_each_pack(const std::function<bool(const PackSummary&)>& visit) {
  FIRN_LET(ReaderLease lease, ReaderLease::take(*state_));
  return state_->watch(
      scan_rows(lease.txn(), Table::Packs, {}, [&](ByteView, const CheckedRow& row) -> Result<bool> {
        const auto pack = parse_pack(row.payload);
        if (!pack) {
          return fail_damaged("a pack's row is wrong");
        }
        return !pack->visible() || visit(summary_of(*pack));
      }));
}

Result<> ChunkIndex::for_each_entry(
    const std::function<bool(const format::ChunkId&, const Location&)>& visit) {
  FIRN_LET(ReaderLease lease, ReaderLease::take(*state_));
  return state_->watch(
      scan_rows(lease.txn(), Table::Chunks, {}, [&](ByteView key, const CheckedRow& row) -> Result<bool> {
        const auto entry = parse_entry(key, row.payload);
        if (!entry) {
          return fail_damaged("an entry's row is wrong");
        }
        FIRN_LET(const PackRow pack, get_pack(lease.txn(), entry->listing));
        return !pack.visible() || visit(entry->entry.id, location_of(pack, entry->entry));
      }));
}

Result<> ChunkIndex::for_each_pack_with_entries(
    const std::function<bool(const PackSummary&, std::span<const format::PackEntry>)>& visit) {
  FIRN_LET(ReaderLease lease, ReaderLease::take(*state_));
  base::RecordSorter sorter(state_->scratch, sizeof(EntryRecord), state_->sorter_bytes_max());
  const RowVisitor turn_round = [&](ByteView key, const CheckedRow& row) -> Result<bool> {
    if (!parse_entry(key, row.payload)) {
      return fail_damaged("an entry's row is wrong");
    }
    FIRN_TRY(sorter.add(by_pack(key, row.payload).bytes()));
    return true;
  };
  FIRN_TRY(state_->watch(scan_rows(lease.txn(), Table::Chunks, {}, turn_round)));
  FIRN_TRY(sorter.finish());

  std::vector<format::PackEntry> entries;
  std::optional<ListingNumber> listing;
  bool wanted = true;
  const auto show = [&]() -> Result<> {
    FIRN_LET(const PackRow pack, state_->watch(get_pack(lease.txn(), *listing)));
    wanted = !pack.visible() || visit(summary_of(pack), entries);
    entries.clear();
    return {};
  };
  while (wanted) {
    FIRN_LET(const ByteView record, sorter.next());
    if (record.empty()) {
      break;
    }
    const auto entry = parse_by_pack(EntryRecord::from(record));
    if (!entry) {
      return fail(ErrorCode::Corrupt, "scratch space gave back other bytes than it took");
    }
    if (listing && *listing != entry->listing) {
      FIRN_TRY(show());
    }
    listing = entry->listing;
    entries.push_back(entry->entry);
  }
  return wanted && listing ? show() : Result<>();
}

Result<IndexStatistics> ChunkIndex::statistics() {
  FIRN_LET(ReaderLease lease, ReaderLease::take(*state_));
  IndexStatistics out;
  FIRN_LET(out.objects, lease.txn().count(table_id(Table::Objects)));
  FIRN_TRY(for_each_pack([&](const PackSummary& pack) {
    (pack.state == PackState::Live ? out.packs_live : out.packs_condemned) += 1;
    out.entries += pack.entries;
    out.stored_bytes += pack.stored_bytes;
    return true;
  }));
  FIRN_LET(const std::uint64_t rows, lease.txn().count(table_id(Table::Chunks)));
  out.entries_dead = rows - std::min(rows, out.entries);
  const std::shared_ptr<Generation> generation = state_->current.lock()->generation;
  FIRN_LET(out.size_bytes, generation->environment().size_bytes());
  out.filter_bytes = state_->filter()->size_bytes();
  return out;
}

}  // namespace firn::index
