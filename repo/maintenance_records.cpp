#include "repo/maintenance_records.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "repo/reread.h"

namespace firn::repo {
namespace {

using format::SessionId;

Result<CatalogFacts> facts_of(ByteView body) {
  FIRN_LET(format::Catalog catalog, format::parse_catalog(body));
  CatalogFacts facts{.snapshots = {},
                     .indexes = std::move(catalog.indexes),
                     .barriers = std::move(catalog.barriers),
                     .gone = std::move(catalog.gone)};
  for (const format::CarriedObject& carried : catalog.snapshots) {
    FIRN_LET(const auto name, format::parse_name_as<format::SnapshotName>(carried.name));
    facts.snapshots.push_back(name);
  }
  return facts;
}

bool is_foldable(const format::ParsedName& name) {
  return std::holds_alternative<format::CondemnName>(name) ||
         std::holds_alternative<format::SealName>(name) || std::holds_alternative<format::ForgetName>(name);
}

Result<> take(const MaintenanceRecord& record, MaintenanceRecords& records) {
  FIRN_TRY(apply_record(record, records.view));
  if (const auto* condemn_name = std::get_if<format::CondemnName>(&record.name)) {
    FIRN_LET(format::Condemn condemn, format::parse_condemn(record.signed_body.body));
    records.condemned.try_emplace(*condemn_name,
                                  CondemnRecord{.stored = record.stored, .packs = std::move(condemn.packs)});
  }
  if (const auto* catalog_name = std::get_if<format::CatalogName>(&record.name)) {
    FIRN_LET(CatalogFacts facts, facts_of(record.signed_body.body));
    records.catalogs.emplace(*catalog_name, std::move(facts));
  }
  if (const auto* union_name = std::get_if<format::UnionName>(&record.name)) {
    records.unions.emplace(*union_name, record.size_bytes);
  }
  if (record.size_bytes > 0 && is_foldable(record.name)) {
    records.loose.push_back(
        {.name = record.object_name, .stored = record.stored, .size_bytes = record.size_bytes});
  }
  return {};
}

}  // namespace

Result<MaintenanceRecords> load_records(const Repository& repository, ObjectCache& cache) {
  for (int list = 0; list < kMaintenanceListsMax; ++list) {
    MaintenanceRecords records;
    FIRN_LET(const bool whole,
             visit_maintenance(repository, cache, {.catalogs = true},
                               [&](const MaintenanceRecord& record) { return take(record, records); }));
    if (whole) {
      return records;
    }
  }
  return fail_vanishing();
}

namespace {

bool opened_by(const format::SessionProof& proof, const SessionId& session, const format::KeyId& signer) {
  return format::session_id(proof) == session && proof.kid == signer;
}

/// Did the session's opener say that it is over? What cannot be read says nothing.
bool has_ended(ObjectCache& cache, const SessionId& session) {
  const auto object = cache.get(format::object_name(format::EndName{session}));
  if (!object) {
    return false;
  }
  const auto end = format::parse_session_end(object->signed_body.body);
  return end && opened_by(end->proof, session, object->signed_body.signer);
}

enum class MarkerIs : std::uint8_t { Good, Unreadable, Forged };

MarkerIs read_marker(const Repository& repository, const SessionId& session,
                     std::optional<format::SessionMarker>& marker) {
  const auto name = format::object_name(format::SessionName{session});
  const auto object = read_again_if_damaged([&]() -> Result<format::OpenedObject> {
    FIRN_LET(const Bytes sealed, repository.store().get(name, format::kSealedObjectBytesMax));
    return format::open_object(repository.keys().meta(), name, sealed);
  });
  if (!object) {
    return MarkerIs::Unreadable;  // damaged on its way, or for good: a session may stand behind it
  }
  auto parsed = format::parse_session_marker(object->signed_body.body);
  const format::KeyId& signer = object->signed_body.signer;
  const KnownKey* key = repository.keys().find(signer);
  // A key that is not known may have been added since this repository was opened.
  const bool is_forged =
      !parsed || !opened_by(parsed->proof, session, signer) ||
      (key != nullptr && !format::signature_is_valid(name, object->signed_body, key->cert.sign_key));
  if (is_forged) {
    return MarkerIs::Forged;
  }
  marker = *std::move(parsed);
  return MarkerIs::Good;
}

struct ListedSession {
  bool marker = false;
  bool heartbeat = false;
  bool end = false;
  base::WallTime last_sign;
};

}  // namespace

Result<SessionList> list_sessions(const Repository& repository, ObjectCache& cache) {
  std::map<SessionId, ListedSession> listed;
  FIRN_TRY(store::list_all(repository.store(), format::kSessionsPrefix,
                           [&](const store::ListedObject& object) -> Result<> {
                             const auto name = format::parse_name(object.name);
                             if (!name) {
                               return {};
                             }
                             if (const auto* marker = std::get_if<format::SessionName>(&*name)) {
                               ListedSession& session = listed[marker->session];
                               session.marker = true;
                               session.last_sign = std::max(session.last_sign, object.stored);
                             } else if (const auto* beat = std::get_if<format::HeartbeatName>(&*name)) {
                               ListedSession& session = listed[beat->session];
                               session.heartbeat = true;
                               session.last_sign = std::max(session.last_sign, object.stored);
                             } else if (const auto* end = std::get_if<format::EndName>(&*name)) {
                               listed[end->session].end = true;
                             }
                             return {};
                           }));
  SessionList sessions;
  for (const auto& [id, found] : listed) {
    // The marker goes first: what is left of a session without one is open for nobody.
    auto& objects = sessions.objects[id];
    if (found.marker) {
      objects.push_back(format::object_name(format::SessionName{id}));
    }
    if (found.heartbeat) {
      objects.push_back(format::object_name(format::HeartbeatName{id}));
    }
    if (found.end) {
      objects.push_back(format::object_name(format::EndName{id}));
    }
    if (found.end && has_ended(cache, id)) {
      sessions.ended.insert(id);
    } else if (found.marker) {
      OpenSession open{.marker = std::nullopt, .last_sign = found.last_sign};
      if (read_marker(repository, id, open.marker) != MarkerIs::Forged) {
        sessions.open.emplace(id, std::move(open));
      } else {
        sessions.leftover.insert(id);
      }
    } else {
      sessions.leftover.insert(id);
    }
  }
  return sessions;
}

}  // namespace firn::repo
