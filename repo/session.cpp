#include "repo/session.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "repo/base/check.h"
#include "repo/format/capability.h"
#include "repo/pack_uploader.h"

namespace firn::repo {
namespace {

using format::ChunkId;
using format::ChunkSecret;
using format::ChunkShape;
using format::ChunkType;

constexpr std::chrono::minutes kHeartbeatAfter{30};
constexpr std::chrono::minutes kHeartbeatEvery{10};
// Some 16 MiB.
constexpr std::size_t kSeenDryMax = 1 << 18;

struct Stopping {
  bool stop = false;
};

/// What a key without the role signed would count for nobody, so it is not begun.
Result<> may_open(const Repository& repository, format::SessionKind kind) {
  const bool maintains = kind == format::SessionKind::Maintenance;
  return repository.keys().may_act_as(maintains ? format::Role::Maintainer : format::Role::Writer,
                                      repository.services().clock.wall());
}

}  // namespace

struct WriteSession::State {
  State(const Repository& repository_, index::ChunkIndex& index_, ObjectCache& cache_,
        const SessionOptions& options_)
      : repository(repository_),
        index(index_),
        cache(cache_),
        options(options_),
        proof{.kid = repository.keys().kid(),
              .r = format::SessionRandom{repository.services().rng.bytes<32>()}},
        id(format::session_id(proof)),
        stopping(repository.services().executor) {}

  const Repository& repository;
  index::ChunkIndex& index;
  ObjectCache& cache;
  const SessionOptions options;
  const format::SessionProof proof;
  const format::SessionId id;
  MaintenanceView maintenance;
  IndexProblems index_problems;
  std::unique_ptr<PackUploader> uploader;
  std::atomic<std::uint32_t> next_snapshot{0};
  std::atomic<bool> fenced{false};
  std::atomic<bool> uncertain{false};
  std::atomic<std::uint64_t> data_chunks{0};
  std::atomic<std::uint64_t> tree_chunks{0};
  std::atomic<std::uint64_t> plain_bytes{0};
  std::atomic<std::uint64_t> stored_bytes{0};
  base::Guarded<std::unordered_set<ChunkId>> seen_dry;
  base::Monitor<Stopping> stopping;
  std::unique_ptr<base::Task> heartbeat;

  Result<> put(const format::ObjectName& name, Bytes body, Bytes extra = {},
               store::PutOptions put_options = {}) {
    return settle(name, repository.put_sealed(name, std::move(body), std::move(extra), put_options));
  }

  Result<> settle(const format::ObjectName& name, const store::Outcome& outcome) {
    if (outcome.unknown()) {
      uncertain.store(true);
    }
    return in(name.str(), outcome.as_result());
  }

  /// True for the first who may store the chunk. A dry run remembers only so many chunks: what repeats after
  /// that is counted again.
  bool claim(const ChunkId& chunk) {
    if (!options.dry_run) {
      return uploader->claim(chunk);
    }
    auto seen = seen_dry.lock();
    return seen->size() >= kSeenDryMax ? !seen->contains(chunk) : seen->insert(chunk).second;
  }

  Result<> put_marker() {
    const ProcessIdentity& process = options.process;
    const format::SessionMarker marker{.proof = proof,
                                       .kind = options.kind,
                                       .machine = process.machine,
                                       .boot = process.boot,
                                       .pid_namespace = process.pid_namespace,
                                       .pid = process.pid,
                                       .process_start = process.process_start,
                                       .host = process.host,
                                       .node = process.node,
                                       .program = std::string("firn ") + FIRN_VERSION,
                                       .start = repository.services().clock.wall()};
    FIRN_LET(Bytes body, format::encode(marker));
    return put(format::object_name(format::SessionName{id}), std::move(body));
  }

  /// Runs beside the session until it stops. A heartbeat that fails is not the session's failure.
  void beat() {
    const auto& clock = repository.services().executor.clock();
    auto due = clock.steady() + kHeartbeatAfter;
    for (std::uint64_t count = 1;; ++count) {
      {
        auto now = stopping.lock();
        if (now.wait_until(due, [](const Stopping& s) { return s.stop; })) {
          return;
        }
      }
      due = clock.steady() + kHeartbeatEvery;
      const format::Heartbeat beat{
          .proof = proof, .count = count, .time = repository.services().clock.wall()};
      if (auto body = format::encode(beat)) {
        static_cast<void>(
            put(format::object_name(format::HeartbeatName{id}), *std::move(body), {}, {.replace = true}));
      }
    }
  }

  void stop_heartbeat() {
    {
      auto now = stopping.lock();
      now->stop = true;
      now.notify();
    }
    heartbeat.reset();
  }

  Result<bool> may_refer(const ChunkId& chunk) {
    if (uploader->claimed(chunk)) {
      return true;
    }
    // Looked at after the claims: a chunk leaves them only once the index has it.
    return index.contains_live(chunk);
  }

  Result<Bytes> sealed_capabilities(const format::SnapshotName& name, const ChunkSecret& root) {
    const Keyring& keys = repository.keys();
    if (keys.psk() == nullptr) {
      return fail(ErrorCode::Denied, "this key may not write snapshots");
    }
    std::vector<format::SealedCapability> capabilities;
    for (const KnownKey& reader : keys.readers(repository.services().clock.wall())) {
      FIRN_LET(auto sealed,
               format::seal_capability(*keys.psk(), repository.id(), name, reader.kid, reader.cert.seal_key,
                                       root, repository.services().rng.bytes<32>()));
      capabilities.push_back(sealed);
    }
    return format::encode_capabilities(capabilities);
  }

  /// Step 7. A missing fence is the one absence that is believed; everything else is no answer.
  Result<> check_own_fence() {
    const auto size = repository.store().head(format::object_name(format::FenceName{id}));
    if (!size && size.error().code == ErrorCode::NotFound) {
      return {};
    }
    if (size) {
      fenced.store(true);
      return fail(ErrorCode::Changed,
                  "session " + id.hex() +
                      " was fenced by maintenance while it ran; run the command again (what was "
                      "uploaded is kept)");
    }
    uncertain.store(true);  // no .end: it says that there was no fence
    return Failure(Error(size.error()).in("cannot tell whether the snapshot counts"));
  }
};

struct ChunkWriter::State {
  explicit State(WriteSession::State& session_)
      : session(session_), compressor(session_.options.compression_level) {}

  WriteSession::State& session;
  format::Compressor compressor;
  format::Decompressor decompressor;
  std::vector<crypto::Digest> leaves;
  Bytes stored;
  Bytes opened;

  Result<std::uint32_t> store_claimed(ChunkType type, ByteView plain, const ChunkId& id,
                                      crypto::Key256View key, const ChunkSecret* t) {
    auto added = seal_and_add(type, plain, id, key, t);
    if (!added && !session.options.dry_run) {
      session.uploader->give_up(id, added.error());
    }
    return added;
  }

  /// Compresses and seals `plain` into `stored`, opens it again, and hands it to the uploader.
  Result<std::uint32_t> seal_and_add(ChunkType type, ByteView plain, const ChunkId& id,
                                     crypto::Key256View key, const ChunkSecret* t) {
    const Repository& repository = session.repository;
    const auto encoded = compressor.encode(plain);
    ChunkShape shape{.type = type, .codec = encoded.codec, .plain = static_cast<std::uint32_t>(plain.size())};
    shape.stored = static_cast<std::uint32_t>(encoded.bytes.size()) + format::kChunkOverheadBytes;
    stored.resize(shape.stored);
    format::seal_chunk(key, repository.id(), id, shape, repository.services().rng.bytes<12>(), encoded.bytes,
                       stored);
    if (session.options.verify_chunks) {
      const Keyring& keys = repository.keys();
      FIRN_TRY(in("a chunk that was just sealed does not open: memory or processor may be faulty",
                  t != nullptr ? format::open_chunk(*keys.content(), *t, repository.id(), shape, stored,
                                                    decompressor, opened)
                               : format::open_refs_chunk(keys.refs(), id, repository.id(), shape, stored,
                                                         decompressor, opened)));
    }
    if (!session.options.dry_run) {
      FIRN_TRY(session.uploader->add(id, shape, stored));
      if (format::is_meta(type)) {
        session.cache.remember_page(id, stored);
      }
    }
    (format::is_meta(type) ? session.tree_chunks : session.data_chunks) += 1;
    session.plain_bytes += plain.size();
    session.stored_bytes += shape.stored;
    return shape.stored;
  }
};

ChunkWriter::ChunkWriter(WriteSession& session) : state_(std::make_unique<State>(*session.state_)) {}
ChunkWriter::~ChunkWriter() = default;
ChunkWriter::ChunkWriter(ChunkWriter&&) noexcept = default;

Result<StoredChunk> ChunkWriter::store(ChunkType type, ByteView plain) {
  FIRN_CHECK(!plain.empty() && plain.size() <= format::kPlainBytesMax && type != ChunkType::RefsPage);
  WriteSession::State& session = state_->session;
  const format::ContentKey* content = session.repository.keys().content();
  if (content == nullptr) {
    return fail(ErrorCode::Denied, "this key may not write chunks");
  }
  state_->leaves.clear();
  crypto::leaf_digests(plain, state_->leaves);
  StoredChunk chunk;
  chunk.t = format::chunk_capability(*content, type, plain.size(), state_->leaves);
  chunk.id = format::chunk_id(chunk.t);
  FIRN_LET(const bool there, session.may_refer(chunk.id));
  if (there || !session.claim(chunk.id)) {
    return chunk;
  }
  const auto key = format::chunk_key(chunk.t);
  FIRN_LET(chunk.stored_bytes, state_->store_claimed(type, plain, chunk.id, key.bytes(), &chunk.t));
  chunk.added = true;
  return chunk;
}

format::ContentDigest ChunkWriter::digest(ByteView content) const {
  return format::content_digest(*state_->session.repository.keys().content(), content);
}

Result<ChunkId> ChunkWriter::store_refs(ByteView plain) {
  WriteSession::State& session = state_->session;
  const format::RefsKey& refs = session.repository.keys().refs();
  const ChunkId id = format::refs_page_id(refs, plain);
  FIRN_LET(const bool there, session.may_refer(id));
  if (!there && session.claim(id)) {
    const auto key = format::refs_page_key(refs, id);
    FIRN_TRY(state_->store_claimed(ChunkType::RefsPage, plain, id, key.bytes(), nullptr));
  }
  return id;
}

WriteSession::WriteSession(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<WriteSession>> WriteSession::open(const Repository& repository,
                                                         index::ChunkIndex& index, ObjectCache& cache,
                                                         kv::LocalKv& kv_state,
                                                         const SessionOptions& options) {
  FIRN_TRY(may_open(repository, options.kind));
  auto state = std::make_unique<State>(repository, index, cache, options);
  if (!options.dry_run) {
    FIRN_TRY(in("cannot write to the repository", state->put_marker()));
  }
  FIRN_LET(state->maintenance, load_maintenance(repository, cache));
  FIRN_LET(state->index_problems, sync_index(repository, state->maintenance, index));
  FIRN_LET(state->uploader, PackUploader::start(repository, index, kv_state,
                                                UploaderOptions{.proof = state->proof,
                                                                .memory_bytes = options.pack_memory_bytes}));
  if (!options.dry_run) {
    FIRN_TRY(state->uploader->adopt_journal(
        [&](const format::PackName& pack) { return state->maintenance.condemned.contains(pack); }));
    State* raw = state.get();
    state->heartbeat = repository.services().executor.spawn("heartbeat", [raw] { raw->beat(); });
  }
  return std::unique_ptr<WriteSession>(new WriteSession(std::move(state)));
}

WriteSession::~WriteSession() { state_->stop_heartbeat(); }

format::SessionId WriteSession::id() const { return state_->id; }
const format::SessionProof& WriteSession::proof() const { return state_->proof; }
const Repository& WriteSession::repository() const { return state_->repository; }
const MaintenanceView& WriteSession::maintenance() const { return state_->maintenance; }
const IndexProblems& WriteSession::index_problems() const { return state_->index_problems; }

Result<bool> WriteSession::may_refer(const ChunkId& id) { return state_->may_refer(id); }

Result<bool> WriteSession::copy_stored(const ChunkId& id, const ChunkShape& shape, ByteView stored) {
  FIRN_CHECK(!state_->options.dry_run && stored.size() == shape.stored);
  if (!state_->uploader->claim(id)) {
    return false;
  }
  FIRN_TRY(state_->uploader->add(id, shape, stored));
  return true;
}

Result<> WriteSession::check_not_fenced() { return state_->check_own_fence(); }

Result<> WriteSession::flush() {
  return state_->options.dry_run ? Result<>() : state_->uploader->wait_for_all();
}

Result<format::SnapshotId> WriteSession::commit(format::Snapshot snapshot, const ChunkSecret& root) {
  FIRN_CHECK(!state_->options.dry_run && format::chunk_id(root) == snapshot.root);
  FIRN_TRY(flush());
  for (const ChunkId& id : {snapshot.root, snapshot.refs_root}) {
    FIRN_LET(const bool there, may_refer(id));
    if (!there) {
      return fail(ErrorCode::Changed, "chunk " + id.hex() +
                                          " of the new snapshot is not in this session's view of the "
                                          "repository; run the backup again");
    }
  }
  snapshot.repository = state_->repository.id();
  snapshot.proof = state_->proof;
  snapshot.name = {.source = format::source_tag(state_->repository.keys().meta(), snapshot.source.id),
                   .session = state_->id,
                   .n = state_->next_snapshot++};
  FIRN_LET(Bytes capabilities, state_->sealed_capabilities(snapshot.name, root));
  FIRN_LET(Bytes body, format::encode(snapshot));
  // The next run of this node reads it as its parent.
  const format::ObjectName name = format::object_name(snapshot.name);
  FIRN_TRY(state_->settle(name, state_->cache.put(name, std::move(body), std::move(capabilities))));
  FIRN_TRY(state_->check_own_fence());
  state_->cache.keep_pages();
  return format::snapshot_id(snapshot.name);
}

void WriteSession::end() {
  // First whatever is on its way: .end says that every answer is known.
  state_->stop_heartbeat();
  state_->uploader->stop();
  if (state_->options.dry_run || state_->fenced.load() || state_->uncertain.load() ||
      state_->uploader->uncertain()) {
    return;
  }
  const format::SessionEnd end{.proof = state_->proof, .time = state_->repository.services().clock.wall()};
  if (auto body = format::encode(end)) {
    static_cast<void>(state_->put(format::object_name(format::EndName{state_->id}), *std::move(body)));
  }
}

void WriteSession::on_checkpoint(std::function<void()> callback) {
  state_->uploader->on_checkpoint(std::move(callback));
}

StoredTotals WriteSession::totals() const {
  return {.data_chunks = state_->data_chunks,
          .tree_chunks = state_->tree_chunks,
          .plain_bytes = state_->plain_bytes,
          .stored_bytes = state_->stored_bytes};
}

std::uint64_t WriteSession::uploaded_bytes() const { return state_->uploader->uploaded_bytes(); }

Result<tree::StoredPage> SessionPages::store_page(ChunkType type, ByteView plain) {
  FIRN_LET(const StoredChunk chunk, writer_.store(type, plain));
  return tree::StoredPage{.t = chunk.t, .id = chunk.id};
}

Result<ChunkId> SessionPages::store_refs(ByteView plain) { return writer_.store_refs(plain); }

}  // namespace firn::repo
