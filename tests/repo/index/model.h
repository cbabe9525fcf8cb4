// An index that is obviously right, and made-up packs to fill one with.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "repo/base/rng.h"
#include "repo/format/index_object.h"
#include "repo/index/chunk_index.h"

namespace firn::index {

inline void PrintTo(const Location& location, std::ostream* out) {
  *out << location.pack.id.hex().substr(0, 8) << "+" << location.offset
       << (location.state == PackState::Live ? " live" : " condemned");
}

namespace test {

template <class Id>
Id random_id(base::SeededRng& rng) {
  Id id;
  rng.fill(id.bytes);
  return id;
}

inline format::IndexName random_name(base::SeededRng& rng) {
  return {.level = static_cast<std::uint16_t>(rng.next() % 3),
          .session = random_id<format::SessionId>(rng),
          .n = static_cast<std::uint32_t>(rng.next() % 10)};
}

/// A pack with `count` chunks; some of `known` ids are used again.
inline format::IndexedPack random_pack(base::SeededRng& rng, std::size_t count,
                                       std::span<const format::ChunkId> known = {}) {
  format::IndexedPack pack;
  pack.name.kind = format::PackKind::Data;
  pack.name.id = random_id<format::PackId>(rng);
  std::uint32_t offset = 24;
  for (std::size_t i = 0; i < count; ++i) {
    format::PackEntry entry;
    entry.id = !known.empty() && rng.next() % 8 == 0 ? known[rng.next() % known.size()]
                                                     : random_id<format::ChunkId>(rng);
    entry.offset = offset;
    entry.shape.type = rng.next() % 2 == 0 ? format::ChunkType::Data : format::ChunkType::Bundle;
    entry.shape.plain = static_cast<std::uint32_t>(1 + rng.next() % 1000);
    entry.shape.stored = entry.shape.plain + format::kChunkOverheadBytes;
    offset += entry.shape.stored;
    pack.entries.push_back(entry);
  }
  pack.size_bytes = offset + 8192;
  return pack;
}

struct Model {
  std::map<format::IndexName, std::vector<format::IndexedPack>> objects;
  std::set<format::PackName> condemned;
  std::set<format::PackName> gone;

  static auto order() {
    return [](const Location& a, const Location& b) {
      return std::tie(a.state, a.pack, a.offset, a.shape.stored) <
             std::tie(b.state, b.pack, b.offset, b.shape.stored);
    };
  }

  /// Every chunk that some object names, with what find() must say of it.
  std::map<format::ChunkId, std::vector<Location>> chunks() const {
    std::map<format::ChunkId, std::vector<Location>> out;
    for (const auto& [name, packs] : objects) {
      for (const format::IndexedPack& pack : packs) {
        for (const format::PackEntry& entry : pack.entries) {
          std::vector<Location>& locations = out[entry.id];
          const Location location{pack.name,
                                  condemned.contains(pack.name) ? PackState::Condemned : PackState::Live,
                                  pack.size_bytes, entry.offset, entry.shape};
          if (!gone.contains(pack.name) && std::ranges::find(locations, location) == locations.end()) {
            locations.push_back(location);
          }
        }
      }
    }
    for (auto& [id, locations] : out) {
      std::ranges::sort(locations, order());
    }
    return out;
  }

  std::set<format::IndexName> names() const {
    std::set<format::IndexName> out;
    for (const auto& [name, packs] : objects) {
      out.insert(name);
    }
    return out;
  }

  /// What a session does: brings `index` to this state, whatever it holds.
  Result<> load_into(ChunkIndex& index) const {
    FIRN_LET(const std::set<format::IndexName> applied, index.applied());
    FIRN_LET(const auto update, index.begin_update());
    for (const auto& [name, packs] : objects) {
      if (!applied.contains(name)) {
        FIRN_TRY(update->add_object(name, packs));
      }
    }
    for (const format::IndexName& name : applied) {
      if (!objects.contains(name)) {
        FIRN_TRY(update->forget_object(name));
      }
    }
    for (const format::PackName& pack : condemned) {
      FIRN_TRY(update->condemn(pack));
    }
    for (const format::PackName& pack : gone) {
      FIRN_TRY(update->mark_gone(pack));
    }
    return update->commit();
  }

  /// The first thing that `index` says differently; empty when it agrees in everything.
  std::string difference(ChunkIndex& index) const {
    const auto applied = index.applied();
    if (!applied || *applied != names()) {
      return applied ? "other objects are applied" : applied.error().message;
    }
    std::uint64_t seen = 0;
    for (const auto& [id, locations] : chunks()) {
      auto found = index.find(id);
      if (!found) {
        return found.error().message;
      }
      std::ranges::sort(*found, order());
      if (*found != locations) {
        return "chunk " + id.hex() + " is found elsewhere: " + testing::PrintToString(*found) +
               " instead of " + testing::PrintToString(locations);
      }
      const bool live =
          std::ranges::any_of(locations, [](const Location& l) { return l.state == PackState::Live; });
      const auto contained = index.contains_live(id);
      if (!contained || *contained != live) {
        return "chunk " + id.hex() + " is live or not";
      }
      seen += locations.size();
    }
    std::uint64_t counted = 0;
    const auto walked = index.for_each_entry([&](const format::ChunkId&, const Location&) {
      ++counted;
      return true;
    });
    if (!walked || counted != seen) {
      return "entries: " + std::to_string(counted) + " instead of " + std::to_string(seen);
    }
    return {};
  }
};

}  // namespace test
}  // namespace firn::index
