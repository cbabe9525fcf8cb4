#include "tests/repo/format/samples.h"

#include <algorithm>

#include "repo/base/check.h"
#include "repo/format/blobs.h"
#include "repo/format/sealed.h"

namespace firn::format::test {
namespace {

base::WallTime at_second(std::int64_t second) { return {1'700'000'000'000'000'000 + second * 1'000'000'000}; }

template <class T>
T good(Result<T> result) {
  FIRN_CHECK(result.has_value());
  return *std::move(result);
}

SnapshotName snapshot_name() { return {source_tag(meta_key(), snapshot().source.id), session(), 1}; }

/// Seals a body under its name as the key of all roles; every salt is d0 d1 ….
Bytes sealed(const ObjectName& name, Bytes body, Bytes extra = {}) {
  const SignedBody signed_body = sign_body(name, std::move(body), kid(), sign_pair());
  return good(seal_object(meta_key(), name, counting<32>(0xD0), {signed_body, std::move(extra)}));
}

Bytes clear(const ObjectName& name, Bytes body, const KeyId& signer, const crypto::Ed25519KeyPair& pair) {
  return good(encode_clear_object(name, sign_body(name, std::move(body), signer, pair)));
}

CarriedObject carried(const ObjectName& name, Bytes body) {
  return {name, at_second(100), sign_body(name, std::move(body), kid(), sign_pair())};
}

Slice slice(unsigned first, std::uint32_t offset, std::uint32_t length) {
  return {ChunkSecret{counting<32>(first)}, offset, length};
}

Bytes leaf_page() {
  LeafPageWriter writer(derive_cut_seeds(cut_key()).page);
  for (const ListedEntry& each : entries()) {
    FIRN_CHECK(good(writer.add(each.directory, each.entry)) == LeafPageWriter::Added::Open);
  }
  return writer.take().bytes;
}

Bytes inner_page() {
  InnerPageWriter writer(derive_cut_seeds(cut_key()).page, 1);
  writer.add({{}, ChunkSecret{counting<32>(1)}, ChunkId{counting<32>(2)}});
  writer.add({to_bytes(as_bytes("etc")), ChunkSecret{counting<32>(3)}, ChunkId{counting<32>(4)}});
  writer.add({to_bytes(as_bytes("etd")), ChunkSecret{counting<32>(5)}, ChunkId{counting<32>(6)}});
  return writer.take().bytes;
}

Bytes slice_page() {
  SlicePageWriter writer(derive_cut_seeds(cut_key()).page);
  writer.add(slice(1, 0, 300));
  writer.add(slice(2, 128, 1U << 20));
  return writer.take().bytes;
}

Bytes slice_inner_page() {
  SliceInnerWriter writer(derive_cut_seeds(cut_key()).page, 1);
  writer.add({ChunkSecret{counting<32>(1)}, ChunkId{counting<32>(2)}, 300 + (1U << 20)});
  writer.add({ChunkSecret{counting<32>(3)}, ChunkId{counting<32>(4)}, std::uint64_t{1} << 40});
  return writer.take().bytes;
}

RefsPage refs_page() { return good(refs_of_page(ChunkType::TreePage, leaf_page())); }

Bytes xattr_blob() {
  return good(encode_xattrs({{"user.origin", to_bytes(as_bytes("somewhere"))}, {"user.empty", {}}}));
}

Bytes hole_blob() {
  Bytes out;
  HoleWriter writer(out);
  writer.add({0, 4096});
  writer.add({8192, 1U << 20});
  return out;
}

Bytes store_chunk(const ChunkSecret& capability, ChunkType type, Codec codec, std::string_view plain,
                  ByteView encoded) {
  const ChunkShape shape{type, codec, static_cast<std::uint32_t>(plain.size()),
                         static_cast<std::uint32_t>(encoded.size() + kChunkOverheadBytes)};
  Bytes stored(shape.stored);
  seal_chunk(chunk_key(capability).bytes(), repository(), chunk_id(capability), shape, counting<12>(0xE0),
             encoded, stored);
  return stored;
}

Bytes capabilities() { return good(encode_capabilities({capability()})); }

Bytes wrap_by_key() {
  return good(encode(wrap_with_key({kid(), 1}, key_secrets(), counting<32>(0xB0), counting<32>(0xD0))));
}

Bytes wrap_by_password() {
  // Far below what a real repository uses, so that tests are quick.
  const crypto::ScryptParameters costs{.cost = 16, .block_size = 8, .parallel = 1};
  return good(encode(
      good(wrap_with_password({kid(), 2}, key_secrets(), as_bytes(kPassword), costs, counting<32>(0xD0)))));
}

Fence fence() { return {proof(), SessionId{counting<16>(0x55)}, FenceReason::Silent, at_second(30)}; }
Heartbeat heartbeat() { return {proof(), 7, at_second(10)}; }
SessionEnd session_end() { return {proof(), at_second(20)}; }

CondemnName condemn_name() { return {session(), 1}; }
SealName seal_name() { return {seal().session, session()}; }
ForgetName forget_name() { return {snapshot_id(snapshot_name())}; }

}  // namespace

RootKey root_key() { return RootKey::copy_of(counting<32>(0)); }
ContentKey content_key() { return derive_content_key(root_key()); }
MetaKey meta_key() { return derive_meta_key(root_key()); }
RefsKey refs_key() { return derive_refs_key(meta_key()); }
PskKey psk_key() { return derive_psk_key(root_key()); }
CutKey cut_key() { return CutKey::copy_of(counting<32>(0x20)); }
crypto::Ed25519KeyPair sign_pair() { return crypto::Ed25519KeyPair::from_seed(counting<32>(0x40)); }
crypto::X25519KeyPair seal_pair() { return crypto::X25519KeyPair::from_private_key(counting<32>(0x60)); }
crypto::Ed25519KeyPair admin_pair() { return crypto::Ed25519KeyPair::from_seed(counting<32>(0x80)); }
RepositoryId repository() { return {counting<16>(0xA0)}; }
KeyId kid() { return key_id(sign_pair().public_key(), seal_pair().public_key()); }
SessionProof proof() { return {kid(), SessionRandom{counting<32>(0xC0)}}; }
SessionId session() { return session_id(proof()); }

KeySecrets key_secrets() {
  return {.repository = repository(),
          .admin_key = admin_pair().public_key(),
          .sign_pair = sign_pair(),
          .seal_pair = seal_pair(),
          .root = root_key(),
          .content = content_key(),
          .meta = meta_key(),
          .psk = psk_key(),
          .cut = cut_key(),
          .admin_pair = admin_pair()};
}

Config config() {
  Config config;
  config.repository = repository();
  config.created = at_second(0);
  config.admin = admin_pair().public_key();
  return config;
}

Cert cert() {
  return {.repository = repository(),
          .roles = {kRolesAll},
          .sign_key = sign_pair().public_key(),
          .seal_key = seal_pair().public_key(),
          .created = at_second(0),
          .not_before = at_second(0),
          .not_after = {INT64_MAX},
          .user = "root",
          .host = "node-1"};
}

Revoked revoked() { return {repository(), kid(), at_second(50), {session()}}; }

Snapshot snapshot() {
  Snapshot s;
  s.repository = repository();
  s.source.host = "node-1";
  s.source.paths = {"/srv/data"};
  s.source.id = path_source_id(s.source.host, s.source.paths);
  s.name = {source_tag(meta_key(), s.source.id), session(), 1};
  s.proof = proof();
  s.parent = SnapshotId{counting<32>(0x11)};
  s.source.tags = {"nightly"};
  s.source.excludes = {"*.tmp"};
  s.source.user = "root";
  s.source.program = "firn 0.1.0";
  s.sequence = 2;
  s.time = at_second(1);
  s.backup_start = at_second(1);
  s.backup_end = at_second(9);
  s.counters = {.files_new = 1,
                .files_changed = 2,
                .files_unmodified = 3,
                .dirs_new = 4,
                .dirs_changed = 5,
                .dirs_unmodified = 6,
                .data_blobs = 7,
                .tree_blobs = 8,
                .data_added = 9,
                .data_added_packed = 10,
                .total_files_processed = 11,
                .total_bytes_processed = 12,
                .errors = 13,
                .files_changed_while_reading = 14,
                .files_vanished = 15};
  const Bytes page = leaf_page();
  s.root = chunk_id(chunk_capability(content_key(), ChunkType::TreePage, page));
  s.refs_root = refs_page_id(refs_key(), good(encode(refs_page())));
  s.notes = {"trusted.* not visible"};
  return s;
}

SessionMarker session_marker() {
  return {.proof = proof(),
          .kind = SessionKind::Backup,
          .machine = MachineId{counting<16>(0x21)},
          .boot = BootId{counting<16>(0x41)},
          .pid_namespace = 4026531836,
          .pid = 4711,
          .process_start = 123456789,
          .host = "node-1",
          .node = "",
          .program = "firn 0.1.0",
          .start = at_second(0)};
}

Condemn condemn() {
  return {proof(),
          at_second(40),
          {{PackKind::Data, PackId{counting<32>(0x31)}}, {PackKind::Meta, PackId{counting<32>(0x21)}}}};
}

Seal seal() {
  return {proof(), SessionId{counting<16>(0x55)}, at_second(60), {SnapshotId{counting<32>(0x11)}}};
}

Forget forget() { return {snapshot_name(), at_second(70)}; }

Union folded() {
  std::vector<CarriedObject> records{carried(object_name(condemn_name()), good(encode(condemn()))),
                                     carried(object_name(forget_name()), good(encode(forget()))),
                                     carried(object_name(seal_name()), good(encode(seal())))};
  return {proof(), 2, at_second(80), {{1, SessionId{counting<16>(0x55)}, 1}}, std::move(records)};
}

Catalog catalog() {
  const ObjectName gone_pack = object_name(PackName{PackKind::Data, PackId{counting<32>(0x31)}});
  return {.proof = proof(),
          .sequence = 3,
          .time = at_second(90),
          .supersedes = {{2, SessionId{counting<16>(0x55)}}},
          .snapshots = {carried(object_name(snapshot_name()), good(encode(snapshot())))},
          .indexes = {{0, session(), 1}},
          .barriers = {{at_second(85), {condemn_name()}, {session()}}},
          .gone = {{gone_pack, GoneReason::Condemned, object_name(condemn_name()), at_second(88)}},
          .retained = {{object_name(ConfigName{1}), at_second(1000)}}};
}

std::string_view data_text() { return "A piece of a file that is too large for a bundle, were it real.\n"; }
std::string_view bundle_text() { return "first small file\nsecond small file\n"; }
ChunkSecret data_capability() {
  return chunk_capability(content_key(), ChunkType::Data, as_bytes(data_text()));
}
ChunkSecret bundle_capability() {
  return chunk_capability(content_key(), ChunkType::Bundle, as_bytes(bundle_text()));
}

FinishedPack data_pack() {
  PackBuilder builder(PackKind::Data, repository(), session(), kPackSizeMin);
  const auto add = [&builder](const ChunkSecret& capability, ChunkType type, std::string_view plain) {
    const Bytes stored = store_chunk(capability, type, Codec::Raw, plain, as_bytes(plain));
    builder.append(chunk_id(capability),
                   {type, Codec::Raw, static_cast<std::uint32_t>(plain.size()),
                    static_cast<std::uint32_t>(stored.size())},
                   stored);
  };
  add(data_capability(), ChunkType::Data, data_text());
  add(bundle_capability(), ChunkType::Bundle, bundle_text());
  return std::move(builder).finish(PackBuilder::Padding::Last, meta_key(),
                                   {counting<32>(0xD0), counting<32>(0xF0)});
}

IndexObject index_object() {
  const FinishedPack pack = data_pack();
  return {proof(),
          2,
          {{0, session(), 1}, {1, SessionId{counting<16>(0x55)}, 9}},
          {{pack.name, static_cast<std::uint32_t>(pack.bytes.size()), pack.trailer.entries}}};
}

SealedCapability capability() {
  const Snapshot s = snapshot();
  const ChunkSecret root = chunk_capability(content_key(), ChunkType::TreePage, leaf_page());
  return good(seal_capability(psk_key(), repository(), s.name, kid(), seal_pair().public_key(), root,
                              counting<32>(0xB0)));
}

Entry regular_entry(std::string name, std::string_view inline_content) {
  Entry entry;
  entry.name = std::move(name);
  entry.mode = 0644;
  entry.mtime = {1'700'000'000, 123'456'789};
  entry.ctime = {1'700'000'001, 0};
  entry.inode = 1234;
  entry.size_bytes = inline_content.size();
  if (!inline_content.empty()) {
    entry.content.form = BlobForm::Inline;
    entry.content.inline_bytes = to_bytes(as_bytes(inline_content));
  }
  return entry;
}

std::vector<ListedEntry> entries() {
  std::vector<ListedEntry> list;
  const auto add = [&list](std::string directory, Entry entry) -> Entry& {
    list.push_back({std::move(directory), std::move(entry)});
    return list.back().entry;
  };
  const auto special = [](std::string name, FileType type) {
    Entry entry = regular_entry(std::move(name), "");
    entry.type = type;
    return entry;
  };
  Entry& top = add("", special("", FileType::Directory));
  top.mode = 0755;
  top.nlink = 3;
  add("", special("block", FileType::Block)).rdev = std::uint64_t{8} << 32 | 1;
  add("", special("char", FileType::Character));  // 0:0, an overlay whiteout
  Entry& directory = add("", special("dir", FileType::Directory));
  directory.mode = 01777;
  directory.project_id = 7;
  add("", regular_entry("empty", ""));
  add("", special("fifo", FileType::Fifo));
  add("", special("link", FileType::Symlink)).target = "dir/\xFFnot utf-8";
  add("", special("socket", FileType::Socket));

  Entry& bundled = add("dir", regular_entry("bundled", ""));
  bundled.size_bytes = 17;
  bundled.content.form = BlobForm::Slices;
  bundled.content.slices = {{bundle_capability(), 0, 17}};
  bundled.digest = content_digest(content_key(), as_bytes(bundle_text().substr(0, 17)));
  bundled.uid = 1000;
  bundled.gid = 100000;
  bundled.nlink = 2;
  bundled.device = 1;
  Entry& sparse = add("dir", regular_entry("huge and sparse", ""));
  sparse.content.form = BlobForm::Pages;
  sparse.content.pages = {ChunkSecret{counting<32>(1)}, ChunkId{counting<32>(2)}, std::uint64_t{1} << 41};
  sparse.size_bytes = (std::uint64_t{1} << 41) + 4096 + (1U << 20);
  sparse.holes.form = BlobForm::Inline;
  sparse.holes.inline_bytes = hole_blob();
  sparse.changed_while_read = true;
  Entry& attributes = add("dir", regular_entry("old, with attributes", "inline content"));
  attributes.mode = 04755;
  attributes.mtime = {-1, 999'999'999};
  attributes.atime = Timestamp{1'700'000'002, 5};
  attributes.xattrs.form = BlobForm::Inline;
  attributes.xattrs.inline_bytes = xattr_blob();
  attributes.inode_flags = 0x10;
  Entry& deep = add("dir/sub", regular_entry("xattrs elsewhere", "x"));
  deep.xattrs.form = BlobForm::Slices;
  deep.xattrs.slices = {slice(9, 100, 3000)};
  return list;
}

std::vector<Sample> samples() {
  std::vector<Sample> all;
  const auto add = [&all](std::string record, std::string name, Bytes bytes) {
    all.push_back({std::move(record), std::move(name), std::move(bytes)});
  };
  add("config", "plain", good(encode(config())));
  Config featured = config();
  featured.required_features = {"a-feature", "b"};
  add("config", "features", good(encode(featured)));
  add("cert", "all-roles", good(encode(cert())));
  add("wrap", "raw", wrap_by_key());
  add("wrap", "scrypt", wrap_by_password());
  add("revoked", "one", good(encode(revoked())));
  add("key_secrets", "admin", to_bytes(encode(key_secrets()).bytes()));
  add("key_file", "line",
      to_bytes(encode(KeyFile{kid(), crypto::Secret<32>::copy_of(counting<32>(0xB0))}).bytes()));
  add("capability", "one", encode(capability()));
  add("capabilities", "one", capabilities());
  add("capabilities", "none", good(encode_capabilities({})));
  add("index", "compaction", good(encode(index_object())));
  add("snapshot", "plain", good(encode(snapshot())));
  Snapshot tagged = snapshot();
  tagged.parent.reset();
  tagged.original = SnapshotId{counting<32>(0x12)};
  add("snapshot", "tagged", good(encode(tagged)));
  add("session", "marker", good(encode(session_marker())));
  add("heartbeat", "one", good(encode(heartbeat())));
  add("end", "one", good(encode(session_end())));
  add("condemn", "two-packs", good(encode(condemn())));
  add("fence", "silent", good(encode(fence())));
  add("seal", "one", good(encode(seal())));
  add("forget", "one", good(encode(forget())));
  add("union", "three", good(encode(folded())));
  add("catalog", "one", good(encode(catalog())));
  add("pack_header", "data", encode_pack_header({PackKind::Data, repository()}));
  add("pack_trailer", "two-chunks", good(encode_pack_trailer(data_pack().trailer)));
  const ObjectName config_name = object_name(ConfigName{1});
  add("clear_object", "config", clear(config_name, good(encode(config())), {}, admin_pair()));
  const OpenedObject opened{
      sign_body(object_name(FenceName{session()}), good(encode(fence())), kid(), sign_pair()), {}};
  add("sealed_plaintext", "fence", good(encode_sealed_plaintext(opened)));
  const std::vector<ObjectName> names{config_name,
                                      object_name(CertName{kid(), 1}),
                                      object_name(WrapName{kid(), 2}),
                                      object_name(RevokedName{kid()}),
                                      object_name(data_pack().name),
                                      object_name(PackName{PackKind::Meta, PackId{counting<32>(1)}}),
                                      object_name(IndexName{1, session(), 2}),
                                      object_name(snapshot_name()),
                                      object_name(CapsName{snapshot_id(snapshot_name()), kid()}),
                                      object_name(SessionName{session()}),
                                      object_name(HeartbeatName{session()}),
                                      object_name(EndName{session()}),
                                      object_name(condemn_name()),
                                      object_name(FenceName{session()}),
                                      object_name(seal_name()),
                                      object_name(forget_name()),
                                      object_name(UnionName{1, session(), 3}),
                                      object_name(CatalogName{4, session()}),
                                      object_name(ProbeName{session()})};
  for (std::size_t i = 0; i < names.size(); ++i) {
    add("object_name", std::to_string(i), to_bytes(as_bytes(names[i].str())));
  }
  add("leaf_page", "all-types", leaf_page());
  add("inner_page", "three", inner_page());
  add("slice_page", "two", slice_page());
  add("slice_inner_page", "two", slice_inner_page());
  add("refs_page", "of-leaf", good(encode(refs_page())));
  add("xattrs", "two", xattr_blob());
  add("holes", "two", hole_blob());
  const Bytes compressible(4096, std::byte{'z'});
  Compressor compressor(3);
  add("zstd", "run", to_bytes(compressor.encode(compressible).bytes));
  return all;
}

std::vector<Golden> goldens() {
  std::vector<Golden> all;
  const auto add = [&all](std::string file, const ObjectName& name, Bytes bytes) {
    all.push_back({std::move(file), name.str(), std::move(bytes)});
  };
  const auto add_sealed = [&add](std::string file, const ObjectName& name, const Bytes& body,
                                 Bytes extra = {}) {
    add(file + ".body.bin", name, body);
    add(file + ".bin", name, sealed(name, body, std::move(extra)));
  };
  const ObjectName config_name = object_name(ConfigName{1});
  add("config.bin", config_name, clear(config_name, good(encode(config())), {}, admin_pair()));
  const ObjectName cert_name = object_name(CertName{kid(), 1});
  add("cert.bin", cert_name, clear(cert_name, good(encode(cert())), {}, admin_pair()));
  add("secrets.bin", {}, to_bytes(encode(key_secrets()).bytes()));
  const ObjectName raw_name = object_name(WrapName{kid(), 1});
  add("wrap-raw.bin", raw_name, clear(raw_name, wrap_by_key(), kid(), sign_pair()));
  const ObjectName password_name = object_name(WrapName{kid(), 2});
  add("wrap-scrypt.bin", password_name, clear(password_name, wrap_by_password(), kid(), sign_pair()));
  const ObjectName revoked_name = object_name(RevokedName{kid()});
  add("revoked.bin", revoked_name, clear(revoked_name, good(encode(revoked())), {}, admin_pair()));
  const ObjectName caps_name = object_name(CapsName{snapshot_id(snapshot_name()), kid()});
  add("caps.bin", caps_name, clear(caps_name, encode(capability()), kid(), sign_pair()));
  add_sealed("snapshot", object_name(snapshot_name()), good(encode(snapshot())), capabilities());
  add_sealed("index", object_name(IndexName{2, session(), 1}), good(encode(index_object())));
  add_sealed("session", object_name(SessionName{session()}), good(encode(session_marker())));
  add_sealed("heartbeat", object_name(HeartbeatName{session()}), good(encode(heartbeat())));
  add_sealed("end", object_name(EndName{session()}), good(encode(session_end())));
  add_sealed("condemn", object_name(condemn_name()), good(encode(condemn())));
  add_sealed("fence", object_name(FenceName{fence().session}), good(encode(fence())));
  add_sealed("seal", object_name(seal_name()), good(encode(seal())));
  add_sealed("forget", object_name(forget_name()), good(encode(forget())));
  add_sealed("union", object_name(UnionName{2, session(), 1}), good(encode(folded())));
  add_sealed("catalog", object_name(CatalogName{3, session()}), good(encode(catalog())));
  add("chunk.bin", {},
      store_chunk(data_capability(), ChunkType::Data, Codec::Raw, data_text(), as_bytes(data_text())));
  FinishedPack pack = data_pack();
  add("pack.bin", object_name(pack.name), std::move(pack.bytes));
  add("trailer-head.bin", {}, to_bytes(ByteView(good(encode_pack_trailer(data_pack().trailer))).first(112)));
  add("leaf-page.bin", {}, leaf_page());
  add("inner-page.bin", {}, inner_page());
  add("slice-page.bin", {}, slice_page());
  add("slice-inner-page.bin", {}, slice_inner_page());
  add("refs-page.bin", {}, good(encode(refs_page())));
  add("xattrs.bin", {}, xattr_blob());
  add("holes.bin", {}, hole_blob());
  return all;
}

std::string golden_values() {
  std::string text;
  const auto add = [&text](std::string_view name, ByteView bytes) {
    text.append(name).append(" ").append(to_hex(bytes)).append("\n");
  };
  const auto add_number = [&add](std::string_view name, std::uint64_t number) {
    Bytes bytes;
    base::Writer(bytes).u64(number);
    add(name, bytes);
  };
  add("K_content", content_key().bytes());
  add("K_meta", meta_key().bytes());
  add("K_psk", psk_key().bytes());
  add("K_refs", refs_key().bytes());
  add("ed25519_public", sign_pair().public_key().bytes);
  add("x25519_public", seal_pair().public_key().bytes);
  add("pk_A", admin_pair().public_key().bytes);
  add("kid", kid().bytes);
  add("session", session().bytes);
  add("source_id", snapshot().source.id);
  add("source_tag", snapshot().name.source.bytes);
  add("snapshot_id", snapshot_id(snapshot().name).bytes);
  const ChunkSecret root = chunk_capability(content_key(), ChunkType::TreePage, leaf_page());
  add("root_t", root.bytes);
  add("root_id", chunk_id(root).bytes);
  add("root_key", chunk_key(root).bytes());
  add("refs_root_id", snapshot().refs_root.bytes);
  add("refs_root_key", refs_page_key(refs_key(), snapshot().refs_root).bytes());
  add("data_t", data_capability().bytes);
  add("data_id", chunk_id(data_capability()).bytes);
  add("bundle_t", bundle_capability().bytes);
  add("content_digest", content_digest(content_key(), as_bytes(bundle_text().substr(0, 17))).bytes);
  add("pack_id", data_pack().name.id.bytes);
  add_number("page_seed", derive_cut_seeds(cut_key()).page);
  add_number("bundle_seed", derive_cut_seeds(cut_key()).bundle);
  Bytes gear;
  base::Writer(gear).u32(derive_gear_table(cut_key()).front());
  add("gear_first", gear);
  return text;
}

}  // namespace firn::format::test
