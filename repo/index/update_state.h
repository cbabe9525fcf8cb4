// A change of the local index while it is being made. Private to repo/index.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "repo/base/record_sorter.h"
#include "repo/index/chunk_index_state.h"

namespace firn::index {

/// One bit for each listing.
class ListingSet {
 public:
  explicit ListingSet(std::uint32_t listings_max) : bits_(listings_max) {}
  void insert(ListingNumber listing) {
    if (listing.value < bits_.size()) {
      bits_[listing.value] = true;
    }
  }
  bool contains(ListingNumber listing) const { return listing.value < bits_.size() && bits_[listing.value]; }

 private:
  std::vector<bool> bits_;
};

/// Small changes go into the current generation: rows of new listings first, which nobody sees, then for each
/// object, in one transaction, its row and the uses of its listings. When much comes in, a new generation is
/// filled instead: the small tables as they come, the entries through a sorter at the end.
struct Update::State {
  /// Waits for the turn.
  explicit State(std::shared_ptr<ChunkIndex::State> index_state);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  Result<> begin_object(const format::IndexName& name);
  Result<> add_pack(const format::IndexedPack& pack);
  Result<> end_object();
  Result<> mark(const format::PackName& pack, const PackFlags& flags);
  Result<> forget(const format::IndexName& name);
  /// Goes on in a new generation, which begins as a copy of the current one without its entries.
  Result<> begin_generation();
  Result<> commit();

  /// Spoils the update with the first error, and gives it again later.
  Result<> note(Result<> result);
  Result<> usable() const;

  struct Object {
    format::IndexName name;
    std::vector<ListingNumber> listings;
  };

  std::shared_ptr<ChunkIndex::State> index;  // shared with ChunkIndex, which may be destroyed first
  Turn turn;
  std::shared_ptr<Generation> target;          // where rows go; shared as Reader::generation is
  std::shared_ptr<Generation> base;            // of a new generation: the one that it copies
  std::unique_ptr<base::RecordSorter> sorter;  // of a new generation
  MetaRow meta;                                // of the target
  std::unique_ptr<kv::ReadTxn> reader;         // of the target, until it is written to
  std::optional<Object> object;                // begun and not ended
  bool passing_over = false;                   // the object that was begun is applied already
  std::optional<Error> failed;

  // What was taken in and is in no table yet.
  std::vector<EntryRecord> entries;
  std::map<ListingKey, std::pair<ListingNumber, PackRow>> listings;
  std::vector<Object> objects;
  std::vector<std::pair<format::PackName, PackFlags>> marks;
  std::vector<format::IndexName> forgotten;
  std::uint64_t entries_in_place = 0;  // written into the current generation by this update

 private:
  Result<kv::ReadTxn*> read();
  Result<> add_listing(const ListingKey& key, const format::IndexedPack& pack);
  bool is_due() const;
  Result<bool> wants_generation();
  Result<> flush();
  Result<> write_listings(Batch& batch);
  Result<> write_entries(Batch& batch);
  Result<> write_marks(Batch& batch);
  Result<> write_objects(Batch& batch);
  Result<> write_forgotten(Batch& batch);
  Result<> copy_tables();
  Result<> finish_generation();
  Result<std::shared_ptr<ChunkFilter>> merge_entries();
  Batch make_batch();
};

/// An entry row as a record that sorts by listing and offset, and back.
EntryRecord by_pack(ByteView key, ByteView payload);
std::optional<EntryRow> parse_by_pack(const EntryRecord& record);

}  // namespace firn::index
