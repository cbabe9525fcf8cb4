// Whatever a credential file, a metadata endpoint or STS says: an error or credentials, nothing else.
//
// The first byte chooses the parser.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "repo/base/bytes.h"
#include "repo/store/s3/credential_fields.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace firn;
  using namespace firn::store::s3;
  if (size == 0) {
    return 0;
  }
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto must = [](bool holds) {
    if (!holds) {
      std::abort();
    }
  };
  switch (data[0] % 5) {
    case 0:
    case 1: {
      const auto file =
          parse_shared_file(text, data[0] % 5 == 0 ? SharedFileKind::Credentials : SharedFileKind::Config);
      if (file) {
        for (const auto& [name, profile] : *file) {
          for (const auto& [key, value] : profile) {
            must(!key.empty() && value.view().find('\n') == std::string_view::npos);
          }
        }
      }
      break;
    }
    case 2: {
      const auto credentials = credentials_of_json(text, "Token");
      must(!credentials || (!credentials->access_key_id.empty() && !credentials->secret.empty()));
      break;
    }
    case 3: {
      const auto credentials = credentials_of_sts(to_bytes(as_bytes(text)), "AssumeRole");
      must(!credentials || (!credentials->secret.empty() && !credentials->session_token.empty()));
      must(error_of_sts(to_bytes(as_bytes(text))).size() <= 700);
      break;
    }
    default:
      static_cast<void>(parse_time(text));
  }
  return 0;
}
