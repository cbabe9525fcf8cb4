// NodeEnrollment: a node asks to write into a repository, and what it is answered.
//
// Threads: any.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/kube/client.h"
#include "agent/kube/objects.h"

namespace firn::kube {

inline constexpr Resource kEnrolments{"/apis/backup.firn.io/v1alpha1", "nodeenrollments"};

/// Keys and sealed bytes are base64, as they stand in the object.
struct NodeEnrolment {
  Meta meta;
  std::string node;
  std::string repository;  // the object's name
  std::string signing_key;
  std::string sealing_key;
  std::string proof;
  bool revoke = false;  // somebody asks for it
  // Of its status.
  std::vector<Condition> conditions;
  std::string key_id;
  std::string certificate;
  std::string sealed_keys;
  std::string sealed_credentials;
  std::string credentials_tag;
  std::optional<base::WallTime> not_after;

  /// The status of a condition; empty where there is none.
  std::string status_of(std::string_view type) const;
  bool is_certified() const { return status_of("Certified") == "True"; }
  bool is_revoked() const { return status_of("Revoked") == "True"; }
};
NodeEnrolment enrolment_of(const Json& object);

/// What a node creates.
Json enrolment_json(const NodeEnrolment& enrolment);

/// What a status shall say; what is empty stays as it is.
struct EnrolmentChange {
  std::vector<Condition> conditions;  // all of them
  std::string key_id;
  std::string certificate;
  // Empty: none, or none any more.
  std::optional<std::string> sealed_keys, sealed_credentials, credentials_tag;
  std::optional<base::WallTime> not_after;
};
/// A merge patch; with the version, another writer in between is a conflict.
Json enrolment_patch(const EnrolmentChange& change, const std::string& version);

}  // namespace firn::kube
