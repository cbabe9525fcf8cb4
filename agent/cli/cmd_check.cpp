// firn check: proves that what the repository promises is there.
#include <charconv>
#include <cstdlib>
#include <memory>

#include "agent/cli/check_subset.h"
#include "agent/cli/commands.h"
#include "agent/cli/errors.h"
#include "agent/cli/open.h"
#include "agent/cli/probe.h"
#include "agent/cli/progress.h"
#include "agent/cli/text.h"
#include "agent/scan/filter.h"
#include "repo/check.h"

namespace firn::cli {
namespace {

struct CheckCommand {
  bool read_data = false;
  std::optional<std::string> subset;
  bool posture = false;
  bool with_cache = false;
};

Sample sample_of(repo::CheckProgress& progress) {
  Sample sample;
  const std::uint64_t packs = progress.packs_total.load();
  const std::uint64_t snapshots = progress.snapshots_total.load();
  const bool reads_packs = packs > 0 && progress.packs_done.load() > 0;
  sample.phase = reads_packs ? "reading packs" : "checking snapshots";
  sample.done = reads_packs ? fraction_of(progress.packs_done.load(), packs)
                            : fraction_of(progress.snapshots_done.load(), snapshots);
  sample.counts = reads_packs ? count_text(progress.packs_done.load()) + " of " + count_text(packs) + " packs"
                              : count_text(progress.snapshots_done.load()) + " of " + count_text(snapshots) +
                                    " snapshots";
  sample.bytes = progress.bytes_read.load();
  return sample;
}

void tell_finding(Output& out, const repo::Finding& finding) {
  const bool is_damage = finding.kind == repo::Finding::Kind::Damage;
  if (out.json()) {
    Json json = Json::object();
    json["message_type"] = is_damage ? "error" : "hint";
    json["message"] = finding.message;
    json["affects"] = finding.affects;
    if (is_damage) {
      out.error_line(json_text(json));
    } else if (out.verbosity() > 0) {
      out.line(json_text(json));
    }
    return;
  }
  if (!is_damage) {
    out.note(printable(finding.message));
    return;
  }
  out.warn(printable(finding.message));
  for (const std::string& affected : finding.affects) {
    out.error_line("      touches " + printable(affected));
  }
}

/// Tests the store, not what lies in it: the one check that writes.
Result<int> run_posture(Context& context, const repo::Repository& repository) {
  FIRN_LET(const std::uint64_t unfit,
           count_broken_promises(context, repository.services(), repository.store()));
  FIRN_LET(const int code, tell_posture(context, repository.services(), repository.store()));
  return unfit == 0 ? code : kExitFailed;
}

Result<int> run_check(Context& context, const CheckCommand& command) {
  Output& out = context.out;
  repo::CheckOptions options;
  if (command.read_data && command.subset) {
    return fail(ErrorCode::Invalid, "give --read-data or --read-data-subset, not both");
  }
  if (command.read_data) {
    options.data.kind = repo::DataSubset::Kind::All;
  } else if (command.subset) {
    FIRN_LET(options.data, in("--read-data-subset", parse_subset(*command.subset)));
  }
  FIRN_LET(const auto open, OpenRepository::open(context));
  if (command.posture) {
    return run_posture(context, open->repository());
  }
  FIRN_LET(index::ChunkIndex * chunks, open->index());
  FIRN_LET(repo::ObjectCache * cache, open->cache());
  FIRN_LET(kv::LocalKv * state, open->state());
  options.memory_bytes = open->memory().work + open->memory().packs;

  repo::CheckProgress progress;
  Progress told(context, [&] { return sample_of(progress); }, {});
  const auto check = [&] {
    return repo::check_repository(open->repository(), *chunks, *cache, *state, options, context.world.stop,
                                  progress,
                                  [&](const repo::Finding& finding) { tell_finding(out, finding); });
  };
  auto report = check();
  if (!report && chunks->damaged()) {
    FIRN_TRY(chunks->clear());
    report = check();
  }
  told.end();
  if (!report) {
    return Failure(std::move(report).error());
  }
  if (out.json()) {
    Json json = Json::object();
    json["message_type"] = "summary";
    json["num_errors"] = report->errors;
    json["broken_packs"] = report->broken_packs;
    json["suggest_repair_index"] = report->suggest_repair_index;
    json["suggest_prune"] = report->suggest_prune;
    json["packs_read"] = report->packs_read;
    json["chunks_opened"] = report->chunks_opened;
    json["contents_opened"] = report->contents_opened;
    out.line(json_text(json));
    return report->errors == 0 ? kExitOk : kExitFailed;
  }
  if (report->packs_read > 0) {
    out.note(count_text(report->packs_read) + " packs read, " + count_text(report->chunks_opened) +
             " chunks opened, in " + duration_text(told.elapsed()));
  }
  if (!report->contents_opened && report->packs_read > 0) {
    out.note("this key cannot read contents: stored bytes were verified, and not opened");
  }
  if (report->errors == 0) {
    out.note("no errors were found");
    return kExitOk;
  }
  if (report->suggest_repair_index) {
    out.note("'firn repair index' may help");
  }
  return fail(ErrorCode::Corrupt,
              count_text(report->errors) + (report->errors == 1 ? " error was" : " errors were") + " found");
}

}  // namespace

Result<repo::DataSubset> parse_subset(std::string_view text) {
  const auto invalid = [&] {
    return fail(ErrorCode::Invalid, "\"" + std::string(text) + "\": write 2/7, 5% or a size like 10G");
  };
  repo::DataSubset subset;
  if (const auto slash = text.find('/'); slash != std::string_view::npos) {
    subset.kind = repo::DataSubset::Kind::Part;
    const auto part = std::from_chars(text.data(), text.data() + slash, subset.part);
    const auto of = std::from_chars(text.data() + slash + 1, text.data() + text.size(), subset.of);
    const bool whole = part.ec == std::errc() && of.ec == std::errc() && part.ptr == text.data() + slash &&
                       of.ptr == text.data() + text.size();
    return whole && subset.part >= 1 && subset.part <= subset.of ? Result<repo::DataSubset>(subset)
                                                                 : invalid();
  }
  if (text.ends_with('%')) {
    subset.kind = repo::DataSubset::Kind::Percent;
    const std::string number(text.substr(0, text.size() - 1));
    char* end = nullptr;
    subset.percent = std::strtod(number.c_str(), &end);
    const bool whole = !number.empty() && *end == 0;
    return whole && subset.percent > 0 && subset.percent <= 100 ? Result<repo::DataSubset>(subset)
                                                                : invalid();
  }
  subset.kind = repo::DataSubset::Kind::Bytes;
  FIRN_LET(subset.bytes, scan::parse_size_bytes(text));
  return subset.bytes > 0 ? Result<repo::DataSubset>(subset) : invalid();
}

void add_check(CommandSet& set) {
  auto options = std::make_shared<CheckCommand>();
  Command command{
      .name = "check",
      .summary = "Verify the repository",
      .text =
          "Without flags: every small object opens and is signed by who may, every pack that the index names "
          "is "
          "there with its size, every page of every snapshot opens and names only what exists. With "
          "--read-data every stored byte, too; with a key that reads contents every chunk is opened. What is "
          "damaged is named with the snapshots and files that it touches. All of this writes nothing. "
          "--posture "
          "looks at the store instead: whether it keeps what firn relies on, and what a thief of its "
          "credentials "
          "could do, tested with a few small objects under probe/.",
      .examples = {{"firn check", ""},
                   {"firn check --read-data-subset 3/7", "A seventh of all packs: every day another one."},
                   {"firn check --read-data --json", ""},
                   {"firn check --posture", "Tests the store with small objects of its own."}},
      .flags = {},
      .arguments = {},
      .run = [options](Context& context) { return run_check(context, *options); }};
  command.flag({.names = "--read-data",
                .value = "",
                .help = "Read every stored byte",
                .choices = {},
                .target = &options->read_data});
  command.flag({.names = "--read-data-subset",
                .value = "SUBSET",
                .help = "Read part of the packs: n/t, a percentage, or a size",
                .choices = {},
                .target = &options->subset});
  command.flag({.names = "--posture",
                .value = "",
                .help = "Only test the store, and say what a thief of these credentials could destroy",
                .choices = {},
                .target = &options->posture});
  command.flag({.names = "--with-cache",
                .value = "",
                .help = "Accepted, and of no effect",
                .choices = {},
                .target = &options->with_cache,
                .hidden = true});
  set.add(std::move(command));
}

}  // namespace firn::cli
