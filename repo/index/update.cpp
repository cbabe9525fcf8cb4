// How changes of the local index are made: see update_state.h. A crash at any point leaves each object
// counted whole or not at all: until an object's own row is written, together with the uses of its listings,
// nothing of it is visible, and rows that an update left behind are completed or dropped by later ones.
#include <algorithm>
#include <utility>

#include "repo/base/check.h"
#include "repo/index/chunk_index.h"
#include "repo/index/update_state.h"

namespace firn::index {
namespace {

constexpr std::size_t kChunkIdBytes = 32;
// About what a new listing takes in memory until it is written.
constexpr std::size_t kListingBytes = 256;

}  // namespace

EntryRecord by_pack(ByteView key, ByteView payload) {
  FIRN_CHECK(key.size() == EntryRecord::kKeyBytes && payload.size() == EntryRecord::kPayloadBytes);
  EntryRecord record;
  const auto rest = std::ranges::copy(key.subspan(kChunkIdBytes), record.key.begin()).out;
  std::ranges::copy(key.first(kChunkIdBytes), rest);
  std::ranges::copy(payload, record.payload.begin());
  return record;
}

std::optional<EntryRow> parse_by_pack(const EntryRecord& record) {
  std::array<std::byte, EntryRecord::kKeyBytes> key;
  const ByteView turned = record.key;
  const std::size_t place_bytes = EntryRecord::kKeyBytes - kChunkIdBytes;
  const auto rest = std::ranges::copy(turned.subspan(place_bytes), key.begin()).out;
  std::ranges::copy(turned.first(place_bytes), rest);
  return parse_entry(key, record.payload);
}

Update::State::State(std::shared_ptr<ChunkIndex::State> index_state)
    : index(std::move(index_state)),
      turn(index->taken),
      target(index->current.lock()->generation),
      meta(index->meta) {}

Update::State::~State() {
  reader.reset();
  if (base) {
    target->discard();
  }
}

Result<> Update::State::usable() const { return failed ? Result<>(Failure(*failed)) : Result<>(); }

Result<> Update::State::note(Result<> result) {
  if (!result) {
    failed = result.error();
  }
  return index->watch(std::move(result));
}

Result<kv::ReadTxn*> Update::State::read() {
  if (!reader) {
    FIRN_LET(reader, target->environment().begin_read());
  }
  return reader.get();
}

Result<> Update::State::begin_object(const format::IndexName& name) {
  FIRN_LET(kv::ReadTxn* const txn, read());
  FIRN_LET(const auto row, get_row(*txn, Table::Objects, object_key(name)));
  const bool pending = std::ranges::any_of(objects, [&](const Object& o) { return o.name == name; });
  passing_over = row || pending;
  object = Object{name, {}};
  return {};
}

Result<> Update::State::add_pack(const format::IndexedPack& pack) {
  FIRN_CHECK(object);
  if (passing_over) {
    return {};
  }
  const ListingKey key = listing_key(pack.name, listing_digest(pack));
  const auto pending = listings.find(key);
  if (pending != listings.end()) {
    object->listings.push_back(pending->second.first);
    return {};
  }
  FIRN_TRY(add_listing(key, pack));
  return is_due() ? flush() : Result<>();
}

/// A listing that no table of pending ones has: found in the target, or taken in with its entries.
Result<> Update::State::add_listing(const ListingKey& key, const format::IndexedPack& pack) {
  FIRN_LET(kv::ReadTxn* const txn, read());
  FIRN_LET(std::optional<ListingNumber> number, get_listing(*txn, key));
  if (number) {
    FIRN_LET(const PackRow known, get_pack(*txn, *number));
    if (known.flags.complete) {
      object->listings.push_back(*number);
      return {};
    }
    // An update that did not end left it behind; it may lack entries.
  } else {
    if (meta.listings_used == kListingsMax) {
      return fail(ErrorCode::Exhausted, "the local index has used up its numbers; it must be made anew");
    }
    number = ListingNumber{meta.listings_used++};
  }
  FIRN_LET(const PackFlags marked, get_mark(*txn, pack.name));
  PackRow row;
  row.pack = pack.name;
  std::ranges::copy(std::span(key).subspan(kPackKeyBytes), row.digest.begin());
  row.size_bytes = pack.size_bytes;
  row.entries = static_cast<std::uint32_t>(pack.entries.size());
  row.flags = marked;
  row.flags.complete = false;
  for (const format::PackEntry& entry : pack.entries) {
    row.stored_bytes += entry.shape.stored;
    if (!marked.gone) {
      entries.push_back(encode(*number, entry));
    }
  }
  listings.emplace(key, std::pair(*number, row));
  object->listings.push_back(*number);
  return {};
}

Result<> Update::State::end_object() {
  FIRN_CHECK(object);
  Object ended = *std::exchange(object, std::nullopt);
  if (passing_over) {
    return {};
  }
  std::ranges::sort(ended.listings);
  ended.listings.erase(std::unique(ended.listings.begin(), ended.listings.end()), ended.listings.end());
  objects.push_back(std::move(ended));
  return {};
}

Result<> Update::State::mark(const format::PackName& pack, const PackFlags& flags) {
  FIRN_LET(kv::ReadTxn* const txn, read());
  FIRN_LET(const PackFlags marked, get_mark(*txn, pack));
  if ((flags.condemned && !marked.condemned) || (flags.gone && !marked.gone)) {
    marks.emplace_back(pack, flags);
  }
  return marks.size() * kListingBytes > index->batch_bytes_max() ? flush() : Result<>();
}

Result<> Update::State::forget(const format::IndexName& name) {
  forgotten.push_back(name);
  return {};
}

bool Update::State::is_due() const {
  return entries.size() * sizeof(EntryRecord) + listings.size() * kListingBytes > index->batch_bytes_max();
}

/// In place, a row costs up to a page and a share of a commit; a copy of the whole costs its size once, and
/// some commits of its own.
Result<bool> Update::State::wants_generation() {
  constexpr std::uint64_t kEntriesMin = 1 << 14;
  const std::uint64_t incoming = entries_in_place + entries.size();
  if (base || entries.empty() || incoming < kEntriesMin) {
    return false;
  }
  FIRN_LET(kv::ReadTxn* const txn, read());
  FIRN_LET(const std::uint64_t rows, txn->count(table_id(Table::Chunks)));
  return incoming > (rows - std::min(rows, entries_in_place)) / 4;
}

Batch Update::State::make_batch() {
  return Batch(*target, meta, index->changes_max(), [this] {
    if (!base) {
      index->meta = meta;
      index->filter_saved = false;
      index->publish();
    }
  });
}

/// Writes everything that was taken in but what is to be forgotten.
Result<> Update::State::flush() {
  FIRN_LET(const bool grown, wants_generation());
  if (grown) {
    FIRN_TRY(begin_generation());
  }
  reader.reset();
  Batch batch = make_batch();
  FIRN_TRY(write_listings(batch));
  FIRN_TRY(write_entries(batch));
  FIRN_TRY(write_marks(batch));
  FIRN_TRY(write_objects(batch));
  return batch.commit();
}

Result<> Update::State::write_listings(Batch& batch) {
  for (const auto& [key, listing] : listings) {
    const auto& [number, row] = listing;
    FIRN_TRY(batch.put(Table::Packs, number_key(number), encode(row)));
    FIRN_TRY(batch.put(Table::Listings, key, to_bytes(number_key(number))));
    FIRN_TRY(batch.step());
  }
  listings.clear();
  return {};
}

Result<> Update::State::write_entries(Batch& batch) {
  if (base) {
    for (const EntryRecord& entry : entries) {
      FIRN_TRY(sorter->add(entry.bytes()));
    }
  } else {
    std::sort(entries.begin(), entries.end());
    const std::shared_ptr<ChunkFilter> filter = index->filter();
    for (const EntryRecord& entry : entries) {
      FIRN_TRY(batch.put(Table::Chunks, entry.key, to_bytes(entry.payload)));
      format::ChunkId id;
      std::ranges::copy(std::span(entry.key).first(kChunkIdBytes), id.bytes.begin());
      filter->add(id);
      FIRN_TRY(batch.step());
    }
    entries_in_place += entries.size();
  }
  entries.clear();
  return {};
}

Result<> Update::State::write_marks(Batch& batch) {
  for (const auto& [pack, flags] : marks) {
    FIRN_LET(kv::WriteTxn* const txn, batch.txn());
    FIRN_LET(PackFlags marked, get_mark(*txn, pack));
    marked.condemned |= flags.condemned;
    marked.gone |= flags.gone;
    FIRN_TRY(batch.put(Table::Marks, pack_key(pack), Bytes{static_cast<std::byte>(encode(marked))}));
    std::vector<ListingNumber> numbers;
    FIRN_TRY(for_each_listing(*txn, pack, [&](ListingNumber number) -> Result<bool> {
      numbers.push_back(number);
      return true;
    }));
    for (const ListingNumber number : numbers) {
      FIRN_LET(PackRow row, get_pack(*txn, number));
      row.flags.condemned = marked.condemned;
      row.flags.gone = marked.gone;
      FIRN_TRY(batch.put(Table::Packs, number_key(number), encode(row)));
    }
    FIRN_TRY(batch.step());
  }
  marks.clear();
  return {};
}

Result<> Update::State::write_objects(Batch& batch) {
  for (const Object& ended : objects) {
    FIRN_LET(kv::WriteTxn* const txn, batch.txn());
    for (const ListingNumber number : ended.listings) {
      FIRN_LET(PackRow row, get_pack(*txn, number));
      row.uses += 1;
      row.flags.complete = true;
      FIRN_TRY(batch.put(Table::Packs, number_key(number), encode(row)));
    }
    FIRN_TRY(batch.put(Table::Objects, object_key(ended.name), encode(ended.listings)));
    FIRN_TRY(batch.step());
  }
  objects.clear();
  return {};
}

Result<> Update::State::write_forgotten(Batch& batch) {
  for (const format::IndexName& name : forgotten) {
    FIRN_LET(kv::WriteTxn* const txn, batch.txn());
    FIRN_LET(const std::optional<ByteView> payload, get_row(*txn, Table::Objects, object_key(name)));
    if (!payload) {
      continue;
    }
    const auto numbers = parse_listings(*payload);
    if (!numbers) {
      return fail_damaged("an object's row is wrong");
    }
    for (const ListingNumber number : *numbers) {
      FIRN_LET(PackRow row, get_pack(*txn, number));
      if (row.uses == 0) {
        return fail_damaged("a pack that nobody uses");
      }
      row.uses -= 1;
      FIRN_TRY(batch.put(Table::Packs, number_key(number), encode(row)));
    }
    FIRN_TRY(batch.erase(Table::Objects, object_key(name)));
    FIRN_TRY(batch.step());
  }
  forgotten.clear();
  return {};
}

Result<> Update::State::begin_generation() {
  FIRN_CHECK(!base);
  reader.reset();
  FIRN_LET(const std::uint32_t number, index->unused_number());
  FIRN_LET(std::shared_ptr<Generation> fresh,
           Generation::open(index->kv, number, index->environment_options(false)));
  base = std::exchange(target, std::move(fresh));
  sorter =
      std::make_unique<base::RecordSorter>(index->scratch, sizeof(EntryRecord), index->sorter_bytes_max());
  meta.sum = 0;
  return copy_tables();
}

/// All rows but entries, and but listings that no object uses or is about to use.
Result<> Update::State::copy_tables() {
  ListingSet kept(meta.listings_used);
  for (const Object& ended : objects) {
    std::ranges::for_each(ended.listings, [&](ListingNumber number) { kept.insert(number); });
  }
  if (object) {
    std::ranges::for_each(object->listings, [&](ListingNumber number) { kept.insert(number); });
  }
  FIRN_LET(const std::unique_ptr<kv::ReadTxn> from, base->environment().begin_read());
  Batch batch = make_batch();
  const RowVisitor copy_pack = [&](ByteView key, const CheckedRow& row) -> Result<bool> {
    const auto number = parse_number(key);
    const auto pack = parse_pack(row.payload);
    if (!number || !pack) {
      return fail_damaged("a pack's row is wrong");
    }
    if (pack->uses > 0) {
      kept.insert(*number);
    }
    if (kept.contains(*number)) {
      FIRN_TRY(batch.append(Table::Packs, key, row.payload));
      FIRN_TRY(batch.step());
    }
    return true;
  };
  const RowVisitor copy_listing = [&](ByteView key, const CheckedRow& row) -> Result<bool> {
    const auto number = parse_number(row.payload);
    if (!number) {
      return fail_damaged("a listing's row is wrong");
    }
    if (kept.contains(*number)) {
      FIRN_TRY(batch.append(Table::Listings, key, row.payload));
      FIRN_TRY(batch.step());
    }
    return true;
  };
  FIRN_TRY(scan_rows(*from, Table::Packs, {}, copy_pack));
  FIRN_TRY(scan_rows(*from, Table::Listings, {}, copy_listing));
  for (const Table table : {Table::Objects, Table::Marks}) {
    const RowVisitor copy = [&](ByteView key, const CheckedRow& row) -> Result<bool> {
      FIRN_TRY(batch.append(table, key, row.payload));
      FIRN_TRY(batch.step());
      return true;
    };
    FIRN_TRY(scan_rows(*from, table, {}, copy));
  }
  return batch.commit();
}

Result<> Update::State::commit() {
  object.reset();
  FIRN_TRY(flush());
  Batch batch = make_batch();
  FIRN_TRY(write_forgotten(batch));
  FIRN_TRY(batch.commit());
  return base ? finish_generation() : index->grow_filter();
}

/// Entries in order, everything durable, then the switch.
Result<> Update::State::finish_generation() {
  FIRN_LET(std::shared_ptr<ChunkFilter> filter, merge_entries());
  FIRN_TRY(target->environment().sync());
  FIRN_TRY(target->reopen(index->environment_options(true)));
  FIRN_TRY(index->switch_to(target, meta, std::move(filter)));
  sorter.reset();
  base.reset();
  return {};
}

/// The entries of the base and of the sorter that look-ups may see, appended to the target.
Result<std::shared_ptr<ChunkFilter>> Update::State::merge_entries() {
  ListingSet visible(meta.listings_used);
  {
    FIRN_LET(const std::unique_ptr<kv::ReadTxn> txn, target->environment().begin_read());
    FIRN_TRY(scan_rows(*txn, Table::Packs, {}, [&](ByteView key, const CheckedRow& row) -> Result<bool> {
      const auto number = parse_number(key);
      const auto pack = parse_pack(row.payload);
      if (!number || !pack) {
        return fail_damaged("a pack's row is wrong");
      }
      if (pack->visible()) {
        visible.insert(*number);
      }
      return true;
    }));
  }
  FIRN_LET(const std::unique_ptr<kv::ReadTxn> from, base->environment().begin_read());
  FIRN_LET(const std::uint64_t base_rows, from->count(table_id(Table::Chunks)));
  auto filter = std::make_shared<ChunkFilter>(
      ChunkFilter::size_for((base_rows + sorter->count()) * 2, index->filter_bytes_max()));
  FIRN_TRY(sorter->finish());

  // Appending dirties only the last pages of the tree, so a transaction takes many more rows than elsewhere.
  Batch batch(*target, meta, index->batch_bytes_max() / (2 * sizeof(EntryRecord)), {});
  std::optional<EntryRecord> last;
  const auto write = [&](const EntryRecord& record) -> Result<> {
    const auto entry = parse_entry(record.key, record.payload);
    if (!entry) {
      return fail(ErrorCode::Corrupt, "scratch space gave back other bytes than it took");
    }
    // The same listing may have come twice; its entries are equal.
    if (!visible.contains(entry->listing) || (last && last->key == record.key)) {
      return {};
    }
    last = record;
    filter->add(entry->entry.id);
    FIRN_TRY(batch.append(Table::Chunks, record.key, record.payload));
    return batch.step();
  };
  std::optional<EntryRecord> incoming;
  const auto take_incoming = [&]() -> Result<> {
    FIRN_LET(const ByteView record, sorter->next());
    incoming = record.empty() ? std::nullopt : std::optional(EntryRecord::from(record));
    return {};
  };
  const auto write_before = [&](const EntryRecord* limit) -> Result<> {
    while (incoming && (limit == nullptr || *incoming < *limit)) {
      FIRN_TRY(write(*incoming));
      FIRN_TRY(take_incoming());
    }
    return {};
  };
  FIRN_TRY(take_incoming());
  const RowVisitor merge = [&](ByteView key, const CheckedRow& row) -> Result<bool> {
    if (!parse_entry(key, row.payload)) {
      return fail_damaged("an entry's row is wrong");
    }
    EntryRecord kept;
    std::ranges::copy(key, kept.key.begin());
    std::ranges::copy(row.payload, kept.payload.begin());
    FIRN_TRY(write_before(&kept));
    FIRN_TRY(write(kept));
    return true;
  };
  FIRN_TRY(scan_rows(*from, Table::Chunks, {}, merge));
  FIRN_TRY(write_before(nullptr));
  FIRN_TRY(batch.commit());
  return filter;
}

Update::Update(std::unique_ptr<State> state) : state_(std::move(state)) {}
Update::~Update() = default;

Result<> Update::begin_object(const format::IndexName& name) {
  FIRN_TRY(state_->usable());
  return state_->note(state_->begin_object(name));
}

Result<> Update::add_pack(const format::IndexedPack& pack) {
  FIRN_TRY(state_->usable());
  return state_->note(state_->add_pack(pack));
}

Result<> Update::end_object() {
  FIRN_TRY(state_->usable());
  return state_->note(state_->end_object());
}

Result<> Update::add_object(const format::IndexName& name, format::IndexReader& reader) {
  FIRN_TRY(begin_object(name));
  format::IndexedPack pack;
  while (true) {
    auto more = reader.next(pack);
    if (!more) {
      state_->object.reset();
      return Failure(std::move(more).error());
    }
    if (!*more) {
      return end_object();
    }
    FIRN_TRY(add_pack(pack));
  }
}

Result<> Update::add_object(const format::IndexName& name, std::span<const format::IndexedPack> packs) {
  FIRN_TRY(begin_object(name));
  for (const format::IndexedPack& pack : packs) {
    FIRN_TRY(add_pack(pack));
  }
  return end_object();
}

Result<> Update::forget_object(const format::IndexName& name) {
  FIRN_TRY(state_->usable());
  return state_->note(state_->forget(name));
}

Result<> Update::condemn(const format::PackName& pack) {
  FIRN_TRY(state_->usable());
  return state_->note(state_->mark(pack, {.condemned = true}));
}

Result<> Update::mark_gone(const format::PackName& pack) {
  FIRN_TRY(state_->usable());
  return state_->note(state_->mark(pack, {.gone = true}));
}

Result<> Update::commit() {
  FIRN_TRY(state_->usable());
  return state_->note(state_->commit());
}

}  // namespace firn::index
