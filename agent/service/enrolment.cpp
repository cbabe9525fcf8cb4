#include "agent/service/enrolment.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "agent/kube/base64.h"
#include "agent/service/secret_files.h"
#include "repo/base/files.h"

namespace firn::service {
namespace {

constexpr std::size_t kPairsBytesMax = 1024;
constexpr std::chrono::milliseconds kLookEvery{300};
// A name has 253 bytes at most; the key's id makes it the only one.
constexpr std::size_t kNodeBytesMax = 200;

std::string name_of(const repo::Applicant& applicant) {
  return applicant.node.substr(0, kNodeBytesMax) + "-" + applicant.kid().hex();
}

std::string reason_of(const kube::NodeEnrolment& answer, std::string_view type) {
  const kube::Condition* condition = kube::find(answer.conditions, type);
  return condition == nullptr ? "" : condition->reason;
}

std::string message_of(const kube::NodeEnrolment& answer, std::string_view type) {
  const kube::Condition* condition = kube::find(answer.conditions, type);
  return condition == nullptr ? "" : condition->message;
}

}  // namespace

/// Whoever makes the file first makes the pairs: the other container takes those.
Result<repo::NodePairs> Enrolment::pairs_of(const std::string& repository) {
  const std::string path = options_.folder + "/" + repository + ".pairs";
  FIRN_TRY(base::make_directories(options_.folder));
  // Whoever made it before us may have been more generous.
  if (::chmod(options_.folder.c_str(), 0700) != 0) {
    return fail_errno(errno, "chmod", options_.folder);
  }
  for (const bool last : {false, true}) {
    auto bytes = base::read_file(path, kPairsBytesMax);
    if (bytes) {
      auto pairs = repo::parse_node_pairs(*bytes);
      crypto::wipe(*bytes);
      return in(path, std::move(pairs));
    }
    if (bytes.error().code != ErrorCode::NotFound || last) {
      return Failure(bytes.error());
    }
    const std::string draft = path + "." + to_hex(client_.rng().bytes<8>());
    FIRN_TRY(base::replace_file(draft, repo::encode(repo::NodePairs::make(client_.rng())).bytes()));
    if (::link(draft.c_str(), path.c_str()) != 0 && errno != EEXIST) {
      const int problem = errno;
      ::unlink(draft.c_str());
      return fail_errno(problem, "link", path);
    }
    ::unlink(draft.c_str());
    FIRN_TRY(base::sync_directory(options_.folder));
  }
  return fail(ErrorCode::NotFound, path);
}

Result<> Enrolment::put_away(const std::string& repository) {
  const std::string path = options_.folder + "/" + repository + ".pairs";
  if (::rename(path.c_str(), (path + ".revoked").c_str()) != 0 && errno != ENOENT) {
    return fail_errno(errno, "rename", path);
  }
  return {};
}

Result<kube::NodeEnrolment> Enrolment::ask(const repo::Applicant& applicant, const repo::NodePairs& pairs,
                                           const std::string& repository) {
  const kube::Place place{kube::kEnrolments, options_.own_ns, name_of(applicant), {}};
  auto there = client_.get(place);
  if (!there && there.error().code == ErrorCode::NotFound) {
    kube::NodeEnrolment asked;
    asked.meta.name = place.name;
    asked.meta.ns = place.ns;
    asked.node = applicant.node;
    asked.repository = repository;
    asked.signing_key = kube::base64_text(applicant.sign_key.bytes);
    asked.sealing_key = kube::base64_text(applicant.seal_key.bytes);
    asked.proof = kube::base64_text(repo::prove(applicant, pairs).bytes);
    there = client_.create(place, kube::enrolment_json(asked));
    if (there) {
      log_.audit("asked to be enrolled", {{"repository", repository}, {"key", applicant.kid().hex()}});
    } else if (there.error().code == ErrorCode::Exists) {
      there = client_.get(place);  // the other container was faster
    }
  }
  if (!there) {
    return Failure(there.error());
  }
  return kube::enrolment_of(*there);
}

Outcome<Access> Enrolment::open(const kube::NodeEnrolment& answer, const repo::Applicant& applicant,
                                const repo::NodePairs& pairs) {
  const auto refused = [&](const Error& error) {
    return refuse("EnrolmentRefused", "NodeEnrollment " + answer.meta.name + ": " + error.message);
  };
  const auto sealed_keys = kube::base64_bytes(answer.sealed_keys, "status.sealedKeys");
  const auto sealed_variables = kube::base64_bytes(answer.sealed_credentials, "status.sealedCredentials");
  for (const auto* bytes : {&sealed_keys, &sealed_variables}) {
    if (!*bytes) {
      return refused(bytes->error());
    }
  }
  Access access;
  auto secrets = repo::open_writer_keys(applicant, pairs, *sealed_keys);
  if (!secrets) {
    return refused(secrets.error());
  }
  access.unlock.secrets = *std::move(secrets);
  if (!sealed_variables->empty()) {
    auto variables = repo::open_store_variables(applicant, pairs, *sealed_variables);
    if (!variables) {
      return refused(variables.error());
    }
    access.variables = *std::move(variables);
  }
  access.version = answer.key_id + "/" + answer.credentials_tag;
  return access;
}

Outcome<Access> Enrolment::access(const std::string& repository) {
  auto by_file = read_unlock(options_.key_dir, repository);
  if (by_file || by_file.error().reason != "KeyMissing") {
    if (!by_file) {
      return tl::unexpected(by_file.error());
    }
    return Access{.unlock = *std::move(by_file), .variables = {}, .version = {}};
  }
  const auto& clock = client_.executor().clock();
  const auto until = clock.steady() + options_.patience;
  while (true) {
    const auto pairs = pairs_of(repository);
    if (!pairs) {
      return tl::unexpected(refusal_of(pairs.error(), "the node's own key"));
    }
    const repo::Applicant applicant{.repository = options_.own_ns + "/" + repository,
                                    .node = options_.node,
                                    .sign_key = pairs->sign_pair.public_key(),
                                    .seal_key = pairs->seal_pair.public_key()};
    const auto answer = ask(applicant, *pairs, repository);
    if (!answer) {
      return tl::unexpected(refusal_of(answer.error(), "asking to be enrolled"));
    }
    if (answer->status_of("Revoked") == "True" && reason_of(*answer, "Revoked") == "NodeGone") {
      // The node is here again. Its old key stays void; it asks with another.
      log_.audit("the key was revoked when the node was gone: another is made", {{"repository", repository}});
      if (auto away = put_away(repository); !away) {
        return tl::unexpected(refusal_of(away.error(), "the node's own key"));
      }
      continue;
    }
    if (answer->revoke || answer->status_of("Revoked") == "True") {
      return refuse("NodeRevoked", "NodeEnrollment " + answer->meta.name +
                                       " was revoked: this node may not use the repository");
    }
    if (answer->is_certified() && !answer->sealed_keys.empty()) {
      return open(*answer, applicant, *pairs);
    }
    if (answer->status_of("Certified") == "False") {
      return refuse("EnrolmentRefused",
                    "NodeEnrollment " + answer->meta.name + ": " + message_of(*answer, "Certified"));
    }
    if (clock.steady() >= until || !client_.pause(kLookEvery)) {
      return tl::unexpected(
          Refusal{"EnrolmentPending",
                  "NodeEnrollment " + name_of(applicant) +
                      ": the controller has not answered: is one running, and does it hold an issuer's "
                      "key for the Repository?",
                  true});
    }
  }
}

}  // namespace firn::service
