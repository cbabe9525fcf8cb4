#include "repo/pack_uploader.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "repo/base/check.h"
#include "repo/pack_trailer.h"

namespace firn::repo {
namespace {

using format::ChunkId;
using format::ChunkShape;
using format::IndexedPack;
using format::PackBuilder;
using format::PackKind;
using format::PackName;

constexpr std::size_t kIndexPacksDue = 64;
constexpr std::chrono::seconds kIndexAgeDue{60};
// Two open packs and one on its way: with less, an open pack could wait for itself.
constexpr std::uint64_t kSlotsMin = 3;
constexpr std::size_t kClaimShards = 64;
constexpr kv::TableId kJournalPacks{0};
constexpr std::string_view kJournalName = "journal";
constexpr std::uint64_t kJournalBytesMax = 64ULL << 20;

std::uint64_t slot_count(const UploaderOptions& options, std::uint32_t pack_size) {
  return std::max(kSlotsMin, options.memory_bytes / pack_size);
}

}  // namespace

bool PackUploader::OpenPack::fits(std::uint32_t stored_bytes) const {
  if (refs.empty()) {
    return builder->fits(stored_bytes);
  }
  // The waiting refs pages need their bytes and an entry each as well; a trailer grows by whole blocks, so
  // that so many entries may take one block more than their own bytes.
  const std::uint64_t waiting = refs_bytes + (refs.size() + 1) * std::uint64_t{format::kPackEntryBytes};
  const std::uint64_t needed =
      builder->size_bytes() + stored_bytes + waiting + std::uint64_t{2} * format::kPackTrailerBlockBytes;
  return builder->chunk_count() + refs.size() < format::kPackChunksMax && needed <= pack_size;
}

void PackUploader::OpenPack::append(const ChunkId& id, const ChunkShape& shape, ByteView stored) {
  if (shape.type == format::ChunkType::RefsPage) {
    refs.push_back({id, shape, to_bytes(stored)});
    refs_bytes += shape.stored;
  } else {
    builder->append(id, shape, stored);
  }
}

std::optional<PackUploader::ClosedPack> PackUploader::OpenPack::close(PackBuilder::Padding padding) {
  if (!builder) {
    return std::nullopt;
  }
  for (const StoredRefs& page : refs) {
    builder->append(page.id, page.shape, page.stored);
  }
  refs.clear();
  refs_bytes = 0;
  ClosedPack closed{*std::move(builder), padding, std::move(slot), 0};
  builder.reset();
  return closed;
}

Result<std::unique_ptr<PackUploader>> PackUploader::start(const Repository& repository,
                                                          index::ChunkIndex& index, kv::LocalKv& state,
                                                          const UploaderOptions& options) {
  const kv::EnvironmentOptions environment_options{.size_bytes_max = kJournalBytesMax, .durable = false};
  auto journal = state.open(kJournalName, environment_options);
  if (!journal && journal.error().code == ErrorCode::Corrupt) {
    FIRN_TRY(state.remove(kJournalName));
    journal = state.open(kJournalName, environment_options);
  }
  if (!journal) {
    return Failure(std::move(journal).error());
  }
  return std::unique_ptr<PackUploader>(new PackUploader(repository, index, *std::move(journal), options));
}

PackUploader::PackUploader(const Repository& repository, index::ChunkIndex& index,
                           std::unique_ptr<kv::Environment> journal, const UploaderOptions& options)
    : repository_(repository),
      index_(index),
      journal_(std::move(journal)),
      proof_(options.proof),
      session_(format::session_id(options.proof)),
      pack_size_(repository.config().parameters.pack_size),
      slots_(repository.services().executor, slot_count(options, pack_size_)),
      progress_(repository.services().executor),
      queue_(repository.services().executor, slot_count(options, pack_size_)),
      tasks_(repository.services().executor) {
  const auto uploads =
      std::min<std::uint64_t>(repository.store().parallel_requests(), slots_.total_bytes() - 1);
  for (std::size_t i = 0; i < kClaimShards; ++i) {
    claims_.push_back(std::make_unique<base::Monitor<ClaimShard>>(repository_.services().executor));
  }
  for (std::uint64_t i = 0; i < uploads; ++i) {
    tasks_.spawn("upload", [this] { return upload_task(); });
  }
}

PackUploader::~PackUploader() { stop(); }

void PackUploader::stop() {
  slots_.close();
  queue_.abort();
  static_cast<void>(tasks_.join());
  journal_.reset();  // the next session of this process opens it
}

// ---- claims

base::Monitor<PackUploader::ClaimShard>& PackUploader::shard(const ChunkId& id) {
  return *claims_[std::to_integer<std::size_t>(id.bytes[0]) % claims_.size()];
}

bool PackUploader::claim(const ChunkId& id) {
  auto claims = shard(id).lock();
  const bool first = claims->ids.emplace(id, claims->next).second;
  if (first) {
    claims->not_added.insert(claims->next);
    claims->next += 1;
  }
  return first;
}

bool PackUploader::claimed(const ChunkId& id) { return shard(id).lock()->ids.contains(id); }

void PackUploader::give_up(const ChunkId& id, const Error& why) {
  fail_with(why);
  settle_claim(id);
}

void PackUploader::settle_claim(const ChunkId& id) {
  auto claims = shard(id).lock();
  if (const auto claim = claims->ids.find(id); claim != claims->ids.end()) {
    claims->not_added.erase(claim->second);
  }
  if (claims->waiting > 0) {
    claims.notify();
  }
}

void PackUploader::drop_claim(const ChunkId& id) {
  settle_claim(id);
  shard(id).lock()->ids.erase(id);
}

void PackUploader::wait_for_claims() {
  for (const auto& shard : claims_) {
    auto claims = shard->lock();
    const std::uint64_t end = claims->next;
    claims->waiting += 1;
    claims.wait([&](const ClaimShard& c) { return c.not_added.empty() || *c.not_added.begin() >= end; });
    claims->waiting -= 1;
  }
}

// ---- work on its way

std::uint64_t PackUploader::begin_work() {
  auto progress = progress_.lock();
  progress->unfinished.insert(progress->next);
  return progress->next++;
}

void PackUploader::end_work(std::uint64_t number) {
  auto progress = progress_.lock();
  progress->unfinished.erase(number);
  progress.notify();
}

void PackUploader::wait_for_work() {
  auto progress = progress_.lock();
  const std::uint64_t end = progress->next;
  progress.wait([&](const Progress& p) { return p.unfinished.empty() || *p.unfinished.begin() >= end; });
}

/// Under the open pack's lock: whoever finds it closed must find it among the unfinished.
std::optional<PackUploader::ClosedPack> PackUploader::close(OpenPack& pack, PackBuilder::Padding padding) {
  std::optional<ClosedPack> closed = pack.close(padding);
  if (closed) {
    closed->number = begin_work();
  }
  return closed;
}

Result<> PackUploader::check_failed() {
  if (!failed_.load()) {
    return {};
  }
  return Failure(*progress_.lock()->error);
}

Result<> PackUploader::add(const ChunkId& id, const ChunkShape& shape, ByteView stored) {
  auto& open = format::is_meta(shape.type) ? open_meta_ : open_data_;
  base::ByteBudget::Lease slot;
  while (true) {
    FIRN_TRY(check_failed());
    std::optional<ClosedPack> full;
    {
      auto pack = open.lock();
      if (!pack->builder && slot.bytes() > 0) {
        const PackKind kind = format::is_meta(shape.type) ? PackKind::Meta : PackKind::Data;
        pack->builder.emplace(kind, repository_.id(), session_, pack_size_);
        pack->slot = std::exchange(slot, {});
        pack->pack_size = pack_size_;
      }
      if (pack->builder && pack->fits(shape.stored)) {
        pack->append(id, shape, stored);
        break;
      }
      full = close(*pack, PackBuilder::Padding::Full);
    }
    if (full) {
      enqueue(*std::move(full));
    }
    if (slot.bytes() == 0) {
      slot = slots_.acquire(1);
      if (slot.bytes() == 0 && !failed_.load()) {
        return fail(ErrorCode::Cancelled, "the session has ended");
      }
    }
  }
  settle_claim(id);
  return {};
}

void PackUploader::enqueue(ClosedPack pack) {
  const std::uint64_t number = pack.number;
  if (!queue_.push(std::move(pack))) {
    end_work(number);
  }
}

void PackUploader::fail_with(const Error& error) {
  {
    auto progress = progress_.lock();
    if (!progress->error) {
      progress->error = error;
    }
    failed_.store(true);
    progress.notify();
  }
  slots_.close();
}

Result<> PackUploader::upload_task() {
  while (auto pack = queue_.pop()) {
    const std::uint64_t number = pack->number;
    Result<> uploaded;
    if (!failed_.load()) {
      uploaded = upload(*pack);
    }
    pack.reset();
    if (!uploaded) {
      fail_with(uploaded.error());
    }
    end_work(number);
  }
  return {};
}

Result<> PackUploader::settle(const store::Outcome& outcome, std::string_view name) {
  if (outcome.unknown()) {
    uncertain_.store(true);
  }
  return in(name, outcome.as_result());
}

Result<> PackUploader::upload(ClosedPack& pack) {
  auto& rng = repository_.services().rng;
  const format::PackRandom random{.trailer_salt = rng.bytes<32>(), .padding_key = rng.bytes<32>()};
  format::FinishedPack finished =
      std::move(pack.builder).finish(pack.padding, repository_.keys().meta(), random);
  const auto name = format::object_name(finished.name);
  FIRN_TRY(settle(repository_.store().put(name, finished.bytes), name));
  uploaded_bytes_ += finished.bytes.size();
  journal_put(finished.name);
  {
    auto batch = batch_.lock();
    if (batch->packs.empty()) {
      batch->oldest = repository_.services().clock.steady();
    }
    batch->packs.push_back({.name = finished.name,
                            .size_bytes = static_cast<std::uint32_t>(finished.bytes.size()),
                            .entries = std::move(finished.trailer.entries)});
  }
  finished.bytes = Bytes();
  pack.slot.release();
  return put_index(false);
}

Result<> PackUploader::put_index(bool even_if_early) {
  format::IndexObject object{.proof = proof_, .level = 0, .replaces = {}, .packs = {}};
  format::IndexName name{.level = 0, .session = session_, .n = 0};
  std::uint64_t work = 0;
  {
    auto batch = batch_.lock();
    const bool old = repository_.services().clock.steady() - batch->oldest >= kIndexAgeDue;
    const bool due = batch->packs.size() >= kIndexPacksDue || old || even_if_early;
    if (batch->packs.empty() || !due) {
      return {};
    }
    object.packs = std::exchange(batch->packs, {});
    name.n = batch->next_n++;
    work = begin_work();
  }
  auto indexed = put_index_object(name, std::move(object));
  if (!indexed) {
    fail_with(indexed.error());
  }
  end_work(work);
  return indexed;
}

Result<> PackUploader::put_index_object(const format::IndexName& name, format::IndexObject object) {
  std::sort(object.packs.begin(), object.packs.end(),
            [](const IndexedPack& a, const IndexedPack& b) { return a.name < b.name; });
  const auto object_name = format::object_name(name);
  FIRN_LET(const Bytes body, format::encode(object));
  FIRN_TRY(settle(repository_.put_sealed(object_name, body), object_name));
  FIRN_LET(auto update, index_.begin_update());
  FIRN_LET(format::IndexReader reader, format::IndexReader::open(body));
  FIRN_TRY(update->add_object(name, reader));
  FIRN_TRY(update->commit());
  // From here on the local index answers for these chunks.
  std::vector<PackName> names;
  for (const IndexedPack& pack : object.packs) {
    names.push_back(pack.name);
    for (const format::PackEntry& entry : pack.entries) {
      drop_claim(entry.id);
    }
  }
  journal_erase(names);
  const std::function<void()> checkpoint = *checkpoint_.lock();
  if (checkpoint) {
    checkpoint();
  }
  return {};
}

Result<> PackUploader::wait_for_all() {
  wait_for_claims();
  for (auto* open : {&open_data_, &open_meta_}) {
    std::optional<ClosedPack> last;
    {
      auto pack = open->lock();
      last = close(*pack, PackBuilder::Padding::Last);
    }
    if (last) {
      enqueue(*std::move(last));
    }
  }
  wait_for_work();
  FIRN_TRY(check_failed());
  FIRN_TRY(put_index(true));
  // Other tasks may have taken the packs of some of these chunks into index objects that are on their way.
  wait_for_work();
  return check_failed();
}

void PackUploader::on_checkpoint(std::function<void()> callback) {
  *checkpoint_.lock() = std::move(callback);
}

void PackUploader::journal_put(const PackName& pack) {
  // Losing the journal only means uploading again, so its errors are nobody's problem.
  if (auto txn = journal_->begin_write()) {
    if ((*txn)->put(kJournalPacks, as_bytes(format::object_name(pack).str()), {})) {
      static_cast<void>((*txn)->commit());
    }
  }
}

void PackUploader::journal_erase(const std::vector<PackName>& packs) {
  if (auto txn = journal_->begin_write()) {
    for (const PackName& pack : packs) {
      static_cast<void>((*txn)->erase(kJournalPacks, as_bytes(format::object_name(pack).str())));
    }
    static_cast<void>((*txn)->commit());
  }
}

Result<> PackUploader::adopt_journal(const std::function<bool(const PackName&)>& is_condemned) {
  std::vector<PackName> names;
  {
    auto txn = journal_->begin_read();
    if (!txn) {
      return {};
    }
    static_cast<void>((*txn)->scan(kJournalPacks, {}, [&](ByteView key, ByteView) {
      if (const auto name = format::parse_name_as<PackName>(as_text(key))) {
        names.push_back(*name);
      }
      return true;
    }));
  }
  std::vector<PackName> dead;
  for (const PackName& name : names) {
    FIRN_LET(const bool known, index_.contains_pack(name));
    bool useless = known || is_condemned(name);
    if (!useless) {
      const auto size = repository_.store().head(format::object_name(name));
      const auto taken = size ? take_over(name, *size) : Result<>(Failure(size.error()));
      // A pack that cannot be read now is left alone: its chunks are stored again.
      useless =
          !taken && (taken.error().code == ErrorCode::NotFound || taken.error().code == ErrorCode::Corrupt);
    }
    if (useless) {
      dead.push_back(name);
    }
  }
  journal_erase(dead);
  return put_index(true);
}

Result<> PackUploader::take_over(const PackName& name, std::uint64_t size_bytes) {
  FIRN_LET(format::PackTrailer trailer, read_trailer(repository_, name, size_bytes));
  auto batch = batch_.lock();
  if (batch->packs.empty()) {
    batch->oldest = repository_.services().clock.steady();
  }
  batch->packs.push_back({.name = name,
                          .size_bytes = static_cast<std::uint32_t>(size_bytes),
                          .entries = std::move(trailer.entries)});
  adopted_packs_ += 1;
  return {};
}

}  // namespace firn::repo
