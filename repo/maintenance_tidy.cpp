#include "repo/maintenance_tidy.h"

#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <utility>

#include "repo/format/index_object.h"
#include "repo/format/limits.h"
#include "repo/pack_trailer.h"

namespace firn::repo {
namespace {

using format::IndexedPack;
using format::IndexName;
using format::PackName;

/// Of what one compaction reads. The format allows 64 MiB; this much is held three times while it is sealed.
constexpr std::uint64_t kCompactBytesMax = 8U << 20;
constexpr std::size_t kCompactObjectsMin = 4;
constexpr std::size_t kUnionsMin = 4;

struct ListedIndex {
  IndexName name;
  std::uint64_t size_bytes = 0;
};

/// Objects of a class differ in size by a factor of four at most.
unsigned size_class(std::uint64_t bytes) {
  constexpr unsigned kSmallest = 14;  // 16 KiB
  const auto bits = static_cast<unsigned>(std::bit_width(bytes));
  return bits <= kSmallest ? 0 : (bits - kSmallest + 1) / 2;
}

class Compactor {
 public:
  explicit Compactor(const CompactInput& input) : input_(input) {}

  Result<Replaced> run() {
    FIRN_TRY(list());
    FIRN_TRY(finish_what_others_began());
    std::map<unsigned, std::vector<ListedIndex>> classes;
    for (const ListedIndex& object : objects_) {
      classes[size_class(object.size_bytes)].push_back(object);
    }
    for (const auto& [size, members] : classes) {
      if (members.size() >= kCompactObjectsMin) {
        FIRN_TRY(merge_all(members));
      }
    }
    if (input_.packs_gone * 8 > input_.packs_indexed) {
      FIRN_TRY(rewrite_for_deletions());
    }
    std::sort(result_.gone.begin(), result_.gone.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    return std::move(result_);
  }

 private:
  Result<> list() {
    return store::list_all(input_.repository.store(), format::kIndexPrefix,
                           [&](const store::ListedObject& object) -> Result<> {
                             const auto name = format::parse_name_as<IndexName>(object.name);
                             if (name && !input_.is_open(name->session)) {
                               objects_.push_back({.name = *name, .size_bytes = object.size_bytes});
                             }
                             return {};
                           });
  }

  /// The object's body, if whoever put it is who its name says, and may.
  Result<std::optional<format::OpenedObject>> open(const IndexName& name) {
    FIRN_TRY(input_.stop.check());
    auto object = input_.repository.get_sealed(format::object_name(name));
    if (!object &&
        (object.error().code == ErrorCode::NotFound || object.error().code == ErrorCode::Corrupt)) {
      return std::nullopt;
    }
    if (!object) {
      return Failure(std::move(object).error());
    }
    const auto reader = format::IndexReader::open(object->signed_body.body);
    if (!reader || format::session_id(reader->proof()) != name.session ||
        reader->proof().kid != object->signed_body.signer || reader->level() != name.level) {
      return std::nullopt;
    }
    return std::optional(*std::move(object));
  }

  /// A run that died after it PUT a compaction left what that replaces; one that died after its catalog left
  /// what that says is gone.
  Result<> finish_what_others_began() {
    std::map<IndexName, IndexName> replaced;
    for (const ListedIndex& listed : objects_) {
      if (listed.name.level == 0 || input_.cataloged.contains(listed.name)) {
        continue;
      }
      FIRN_LET(const auto object, open(listed.name));
      if (!object || !is_maintainers(object->signed_body.signer)) {
        continue;
      }
      FIRN_LET(const format::IndexReader reader, format::IndexReader::open(object->signed_body.body));
      for (const IndexName& name : reader.replaces()) {
        replaced.emplace(name, listed.name);
      }
    }
    std::erase_if(objects_, [&](const ListedIndex& listed) {
      auto object_name = format::object_name(listed.name);
      if (input_.known_gone.contains(object_name)) {
        result_.objects.push_back(std::move(object_name));
        return true;
      }
      const auto by = replaced.find(listed.name);
      if (by == replaced.end()) {
        return false;
      }
      note_replaced(listed.name, by->second);
      return true;
    });
    return {};
  }

  /// Only a maintainer's word makes an index object superfluous.
  bool is_maintainers(const format::KeyId& kid) const {
    const KnownKey* key = input_.repository.keys().find(kid);
    return key != nullptr &&
           (key->cert.roles.has(format::Role::Maintainer) || key->cert.roles.has(format::Role::Admin));
  }

  void note_replaced(const IndexName& name, const IndexName& by) {
    result_.objects.push_back(format::object_name(name));
    result_.gone.push_back({.name = format::object_name(name),
                            .reason = format::GoneReason::Replaced,
                            .because = format::object_name(by),
                            .time = input_.repository.services().clock.wall()});
    gone_.insert(name);
  }

  /// What compactions are made of, read together.
  struct Batch {
    std::vector<IndexName> names;
    std::map<PackName, IndexedPack> packs;
    std::uint64_t bytes = 0;
    std::uint16_t level = 0;  // the highest of `names`
  };

  Result<> merge_all(const std::vector<ListedIndex>& members) {
    Batch batch;
    for (const ListedIndex& member : members) {
      if (!batch.names.empty() && batch.bytes + member.size_bytes > kCompactBytesMax) {
        FIRN_TRY(put(batch));
        batch = {};
      }
      FIRN_TRY(add(member, batch));
    }
    return put(batch);
  }

  /// Objects that do not open, or list a pack in a way that nobody can settle, stay as they are.
  Result<> add(const ListedIndex& member, Batch& batch) {
    if (gone_.contains(member.name) || member.size_bytes > kCompactBytesMax) {
      return {};
    }
    FIRN_LET(const auto object, open(member.name));
    if (!object) {
      return {};
    }
    auto parsed = format::parse_index(object->signed_body.body);
    if (!parsed) {
      return {};
    }
    std::vector<IndexedPack> settled;
    for (IndexedPack& pack : parsed->packs) {
      if (input_.steps.compact_keeps_entries ? input_.is_gone(pack.name)
                                             : pack.name.id.bytes[0] < std::byte{64}) {
        continue;
      }
      const auto other = batch.packs.find(pack.name);
      if (other != batch.packs.end() && other->second != pack) {
        // Two ways to list one pack: what the pack says itself.
        auto trailer = read_trailer(input_.repository, pack.name, pack.size_bytes);
        if (!trailer) {
          return {};
        }
        pack.entries = std::move(trailer->entries);
      }
      settled.push_back(std::move(pack));
    }
    for (IndexedPack& pack : settled) {
      const PackName name = pack.name;
      batch.packs.insert_or_assign(name, std::move(pack));
    }
    batch.names.push_back(member.name);
    batch.bytes += member.size_bytes;
    batch.level = std::max(batch.level, member.name.level);
    return {};
  }

  Result<> put(Batch& batch, std::size_t objects_min = 2) {
    if (batch.names.size() < objects_min || batch.level == UINT16_MAX) {
      return {};
    }
    if (batch.packs.empty()) {
      // Nothing is left to list. The catalog alone says why they went.
      for (const IndexName& name : batch.names) {
        note_replaced(name, name);
      }
      FIRN_LET(auto update, input_.index.begin_update());
      return forget_locally(batch.names, *update);
    }
    const IndexName name{
        .level = static_cast<std::uint16_t>(batch.level + 1), .session = input_.session.id(), .n = next_n_++};
    format::IndexObject object{
        .proof = input_.session.proof(), .level = name.level, .replaces = batch.names, .packs = {}};
    std::sort(object.replaces.begin(), object.replaces.end());
    for (auto& [pack_name, pack] : batch.packs) {
      object.packs.push_back(std::move(pack));
    }
    batch.packs.clear();
    FIRN_LET(const Bytes body, format::encode(object));
    const auto object_name = format::object_name(name);
    for (const IndexName& replaced : batch.names) {
      if (!input_.steps.put_before_delete) {
        static_cast<void>(input_.repository.store().remove(format::object_name(replaced)));
      }
    }
    FIRN_TRY(in(object_name.str(), input_.repository.put_sealed(object_name, body).as_result()));
    for (const IndexName& replaced : batch.names) {
      note_replaced(replaced, name);
    }
    FIRN_LET(auto update, input_.index.begin_update());
    FIRN_LET(format::IndexReader reader, format::IndexReader::open(body));
    FIRN_TRY(update->add_object(name, reader));
    return forget_locally(batch.names, *update);
  }

  static Result<> forget_locally(const std::vector<IndexName>& names, index::Update& update) {
    for (const IndexName& name : names) {
      FIRN_TRY(update.forget_object(name));
    }
    return update.commit();
  }

  Result<> rewrite_for_deletions() {
    for (const ListedIndex& listed : objects_) {
      if (gone_.contains(listed.name)) {
        continue;
      }
      FIRN_LET(const auto object, open(listed.name));
      if (!object) {
        continue;
      }
      FIRN_LET(const bool half_gone, half_is_gone(object->signed_body.body));
      if (half_gone) {
        Batch batch;
        FIRN_TRY(add(listed, batch));
        FIRN_TRY(put(batch, 1));
      }
    }
    return {};
  }

  Result<bool> half_is_gone(ByteView body) {
    FIRN_LET(format::IndexReader reader, format::IndexReader::open(body));
    IndexedPack pack;
    std::uint64_t gone = 0;
    while (true) {
      const auto more = reader.next(pack);
      if (!more) {
        return false;
      }
      if (!*more) {
        return gone > 0 && gone * 2 >= reader.pack_count();
      }
      gone += input_.is_gone(pack.name) ? 1 : 0;
    }
  }

  const CompactInput& input_;
  std::vector<ListedIndex> objects_;
  std::set<IndexName> gone_;
  Replaced result_;
  std::uint32_t next_n_ = 0;
};

class Folder {
 public:
  Folder(const Repository& repository, ObjectCache& cache, const WriteSession& session, std::size_t loose_min,
         const base::StopFlag& stop)
      : repository_(repository), cache_(cache), session_(session), loose_min_(loose_min), stop_(stop) {}

  Result<Replaced> run(const MaintenanceRecords& records) {
    if (records.loose.size() >= loose_min_) {
      FIRN_TRY(fold_loose(records.loose));
    }
    std::map<std::uint16_t, std::vector<format::UnionName>> levels;
    for (const auto& [name, size_bytes] : records.unions) {
      if (size_bytes < kCompactBytesMax) {
        levels[name.level].push_back(name);
      }
    }
    for (const auto& [level, names] : levels) {
      if (names.size() >= kUnionsMin && level < UINT16_MAX) {
        FIRN_TRY(fold_unions(level, names));
      }
    }
    return std::move(result_);
  }

 private:
  Result<> fold_loose(const std::vector<LooseRecord>& loose) {
    format::Union folded = begin(1);
    std::uint64_t bytes = 0;
    for (const LooseRecord& record : loose) {
      if (bytes + record.size_bytes > kCompactBytesMax) {
        FIRN_TRY(put(folded));
        folded = begin(1);
        bytes = 0;
      }
      FIRN_TRY(stop_.check());
      auto object = cache_.get(record.name);
      if (!object && object.error().code == ErrorCode::NotFound) {
        continue;  // another run folds as well
      }
      FIRN_LET(format::OpenedObject opened, std::move(object));
      folded.records.push_back(
          {.name = record.name, .stored = record.stored, .signed_body = std::move(opened.signed_body)});
      bytes += record.size_bytes;
    }
    return put(folded);
  }

  Result<> fold_unions(std::uint16_t level, const std::vector<format::UnionName>& names) {
    format::Union folded = begin(static_cast<std::uint16_t>(level + 1));
    std::map<format::ObjectName, format::CarriedObject> records;
    std::uint64_t bytes = 0;
    for (const format::UnionName& name : names) {
      FIRN_TRY(stop_.check());
      const auto object_name = format::object_name(name);
      auto object = cache_.get(object_name);
      if (!object && object.error().code == ErrorCode::NotFound) {
        continue;
      }
      FIRN_LET(const format::OpenedObject opened, std::move(object));
      bytes += opened.signed_body.body.size();
      if (bytes > kCompactBytesMax) {
        break;
      }
      FIRN_LET(format::Union part, format::parse_union(opened.signed_body.body));
      for (format::CarriedObject& carried : part.records) {
        const format::ObjectName carried_name = carried.name;
        records.try_emplace(carried_name, std::move(carried));
      }
      folded.replaces.push_back(name);
    }
    if (folded.replaces.size() < 2) {
      return {};
    }
    for (auto& [name, carried] : records) {
      folded.records.push_back(std::move(carried));
    }
    return put(folded);
  }

  format::Union begin(std::uint16_t level) {
    return {.proof = session_.proof(),
            .level = level,
            .time = repository_.services().clock.wall(),
            .replaces = {},
            .records = {}};
  }

  Result<> put(format::Union& folded) {
    if (folded.records.empty()) {
      return {};
    }
    std::sort(folded.records.begin(), folded.records.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    std::sort(folded.replaces.begin(), folded.replaces.end());
    const auto name =
        format::object_name(format::UnionName{.level = folded.level, .run = session_.id(), .n = next_n_++});
    FIRN_LET(Bytes body, format::encode(folded));
    FIRN_TRY(in(name.str(), repository_.put_sealed(name, std::move(body)).as_result()));
    for (const format::UnionName& replaced : folded.replaces) {
      result_.objects.push_back(format::object_name(replaced));
    }
    if (folded.level == 1) {
      for (const format::CarriedObject& carried : folded.records) {
        result_.objects.push_back(carried.name);
      }
    }
    return {};
  }

  const Repository& repository_;
  ObjectCache& cache_;
  const WriteSession& session_;
  const std::size_t loose_min_;
  const base::StopFlag& stop_;
  Replaced result_;
  std::uint32_t next_n_ = 0;
};

}  // namespace

Result<Replaced> compact_index(const CompactInput& input) { return Compactor(input).run(); }

Result<Replaced> fold_records(const Repository& repository, ObjectCache& cache, const WriteSession& session,
                              const MaintenanceRecords& records, const MaintenanceSteps& steps,
                              const base::StopFlag& stop) {
  return Folder(repository, cache, session, steps.fold_records_min, stop).run(records);
}

}  // namespace firn::repo
