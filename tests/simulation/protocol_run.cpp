#include "tests/simulation/protocol_run.h"

#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <vector>

#include "repo/forget.h"
#include "repo/maintenance_run.h"
#include "tests/repo/rig.h"

namespace firn::test {
namespace {

using format::ChunkSecret;
using format::SnapshotId;
using repo::Files;
using repo::Node;
using repo::WriteSession;

constexpr unsigned kBlocks = 14;
constexpr std::int64_t kHour = 3'600'000'000'000;

/// A process's idea of the time of day.
class SkewedClock final : public base::Clock {
 public:
  SkewedClock(const base::Clock& clock, std::int64_t skew) : clock_(clock), skew_(skew) {}
  base::WallTime wall() const override { return {clock_.wall().nanoseconds + skew_}; }
  base::SteadyTime steady() const override { return clock_.steady(); }

 private:
  const base::Clock& clock_;
  const std::int64_t skew_;
};

Bytes block(unsigned number) { return repo::random_bytes(1000 + number, 150 + (number * 137) % 900); }

struct Acknowledged {
  Files files;
  format::SnapshotName name;
  bool may_be_forgotten = true;
  bool forgotten = false;  // somebody began to
};

/// A machine: its disk outlives its processes.
struct Machine {
  explicit Machine(base::Executor& executor) : disk(executor) {}
  kv::MemoryKv disk;
  std::map<unsigned, ChunkSecret> known;  // blocks that its earlier snapshots named
  std::optional<kv::MemoryKv::Image> image;
};

struct Process {
  std::unique_ptr<SkewedClock> clock;
  std::unique_ptr<SimStore> store;
  std::unique_ptr<Node> node;
  repo::ProcessIdentity identity;
};

class History {
 public:
  History(std::uint64_t seed, const Mutation& mutation)
      : mutation_(mutation),
        executor_(base::SeededExecutorOptions{.seed = seed, .stack_bytes = 256 << 10}),
        rng_(seed * 7919 + 17),
        world_(executor_, seed),
        sim_{.executor = executor_, .rng = rng_, .objects = world_.store} {
    sim_.on_crash = [this](const std::string& domain) { dead_.insert(domain); };
  }

  Verdict run() {
    executor_.run([&] {
      try {
        play();
      } catch (const std::exception& error) {
        defect(std::string("an exception: ") + error.what());
      }
    });
    verdict_.fired = sim_.fired;
    verdict_.trace = executor_.trace_hash();
    return verdict_;
  }

 private:
  void defect(const std::string& what) {
    if (verdict_.defect.empty()) {
      verdict_.defect = what;
    }
  }

  // ---- processes

  std::unique_ptr<Process> start(Machine& machine, unsigned machine_number, int key, bool honest = true) {
    auto process = std::make_unique<Process>();
    const std::int64_t skew =
        rng_.below(4) == 0 ? (static_cast<std::int64_t>(rng_.below(2000)) - 1000) * kHour : 0;
    process->clock = std::make_unique<SkewedClock>(executor_.clock(), skew);
    process->store = std::make_unique<SimStore>(sim_, honest ? mutation_.lies : SessionLies{});
    const repo::Services services{executor_, world_.rng, *process->clock, world_.scratch};
    process->node =
        std::make_unique<Node>(world_, services, *process->store, machine.disk, repo::key_file_of(key));
    process->identity.machine.bytes.fill(static_cast<std::byte>(1 + machine_number % 2));
    process->identity.boot.bytes.fill(std::byte{9});
    process->identity.pid_namespace = 5;
    process->identity.pid = next_pid_++;
    process->identity.process_start = 1;
    process->identity.host = "m" + std::to_string(machine_number);
    process->identity.node = process->identity.host;
    domains_[process->identity.pid] = executor_.current_domain();
    process->store->arm();
    return process;
  }

  /// Runs `body` as the processes of a machine, one after the other when they die.
  std::unique_ptr<base::Task> spawn_machine(const std::string& name,
                                            std::function<void(Machine&, unsigned life)> body) {
    machines_.push_back(std::make_unique<Machine>(executor_));
    Machine& machine = *machines_.back();
    return executor_.spawn("keeper", [this, name, &machine, body = std::move(body)] {
      for (unsigned life = 0; life < 3; ++life) {
        const std::string domain = name + "." + std::to_string(life);
        executor_.spawn_in(domain, name, [&machine, &body, life] { body(machine, life); })->join();
        const bool crashed = dead_.contains(domain);
        finished_.insert(domain);
        if (!crashed) {
          return;
        }
        lose_something(machine);
        if (rng_.below(2) == 0) {
          executor_.sleep_for(std::chrono::minutes(rng_.below(200)));
        }
      }
    });
  }

  void lose_something(Machine& machine) {
    machine.disk.kill();
    switch (rng_.below(5)) {
      case 0:
        machine.disk.wipe();
        break;
      case 1:
        machine.disk.crash();
        break;
      case 2:
        if (machine.image) {
          machine.disk.restore(*machine.image);
        }
        break;
      default:
        machine.image = machine.disk.image();
        break;
    }
  }

  bool is_gone(std::uint32_t pid) {
    const auto domain = domains_.find(pid);
    // Now and then it says so of a process that lives: fencing is always safe.
    return domain == domains_.end() || dead_.contains(domain->second) || finished_.contains(domain->second) ||
           rng_.below(12) == 0;
  }

  // ---- writers

  Files some_files() {
    Files files;
    const unsigned count = 1 + static_cast<unsigned>(rng_.below(5));
    for (unsigned i = 0; i < count; ++i) {
      files["f" + std::to_string(i)] = block(static_cast<unsigned>(rng_.below(kBlocks)));
    }
    return files;
  }

  /// As the planner does it: a chunk of the parent is named again when the session's view has it.
  Node::StorePiece piece_storer(Machine& machine, WriteSession& session) {
    return [this, &machine, &session](repo::ChunkWriter& chunks, ByteView piece) -> Result<ChunkSecret> {
      unsigned number = 0;
      while (!equal(block(number), piece)) {
        ++number;
      }
      if (const auto known = machine.known.find(number); known != machine.known.end()) {
        if (mutation_.reuse_unasked) {
          return known->second;
        }
        FIRN_LET(const bool there, session.may_refer(format::chunk_id(known->second)));
        if (there) {
          return known->second;
        }
      }
      FIRN_LET(const ChunkSecret t, Node::store_data(chunks, piece));
      machine.known[number] = t;
      return t;
    };
  }

  void write(Machine& machine, unsigned number, unsigned life) {
    const auto process = start(machine, number, 1);
    const unsigned sessions = 1 + static_cast<unsigned>(rng_.below(life == 0 ? 3 : 2));
    for (unsigned s = 0; s < sessions; ++s) {
      executor_.sleep_for(std::chrono::minutes(rng_.below(100)));
      repo::SessionOptions options;
      options.process = process->identity;
      auto session = process->node->session(options);
      if (!session) {
        verdict_.declared += 1;
        continue;
      }
      const unsigned jobs = 1 + static_cast<unsigned>(rng_.below(2));
      for (unsigned job = 0; job < jobs; ++job) {
        if (rng_.below(3) == 0) {
          executor_.sleep_for(std::chrono::minutes(rng_.below(200)));
        }
        const Files files = some_files();
        const std::string source = "source" + std::to_string(number);
        const auto id = process->node->backup(**session, files, source, piece_storer(machine, **session));
        if (!id) {
          verdict_.declared += 1;
          break;
        }
        acknowledge(*process->node, *id, **session, source, job, files);
      }
      (*session)->end();
    }
  }

  void acknowledge(Node& node, const SnapshotId& id, const WriteSession& session, const std::string& source,
                   unsigned n, const Files& files) {
    verdict_.acknowledged += 1;
    const format::SnapshotName name{
        .source = format::source_tag(node.repository().keys().meta(), to_bytes(as_bytes(source))),
        .session = session.id(),
        .n = n};
    if (format::snapshot_id(name) != id) {
      return defect("a snapshot has another name than expected");
    }
    acknowledged_[id] = {.files = files, .name = name};
  }

  // ---- maintenance, forgetting, reading

  void maintain(Machine& machine, unsigned number, unsigned life) {
    const auto process = start(machine, number, 1, false);
    const unsigned runs = life == 0 ? 1 + static_cast<unsigned>(rng_.below(3)) : 1;
    for (unsigned run = 0; run < runs; ++run) {
      executor_.sleep_for(std::chrono::minutes(rng_.below(200)));
      const auto report = maintain_once(*process->node, process->identity, false);
      const bool good_store = sim_.fault_level == 0;
      if (!report) {
        verdict_.declared += 1;
        // Fenced by another run, or the records were folded again and again while it read them.
        if (good_store && report.error().code != ErrorCode::Changed &&
            report.error().code != ErrorCode::Unavailable) {
          defect("FALSE ALARM: prune on a good store: " + report.error().message);
        }
        continue;
      }
      if (good_store && !report->problems.empty()) {
        defect("FALSE ALARM: prune on a good store: " + report->problems.front());
      }
      verdict_.prunes += 1;
      verdict_.packs_deleted += report->packs_deleted;
    }
  }

  Result<repo::MaintenanceReport> maintain_once(Node& node, const repo::ProcessIdentity& identity, bool last,
                                                bool dry_run = false) {
    repo::MaintenanceOptions options;
    options.process = identity;
    options.dry_run = dry_run;
    options.max_unused = {.kind = repo::UnusedLimit::Kind::Bytes, .percent = 0, .bytes = 0};
    options.memory_bytes = 2 << 20;
    options.delete_after = std::chrono::seconds(0);
    options.process_is_gone = [&, last](std::uint32_t pid, std::uint64_t) { return last || is_gone(pid); };
    if (last) {
      options.node_is_gone = [](const std::string&) { return true; };
    } else if (rng_.below(3) == 0) {
      options.wait = std::chrono::minutes(rng_.below(90));
    }
    repo::MaintenanceSteps steps = mutation_.steps;
    steps.fold_records_min = 6;
    base::StopFlag stop;
    repo::MaintenanceProgress progress;
    return repo::maintain_with(steps, node.repository(), node.index(), node.cache(), node.state(), options,
                               stop, progress);
  }

  void forget(Machine& machine, unsigned number) {
    const auto process = start(machine, number, 1, false);
    for (unsigned i = 0; i < 6; ++i) {
      executor_.sleep_for(std::chrono::minutes(rng_.below(120)));
      std::vector<format::SnapshotName> names;
      for (auto& [id, snapshot] : acknowledged_) {
        if (snapshot.may_be_forgotten && !snapshot.forgotten && rng_.below(2) == 0) {
          snapshot.forgotten = true;
          names.push_back(snapshot.name);
        }
      }
      static_cast<void>(repo::forget_snapshots(process->node->repository(), names));
    }
  }

  void read(Machine& machine, unsigned number) {
    const auto process = start(machine, number, 1, false);
    for (unsigned i = 0; i < 3; ++i) {
      executor_.sleep_for(std::chrono::minutes(rng_.below(200)));
      if (acknowledged_.empty()) {
        continue;
      }
      auto chosen = acknowledged_.begin();
      std::advance(chosen, static_cast<std::ptrdiff_t>(rng_.below(acknowledged_.size())));
      const SnapshotId id = chosen->first;
      const Files expected = chosen->second.files;
      const auto files = process->node->restore(id);
      if (files && *files != expected) {
        defect("SILENT: a restore beside the others gave something else");
      }
    }
  }

  // ---- a writer who means harm: junk under known ids, wrong indexes, forged markers and ends

  void harm(Machine& machine, unsigned number) {
    const auto process = start(machine, number, 2, false);
    Node& node = *process->node;
    repo::SessionOptions options;
    options.process = process->identity;
    auto session = node.session(options);
    if (!session) {
      return;
    }
    const repo::Repository& repository = node.repository();
    std::vector<format::IndexedPack> packs;
    for (const format::ChunkId& id : base_chunks_) {
      const auto locations = node.index().find(id);
      if (!locations || locations->empty()) {
        continue;
      }
      const index::Location& good = locations->front();
      if (rng_.below(2) == 0) {
        const format::PackKind kind = good.pack.kind;
        format::PackBuilder builder(kind, repository.id(), (*session)->id(), 1 << 20);
        builder.append(id, good.shape, repo::random_bytes(rng_.next(), good.shape.stored));
        const format::PackRandom random{.trailer_salt = world_.rng.bytes<32>(),
                                        .padding_key = world_.rng.bytes<32>()};
        const format::FinishedPack pack =
            std::move(builder).finish(format::PackBuilder::Padding::Last, repository.keys().meta(), random);
        static_cast<void>(process->store->put(format::object_name(pack.name), pack.bytes));
        packs.push_back({.name = pack.name,
                         .size_bytes = static_cast<std::uint32_t>(pack.bytes.size()),
                         .entries = pack.trailer.entries});
      } else {
        // A good pack, listed as if it held one other chunk only.
        format::ChunkId other;
        other.bytes = world_.rng.bytes<32>();
        packs.push_back({.name = good.pack,
                         .size_bytes = good.pack_size_bytes,
                         .entries = {{.id = other, .offset = good.offset, .shape = good.shape}}});
      }
      executor_.sleep_for(std::chrono::minutes(rng_.below(100)));
    }
    std::sort(packs.begin(), packs.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    packs.erase(std::unique(packs.begin(), packs.end(),
                            [](const auto& a, const auto& b) { return a.name == b.name; }),
                packs.end());
    put_record(repository, format::IndexName{.level = 0, .session = (*session)->id(), .n = 7000},
               format::IndexObject{.proof = (*session)->proof(), .level = 0, .replaces = {}, .packs = packs});
    // Of other sessions: that they are over, and a marker of one that never was.
    for (const auto& [id, snapshot] : acknowledged_) {
      put_record(repository, format::EndName{snapshot.name.session},
                 format::SessionEnd{.proof = (*session)->proof(), .time = {}});
    }
    for (const std::string& name : world_.names(format::kSessionsPrefix)) {
      if (const auto marker = format::parse_name_as<format::SessionName>(name)) {
        put_record(repository, format::EndName{marker->session},
                   format::SessionEnd{.proof = (*session)->proof(), .time = {}});
      }
    }
    format::SessionMarker marker;
    marker.proof = (*session)->proof();
    put_record(repository, format::SessionName{format::SessionId{world_.rng.bytes<16>()}}, marker);
    (*session)->end();
  }

  template <class Name, class Record>
  static void put_record(const repo::Repository& repository, const Name& name, const Record& record) {
    if (auto body = format::encode(record)) {
      static_cast<void>(repository.put_sealed(format::object_name(name), *std::move(body)));
    }
  }

  // ---- the history

  void begin() {
    repo::make_repository(world_);
    machines_.push_back(std::make_unique<Machine>(executor_));
    Node node(world_, world_.store, machines_.back()->disk, repo::key_file_of(1));
    const repo::Services services = world_.services();
    repo::must(repo::add_key(services, world_.store, node.repository().keys(), node.repository().config(),
                             repo::key_file_of(2),
                             {.roles = format::Roles{}.with(format::Role::Writer), .user = "", .host = ""}));
    // A snapshot that nobody forgets: its chunks are what a hostile writer knows.
    Files files;
    for (unsigned i = 0; i < 4; ++i) {
      files["base" + std::to_string(i)] = repo::random_bytes(50 + i, 700);
    }
    auto session = repo::must(node.session());
    const SnapshotId id = repo::must(node.backup(
        *session, files, "base", [&](repo::ChunkWriter& chunks, ByteView piece) -> Result<ChunkSecret> {
          FIRN_LET(const ChunkSecret t, Node::store_data(chunks, piece));
          base_chunks_.insert(format::chunk_id(t));
          return t;
        }));
    session->end();
    acknowledge(node, id, *session, "base", 0, files);
    acknowledged_[id].may_be_forgotten = false;
  }

  void play() {
    begin();
    std::vector<std::unique_ptr<base::Task>> tasks;
    const unsigned writers = 3 + static_cast<unsigned>(rng_.below(6));
    const unsigned maintainers = 1 + static_cast<unsigned>(rng_.below(3));
    const bool hostile = mutation_.always_hostile || rng_.below(4) == 0;
    sim_.fault_level = static_cast<unsigned>(rng_.below(4)) * 10;
    unsigned number = 0;
    for (unsigned i = 0; i < writers; ++i) {
      const unsigned me = number++;
      tasks.push_back(spawn_machine("w" + std::to_string(me),
                                    [this, me](Machine& m, unsigned life) { write(m, me, life); }));
    }
    for (unsigned i = 0; i < maintainers; ++i) {
      const unsigned me = number++;
      tasks.push_back(spawn_machine("m" + std::to_string(me),
                                    [this, me](Machine& m, unsigned life) { maintain(m, me, life); }));
    }
    const unsigned forgetter = number++;
    tasks.push_back(spawn_machine("f", [this, forgetter](Machine& m, unsigned) { forget(m, forgetter); }));
    const unsigned reader = number++;
    tasks.push_back(spawn_machine("r", [this, reader](Machine& m, unsigned) { read(m, reader); }));
    if (hostile) {
      const unsigned me = number++;
      tasks.push_back(spawn_machine("h", [this, me](Machine& m, unsigned) { harm(m, me); }));
    }
    for (auto& task : tasks) {
      task->join();
    }
    judge();
  }

  // ---- the judgement

  void judge() {
    sim_.fault_level = 0;
    // Whoever has died is silent by now.
    executor_.sleep_for(std::chrono::hours(3));
    machines_.push_back(std::make_unique<Machine>(executor_));
    Node node(world_, world_.store, machines_.back()->disk, repo::key_file_of(1));
    repo::ProcessIdentity identity;
    expect_all_restore(node, "after the history");
    prune_clean(node, identity, "after the history");
    while (!sim_.late.empty()) {
      sim_.apply_one_late();
    }
    expect_all_restore(node, "after the last late writes");
    prune_clean(node, identity, "after the last late writes");
  }

  void expect_all_restore(Node& node, const std::string& when) {
    for (const auto& [id, snapshot] : acknowledged_) {
      if (snapshot.forgotten || !verdict_.defect.empty()) {
        continue;
      }
      const auto files = node.restore(id);
      if (!files) {
        defect("LOSS " + when + ": acknowledged snapshot " + id.hex().substr(0, 8) + ": " +
               files.error().message);
      } else if (*files != snapshot.files) {
        defect("SILENT " + when + ": snapshot " + id.hex().substr(0, 8) + " has other content");
      }
    }
  }

  /// Without faults two runs clean up: the first fences, the second removes what only waited for that.
  void prune_clean(Node& node, const repo::ProcessIdentity& identity, const std::string& when) {
    for (int run = 0; run < 2 && verdict_.defect.empty(); ++run) {
      const auto report = maintain_once(node, identity, true);
      if (!report) {
        return defect("FALSE ALARM " + when + ": prune: " + report.error().message);
      }
      if (!report->problems.empty()) {
        return defect("FALSE ALARM " + when + ": prune: " + report->problems.front());
      }
      expect_all_restore(node, when + ", pruned");
    }
    if (!verdict_.defect.empty()) {
      return;
    }
    const auto left = maintain_once(node, identity, true, true);
    if (!left) {
      return defect("FALSE ALARM " + when + ": dry run: " + left.error().message);
    }
    // Small packs may still be worth merging; that is no garbage.
    if (left->counts.blobs.unused > 0 || left->counts.packs.unreferenced > 0 || left->packs_waiting > 0 ||
        left->counts.packs.remove > 0) {
      defect("LEAK " + when + ": " + std::to_string(left->counts.blobs.unused) + " chunks unused, " +
             std::to_string(left->counts.packs.unreferenced) + " packs in no index, " +
             std::to_string(left->packs_waiting) + " packs waiting for " +
             (left->waiting_for.empty() ? "nobody" : left->waiting_for.front()));
    }
    if (world_.names(format::kSessionsPrefix).size() > 3) {
      defect("LEAK " + when + ": markers of ended sessions are left");
    }
  }

  const Mutation mutation_;
  base::SeededExecutor executor_;
  base::SeededRng rng_;
  repo::World world_;
  SimWorld sim_;
  std::vector<std::unique_ptr<Machine>> machines_;
  std::map<SnapshotId, Acknowledged> acknowledged_;
  std::set<format::ChunkId> base_chunks_;
  std::set<std::string> dead_;
  std::set<std::string> finished_;
  std::map<std::uint32_t, std::string> domains_;
  std::uint32_t next_pid_ = 100;
  Verdict verdict_;
};

}  // namespace

Verdict run_history(std::uint64_t seed, const Mutation& mutation) { return History(seed, mutation).run(); }

}  // namespace firn::test
