// firn key: which keys a repository has, new ones, and other passwords.
#include <fcntl.h>

#include <algorithm>
#include <memory>

#include "agent/cli/commands.h"
#include "agent/cli/errors.h"
#include "agent/cli/host.h"
#include "agent/cli/json.h"
#include "agent/cli/open.h"
#include "agent/cli/secrets.h"
#include "agent/cli/text.h"
#include "repo/base/files.h"
#include "repo/format/capability.h"
#include "repo/format/limits.h"
#include "repo/revoke.h"

namespace firn::cli {
namespace {

using format::Role;

struct KeyAddCommand {
  std::vector<std::string> roles;
  std::optional<std::string> out;
  std::optional<std::string> new_password_file;
  std::optional<std::string> host;
  std::optional<std::string> user;
};

struct KeyRemoveCommand {
  std::vector<std::string> drop;
  std::string id;
};

struct KeyPasswdCommand {
  std::optional<std::string> new_password_file;
};

constexpr Role kRoles[] = {Role::Writer, Role::Reader, Role::Maintainer, Role::Issuer, Role::Admin};

std::string roles_text(const format::Roles& roles) {
  std::string text;
  for (const Role role : kRoles) {
    if (roles.has(role)) {
      text += (text.empty() ? "" : ",") + std::string(repo::to_string(role));
    }
  }
  return text;
}

Result<format::Roles> parse_roles(const std::vector<std::string>& texts) {
  format::Roles roles;
  for (const std::string& text : texts) {
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find(',', begin), text.size());
      const std::string word = text.substr(begin, end - begin);
      bool known = false;
      for (const Role role : kRoles) {
        if (word == repo::to_string(role)) {
          roles = roles.with(role);
          known = true;
        }
      }
      if (!known) {
        return fail(ErrorCode::Invalid,
                    "--role: \"" + word + "\" is not writer, reader, maintainer, issuer or admin");
      }
      begin = end + 1;
    }
  }
  return texts.empty() ? format::Roles{format::kRolesAll} : roles;
}

Result<int> run_key_list(Context& context) {
  FIRN_LET(const auto open, OpenRepository::open(context));
  const repo::Keyring& keys = open->repository().keys();
  Json array = Json::array();
  Table table({" ID", "User", "Host", "Roles", "Created", ""});
  for (const repo::KnownKey& key : keys.keys()) {
    const bool current = key.kid == keys.kid();
    if (context.out.json()) {
      Json json = Json::object();
      json["current"] = current;
      json["id"] = key.kid.hex();
      json["userName"] = key.cert.user;
      json["hostName"] = key.cert.host;
      json["created"] = plain_time(key.cert.created);
      json["role"] = roles_text(key.cert.roles);
      json["revoked"] = key.revoked;
      if (key.cert.not_after.nanoseconds != INT64_MAX) {
        json["expires"] = json_time(key.cert.not_after);
      }
      array.push_back(std::move(json));
    } else {
      table.add({(current ? "*" : " ") + key.kid.hex(), printable(key.cert.user), printable(key.cert.host),
                 roles_text(key.cert.roles), plain_time(key.cert.created), key.revoked ? "revoked" : ""});
    }
  }
  context.out.write(context.out.json() ? json_text(array) + "\n" : table.text());
  return kExitOk;
}

/// A file that only its owner reads, and that was not there before.
Result<> write_new_file(const std::string& path, ByteView bytes) {
  FIRN_LET(const base::FileDescriptor file,
           in("--out", base::open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0600)));
  return base::write_all(file.get(), bytes, path);
}

/// The new key's certificate, read back as others will read it.
Result<format::Cert> read_certificate(const repo::Repository& repository, const format::KeyId& kid) {
  const format::ObjectName name = format::object_name(format::CertName{.kid = kid, .n = 1});
  FIRN_LET(const Bytes bytes, repository.store().get(name, format::kClearObjectBytesMax));
  FIRN_LET(const format::SignedBody object, in(name.str(), format::parse_clear_object(name, bytes)));
  FIRN_LET(const format::Cert cert, in(name.str(), format::parse_cert(object.body)));
  if (format::key_id(cert.sign_key, cert.seal_key) != kid) {
    return fail(ErrorCode::Corrupt, name.str() + ": belongs to another key");
  }
  return cert;
}

/// Seals every snapshot that the own key reads to the new reader: caps/<snapshot id>/<kid>. Snapshots that
/// the own key does not read are counted.
Result<std::uint64_t> grant_snapshots(OpenRepository& open, const format::KeyId& kid) {
  const repo::Repository& repository = open.repository();
  const repo::Keyring& keys = repository.keys();
  FIRN_LET(const format::Cert cert, read_certificate(repository, kid));
  FIRN_LET(const repo::SnapshotList* list, open.snapshots());
  std::uint64_t unreadable = 0;
  for (const repo::SnapshotInfo& info : list->snapshots) {
    const auto root = repo::open_root(repository, info);
    if (!root && root.error().code == ErrorCode::Denied) {
      ++unreadable;
      continue;
    }
    if (!root) {
      return Failure(root.error());
    }
    FIRN_LET(const format::SealedCapability capability,
             format::seal_capability(*keys.psk(), repository.id(), info.snapshot.name, kid, cert.seal_key,
                                     *root, repository.services().rng.bytes<32>()));
    const auto name = format::object_name(format::CapsName{.snapshot = info.id, .kid = kid});
    FIRN_LET(const Bytes bytes,
             format::encode_clear_object(
                 name, format::sign_body(name, format::encode(capability), keys.kid(), keys.sign_pair())));
    FIRN_TRY(repository.store().put(name, bytes).as_result());
  }
  return unreadable;
}

Result<int> run_key_add(Context& context, const KeyAddCommand& command) {
  FIRN_LET(const format::Roles roles, parse_roles(command.roles));
  if (command.out && command.new_password_file) {
    return fail(ErrorCode::Invalid, "give --out or --new-password-file, not both");
  }
  FIRN_LET(const auto open, OpenRepository::open(context));
  const repo::Repository& repository = open->repository();
  repo::Unlock unlock;
  if (command.out) {
    unlock.key_file = format::KeyFile{.kid = std::nullopt,
                                      .key = crypto::Secret<32>::copy_of(context.world.rng.bytes<32>())};
  } else {
    FIRN_LET(unlock.password, read_new_password(context, command.new_password_file));
  }
  repo::NewKeyOptions options;
  options.roles = roles;
  options.user = command.user ? *command.user : user_name_here(context.world);
  options.host = command.host ? *command.host : host_name(context.world);
  FIRN_LET(const format::KeyId kid, repo::add_key(repository.services(), repository.store(),
                                                  repository.keys(), repository.config(), unlock, options));
  if (command.out) {
    unlock.key_file->kid = kid;
    FIRN_TRY(write_new_file(*command.out, format::encode(*unlock.key_file).bytes()));
  }
  if (roles.has(Role::Reader) || roles.has(Role::Admin)) {
    FIRN_LET(const std::uint64_t unreadable,
             in("grant the snapshots to the new key", grant_snapshots(*open, kid)));
    if (unreadable > 0) {
      context.out.warn(count_text(unreadable) +
                       " snapshots cannot be granted: the key at hand does not read them");
    }
  }
  if (context.out.json()) {
    context.out.line(json_text(
        Json::object({{"message_type", "key_added"}, {"id", kid.hex()}, {"role", roles_text(roles)}})));
  } else {
    context.out.note("added key " + kid.hex() + " (" + roles_text(roles) + ")" +
                     (command.out ? "; it opens with " + *command.out : ""));
  }
  return kExitOk;
}

/// A whole kid, or the first digits of one.
Result<format::KeyId> find_key(const repo::Keyring& keys, const std::string& text) {
  std::optional<format::KeyId> found;
  for (const repo::KnownKey& key : keys.keys()) {
    if (text.empty() || !key.kid.hex().starts_with(text)) {
      continue;
    }
    if (found) {
      return fail(ErrorCode::Invalid, "several keys begin with " + text + ": give more digits");
    }
    found = key.kid;
  }
  if (!found) {
    return fail(ErrorCode::NotFound, "no key begins with " + text + ": see 'firn key list'");
  }
  return *found;
}

Result<int> run_key_remove(Context& context, const KeyRemoveCommand& command) {
  Output& out = context.out;
  FIRN_LET(const auto open, OpenRepository::open(context));
  const repo::Keyring& keys = open->repository().keys();
  FIRN_LET(const format::KeyId kid, find_key(keys, command.id));
  repo::RevokeOptions options;
  for (const std::string& text : command.drop) {
    FIRN_LET(const format::KeyId dropped, in("--drop", find_key(keys, text)));
    options.drop.insert(dropped);
  }
  FIRN_LET(repo::ObjectCache * cache, open->cache());
  FIRN_LET(const repo::RevokeReport report, repo::revoke_key(open->repository(), *cache, kid, options));
  if (out.json()) {
    out.line(json_text(Json::object({{"message_type", "key_removed"},
                                     {"id", kid.hex()},
                                     {"sessions_kept", report.sessions_kept},
                                     {"sessions_fenced", report.sessions_fenced}})));
  }
  out.note("revoked key " + kid.hex() + "; snapshots of " + count_text(report.sessions_kept) +
           " sessions go on to count");
  if (report.sessions_fenced > 0) {
    out.note(count_text(report.sessions_fenced) + " of its sessions were open and cannot commit any more");
  }
  for (const format::KeyId& writer : report.recertified) {
    out.note("writer " + writer.hex() + " is vouched for by the administrator now");
  }
  for (const format::KeyId& writer : report.dropped) {
    out.note("writer " + writer.hex() + " is revoked, with all its snapshots");
  }
  for (const format::KeyId& writer : report.revocations_lifted) {
    out.warn("key " + writer.hex() + " was revoked by this issuer only, and counts again: remove it again");
  }
  for (const std::string& wrap : report.wraps_left) {
    out.warn(wrap + " could not be deleted: its password still opens it");
  }
  return report.wraps_left.empty() ? kExitOk : kExitFailed;
}

Result<int> run_key_passwd(Context& context, const KeyPasswdCommand& command) {
  FIRN_LET(const auto open, OpenRepository::open(context));
  const repo::Repository& repository = open->repository();
  repo::Unlock unlock;
  FIRN_LET(unlock.password, read_new_password(context, command.new_password_file));
  FIRN_LET(const repo::PasswordChange change,
           repo::change_password(repository.services(), repository.store(), repository.keys(), unlock));
  if (!change.old_wraps_left.empty()) {
    for (const std::string& wrap : change.old_wraps_left) {
      context.out.warn(wrap + " could not be deleted");
    }
    return fail(ErrorCode::Denied, "the new password opens the repository, and the old one still does");
  }
  context.out.note("the password of key " + repository.keys().kid().hex() + " is changed");
  return kExitOk;
}

}  // namespace

void add_key(CommandSet& set) {
  set.add({.name = "key list",
           .summary = "List the keys of the repository",
           .text = "The key in use is marked with a star.",
           .examples = {{"firn key list --json", ""}},
           .flags = {},
           .arguments = {},
           .run = run_key_list});

  auto add = std::make_shared<KeyAddCommand>();
  Command add_command{
      .name = "key add",
      .summary = "Add a key, with a password or a key file",
      .text =
          "Makes a key of its own with the given roles. A writer backs up and reads only what was granted to "
          "it; a reader restores; a maintainer forgets and prunes without reading; an issuer certifies "
          "writers; "
          "an admin may do everything. Needs an admin key; an issuer key may add writers, for 90 days.",
      .examples = {{"firn key add --role writer --host node7 --out node7.key",
                    "For a node that must not read what others store."},
                   {"firn key add --new-password-file second", "A second password that may do everything."}},
      .flags = {},
      .arguments = {},
      .run = [add](Context& context) { return run_key_add(context, *add); }};
  add_command.flag({.names = "--role",
                    .value = "ROLE[,ROLE]",
                    .help = "What the key may do: writer, reader, maintainer, issuer, admin (all of them)",
                    .choices = {},
                    .target = &add->roles});
  add_command.flag({.names = "--out",
                    .value = "FILE",
                    .help = "Make a random key and write it to this new file",
                    .choices = {},
                    .hint = Hint::File,
                    .target = &add->out});
  add_command.flag({.names = "--new-password-file",
                    .value = "FILE",
                    .help = "Read the new key's password from a file",
                    .choices = {},
                    .hint = Hint::File,
                    .target = &add->new_password_file});
  add_command.flag({.names = "--host",
                    .value = "HOST",
                    .help = "For people: where the key is used",
                    .choices = {},
                    .target = &add->host});
  add_command.flag({.names = "--user",
                    .value = "USER",
                    .help = "For people: who uses the key",
                    .choices = {},
                    .target = &add->user});
  set.add(std::move(add_command));

  auto remove = std::make_shared<KeyRemoveCommand>();
  Command remove_command{
      .name = "key remove",
      .summary = "Revoke a key",
      .text =
          "Nothing that the key signs from now on counts; its snapshots so far do. Its open sessions are "
          "fenced, and what its password or key file opens is deleted. When an issuer is revoked, the "
          "administrator vouches for the writers that it certified. Needs "
          "an admin key; an issuer key may revoke writers whose sessions have ended. A revoked key can still "
          "read what it could read.",
      .examples = {{"firn key remove 8f7e", ""}},
      .flags = {},
      .arguments = {},
      .run = [remove](Context& context) { return run_key_remove(context, *remove); }};
  remove_command.flag(
      {.names = "--drop",
       .value = "KEY",
       .help = "Of an issuer: a writer that it certified and that is revoked too, with all its snapshots",
       .choices = {},
       .target = &remove->drop});
  remove_command.argument({.name = "KEY",
                           .help = "The key's id, or its first digits",
                           .required = true,
                           .choices = {},
                           .target = &remove->id});
  set.add(std::move(remove_command));

  auto passwd = std::make_shared<KeyPasswdCommand>();
  Command passwd_command{
      .name = "key passwd",
      .summary = "Change the password of the key in use",
      .text = "The old password opens nothing any more, unless the store refuses to delete.",
      .examples = {{"firn key passwd", ""}, {"firn key passwd --new-password-file new", ""}},
      .flags = {},
      .arguments = {},
      .run = [passwd](Context& context) { return run_key_passwd(context, *passwd); }};
  passwd_command.flag({.names = "--new-password-file",
                       .value = "FILE",
                       .help = "Read the new password from a file",
                       .choices = {},
                       .hint = Hint::File,
                       .target = &passwd->new_password_file});
  set.add(std::move(passwd_command));
}

}  // namespace firn::cli
