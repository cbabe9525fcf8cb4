#include "repo/chunk_reader.h"

#include <algorithm>
#include <list>
#include <optional>
#include <string>
#include <utility>

#include "repo/reread.h"

namespace firn::repo {
namespace {

using format::ChunkId;
using format::ChunkType;
using format::PackName;

constexpr std::uint64_t kWindowBytes = 256 << 10;
/// A request for neighbours is no longer than this: more would wait for each other, and take memory.
constexpr std::uint64_t kRunBytesMax = 1 << 20;
/// What is read for nothing costs less than another request.
constexpr std::uint64_t kRunHoleBytesMax = 64 << 10;

bool is_same(ChunkType wanted, ChunkType found) { return wanted == found; }
bool is_content(ChunkType, ChunkType found) { return found == ChunkType::Data || found == ChunkType::Bundle; }

/// Why no copy of a chunk could be read.
class CopyErrors {
 public:
  bool none() const { return !first_; }
  bool any_not_found() const { return any_not_found_; }

  void add(Error error) {
    any_not_found_ = any_not_found_ || error.code == ErrorCode::NotFound;
    if (!first_) {
      first_ = std::move(error);
      return;
    }
    // A store that does not answer says nothing about the chunk; a damaged copy says more than a missing one.
    if (weight(error.code) > weight(first_->code)) {
      first_->code = error.code;
    }
    first_->message += "; " + error.message;
  }
  Error error(const ChunkId& id) && {
    const std::string chunk = "chunk " + id.hex();
    return first_ ? std::move(*first_).in(chunk)
                  : Error{ErrorCode::NotFound, chunk + " is in no pack of the index"};
  }

 private:
  static int weight(ErrorCode code) {
    return code == ErrorCode::NotFound ? 0 : code == ErrorCode::Corrupt ? 1 : 2;
  }
  std::optional<Error> first_;
  bool any_not_found_ = false;
};

}  // namespace

/// The last pieces of meta packs that were read: pages that follow each other lie side by side.
struct ChunkReader::Windows {
  struct Window {
    PackName pack;
    std::uint64_t index = 0;
    Bytes bytes;
  };
  explicit Windows(std::size_t bytes_max) : windows_max(std::max<std::size_t>(1, bytes_max / kWindowBytes)) {}

  std::size_t windows_max;
  base::Guarded<std::list<std::shared_ptr<const Window>>> recent;  // shared with readers that copy out of one

  /// A window of that many bytes: one that was read for an index entry with another idea of the pack's size
  /// is of no use.
  std::shared_ptr<const Window> find(const PackName& pack, std::uint64_t index, std::size_t size_bytes) {
    auto list = recent.lock();
    for (auto it = list->begin(); it != list->end(); ++it) {
      if ((*it)->pack == pack && (*it)->index == index && (*it)->bytes.size() == size_bytes) {
        list->splice(list->begin(), *list, it);
        return list->front();
      }
    }
    return nullptr;
  }
  void drop(const PackName& pack) {
    recent.lock()->remove_if([&](const auto& window) { return window->pack == pack; });
  }
  void add(std::shared_ptr<const Window> window) {
    auto list = recent.lock();
    list->push_front(std::move(window));
    if (list->size() > windows_max) {
      list->pop_back();
    }
  }
};

ChunkReader::ChunkReader(const Repository& repository, index::ChunkIndex& index, ObjectCache& cache,
                         std::size_t window_bytes)
    : repository_(repository),
      index_(index),
      cache_(cache),
      windows_(std::make_unique<Windows>(window_bytes)),
      reloading_(repository.services().executor) {}

ChunkReader::~ChunkReader() = default;

Result<> ChunkReader::read_window(const index::Location& location, MutableBytes out) {
  const std::uint64_t pack_bytes = location.pack_size_bytes;
  std::uint64_t offset = location.offset;
  while (!out.empty()) {
    const std::uint64_t number = offset / kWindowBytes;
    const std::uint64_t begin = number * kWindowBytes;
    if (begin >= pack_bytes) {
      return fail(ErrorCode::Corrupt, "the index names bytes behind the end of the pack");
    }
    const std::uint64_t size_bytes = std::min(kWindowBytes, pack_bytes - begin);
    auto window = windows_->find(location.pack, number, size_bytes);
    if (!window) {
      auto fresh = std::make_shared<Windows::Window>();
      fresh->pack = location.pack;
      fresh->index = number;
      fresh->bytes.resize(size_bytes);
      FIRN_TRY(read_pack(location.pack, begin, fresh->bytes));
      windows_->add(fresh);
      window = std::move(fresh);
    }
    const std::uint64_t inside = offset - number * kWindowBytes;
    if (inside >= window->bytes.size()) {
      return fail(ErrorCode::Corrupt, "the index names bytes behind the end of the pack");
    }
    const std::size_t count = std::min<std::size_t>(out.size(), window->bytes.size() - inside);
    std::copy_n(window->bytes.begin() + static_cast<std::ptrdiff_t>(inside), count, out.begin());
    out = out.subspan(count);
    offset += count;
  }
  return {};
}

Result<> ChunkReader::read_pack(const PackName& pack, std::uint64_t offset, MutableBytes out) {
  return repository_.store().get_range(format::object_name(pack), offset, out);
}

Result<> ChunkReader::open(const index::Location& location, const format::ChunkSecret& t, ByteView stored,
                           Bytes& plain, format::Decompressor& decompressor) const {
  const format::ContentKey* content = repository_.keys().content();
  if (content == nullptr) {
    return fail(ErrorCode::Denied, "this key may not read contents");
  }
  return format::open_chunk(*content, t, repository_.id(), location.shape, stored, decompressor, plain);
}

Result<std::vector<index::Location>> ChunkReader::locate(const ChunkId& id) { return index_.find(id); }

Result<> ChunkReader::reload_index() {
  const base::TaskLock::Hold hold(reloading_);
  const base::Clock& clock = repository_.services().clock;
  if (reloaded_ && clock.steady() - *reloaded_ < kReloadEvery) {
    return {};
  }
  FIRN_LET(const MaintenanceView maintenance, load_maintenance(repository_, cache_));
  FIRN_TRY(sync_index(repository_, maintenance, index_));
  reloaded_ = clock.steady();
  return {};
}

bool ChunkReader::open_local(const ChunkId& id, const index::Location& location, const OpenCopy& open_copy,
                             OpenedCopy& copy) {
  auto local = cache_.page(id);
  if (!local || local->size() != location.shape.stored || !open_copy(location, *local, copy.plain)) {
    return false;
  }
  copy.stored = *std::move(local);
  return true;
}

Result<OpenedCopy> ChunkReader::read_copies(const ChunkId& id, ChunkType type, Fits fits,
                                            const OpenCopy& open_copy) {
  CopyErrors before;  // of the first attempt: an index that was read anew may not name a pack any more
  for (int attempt = 0;; ++attempt) {
    FIRN_LET(const std::vector<index::Location> locations, locate(id));
    CopyErrors errors;
    for (const index::Location& location : locations) {
      if (!fits(type, location.shape.type)) {
        continue;
      }
      OpenedCopy copy{.shape = location.shape, .stored = Bytes(location.shape.stored), .plain = {}};
      const bool by_window = format::is_meta(location.shape.type);
      if (by_window && uses_local_pages_ && open_local(id, location, open_copy, copy)) {
        return copy;
      }
      auto read = read_again_if_damaged([&]() -> Result<> {
        FIRN_TRY(by_window ? read_window(location, copy.stored)
                           : read_pack(location.pack, location.offset, copy.stored));
        auto opened = open_copy(location, copy.stored, copy.plain);
        if (!opened && by_window) {
          windows_->drop(location.pack);
        }
        return opened;
      });
      if (read) {
        return copy;
      }
      errors.add(std::move(read).error().in(format::object_name(location.pack).str()));
    }
    const bool gone = errors.none() || errors.any_not_found();
    if (!gone || attempt == 1) {
      return Failure(std::move(errors.none() ? before : errors).error(id));
    }
    before = std::move(errors);
    FIRN_TRY(reload_index());
  }
}

Result<OpenedCopy> ChunkReader::read_sealed(ChunkType type, const format::ChunkSecret& t, Fits fits) {
  format::Decompressor decompressor;
  return read_copies(format::chunk_id(t), type, fits,
                     [&](const index::Location& location, ByteView stored, Bytes& plain) {
                       return open(location, t, stored, plain, decompressor);
                     });
}

Result<Bytes> ChunkReader::read(ChunkType type, const format::ChunkSecret& t) {
  FIRN_LET(OpenedCopy copy, read_copy(type, t));
  return std::move(copy.plain);
}

Result<Bytes> ChunkReader::read_content(const format::ChunkSecret& t) {
  FIRN_LET(OpenedCopy copy, read_sealed(ChunkType::Data, t, is_content));
  return std::move(copy.plain);
}

Result<Bytes> ChunkReader::read_refs(const ChunkId& id) {
  FIRN_LET(OpenedCopy copy, read_refs_copy(id));
  return std::move(copy.plain);
}

ChunkReader::Run ChunkReader::first_run(std::span<const format::ChunkSecret> wanted) {
  Run run;
  for (const format::ChunkSecret& t : wanted) {
    auto locations = locate(format::chunk_id(t));
    if (!locations || locations->empty() || !is_content({}, locations->front().shape.type)) {
      break;
    }
    index::Location& place = locations->front();
    const std::uint64_t end = std::uint64_t{place.offset} + place.shape.stored;
    if (run.places.empty()) {
      run.begin = place.offset;
    } else if (place.pack != run.places.front().pack || place.offset < run.end ||
               place.offset - run.end > kRunHoleBytesMax || end - run.begin > kRunBytesMax) {
      break;
    }
    run.end = end;
    run.places.push_back(std::move(place));
  }
  return run;
}

std::size_t ChunkReader::count_neighbours(std::span<const format::ChunkSecret> wanted) {
  return std::min(wanted.size(), std::max<std::size_t>(1, first_run(wanted).places.size()));
}

void ChunkReader::read_contents(std::span<const format::ChunkSecret> wanted, const VisitContent& visit) {
  format::Decompressor decompressor;
  for (std::size_t first = 0; first < wanted.size();) {
    const Run run = first_run(wanted.subspan(first));
    Bytes stored;
    if (run.places.size() > 1) {
      stored.resize(run.end - run.begin);
      if (!read_pack(run.places.front().pack, run.begin, stored)) {
        stored.clear();
      }
    }
    const std::size_t count = std::max<std::size_t>(1, run.places.size());
    for (std::size_t i = 0; i < count; ++i) {
      const format::ChunkSecret& t = wanted[first + i];
      Bytes plain;
      const auto opens = [&] {
        const index::Location& place = run.places[i];
        return open(place, t, ByteView(stored).subspan(place.offset - run.begin, place.shape.stored), plain,
                    decompressor)
            .has_value();
      };
      // What does not open here may have another copy, or an error that says where each one lies.
      visit(first + i, !stored.empty() && opens() ? Result<Bytes>(std::move(plain)) : read_content(t));
    }
    first += count;
  }
}

Result<OpenedCopy> ChunkReader::read_copy(ChunkType type, const format::ChunkSecret& t) {
  return read_sealed(type, t, is_same);
}

Result<OpenedCopy> ChunkReader::read_refs_copy(const ChunkId& id) {
  format::Decompressor decompressor;
  return read_copies(id, ChunkType::RefsPage, is_same,
                     [&](const index::Location& location, ByteView stored, Bytes& plain) {
                       return format::open_refs_chunk(repository_.keys().refs(), id, repository_.id(),
                                                      location.shape, stored, decompressor, plain);
                     });
}

Result<Bytes> RepositoryPages::read_page(ChunkType type, const format::ChunkSecret& t) {
  return reader_.read(type, t);
}

Result<Bytes> RepositoryPages::read_refs(const ChunkId& id) { return reader_.read_refs(id); }

}  // namespace firn::repo
