// firn cat, firn list: what lies in a repository, object by object, for people who look inside.
#include <iterator>
#include <memory>
#include <set>

#include "agent/cli/commands.h"
#include "agent/cli/errors.h"
#include "agent/cli/nodes.h"
#include "agent/cli/text.h"
#include "repo/format/index_object.h"
#include "repo/format/limits.h"
#include "repo/format/session.h"
#include "repo/tree/slice_list.h"

namespace firn::cli {
namespace {

struct CatCommand {
  std::string what;
  std::string id;
};

struct ListCommand {
  std::string what;
};

void print_document(Context& context, const Json& document) {
  // A document is for people, too: indented, and one document all the same.
  context.out.line(document.dump(2, ' ', false, Json::error_handler_t::replace));
}

Json config_json(const format::Config& config) {
  Json json = Json::object();
  json["version"] = config.format;
  json["id"] = config.repository.hex();
  json["created"] = json_time(config.created);
  json["required_features"] = config.required_features;
  const format::Parameters& parameters = config.parameters;
  json["pack_size"] = parameters.pack_size;
  json["chunker"] = parameters.chunker;
  json["chunk_min"] = parameters.chunk_min;
  json["chunk_average"] = parameters.chunk_average;
  json["chunk_max"] = parameters.chunk_max;
  json["bundle_size"] = parameters.bundle_size;
  return json;
}

Json entry_json(const format::PackEntry& entry) {
  constexpr const char* kTypes[] = {"", "data", "bundle", "tree", "slices", "refs"};
  Json json = Json::object();
  json["id"] = entry.id.hex();
  json["type"] = kTypes[static_cast<std::size_t>(entry.shape.type) % std::size(kTypes)];
  json["offset"] = entry.offset;
  json["length"] = entry.shape.stored;
  json["uncompressed_length"] = entry.shape.plain;
  return json;
}

/// The one object under `prefix` whose last part begins with `id`. Errors: NotFound, Invalid (several).
Result<format::ObjectName> find_object(const repo::Repository& repository, std::string_view prefix,
                                       const std::string& id) {
  std::optional<format::ObjectName> found;
  bool several = false;
  FIRN_TRY(store::list_all(repository.store(), prefix, [&](const store::ListedObject& object) -> Result<> {
    const std::string_view name = object.name;
    if (name.substr(name.rfind('/') + 1).starts_with(id)) {
      several = found.has_value();
      found = object.name;
    }
    return {};
  }));
  if (!found) {
    return fail(ErrorCode::NotFound, "nothing under " + std::string(prefix) + " begins with " + id);
  }
  return several ? Result<format::ObjectName>(
                       fail(ErrorCode::Invalid, "several objects begin with " + id + ": give more digits"))
                 : Result<format::ObjectName>(*found);
}

Result<> cat_index(Context& context, OpenRepository& open, const std::string& id) {
  FIRN_LET(const format::ObjectName name, find_object(open.repository(), format::kIndexPrefix, id));
  FIRN_LET(const format::OpenedObject object, open.repository().get_sealed(name));
  FIRN_LET(format::IndexReader reader, in(name.str(), format::IndexReader::open(object.signed_body.body)));
  Json json = Json::object();
  json["name"] = name.str();
  json["session"] = format::session_id(reader.proof()).hex();
  json["level"] = reader.level();
  json["packs"] = Json::array();
  format::IndexedPack pack;
  while (true) {
    FIRN_LET(const bool more, in(name.str(), reader.next(pack)));
    if (!more) {
      break;
    }
    Json one = Json::object();
    one["id"] = pack.name.id.hex();
    one["kind"] = pack.name.kind == format::PackKind::Data ? "data" : "meta";
    one["size"] = pack.size_bytes;
    one["blobs"] = Json::array();
    for (const format::PackEntry& entry : pack.entries) {
      one["blobs"].push_back(entry_json(entry));
    }
    json["packs"].push_back(std::move(one));
  }
  print_document(context, json);
  return {};
}

Result<> cat_key(Context& context, OpenRepository& open, const std::string& id) {
  for (const repo::KnownKey& key : open.repository().keys().keys()) {
    if (!key.kid.hex().starts_with(id)) {
      continue;
    }
    Json json = Json::object();
    json["id"] = key.kid.hex();
    json["roles"] = key.cert.roles.bits;
    json["created"] = json_time(key.cert.created);
    json["username"] = key.cert.user;
    json["hostname"] = key.cert.host;
    json["sign_key"] = to_hex(key.cert.sign_key.bytes);
    json["seal_key"] = to_hex(key.cert.seal_key.bytes);
    json["revoked"] = key.revoked;
    print_document(context, json);
    return {};
  }
  return fail(ErrorCode::NotFound, "no key begins with " + id);
}

Result<> cat_pack(Context& context, OpenRepository& open, const std::string& id) {
  for (const std::string_view prefix : {format::kDataPrefix, format::kMetaPrefix}) {
    auto name = find_object(open.repository(), prefix, id);
    if (!name && name.error().code == ErrorCode::NotFound) {
      continue;
    }
    if (!name) {
      return Failure(std::move(name).error());
    }
    FIRN_LET(const Bytes bytes, open.repository().store().get(*name, format::kPackBytesMax));
    context.out.write(as_text(bytes));
    return {};
  }
  return fail(ErrorCode::NotFound, "no pack begins with " + id);
}

/// Sees every capability that reading a tree uses, and keeps the one that is looked for.
class SeekingPages final : public tree::PageSource {
 public:
  SeekingPages(repo::ChunkReader& reader, const format::ChunkId& wanted) : pages_(reader), wanted_(wanted) {}
  Result<Bytes> read_page(format::ChunkType type, const format::ChunkSecret& t) override {
    look_at(t);
    return pages_.read_page(type, t);
  }
  Result<Bytes> read_refs(const format::ChunkId& id) override { return pages_.read_refs(id); }
  void look_at(const format::ChunkSecret& t) {
    if (!found_ && t != last_ && format::capability_opens(t, wanted_)) {
      found_ = t;
    }
    last_ = t;
  }
  const std::optional<format::ChunkSecret>& found() const { return found_; }

 private:
  repo::RepositoryPages pages_;
  const format::ChunkId wanted_;
  format::ChunkSecret last_;
  std::optional<format::ChunkSecret> found_;
};

/// A chunk opens with its capability only, and those lie in the trees that name it: each is looked through.
Result<format::ChunkSecret> seek_capability(Context& context, OpenRepository& open,
                                            const format::ChunkId& id) {
  FIRN_LET(const repo::SnapshotList* list, open.snapshots());
  for (const repo::SnapshotInfo& info : list->snapshots) {
    FIRN_LET(const OpenTree tree, open_tree(open, info));
    SeekingPages pages(*tree.reader, id);
    tree::TreeReader entries(pages, tree.root);
    while (!pages.found()) {
      FIRN_TRY(context.world.stop.check());
      FIRN_LET(const bool more, entries.next());
      if (!more) {
        break;
      }
      for (const format::BlobView* blob :
           {&entries.entry().content, &entries.entry().holes, &entries.entry().xattrs}) {
        tree::SliceListReader slices(pages, *blob);
        while (!pages.found()) {
          FIRN_LET(const auto slice, slices.next());
          if (!slice) {
            break;
          }
          pages.look_at(slice->slice.chunk);
        }
      }
    }
    if (pages.found()) {
      return *pages.found();
    }
  }
  return fail(ErrorCode::NotFound, "no snapshot that this key reads names chunk " + id.hex());
}

Result<> cat_chunk(Context& context, OpenRepository& open, const std::string& text) {
  const auto id = format::ChunkId::parse(text);
  if (!id) {
    return fail(ErrorCode::Invalid, "a chunk's id has 64 hex digits");
  }
  FIRN_LET(repo::ChunkReader * reader, open.reader());
  FIRN_LET(const auto locations, reader->locate(*id));
  if (locations.empty()) {
    return fail(ErrorCode::NotFound, "chunk " + text + " is in no pack");
  }
  const format::ChunkType type = locations.front().shape.type;
  if (type == format::ChunkType::RefsPage) {
    FIRN_LET(const Bytes bytes, reader->read_refs(*id));
    context.out.write(as_text(bytes));
    return {};
  }
  FIRN_LET(const format::ChunkSecret t, seek_capability(context, open, *id));
  FIRN_LET(const Bytes bytes, reader->read(type, t));
  context.out.write(as_text(bytes));
  return {};
}

Result<int> run_cat(Context& context, const CatCommand& command) {
  if (command.what != "config" && command.id.empty()) {
    return fail(ErrorCode::Invalid, "say which " + command.what + ": firn cat " + command.what + " ID");
  }
  FIRN_LET(const auto open, OpenRepository::open(context));
  if (command.what == "config") {
    print_document(context, config_json(open->repository().config()));
  } else if (command.what == "snapshot") {
    FIRN_LET(const repo::SnapshotList* list, open->snapshots());
    FIRN_LET(const repo::SnapshotInfo* info, select_snapshot(*list, {}, command.id));
    print_document(context, snapshot_json(*info));
  } else if (command.what == "index") {
    FIRN_TRY(cat_index(context, *open, command.id));
  } else if (command.what == "key") {
    FIRN_TRY(cat_key(context, *open, command.id));
  } else if (command.what == "pack") {
    FIRN_TRY(cat_pack(context, *open, command.id));
  } else {
    FIRN_TRY(cat_chunk(context, *open, command.id));
  }
  return kExitOk;
}

/// Gathers for JSON, prints for people.
class Listing {
 public:
  explicit Listing(Context& context) : context_(context) {}
  void add(const std::string& id, Json fields = Json::object()) {
    if (context_.out.json()) {
      fields["id"] = id;
      array_.push_back(std::move(fields));
    } else {
      context_.out.line(id);
    }
  }
  void finish() {
    if (context_.out.json()) {
      context_.out.line(json_text(array_));
    }
  }

 private:
  Context& context_;
  Json array_ = Json::array();
};

Result<> list_prefix(OpenRepository& open, std::string_view prefix, Listing& listing) {
  return store::list_all(
      open.repository().store(), prefix, [&](const store::ListedObject& object) -> Result<> {
        const std::string& name = object.name.str();
        listing.add(name.substr(name.rfind('/') + 1),
                    Json::object(
                        {{"name", name}, {"size", object.size_bytes}, {"stored", json_time(object.stored)}}));
        return {};
      });
}

Result<> list_sessions(OpenRepository& open, Listing& listing) {
  std::set<std::string> ended;
  std::vector<std::string> opened;
  FIRN_TRY(store::list_all(open.repository().store(), format::kSessionsPrefix,
                           [&](const store::ListedObject& object) -> Result<> {
                             const auto name = format::parse_name(object.name);
                             if (name && std::holds_alternative<format::EndName>(*name)) {
                               ended.insert(std::get<format::EndName>(*name).session.hex());
                             } else if (name && std::holds_alternative<format::SessionName>(*name)) {
                               opened.push_back(std::get<format::SessionName>(*name).session.hex());
                             }
                             return {};
                           }));
  for (const std::string& session : opened) {
    listing.add(session, Json::object({{"ended", ended.contains(session)}}));
  }
  return {};
}

Result<int> run_list(Context& context, const ListCommand& command) {
  FIRN_LET(const auto open, OpenRepository::open(context));
  Listing listing(context);
  if (command.what == "packs") {
    FIRN_TRY(list_prefix(*open, format::kDataPrefix, listing));
    FIRN_TRY(list_prefix(*open, format::kMetaPrefix, listing));
  } else if (command.what == "index") {
    FIRN_TRY(list_prefix(*open, format::kIndexPrefix, listing));
  } else if (command.what == "snapshots") {
    FIRN_LET(const repo::SnapshotList* list, open->snapshots());
    for (const repo::SnapshotInfo& info : list->snapshots) {
      listing.add(info.id.hex());
    }
  } else if (command.what == "keys") {
    for (const repo::KnownKey& key : open->repository().keys().keys()) {
      listing.add(key.kid.hex());
    }
  } else {
    FIRN_TRY(list_sessions(*open, listing));
  }
  listing.finish();
  return kExitOk;
}

}  // namespace

void add_cat(CommandSet& set) {
  auto options = std::make_shared<CatCommand>();
  Command command{
      .name = "cat",
      .summary = "Print an object of the repository",
      .text =
          "Prints records as JSON, packs as they are stored, chunks as they were before they were sealed. A "
          "chunk opens only with what the tree that names it says, so all snapshots may be looked through.",
      .examples = {{"firn cat config", ""},
                   {"firn cat snapshot latest", ""},
                   {"firn cat pack 1a2b3c >pack", ""}},
      .flags = {},
      .arguments = {},
      .run = [options](Context& context) { return run_cat(context, *options); }};
  command.argument({.name = "WHAT",
                    .help = "The kind of object: config, snapshot, index, key, pack, chunk",
                    .required = true,
                    .choices = {"config", "snapshot", "index", "key", "pack", "chunk"},
                    .target = &options->what});
  command.argument({.name = "ID",
                    .help = "Its first digits, as firn list shows them",
                    .required = false,
                    .choices = {},
                    .target = &options->id});
  set.add(std::move(command));
}

void add_list(CommandSet& set) {
  auto options = std::make_shared<ListCommand>();
  Command command{.name = "list",
                  .summary = "List objects of the repository",
                  .text = "One id a line; with --json an array, with sizes and times where there are any.",
                  .examples = {{"firn list packs | wc -l", ""}, {"firn list sessions --json", ""}},
                  .flags = {},
                  .arguments = {},
                  .run = [options](Context& context) { return run_list(context, *options); }};
  command.argument({.name = "WHAT",
                    .help = "The kind of objects: packs, index, snapshots, keys, sessions",
                    .required = true,
                    .choices = {"packs", "index", "snapshots", "keys", "sessions"},
                    .target = &options->what});
  set.add(std::move(command));
}

}  // namespace firn::cli
