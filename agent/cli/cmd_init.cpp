// firn init: makes a repository.
#include <unistd.h>

#include <memory>

#include "agent/cli/commands.h"
#include "agent/cli/host.h"
#include "agent/cli/json.h"
#include "agent/cli/open.h"
#include "agent/cli/text.h"
#include "agent/scan/filter.h"

namespace firn::cli {
namespace {

struct InitCommand {
  std::optional<std::string> pack_size;
  std::optional<std::string> chunk_size;
  std::optional<std::string> repository_version;
  bool copy_chunker_params = false;
  Place from;
};

/// The cut rules of a chunk size: a quarter at least, four times at most.
Result<> set_chunk_size(const std::string& text, format::Parameters& parameters) {
  FIRN_LET(const std::uint64_t average, in("--chunk-size", scan::parse_size_bytes(text)));
  parameters.chunk_average = static_cast<std::uint32_t>(average);
  parameters.chunk_min = static_cast<std::uint32_t>(average / 4);
  parameters.chunk_max = static_cast<std::uint32_t>(average * 4);
  return {};
}

Result<int> run_init(Context& context, InitCommand& command) {
  repo::InitOptions options;
  options.user = user_name_here(context.world);
  options.host = host_name(context.world);
  std::unique_ptr<OpenRepository> from;
  if (command.copy_chunker_params) {
    fill_from_environment(command.from, context.world.variable, "FROM_");
    FIRN_LET(from, in("the other repository", OpenRepository::open(context, command.from, "FROM_")));
    options.parameters = from->repository().config().parameters;
    options.cut = from->repository().keys().cut();
    if (options.cut == nullptr) {
      return fail(ErrorCode::Denied, "the key at hand may not read how the other repository cuts");
    }
  } else if (command.from.repository || command.from.repository_file) {
    return fail(ErrorCode::Invalid, "--from-repo is of use with --copy-chunker-params only");
  }
  if (command.chunk_size) {
    if (from) {
      return fail(ErrorCode::Invalid, "give --chunk-size or --copy-chunker-params, not both");
    }
    FIRN_TRY(set_chunk_size(*command.chunk_size, options.parameters));
  }
  if (command.pack_size) {
    FIRN_LET(std::uint64_t bytes, in("--pack-size", scan::parse_size_bytes(*command.pack_size)));
    // restic's front ends give MiB without a unit.
    bytes = bytes < 1024 ? bytes << 20 : bytes;
    if (bytes < format::kPackSizeMin || bytes > format::kPackBytesMax) {
      return fail(ErrorCode::Invalid, "--pack-size: between 1M and 64M");
    }
    options.parameters.pack_size = static_cast<std::uint32_t>(bytes);
  }
  FIRN_LET(const auto open, OpenRepository::init(context, options));
  const std::string id = open->repository().id().hex();
  const std::string place = open->repository().store().describe();
  if (context.out.json()) {
    Json json = Json::object();
    json["message_type"] = "initialized";
    json["id"] = id;
    json["repository"] = place;
    context.out.line(json_text(json));
  } else {
    context.out.note("made repository " + context.out.bold(id.substr(0, 10)) + " at " + place);
    context.out.note("");
    context.out.note("Without the password or a key file nobody can read what is in it, and nobody can");
    context.out.note("make a new one: keep a copy of it in another place.");
  }
  return 0;
}

}  // namespace

void add_init(CommandSet& set) {
  auto options = std::make_shared<InitCommand>();
  Command command{
      .name = "init",
      .summary = "Make a repository",
      .text =
          "Makes a repository in an empty place, with one key that may do everything and opens with the "
          "password. How data is cut is settled here for good.",
      .examples = {{"firn init --repo /backup/repo", ""},
                   {"firn init -r /backup/two --copy-chunker-params --from-repo /backup/one",
                    "Two repositories that cut alike share what is copied between them."}},
      .flags = {},
      .arguments = {},
      .run = [options](Context& context) { return run_init(context, *options); }};
  command.flag({.names = "--pack-size",
                .value = "SIZE",
                .help = "Bytes of a full pack, 1M to 64M (16M)",
                .choices = {},
                .target = &options->pack_size});
  command.flag({.names = "--chunk-size",
                .value = "SIZE",
                .help = "The average piece that large files are cut into",
                .choices = {"128K", "256K", "512K", "1M"},
                .target = &options->chunk_size});
  command.flag({.names = "--copy-chunker-params",
                .value = "",
                .help = "Cut as another repository does",
                .choices = {},
                .target = &options->copy_chunker_params});
  command.flag({.names = "--repository-version",
                .value = "N",
                .help = "Accepted, and of no effect",
                .choices = {},
                .target = &options->repository_version,
                .hidden = true});
  for (Flag& flag : from_flags(options->from)) {
    command.flag(std::move(flag));
  }
  set.add(std::move(command));
}

}  // namespace firn::cli
