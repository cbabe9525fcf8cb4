// What single records demand beyond having one encoding.
#include <gtest/gtest.h>

#include "tests/repo/format/samples.h"

namespace firn::format::test {
namespace {

Salt salt() { return counting<32>(0x44); }
const crypto::ScryptParameters kCheap{.cost = 16, .block_size = 1, .parallel = 1};

TEST(Config, OfAnotherFormatIsUnsupported) {
  auto body = encode(config());
  ASSERT_TRUE(body.has_value());
  (*body)[16] = std::byte{2};
  const auto parsed = parse_config(*body);
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().code, ErrorCode::Unsupported);
}

TEST(Config, NamesTheFeaturesThatThisProgramLacks) {
  Config later = config();
  later.required_features = {"erasure-coding"};
  EXPECT_EQ(unknown_features(later), later.required_features);
  EXPECT_TRUE(unknown_features(config()).empty());
}

TEST(Config, WithImpossibleParametersIsRefused) {
  const auto refused = [](auto change) {
    Config bad = config();
    change(bad);
    return !encode(bad).has_value();
  };
  EXPECT_TRUE(refused([](Config& c) { c.parameters.pack_size = (1U << 20) - 1; }));
  EXPECT_TRUE(refused([](Config& c) { c.parameters.pack_size = (64U << 20) + 1; }));
  EXPECT_TRUE(refused([](Config& c) { c.parameters.chunker = 2; }));
  EXPECT_TRUE(refused([](Config& c) { c.parameters.chunk_min = 0; }));
  EXPECT_TRUE(refused([](Config& c) { c.parameters.chunk_min = c.parameters.chunk_average + 1; }));
  EXPECT_TRUE(refused([](Config& c) { c.parameters.chunk_max = kPlainBytesMax + 1; }));
  EXPECT_TRUE(refused([](Config& c) { c.parameters.bundle_size = kPlainBytesMax / 2 + 1; }));
  EXPECT_TRUE(refused([](Config& c) { c.required_features = {"b", "a"}; }));
  EXPECT_TRUE(refused([](Config& c) { c.required_features = {"a", "a"}; }));
  EXPECT_TRUE(refused([](Config& c) { c.required_features = {"With Spaces"}; }));
}

TEST(Wraps, OpenWithTheirPasswordOnly) {
  const WrapName name{kid(), 7};
  const auto wrap = wrap_with_password(name, key_secrets(), as_bytes("secret"), kCheap, salt());
  ASSERT_TRUE(wrap.has_value());
  const auto opened = unwrap_with_password(name, *wrap, as_bytes("secret"));
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  EXPECT_EQ(opened->kid(), kid());
  EXPECT_EQ(to_hex(encode(*opened).bytes()), to_hex(encode(key_secrets()).bytes()));
  for (const std::string_view wrong : {"Secret", "", "secret "}) {
    const auto refused = unwrap_with_password(name, *wrap, as_bytes(wrong));
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::WrongKey);
  }
  EXPECT_EQ(unwrap_with_key(name, *wrap, counting<32>(0)).error().code, ErrorCode::WrongKey);
}

TEST(Wraps, OpenWithTheirKeyOnly) {
  const WrapName name{kid(), 7};
  const Wrap wrap = wrap_with_key(name, key_secrets(), counting<32>(9), salt());
  EXPECT_TRUE(unwrap_with_key(name, wrap, counting<32>(9)).has_value());
  EXPECT_EQ(unwrap_with_key(name, wrap, counting<32>(8)).error().code, ErrorCode::WrongKey);
  EXPECT_EQ(unwrap_with_password(name, wrap, as_bytes("x")).error().code, ErrorCode::WrongKey);
}

TEST(Wraps, DoNotOpenUnderAnotherNameOrInAnotherRepository) {
  const Wrap wrap = wrap_with_key({kid(), 7}, key_secrets(), counting<32>(9), salt());
  EXPECT_FALSE(unwrap_with_key({kid(), 8}, wrap, counting<32>(9)).has_value());
  EXPECT_FALSE(unwrap_with_key({KeyId{}, 7}, wrap, counting<32>(9)).has_value());
  Wrap moved = wrap;
  moved.repository = RepositoryId{};
  EXPECT_EQ(unwrap_with_key({kid(), 7}, moved, counting<32>(9)).error().code, ErrorCode::Corrupt);
}

TEST(Wraps, WhoseCostsAreOutOfBoundsAreRefusedBeforeAnyWork) {
  const auto body = encode(*wrap_with_password({kid(), 1}, key_secrets(), as_bytes("x"), kCheap, salt()));
  ASSERT_TRUE(body.has_value());
  constexpr std::size_t cost_at = 17;
  for (const unsigned cost_log2 : {0U, 21U, 63U, 64U, 255U}) {
    Bytes bad = *body;
    bad[cost_at] = static_cast<std::byte>(cost_log2);
    EXPECT_FALSE(parse_wrap(bad).has_value()) << cost_log2;
  }
  Bytes greedy = *body;
  greedy[cost_at] = std::byte{20};
  base::store_little(greedy.data() + cost_at + 1, std::uint32_t{32});
  EXPECT_FALSE(parse_wrap(greedy).has_value());
}

TEST(Wraps, ByACommandAreUnsupported) {
  auto body = encode(wrap_with_key({kid(), 1}, key_secrets(), counting<32>(9), salt()));
  ASSERT_TRUE(body.has_value());
  (*body)[16] = std::byte{3};
  EXPECT_EQ(parse_wrap(*body).error().code, ErrorCode::Unsupported);
}

TEST(KeySecrets, OfARoleHoldOnlyItsKeys) {
  KeySecrets maintainer = key_secrets();
  maintainer.root.reset();
  maintainer.content.reset();
  maintainer.psk.reset();
  maintainer.cut.reset();
  maintainer.admin_pair.reset();
  const auto parsed = parse_key_secrets(encode(maintainer).bytes());
  ASSERT_TRUE(parsed.has_value());
  EXPECT_FALSE(parsed->root || parsed->content || parsed->psk || parsed->cut || parsed->admin_pair);
  ASSERT_TRUE(parsed->meta.has_value());
  EXPECT_TRUE(equal(parsed->meta->bytes(), meta_key().bytes()));
}

TEST(KeySecrets, WhoseAdministratorIsAnotherAreRefused) {
  KeySecrets secrets = key_secrets();
  secrets.admin_key = sign_pair().public_key();
  EXPECT_FALSE(parse_key_secrets(encode(secrets).bytes()).has_value());
}

TEST(KeyFiles, AreTheLineOrTheBareKey) {
  const auto bare = parse_key_file(counting<32>(5));
  ASSERT_TRUE(bare.has_value());
  EXPECT_FALSE(bare->kid.has_value());
  EXPECT_TRUE(equal(bare->key.bytes(), counting<32>(5)));
  const KeyFile file{kid(), crypto::Secret<32>::copy_of(counting<32>(5))};
  const auto line = encode(file);
  EXPECT_EQ(line.size(), 109U);
  const auto parsed = parse_key_file(line.bytes());
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->kid, kid());
  EXPECT_TRUE(equal(parsed->key.bytes(), counting<32>(5)));
  for (const std::string_view bad : {"", "password", "firn-key-1"}) {
    EXPECT_FALSE(parse_key_file(as_bytes(bad)).has_value());
  }
}

TEST(Capabilities, OpenForTheirRecipientSnapshotAndRepositoryOnly) {
  const Snapshot s = snapshot();
  const SealedCapability sealed = capability();
  const auto open = [&](const PskKey& psk, const RepositoryId& in, const SnapshotName& of,
                        const SealedCapability& what, const crypto::X25519KeyPair& by,
                        const ChunkId& root) { return open_capability(psk, in, of, what, by, root); };
  const auto opened = open(psk_key(), repository(), s.name, sealed, seal_pair(), s.root);
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  EXPECT_EQ(chunk_id(*opened), s.root);

  SnapshotName other_name = s.name;
  other_name.n += 1;
  SealedCapability other_recipient = sealed;
  other_recipient.recipient = KeyId{};
  const auto other_pair = crypto::X25519KeyPair::from_private_key(counting<32>(1));
  const PskKey other_psk = PskKey::copy_of(counting<32>(1));
  EXPECT_FALSE(open(other_psk, repository(), s.name, sealed, seal_pair(), s.root).has_value());
  EXPECT_FALSE(open(psk_key(), RepositoryId{}, s.name, sealed, seal_pair(), s.root).has_value());
  EXPECT_FALSE(open(psk_key(), repository(), other_name, sealed, seal_pair(), s.root).has_value());
  EXPECT_FALSE(open(psk_key(), repository(), s.name, other_recipient, seal_pair(), s.root).has_value());
  EXPECT_FALSE(open(psk_key(), repository(), s.name, sealed, other_pair, s.root).has_value());
  EXPECT_EQ(open(psk_key(), repository(), s.name, sealed, seal_pair(), ChunkId{}).error().code,
            ErrorCode::Corrupt);
}

TEST(Capabilities, AreListedOnceForEachRecipient) {
  EXPECT_FALSE(encode_capabilities({capability(), capability()}).has_value());
  SealedCapability first = capability();
  first.recipient = KeyId{};
  EXPECT_TRUE(encode_capabilities({first, capability()}).has_value());
  EXPECT_FALSE(encode_capabilities({capability(), first}).has_value());
}

TEST(Snapshots, UnderASessionThatTheirProofDoesNotGiveAreRefused) {
  Snapshot forged = snapshot();
  forged.proof.kid = KeyId{};
  EXPECT_FALSE(encode(forged).has_value());
}

TEST(Snapshots, WithTextsOverTheLimitAreRefusedAsInvalid) {
  Snapshot s = snapshot();
  s.source.tags = {std::string(kTextBytesMax + 1, 't')};
  EXPECT_EQ(encode(s).error().code, ErrorCode::Invalid);
  s.source.tags = {std::string(kTextBytesMax, 't')};
  EXPECT_TRUE(encode(s).has_value());
  s.source.paths.assign(kListMax + 1, "p");
  EXPECT_EQ(encode(s).error().code, ErrorCode::Invalid);
}

TEST(SourceIds, TellSourcesApartAndFitAText) {
  EXPECT_NE(path_source_id("h", {"a", "b"}), path_source_id("h", {"b", "a"}));
  EXPECT_NE(path_source_id("h", {"a"}), path_source_id("ha", {}));
  EXPECT_NE(volume_source_id("c", "v"), path_source_id("c", {"v"}));
  EXPECT_LE(path_source_id("h", {std::string(9000, 'p')}).size(), kTextBytesMax);
  EXPECT_NE(path_source_id("h", {std::string(9000, 'p')}), path_source_id("h", {std::string(9001, 'p')}));
}

TEST(IndexObjects, AreReadPackByPack) {
  const IndexObject index = index_object();
  const auto body = encode(index);
  ASSERT_TRUE(body.has_value());
  auto reader = IndexReader::open(*body);
  ASSERT_TRUE(reader.has_value());
  EXPECT_EQ(reader->replaces(), index.replaces);
  IndexedPack pack;
  const auto first = reader->next(pack);
  ASSERT_TRUE(first.has_value() && *first);
  EXPECT_EQ(pack, index.packs[0]);
  const auto end = reader->next(pack);
  ASSERT_TRUE(end.has_value());
  EXPECT_FALSE(*end);
}

TEST(IndexObjects, ReplaceOnlyLowerLevels) {
  IndexObject index = index_object();
  index.level = 1;
  EXPECT_FALSE(encode(index).has_value());
  index.replaces.clear();
  EXPECT_TRUE(encode(index).has_value());
  index = index_object();
  std::swap(index.replaces[0], index.replaces[1]);
  EXPECT_FALSE(encode(index).has_value());
}

TEST(IndexObjects, NameEachPackOnceAndOnlyPossibleOnes) {
  IndexObject index = index_object();
  index.packs.push_back(index.packs[0]);
  EXPECT_FALSE(encode(index).has_value());
  index = index_object();
  index.packs[0].size_bytes = 100;
  EXPECT_FALSE(encode(index).has_value());
  index = index_object();
  index.packs[0].entries.clear();
  EXPECT_FALSE(encode(index).has_value());
}

TEST(Unions, HoldOnlyWhatMayBeFolded) {
  Union good = folded();
  ASSERT_TRUE(encode(good).has_value());
  Union with_fence = good;
  with_fence.records[0].name = object_name(FenceName{session()});
  EXPECT_FALSE(encode(with_fence).has_value());
  Union unordered = good;
  std::swap(unordered.records[0], unordered.records[1]);
  EXPECT_FALSE(encode(unordered).has_value());
  Union of_higher = good;
  of_higher.replaces[0].level = good.level;
  EXPECT_FALSE(encode(of_higher).has_value());
}

TEST(Unions, CarrySignaturesThatStillProveTheirRecords) {
  const auto body = encode(folded());
  ASSERT_TRUE(body.has_value());
  const auto parsed = parse_union(*body);
  ASSERT_TRUE(parsed.has_value());
  for (const CarriedObject& record : parsed->records) {
    EXPECT_TRUE(signature_is_valid(record.name, record.signed_body, sign_pair().public_key()));
  }
}

TEST(Catalogs, SupersedeOnlyEarlierOnes) {
  Catalog catalog_of_now = catalog();
  ASSERT_TRUE(encode(catalog_of_now).has_value());
  catalog_of_now.supersedes[0].sequence = catalog_of_now.sequence;
  EXPECT_FALSE(encode(catalog_of_now).has_value());
}

// A count that promises more than there is must be refused before memory is taken for it.
TEST(Lists, WithHugeCountsAreRefusedAtOnce) {
  Bytes body = *encode(seal());
  const std::size_t count_at = body.size() - 32 - 4;
  for (const std::uint32_t count : {2U, 1U << 20, UINT32_MAX}) {
    base::store_little(body.data() + count_at, count);
    EXPECT_FALSE(parse_seal(body).has_value()) << count;
  }
}

}  // namespace
}  // namespace firn::format::test
