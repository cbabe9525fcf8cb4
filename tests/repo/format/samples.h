// One fixed repository's worth of records, with fixed keys: what golden files and property tests are made of.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "repo/format/capability.h"
#include "repo/format/chunk.h"
#include "repo/format/config.h"
#include "repo/format/index_object.h"
#include "repo/format/key_objects.h"
#include "repo/format/maintenance.h"
#include "repo/format/pack.h"
#include "repo/format/page.h"
#include "repo/format/refs.h"
#include "repo/format/session.h"
#include "repo/format/slice_page.h"
#include "repo/format/snapshot.h"
#include "repo/format/tree.h"

namespace firn::format::test {

/// first, first + 1, first + 2, …
template <std::size_t N>
std::array<std::byte, N> counting(unsigned first) {
  std::array<std::byte, N> bytes{};
  for (std::size_t i = 0; i < N; ++i) {
    bytes[i] = static_cast<std::byte>(first + i);
  }
  return bytes;
}

// K_root = 00 01 … 1f, K_cut = 20 21 … 3f; seeds of the pairs: Ed25519 40…, X25519 60…, administrator 80….
RootKey root_key();
ContentKey content_key();
MetaKey meta_key();
RefsKey refs_key();
PskKey psk_key();
CutKey cut_key();
crypto::Ed25519KeyPair sign_pair();
crypto::X25519KeyPair seal_pair();
crypto::Ed25519KeyPair admin_pair();
RepositoryId repository();  // a0 a1 …
KeyId kid();
SessionProof proof();  // r = c0 c1 …
SessionId session();
KeySecrets key_secrets();
inline constexpr std::string_view kPassword = "correct horse battery staple";

Config config();
Cert cert();
Revoked revoked();
Snapshot snapshot();
SessionMarker session_marker();
Condemn condemn();
Seal seal();
Forget forget();
Union folded();
Catalog catalog();
IndexObject index_object();
/// A pack of one data chunk and one bundle, ended as the last of its session.
FinishedPack data_pack();
/// Plaintexts of the chunks in data_pack().
std::string_view data_text();
std::string_view bundle_text();
ChunkSecret data_capability();
ChunkSecret bundle_capability();
SealedCapability capability();

struct ListedEntry {
  std::string directory;
  Entry entry;
};
/// Every type and every optional field, in order.
std::vector<ListedEntry> entries();
Entry regular_entry(std::string name, std::string_view inline_content);

/// A record as its parser takes it, by the names of reencode.h. Several may be of one parser.
struct Sample {
  std::string record;
  std::string name;
  Bytes bytes;
};
std::vector<Sample> samples();

/// A whole stored object (or a page, or a blob), as shown in docs/FORMAT.md.
struct Golden {
  std::string file;         // below golden/
  std::string object_name;  // empty for what is not an object
  Bytes bytes;
};
std::vector<Golden> goldens();

/// Derived keys and ids, one "name hex" a line.
std::string golden_values();

}  // namespace firn::format::test
