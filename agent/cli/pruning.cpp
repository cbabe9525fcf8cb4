#include "agent/cli/pruning.h"

#include <cstdlib>

#include "agent/cli/errors.h"
#include "agent/cli/json.h"
#include "agent/cli/progress.h"
#include "agent/cli/text.h"
#include "agent/scan/filter.h"
#include "agent/state/linux_identity.h"

namespace firn::cli {
namespace {

using repo::MaintenanceCounts;
using repo::MaintenanceReport;
using repo::UnusedLimit;

Result<UnusedLimit> parse_unused(const std::string& text) {
  if (text == "unlimited") {
    return UnusedLimit{.kind = UnusedLimit::Kind::Unlimited, .percent = 0, .bytes = 0};
  }
  if (text.ends_with('%')) {
    const std::string number(text.substr(0, text.size() - 1));
    char* end = nullptr;
    const double percent = std::strtod(number.c_str(), &end);
    if (number.empty() || *end != 0 || !(percent >= 0) || percent >= 100) {
      return fail(ErrorCode::Invalid, "\"" + text + "\": write 5%, a size like 10G, or unlimited");
    }
    return UnusedLimit{.kind = UnusedLimit::Kind::Percent, .percent = percent, .bytes = 0};
  }
  UnusedLimit limit{.kind = UnusedLimit::Kind::Bytes, .percent = 0, .bytes = 0};
  if (text != "0") {
    FIRN_LET(limit.bytes, scan::parse_size_bytes(text));
  }
  return limit;
}

Result<std::chrono::seconds> parse_span(const std::string& text) {
  return text == "0" ? Result<std::chrono::seconds>(std::chrono::seconds(0)) : parse_duration(text);
}

Result<repo::MaintenanceOptions> options_of(const PruneFlags& flags) {
  repo::MaintenanceOptions options;
  FIRN_LET(options.max_unused, in("--max-unused", parse_unused(flags.max_unused)));
  if (flags.repack_bytes_max) {
    FIRN_LET(options.repack_bytes_max,
             in("--max-repack-size", *flags.repack_bytes_max == "0"
                                         ? Result<std::uint64_t>(0U)
                                         : scan::parse_size_bytes(*flags.repack_bytes_max)));
  }
  if (flags.delete_after) {
    FIRN_LET(options.delete_after, in("--delete-after", parse_span(*flags.delete_after)));
  }
  if (flags.wait) {
    FIRN_LET(options.wait, in("--wait", parse_span(*flags.wait)));
  }
  return options;
}

Sample sample_of(repo::MaintenanceProgress& progress) {
  Sample sample;
  sample.phase = progress.phase.load();
  const std::uint64_t total = progress.total.load();
  if (total > 0) {
    sample.done = fraction_of(progress.done.load(), total);
    sample.counts = count_text(progress.done.load()) + " of " + count_text(total);
  }
  sample.bytes = progress.bytes_copied.load();
  return sample;
}

Json summary_of(const MaintenanceReport& report, bool dry_run) {
  const MaintenanceCounts& counts = report.counts;
  Json json = Json::object();
  json["message_type"] = "summary";
  json["dry_run"] = dry_run;
  json["blobs"] = {{"used", counts.blobs.used},          {"duplicate", counts.blobs.duplicate},
                   {"unused", counts.blobs.unused},      {"total", counts.blobs.total},
                   {"repack", counts.blobs.repack},      {"repack_remove", counts.blobs.repack_remove},
                   {"remove", counts.blobs.remove},      {"remove_total", counts.blobs.remove_total},
                   {"remaining", counts.blobs.remaining}};
  json["bytes"] = {
      {"used", counts.bytes.used},           {"duplicate", counts.bytes.duplicate},
      {"unused", counts.bytes.unused},       {"unreferenced", counts.bytes.unreferenced},
      {"total", counts.bytes.total},         {"repack", counts.bytes.repack},
      {"remove", counts.bytes.remove},       {"remove_total", counts.bytes.remove_total},
      {"remaining", counts.bytes.remaining}, {"remaining_unused", counts.bytes.remaining_unused}};
  json["packfiles"] = {{"used", counts.packs.used},
                       {"unused", counts.packs.unused},
                       {"partly_used", counts.packs.partly_used},
                       {"unreferenced", counts.packs.unreferenced},
                       {"total", counts.packs.total},
                       {"keep", counts.packs.keep},
                       {"repack", counts.packs.repack},
                       {"remove", counts.packs.remove},
                       {"remove_total", counts.packs.remove_total}};
  json["snapshots"] = report.snapshots;
  json["packs_deleted"] = report.packs_deleted;
  json["bytes_deleted"] = report.bytes_deleted;
  json["packs_waiting"] = report.packs_waiting;
  json["bytes_waiting"] = report.bytes_waiting;
  if (report.free_from) {
    json["free_from"] = json_time(*report.free_from);
  }
  json["waiting_for"] = report.waiting_for;
  json["sessions_fenced"] = report.sessions_fenced;
  json["index_objects_replaced"] = report.index_objects_replaced;
  json["objects_removed"] = report.objects_removed;
  json["more"] = report.more;
  json["problems"] = report.problems;
  return json;
}

std::string packs_text(std::uint64_t count) { return count_text(count) + (count == 1 ? " pack" : " packs"); }

void tell_counts(Output& out, const MaintenanceCounts& counts) {
  Table table({"", "Packs", "Chunks", "Bytes"}, {false, true, true, true});
  table.add({"needed", count_text(counts.packs.used + counts.packs.partly_used),
             count_text(counts.blobs.used), size_text(counts.bytes.used)});
  table.add({"second copies", "", count_text(counts.blobs.duplicate), size_text(counts.bytes.duplicate)});
  table.add({"not needed", count_text(counts.packs.unused), count_text(counts.blobs.unused),
             size_text(counts.bytes.unused)});
  table.add({"in no index", count_text(counts.packs.unreferenced), "", size_text(counts.bytes.unreferenced)});
  table.add({"copied to new packs", count_text(counts.packs.repack), count_text(counts.blobs.repack),
             size_text(counts.bytes.repack)});
  table.add({"removed", count_text(counts.packs.remove_total), count_text(counts.blobs.remove_total),
             size_text(counts.bytes.remove_total)});
  table.add({"left", "", count_text(counts.blobs.remaining), size_text(counts.bytes.remaining)});
  table.add({"of that not needed", "", "", size_text(counts.bytes.remaining_unused)});
  out.write(table.text());
}

void tell(Output& out, const MaintenanceReport& report, bool dry_run) {
  const char* would = dry_run ? "would be " : "";
  if (!out.quiet()) {
    tell_counts(out, report.counts);
  }
  if (report.sessions_fenced > 0) {
    out.note(count_text(report.sessions_fenced) + " dead sessions " + would + "fenced");
  }
  out.note(packs_text(report.packs_deleted) + " " + would + "deleted, " + size_text(report.bytes_deleted) +
           "; what of it is needed " + (dry_run ? "would be" : "was") + " copied before");
  if (report.packs_waiting > 0) {
    std::string why = "condemned, and freed by a later prune: " + packs_text(report.packs_waiting) + ", " +
                      size_text(report.bytes_waiting);
    if (report.free_from) {
      why += ", from " + plain_time(*report.free_from) + " on";
    }
    out.note(why);
  }
  for (const std::string& session : report.waiting_for) {
    out.note("  waiting for " + printable(session));
  }
  if (report.more) {
    out.note("there is more to free than one run takes on: run prune again");
  }
}

}  // namespace

std::vector<Flag> prune_flags(PruneFlags& flags) {
  std::vector<Flag> list;
  list.push_back({.names = "--max-unused",
                  .value = "LIMIT",
                  .help = "Leave so much that nobody needs in packs that are needed: 5%, 10G or unlimited",
                  .choices = {},
                  .target = &flags.max_unused});
  list.push_back({.names = "--max-repack-size",
                  .value = "SIZE",
                  .help = "Rewrite packs of so many bytes at most",
                  .choices = {},
                  .target = &flags.repack_bytes_max});
  list.push_back(
      {.names = "--delete-after",
       .value = "DURATION",
       .help = "Leave condemned packs to readers for so long (default: 24h on S3, 0 in a directory)",
       .choices = {},
       .target = &flags.delete_after});
  list.push_back({.names = "--wait",
                  .value = "DURATION",
                  .help = "Wait so long for backups that are running",
                  .choices = {},
                  .target = &flags.wait});
  return list;
}

Result<> check(const PruneFlags& flags) {
  FIRN_TRY(options_of(flags));
  return {};
}

Result<repo::MaintenanceReport> run_maintenance(Context& context, OpenRepository& open,
                                                repo::MaintenanceOptions options,
                                                repo::MaintenanceProgress& progress) {
  FIRN_LET(index::ChunkIndex * chunks, open.index());
  FIRN_LET(repo::ObjectCache * cache, open.cache());
  FIRN_LET(kv::LocalKv * state, open.state());
  options.process = state::process_identity();
  options.process_is_gone = state::process_is_gone;
  options.memory_bytes = open.memory().work + open.memory().packs;
  const auto run = [&] {
    return repo::maintain(open.repository(), *chunks, *cache, *state, options, context.world.stop, progress);
  };
  auto report = run();
  if (!report && chunks->damaged()) {
    FIRN_TRY(chunks->clear());
    report = run();
  }
  return report;
}

Result<int> prune_repository(Context& context, OpenRepository& open, const PruneRequest& request) {
  Output& out = context.out;
  FIRN_LET(repo::MaintenanceOptions options, options_of(request.flags));
  options.dry_run = request.dry_run;
  options.as_if_forgotten = request.as_if_forgotten;

  repo::MaintenanceProgress progress;
  Progress told(context, [&] { return sample_of(progress); }, {});
  auto report = run_maintenance(context, open, std::move(options), progress);
  told.end();
  if (!report) {
    return Failure(std::move(report).error());
  }
  for (const std::string& problem : report->problems) {
    if (out.json()) {
      Json json = Json::object();
      json["message_type"] = "error";
      json["message"] = problem;
      out.error_line(json_text(json));
    } else {
      out.warn(printable(problem));
    }
  }
  if (out.json()) {
    out.line(json_text(summary_of(*report, request.dry_run)));
  } else {
    tell(out, *report, request.dry_run);
  }
  return report->problems.empty() ? kExitOk : kExitFailed;
}

}  // namespace firn::cli
