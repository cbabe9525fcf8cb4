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
constexpr kv::TableId kJournalPacks{0};
constexpr std::string_view kJournalName = "journal";
constexpr std::uint64_t kJournalBytesMax = 64ULL << 20;

std::uint64_t slot_count(const UploaderOptions& options, std::uint32_t pack_size) {
  return std::max(kSlotsMin, options.memory_bytes / pack_size);
}

}  // namespace

bool PackUploader::OpenPack::fits(std::uint32_t stored_bytes) const {
  // The waiting refs pages will need an entry each in the trailer as well.
  const auto waiting = refs_bytes + static_cast<std::uint32_t>(refs.size()) * format::kPackEntryBytes;
  return builder->fits(stored_bytes + waiting);
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
  ClosedPack closed{*std::move(builder), padding, std::move(slot)};
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
  for (std::uint64_t i = 0; i < uploads; ++i) {
    tasks_.spawn("upload", [this] { return upload_task(); });
  }
}

PackUploader::~PackUploader() {
  slots_.close();
  queue_.abort();
  static_cast<void>(tasks_.join());
}

base::Guarded<PackUploader::ClaimShard>& PackUploader::shard(const ChunkId& id) {
  return claims_[std::to_integer<std::size_t>(id.bytes[0]) % claims_.size()];
}

bool PackUploader::claim(const ChunkId& id) { return shard(id).lock()->ids.insert(id).second; }

bool PackUploader::claimed(const ChunkId& id) { return shard(id).lock()->ids.contains(id); }

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
        pack->slot = std::move(slot);
      }
      if (pack->builder && pack->fits(shape.stored)) {
        pack->append(id, shape, stored);
        return {};
      }
      full = pack->close(PackBuilder::Padding::Full);
    }
    if (full) {
      enqueue(*std::move(full));
    }
    if (slot.bytes() == 0) {
      slot = slots_.acquire(1);
    }
  }
}

void PackUploader::enqueue(ClosedPack pack) {
  progress_.lock()->unfinished += 1;
  if (!queue_.push(std::move(pack))) {
    finished_one();
  }
}

void PackUploader::finished_one() {
  auto progress = progress_.lock();
  progress->unfinished -= 1;
  progress.notify();
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
    if (!failed_.load()) {
      if (auto uploaded = upload(*std::move(pack)); !uploaded) {
        fail_with(uploaded.error());
      }
    }
    pack.reset();
    finished_one();
  }
  return {};
}

Result<> PackUploader::settle(const store::Outcome& outcome, std::string_view name) {
  if (outcome.unknown()) {
    uncertain_.store(true);
  }
  return in(name, outcome.as_result());
}

Result<> PackUploader::upload(ClosedPack pack) {
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
  {
    auto batch = batch_.lock();
    const bool old = repository_.services().clock.steady() - batch->oldest >= kIndexAgeDue;
    const bool due = batch->packs.size() >= kIndexPacksDue || old || even_if_early;
    if (batch->packs.empty() || !due) {
      return {};
    }
    object.packs = std::exchange(batch->packs, {});
    name.n = batch->next_n++;
  }
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
  for (const IndexedPack& pack : object.packs) {
    for (const format::PackEntry& entry : pack.entries) {
      shard(entry.id).lock()->ids.erase(entry.id);
    }
  }
  journal_erase(object.packs);
  const std::function<void()> checkpoint = *checkpoint_.lock();
  if (checkpoint) {
    checkpoint();
  }
  return {};
}

Result<> PackUploader::wait_for_all() {
  for (auto* open : {&open_data_, &open_meta_}) {
    std::optional<ClosedPack> last = open->lock()->close(PackBuilder::Padding::Last);
    if (last) {
      enqueue(*std::move(last));
    }
  }
  {
    auto progress = progress_.lock();
    progress.wait([](const Progress& p) { return p.unfinished == 0; });
  }
  FIRN_TRY(check_failed());
  auto indexed = put_index(true);
  if (!indexed) {
    fail_with(indexed.error());
  }
  return indexed;
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

void PackUploader::journal_erase(const std::vector<IndexedPack>& packs) {
  if (auto txn = journal_->begin_write()) {
    for (const IndexedPack& pack : packs) {
      static_cast<void>((*txn)->erase(kJournalPacks, as_bytes(format::object_name(pack.name).str())));
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
  for (const PackName& name : names) {
    FIRN_LET(const bool known, index_.contains_pack(name));
    if (known || is_condemned(name)) {
      continue;
    }
    auto size = repository_.store().head(format::object_name(name));
    if (size) {
      // A pack that cannot be read is left alone: its chunks are stored again.
      static_cast<void>(take_over(name, *size));
    }
  }
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
