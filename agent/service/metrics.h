// What the daemons count, and the small HTTP server that shows it: /metrics, /healthz, /readyz.
//
// Labels have few values: a volume's claim, a result, a reason. Threads: any.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "repo/base/executor.h"
#include "repo/base/result.h"
#include "repo/base/stop.h"

namespace firn::service {

class Metrics {
 public:
  Metrics();
  ~Metrics();

  void backup_ended(const std::string& result, const std::string& reason);
  void backup_succeeded(const std::string& ns, const std::string& claim, double unix_seconds);
  void restore_ended(const std::string& result, const std::string& reason);
  /// `kind`: read, uploaded, deduplicated.
  void backup_bytes(const std::string& kind, double bytes);
  /// `kind`: new, changed, unmodified, failed.
  void backup_files(const std::string& kind, double files);
  void backup_seconds(double seconds);
  void queue_length(double requests);
  void running(double jobs);
  void memory_budget(double bytes);
  using Labels = std::map<std::string, std::string>;
  void set(const std::string& name, const std::string& help, double value, const Labels& labels = {});
  void count(const std::string& name, const std::string& help, const Labels& labels);
  /// Takes away what set() said with other labels than these.
  void keep_only(const std::string& name, const std::set<Labels>& labels);

  /// In Prometheus' text format.
  std::string text() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Answers GET requests until stop, one at a time. `ready` says whether /readyz is 200.
class StatusServer {
 public:
  /// `address`: "0.0.0.0:9808", "[::]:9808". Errors: Invalid, Denied, Exists (in use).
  static Result<std::unique_ptr<StatusServer>> start(base::Executor& executor, const base::StopFlag& stop,
                                                     const std::string& address, const Metrics& metrics,
                                                     std::function<bool()> ready);
  ~StatusServer();

 private:
  struct State;
  explicit StatusServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace firn::service
