#include "repo/view.h"

#include <algorithm>
#include <utility>

namespace firn::repo {
namespace {

using format::CondemnName;
using format::FenceName;
using format::ForgetName;
using format::ParsedName;
using format::SealName;
using format::SessionId;
using format::SnapshotId;

/// A seal narrows what counts of its session: several seals agree on what each of them names.
void apply_seal(const format::Seal& seal, MaintenanceView& view) {
  std::set<SnapshotId> named(seal.snapshots.begin(), seal.snapshots.end());
  const auto [found, first] = view.sealed.try_emplace(seal.session, named);
  if (!first) {
    std::erase_if(found->second, [&](const SnapshotId& id) { return !named.contains(id); });
  }
}

/// A union of a large repository carries thousands of records, and every session reads it: their signatures
/// are verified once on a machine, as the seal of its own copy says that they were.
Result<> verify_union(const Keyring& keys, const format::OpenedObject& object) {
  FIRN_LET(const format::Union folded, format::parse_union(object.signed_body.body));
  for (const format::CarriedObject& carried : folded.records) {
    if (!keys.signed_by_who_may(carried.name, carried.signed_body)) {
      return fail(ErrorCode::Corrupt, "carries " + carried.name.str() + ", which nobody signed who may");
    }
  }
  return {};
}

Result<> visit_union(const format::Union& folded,
                     const std::function<Result<>(const MaintenanceRecord&)>& visit) {
  for (const format::CarriedObject& carried : folded.records) {
    FIRN_LET(const ParsedName name, format::parse_name(carried.name));
    FIRN_TRY(in(carried.name.str(), visit({.name = name,
                                           .object_name = carried.name,
                                           .stored = carried.stored,
                                           .signed_body = carried.signed_body})));
  }
  return {};
}

Result<> visit_object(const Repository& repository, ObjectCache& cache, const store::ListedObject& listed,
                      const ParsedName& name,
                      const std::function<Result<>(const MaintenanceRecord&)>& visit) {
  const bool is_union = std::holds_alternative<format::UnionName>(name);
  const auto verify = [&](const format::OpenedObject& fetched) {
    return verify_union(repository.keys(), fetched);
  };
  FIRN_LET(const format::OpenedObject object,
           cache.get(listed.name, is_union ? ObjectCache::Verify(verify) : ObjectCache::Verify()));
  FIRN_TRY(visit({.name = name,
                  .object_name = listed.name,
                  .stored = listed.stored,
                  .signed_body = object.signed_body,
                  .size_bytes = listed.size_bytes}));
  if (is_union) {
    FIRN_LET(const format::Union folded, format::parse_union(object.signed_body.body));
    return visit_union(folded, visit);
  }
  return {};
}

}  // namespace

Result<> apply_record(const MaintenanceRecord& record, MaintenanceView& view) {
  const ByteView body = record.signed_body.body;
  if (std::holds_alternative<CondemnName>(record.name)) {
    FIRN_LET(const format::Condemn condemn, format::parse_condemn(body));
    view.condemned.insert(condemn.packs.begin(), condemn.packs.end());
  } else if (const auto* fence_name = std::get_if<FenceName>(&record.name)) {
    FIRN_LET(const format::Fence fence, format::parse_fence(body));
    if (fence.session == fence_name->session) {
      view.fenced.insert(fence.session);
    }
  } else if (const auto* seal_name = std::get_if<SealName>(&record.name)) {
    FIRN_LET(const format::Seal seal, format::parse_seal(body));
    if (seal.session != seal_name->session) {
      return fail(ErrorCode::Corrupt, "seals another session than its name says");
    }
    apply_seal(seal, view);
  } else if (const auto* forget_name = std::get_if<ForgetName>(&record.name)) {
    FIRN_LET(const format::Forget forget, format::parse_forget(body));
    if (format::snapshot_id(forget.snapshot) != forget_name->snapshot) {
      return fail(ErrorCode::Corrupt, "forgets another snapshot than its name says");
    }
    view.forgotten.insert(forget_name->snapshot);
  }
  return {};
}

Failure fail_vanishing() {
  return fail(ErrorCode::Unavailable, "records under maint/ kept vanishing while they were read: try again");
}

bool MaintenanceView::is_void(const format::SnapshotName& name) const {
  const auto seal = sealed.find(name.session);
  return seal != sealed.end() && !seal->second.contains(format::snapshot_id(name));
}

Result<bool> visit_maintenance(const Repository& repository, ObjectCache& cache, const VisitOptions& options,
                               const std::function<Result<>(const MaintenanceRecord&)>& visit) {
  bool whole = true;
  FIRN_TRY(store::list_all(
      repository.store(), format::kMaintPrefix, [&](const store::ListedObject& object) -> Result<> {
        const auto name = format::parse_name(object.name);
        if (!name || (!options.catalogs && std::holds_alternative<format::CatalogName>(*name))) {
          return {};
        }
        auto visited = in(object.name.str(), visit_object(repository, cache, object, *name, visit));
        if (!visited && visited.error().code == ErrorCode::NotFound) {
          whole = false;
          return {};
        }
        if (!visited && visited.error().code == ErrorCode::Corrupt && options.problems != nullptr) {
          options.problems->lines.push_back(std::move(visited).error().message);
          return {};
        }
        return visited;
      }));
  return whole;
}

Result<MaintenanceView> load_maintenance(const Repository& repository, ObjectCache& cache,
                                         MaintenanceProblems* problems) {
  for (int list = 0; list < kMaintenanceListsMax; ++list) {
    MaintenanceView view;
    MaintenanceProblems met;
    const auto apply = [&](const MaintenanceRecord& record) { return apply_record(record, view); };
    FIRN_LET(const bool whole,
             visit_maintenance(repository, cache, {.problems = problems != nullptr ? &met : nullptr}, apply));
    if (whole) {
      if (problems != nullptr) {
        problems->lines = std::move(met.lines);
      }
      return view;
    }
  }
  return fail_vanishing();
}

namespace {

Result<IndexProblems> sync_once(const Repository& repository, const MaintenanceView& maintenance,
                                index::ChunkIndex& index) {
  IndexProblems problems;
  std::set<format::IndexName> listed;
  FIRN_TRY(store::list_all(repository.store(), format::kIndexPrefix,
                           [&](const store::ListedObject& object) -> Result<> {
                             if (const auto name = format::parse_name_as<format::IndexName>(object.name)) {
                               listed.insert(*name);
                             }
                             return {};
                           }));
  FIRN_LET(const std::set<format::IndexName> applied, index.applied());
  FIRN_LET(auto update, index.begin_update());
  for (const format::IndexName& name : listed) {
    if (applied.contains(name)) {
      continue;
    }
    const auto object_name = format::object_name(name);
    auto object = repository.get_sealed(object_name);
    if (!object && object.error().code == ErrorCode::NotFound) {
      continue;  // compacted since the LIST; what replaces it sorts after it and was listed or comes next
                 // time
    }
    if (!object && object.error().code != ErrorCode::Corrupt) {
      return Failure(std::move(object).error());
    }
    auto added = [&]() -> Result<> {
      if (!object) {
        return Failure(object.error());
      }
      FIRN_LET(format::IndexReader reader, format::IndexReader::open(object->signed_body.body));
      if (format::session_id(reader.proof()) != name.session ||
          reader.proof().kid != object->signed_body.signer || reader.level() != name.level) {
        return fail(ErrorCode::Corrupt, "was not put by the session that its name says");
      }
      return update->add_object(name, reader);
    }();
    if (!added && (added.error().code != ErrorCode::Corrupt || index.damaged())) {
      return Failure(std::move(added).error());
    }
    if (!added) {
      problems.lines.push_back(std::move(added).error().in(object_name.str()).message);
    }
  }
  for (const format::IndexName& name : applied) {
    if (!listed.contains(name)) {
      FIRN_TRY(update->forget_object(name));
    }
  }
  for (const format::PackName& pack : maintenance.condemned) {
    FIRN_TRY(update->condemn(pack));
  }
  FIRN_TRY(update->commit());
  return problems;
}

}  // namespace

Result<IndexProblems> sync_index(const Repository& repository, const MaintenanceView& maintenance,
                                 index::ChunkIndex& index) {
  auto problems = sync_once(repository, maintenance, index);
  if (!problems && index.damaged()) {
    // It is a cache: what it held comes from the repository again.
    FIRN_TRY(index.clear());
    problems = sync_once(repository, maintenance, index);
  }
  return problems;
}

}  // namespace firn::repo
