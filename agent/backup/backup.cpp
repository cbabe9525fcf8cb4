#include "agent/backup/backup.h"

#include <algorithm>
#include <utility>

#include "agent/backup/assembler.h"
#include "agent/backup/bundle_use.h"
#include "agent/backup/parent.h"
#include "agent/backup/planner.h"
#include "agent/backup/worker.h"
#include "agent/state/resume_log.h"
#include "repo/base/codec.h"
#include "repo/base/task_group.h"
#include "repo/tree/tree_writer.h"

namespace firn::backup {
namespace {

// Batches between the walk and the tree: enough that no worker waits for a slow neighbour's file.
constexpr std::size_t kBatchesInFlight = 12;

/// The chunker's words in the form that it takes them.
chunker::GearTable gear_table(const format::CutKey& cut) {
  std::array<std::byte, chunker::GearTable::kKeyBytes> bytes{};
  const auto words = format::derive_gear_table(cut);
  for (std::size_t i = 0; i < words.size(); ++i) {
    base::store_little(bytes.data() + 4 * i, words[i]);
  }
  return chunker::GearTable::from_bytes(bytes);
}

struct Written {
  tree::WrittenTree tree;
  format::Counters counters;
};

/// Everything between the walk and the finished tree.
Result<Written> write_tree(const BackupContext& context, const BackupOptions& options, ParentEntries& parent,
                           tree::PageSink& pages, Rebundling& rebundling, BundleUse& bundle_use,
                           state::ContentTable& contents) {
  const repo::Repository& repository = context.session.repository();
  const repo::Services& services = repository.services();
  const format::Parameters& parameters = repository.config().parameters;
  const format::CutKey* cut = repository.keys().cut();
  const auto rules = chunker::rules_for(parameters.chunk_average);
  if (cut == nullptr || !rules) {
    return fail(ErrorCode::Denied, "this key may not write backups into this repository");
  }
  const chunker::GearTable table = gear_table(*cut);
  const format::CutSeeds seeds = format::derive_cut_seeds(*cut);

  FIRN_LET(auto walker,
           scan::start_walk(services.executor, context.source, services.scratch, context.stop, options.walk));
  HardLinks links(context.state);
  WorkQueue work(services.executor);
  base::BoundedQueue<BatchPointer> assembly(services.executor, kBatchesInFlight);
  base::ByteBudget blocks(services.executor, options.memory_bytes / 2);
  tree::TreeWriter tree(pages, seeds);

  PlannerContext planner_context{context, options, seeds,      parameters, *walker,
                                 parent,  links,   rebundling, work,       assembly};
  WorkerContext worker_context{context, table, *rules, seeds, parameters, work, blocks, options.with_atime,
                               contents};
  AssemblerContext assembler_context{context, links, assembly, tree, bundle_use, contents};
  Planner planner(planner_context);
  Assembler assembler(assembler_context);

  // Whoever fails first says why, and ends the way from the planner to the assembler; workers then still take
  // what is queued, without doing it, so that nobody waits for what will not come.
  base::Guarded<std::optional<Error>> failure;
  const auto settle = [&](const Result<>& outcome) {
    if (!outcome) {
      auto first = failure.lock();
      if (!*first) {
        *first = outcome.error();
      }
      assembly.abort();
    }
  };
  {
    base::TaskGroup tasks(services.executor);
    tasks.spawn("plan", [&]() -> Result<> {
      settle(planner.run());
      work.close();
      assembly.close();
      return {};
    });
    for (unsigned i = 0; i < services.executor.cpu_count(); ++i) {
      tasks.spawn("work", [&]() -> Result<> {
        Worker worker(worker_context);
        Result<> outcome;
        while (auto next = work.pop()) {
          if (auto* piece = std::get_if<Piece>(&*next)) {
            (*piece)(worker);
            continue;
          }
          BatchPointer& batch = std::get<BatchPointer>(*next);
          if (outcome) {
            outcome = worker.work_on(*batch);
            settle(outcome);
          }
          batch->abandoned = !outcome;
          batch->finish();
          work.batch_finished();
        }
        return {};
      });
    }
    tasks.spawn("assemble", [&]() -> Result<> {
      settle(assembler.run());
      return {};
    });
    FIRN_TRY(tasks.join());
  }
  if (auto first = failure.lock(); *first) {
    return Failure(**first);
  }
  FIRN_LET(tree::WrittenTree written, tree.finish());
  return Written{.tree = written, .counters = assembler.counters()};
}

}  // namespace

Result<BackupReport> run_backup(const BackupContext& context, const std::optional<Parent>& parent,
                                BackupOptions options) {
  const repo::Repository& repository = context.session.repository();
  const repo::Services& services = repository.services();
  const base::WallTime start = services.clock.wall();
  const format::SourceTag source = format::source_tag(repository.keys().meta(), options.source.id);
  const repo::StoredTotals before = context.session.totals();

  BackupReport report;
  repo::RepositoryPages parent_pages(context.reader);
  auto resume = options.resume && !options.dry_run
                    ? state::ResumeReader::open(context.state, repository, source)
                    : nullptr;
  report.resumed = resume != nullptr;
  ParentEntries entries(parent_pages, parent, std::move(resume));
  repo::SessionPages pages(context.session);
  std::optional<state::ResumeWriter> log;
  if (options.resume && !options.dry_run) {
    log.emplace(context.state, repository, source, start, pages);
  }
  // Files bundled anew make another tree, which a run that is to be skipped when nothing changed must not.
  const bool may_rebundle = !options.dry_run && !options.skip_if_unchanged;
  Rebundling rebundling(may_rebundle ? state::load_sparse_bundles(context.state, source)
                                     : state::SparseBundles{});
  BundleUse bundle_use(services.scratch);
  state::ContentTable contents(context.state, repository, source);
  FIRN_LET(const Written written,
           write_tree(context, options, entries, log ? static_cast<tree::PageSink&>(*log) : pages, rebundling,
                      bundle_use, contents));
  if (options.before_commit) {
    FIRN_TRY(options.before_commit());
  }

  format::Snapshot& record = report.record;
  record.source = std::move(options.source);
  record.time = options.time.value_or(start);
  record.backup_start = start;
  record.counters = written.counters;
  record.root = written.tree.id;
  record.refs_root = written.tree.refs;
  report.root = written.tree.t;
  if (parent) {
    record.parent = parent->snapshot.id;
    record.sequence = parent->snapshot.snapshot.sequence + 1;
  }
  if (entries.parent_error()) {
    record.notes.push_back("parent unavailable: " + entries.parent_error()->message);
  }
  report.notes = record.notes;
  const bool nothing_new = parent && options.skip_if_unchanged && written.tree.t == parent->root;
  if (!options.dry_run && !nothing_new) {
    FIRN_TRY(context.session.flush());
  }
  const repo::StoredTotals after = context.session.totals();
  record.counters.data_blobs = after.data_chunks - before.data_chunks;
  record.counters.tree_blobs = after.tree_chunks - before.tree_chunks;
  record.counters.data_added = after.plain_bytes - before.plain_bytes;
  record.counters.data_added_packed = after.stored_bytes - before.stored_bytes;
  record.backup_end = services.clock.wall();
  if (!options.dry_run && !nothing_new) {
    FIRN_LET(report.snapshot, context.session.commit(record, written.tree.t));
    // The snapshot is there: what follows may fail.
    if (const auto sparse = bundle_use.finish(context.reader, repository.config().parameters,
                                              record.counters.total_bytes_processed)) {
      state::save_sparse_bundles(context.state, source, *sparse);
    }
    static_cast<void>(contents.save());
  }
  if (log) {
    log->finished();
  }
  return report;
}

}  // namespace firn::backup
