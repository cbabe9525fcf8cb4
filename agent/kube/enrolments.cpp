#include "agent/kube/enrolments.h"

#include "agent/kube/requests.h"
#include "agent/kube/times.h"

namespace firn::kube {

std::string NodeEnrolment::status_of(std::string_view type) const {
  const Condition* condition = find(conditions, type);
  return condition == nullptr ? "" : condition->status;
}

NodeEnrolment enrolment_of(const Json& object) {
  const Json& spec = member(object, "spec");
  const Json& status = member(object, "status");
  return {.meta = meta_of(object),
          .node = text_of(member(spec, "nodeName")),
          .repository = text_of(member(spec, "repositoryRef", "name")),
          .signing_key = text_of(member(spec, "signingKey")),
          .sealing_key = text_of(member(spec, "sealingKey")),
          .proof = text_of(member(spec, "proof")),
          .revoke = bool_of(member(spec, "revoke")),
          .conditions = conditions_of(object),
          .key_id = text_of(member(status, "keyID")),
          .certificate = text_of(member(status, "certificate")),
          .sealed_keys = text_of(member(status, "sealedKeys")),
          .sealed_credentials = text_of(member(status, "sealedCredentials")),
          .credentials_tag = text_of(member(status, "credentialsTag")),
          .not_after = parse_time_text(text_of(member(status, "notAfter")))};
}

Json enrolment_json(const NodeEnrolment& enrolment) {
  return {{"apiVersion", kApiVersion},
          {"kind", "NodeEnrollment"},
          {"metadata", {{"name", enrolment.meta.name}, {"namespace", enrolment.meta.ns}}},
          {"spec",
           {{"nodeName", enrolment.node},
            {"repositoryRef", {{"name", enrolment.repository}}},
            {"signingKey", enrolment.signing_key},
            {"sealingKey", enrolment.sealing_key},
            {"proof", enrolment.proof}}}};
}

Json enrolment_patch(const EnrolmentChange& change, const std::string& version) {
  Json status = {{"conditions", to_json(change.conditions)}};
  const auto put = [&](const char* name, const std::string& value) {
    if (!value.empty()) {
      status[name] = value;
    }
  };
  put("keyID", change.key_id);
  put("certificate", change.certificate);
  for (const auto& [name, value] : {std::pair{"sealedKeys", &change.sealed_keys},
                                    {"sealedCredentials", &change.sealed_credentials},
                                    {"credentialsTag", &change.credentials_tag}}) {
    if (*value) {
      status[name] = (*value)->empty() ? Json(nullptr) : Json(**value);
    }
  }
  if (change.not_after) {
    status["notAfter"] = time_text(*change.not_after);
  }
  return {{"metadata", {{"resourceVersion", version}}}, {"status", std::move(status)}};
}

}  // namespace firn::kube
