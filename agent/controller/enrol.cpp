#include "agent/controller/enrol.h"

#include <algorithm>
#include <tuple>

#include "agent/kube/base64.h"
#include "repo/revoke.h"

namespace firn::controller {
namespace {

using std::chrono::hours;
using Act = EnrolVerdict::Act;

constexpr hours kValidity{24 * 60};
constexpr hours kRenewBefore{24 * 30};
// So that people find it for a while.
constexpr hours kKeptAfterEnd{24};
// A node's agent makes a new key when its state is lost. More than a few are a thief's, or a fault.
constexpr std::ptrdiff_t kKeysPerNodeMax = 8;

base::WallTime after(base::WallTime time, std::chrono::nanoseconds duration) {
  return {time.nanoseconds + duration.count()};
}

bool same_place(const kube::NodeEnrolment& a, const kube::NodeEnrolment& b) {
  return a.node == b.node && a.repository == b.repository;
}

bool is_valid(const kube::NodeEnrolment& one, base::WallTime now) {
  return one.is_certified() && !one.is_revoked() && one.not_after && now < *one.not_after;
}

bool is_newest(const kube::NodeEnrolment& enrolment, const EnrolFacts& facts) {
  return std::none_of(facts.all.begin(), facts.all.end(), [&](const kube::NodeEnrolment& other) {
    return same_place(enrolment, other) && is_valid(other, facts.now) &&
           std::tie(enrolment.meta.created, enrolment.meta.name) <
               std::tie(other.meta.created, other.meta.name);
  });
}

EnrolVerdict refuse(const kube::NodeEnrolment& enrolment, std::string reason, std::string message) {
  const kube::Condition* said = kube::find(enrolment.conditions, "Certified");
  if (said != nullptr && said->status == "False" && said->reason == reason) {
    return {};
  }
  return {Act::Refuse, std::move(reason), std::move(message)};
}

EnrolVerdict judge_new(const kube::NodeEnrolment& enrolment, const EnrolFacts& facts) {
  if (enrolment.revoke) {
    return refuse(enrolment, "Revoked", "spec.revoke is set");
  }
  if (facts.gone.contains(enrolment.node)) {
    return refuse(enrolment, "NodeGone", "there is no node " + enrolment.node + " in this cluster");
  }
  const auto of_node = [&](auto&& also) {
    return std::count_if(facts.all.begin(), facts.all.end(), [&](const kube::NodeEnrolment& other) {
      return same_place(enrolment, other) && other.meta.uid != enrolment.meta.uid && also(other);
    });
  };
  if (of_node([](const auto& other) { return other.revoke; }) > 0) {
    return refuse(
        enrolment, "NodeRevoked",
        "another key of this node was revoked with spec.revoke: delete that NodeEnrollment to let the "
        "node in again");
  }
  if (of_node([&](const auto& other) { return is_valid(other, facts.now); }) >= kKeysPerNodeMax) {
    return refuse(enrolment, "TooManyKeys",
                  "the node has " + std::to_string(kKeysPerNodeMax) +
                      " valid keys already: revoke or delete some of them");
  }
  if (const auto applicant = applicant_of(enrolment); !applicant) {
    return refuse(enrolment, "ProofInvalid", applicant.error().message);
  }
  return {Act::Certify, "Issued", {}};
}

std::vector<kube::Condition> conditions(const kube::NodeEnrolment& enrolment, const char* type,
                                        const char* status, const std::string& reason,
                                        const std::string& message, base::WallTime now) {
  std::vector<kube::Condition> all = enrolment.conditions;
  kube::set(all,
            {.type = type,
             .status = status,
             .reason = reason,
             .message = message,
             .since = {},
             .generation = enrolment.meta.generation},
            now);
  return all;
}

Result<> write(const EnrolWorld& world, const kube::NodeEnrolment& enrolment,
               const kube::EnrolmentChange& change) {
  FIRN_TRY(world.client.patch({kube::kEnrolments, enrolment.meta.ns, enrolment.meta.name, "status"},
                              kube::enrolment_patch(change, enrolment.meta.version)));
  return {};
}

Result<kube::Repository> repository_of(const EnrolWorld& world, const kube::NodeEnrolment& enrolment) {
  FIRN_LET(const kube::Json object,
           in("Repository " + enrolment.repository,
              world.client.get({kube::kRepositories, enrolment.meta.ns, enrolment.repository, {}})));
  return kube::repository_of(object);
}

Result<> certify(const EnrolWorld& world, const kube::NodeEnrolment& enrolment, bool sign) {
  FIRN_LET(const repo::Applicant applicant, applicant_of(enrolment));
  FIRN_LET(const kube::Repository repository, repository_of(world, enrolment));
  FIRN_LET(const repo::StoreVariables variables, world.keys.node_variables(enrolment.repository));
  kube::EnrolmentChange change;
  FIRN_TRY(world.keys.with_repository(
      repository, false, [&](const repo::Repository& opened, repo::ObjectCache&) -> Result<> {
        FIRN_LET(const Bytes keys, repo::seal_writer_keys(opened.keys(), applicant, world.rng.bytes<32>()));
        change.sealed_keys = kube::base64_text(keys);
        change.sealed_credentials = "";
        if (!variables.empty()) {
          FIRN_LET(const Bytes sealed,
                   repo::seal_store_variables(variables, applicant, world.rng.bytes<32>()));
          change.sealed_credentials = kube::base64_text(sealed);
        }
        if (!sign) {
          return {};
        }
        FIRN_LET(const repo::Certified certified,
                 repo::certify_writer(opened.services(), opened.store(), opened.keys(), opened.config(),
                                      {.sign_key = applicant.sign_key,
                                       .seal_key = applicant.seal_key,
                                       .user = "firn-controller",
                                       .host = enrolment.node,
                                       .validity = kValidity}));
        change.key_id = applicant.kid().hex();
        change.certificate = "cert-" + std::to_string(certified.n);
        change.not_after = certified.not_after;
        return {};
      }));
  change.credentials_tag = world.keys.tag_of(enrolment.repository, variables);
  change.conditions = conditions(enrolment, "Certified", "True", "Issued",
                                 "the node's key is a writer's in the repository", world.clock.wall());
  return write(world, enrolment, change);
}

Result<> revoke(const EnrolWorld& world, const kube::NodeEnrolment& enrolment, const EnrolVerdict& verdict) {
  FIRN_LET(const repo::Applicant applicant, applicant_of(enrolment));
  FIRN_LET(const kube::Repository repository, repository_of(world, enrolment));
  const auto revoked = world.keys.with_repository(
      repository, true, [&](const repo::Repository& opened, repo::ObjectCache& cache) -> Result<> {
        const repo::KnownKey* known = opened.keys().find(applicant.kid());
        if (known == nullptr || known->revoked) {
          return {};  // it counts for nothing, or was revoked by somebody else
        }
        FIRN_TRY(repo::revoke_key(opened, cache, applicant.kid(), {}));
        return {};
      });
  const base::WallTime now = world.clock.wall();
  kube::EnrolmentChange change;
  if (!revoked) {
    const kube::Condition* said = kube::find(enrolment.conditions, "Revoked");
    if (said == nullptr || said->message != revoked.error().message) {
      change.conditions = conditions(enrolment, "Revoked", "False", "Waiting", revoked.error().message, now);
      FIRN_TRY(write(world, enrolment, change));
    }
    return Failure(revoked.error());
  }
  // Nothing needs to stay that a thief of the node's disk could open.
  change.sealed_keys = "";
  change.sealed_credentials = "";
  change.conditions = conditions(enrolment, "Revoked", "True", verdict.reason, verdict.message, now);
  return write(world, enrolment, change);
}

template <std::size_t N>
Result<> take(const std::string& text, const char* what, std::array<std::byte, N>& out) {
  FIRN_LET(const Bytes bytes, kube::base64_bytes(text, what));
  if (bytes.size() != N) {
    return fail(ErrorCode::Invalid, std::string(what) + " is not " + std::to_string(N) + " bytes");
  }
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return {};
}

}  // namespace

EnrolVerdict judge(const kube::NodeEnrolment& enrolment, const EnrolFacts& facts) {
  const base::WallTime now = facts.now;
  if (enrolment.meta.deleting) {
    return {};
  }
  if (!enrolment.is_certified()) {
    return judge_new(enrolment, facts);
  }
  const base::WallTime not_after = enrolment.not_after.value_or(base::WallTime{});
  const bool out = enrolment.revoke || facts.gone.contains(enrolment.node);
  if (out && !enrolment.is_revoked() && now < not_after) {
    return {Act::Revoke, enrolment.revoke ? "Asked" : "NodeGone",
            enrolment.revoke ? "spec.revoke is set" : "there is no node " + enrolment.node + " any more"};
  }
  if (out || enrolment.is_revoked() || !is_newest(enrolment, facts)) {
    // What somebody revoked by hand keeps the node out as long as it is there.
    const bool over = after(not_after, kKeptAfterEnd) < now;
    return over && !enrolment.revoke ? EnrolVerdict{Act::Delete, "Expired", "its certificate has ended"}
                                     : EnrolVerdict{};
  }
  if (after(not_after, -kRenewBefore) <= now) {
    return {Act::Certify, "Renewed", {}};
  }
  return enrolment.credentials_tag == facts.credentials_tag ? EnrolVerdict{}
                                                            : EnrolVerdict{Act::SealAgain, "Changed", {}};
}

Result<repo::Applicant> applicant_of(const kube::NodeEnrolment& enrolment) {
  repo::Applicant applicant{.repository = enrolment.meta.ns + "/" + enrolment.repository,
                            .node = enrolment.node,
                            .sign_key = {},
                            .seal_key = {}};
  crypto::Ed25519Signature proof;
  FIRN_TRY(take(enrolment.signing_key, "spec.signingKey", applicant.sign_key.bytes));
  FIRN_TRY(take(enrolment.sealing_key, "spec.sealingKey", applicant.seal_key.bytes));
  FIRN_TRY(take(enrolment.proof, "spec.proof", proof.bytes));
  if (!repo::proof_is_valid(applicant, proof)) {
    return fail(ErrorCode::Invalid,
                "spec.proof was not made with spec.signingKey for this node, repository and spec.sealingKey");
  }
  return applicant;
}

Result<> act(const EnrolWorld& world, const kube::NodeEnrolment& enrolment, const EnrolVerdict& verdict) {
  switch (verdict.act) {
    case Act::Nothing:
      return {};
    case Act::Certify:
      return certify(world, enrolment, true);
    case Act::SealAgain:
      return certify(world, enrolment, false);
    case Act::Refuse: {
      kube::EnrolmentChange change;
      change.conditions =
          conditions(enrolment, "Certified", "False", verdict.reason, verdict.message, world.clock.wall());
      return write(world, enrolment, change);
    }
    case Act::Revoke:
      return revoke(world, enrolment, verdict);
    case Act::Delete:
      return world.client.remove({kube::kEnrolments, enrolment.meta.ns, enrolment.meta.name, {}},
                                 enrolment.meta.uid);
  }
  return {};
}

}  // namespace firn::controller
