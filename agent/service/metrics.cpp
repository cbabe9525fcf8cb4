#include "agent/service/metrics.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <map>

#include "repo/base/files.h"
#include "repo/base/monitor.h"

namespace firn::service {
namespace {

constexpr int kStopLookedAtMs = 200;
constexpr int kClientWaitsMs = 2000;
constexpr std::size_t kRequestBytesMax = 8U << 10;

template <class Kind>
prometheus::Family<Kind>& family(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::detail::Builder<Kind>().Name(name).Help(help).Register(registry);
}

}  // namespace

struct Metrics::State {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& backups =
      family<prometheus::Counter>(registry, "firn_backups_total", "Backup requests that ended.");
  prometheus::Family<prometheus::Gauge>& last_success = family<prometheus::Gauge>(
      registry, "firn_backup_last_success_timestamp_seconds", "When a volume was last backed up.");
  prometheus::Family<prometheus::Counter>& restores =
      family<prometheus::Counter>(registry, "firn_restores_total", "Restore requests that ended.");
  prometheus::Family<prometheus::Counter>& bytes =
      family<prometheus::Counter>(registry, "firn_backup_bytes_total", "Bytes of backups.");
  prometheus::Family<prometheus::Counter>& files =
      family<prometheus::Counter>(registry, "firn_backup_files_total", "Files of backups.");
  prometheus::Histogram& seconds =
      family<prometheus::Histogram>(registry, "firn_backup_duration_seconds", "How long backups took.")
          .Add({}, prometheus::Histogram::BucketBoundaries{1, 5, 15, 60, 300, 1800, 7200, 28800});
  prometheus::Gauge& queue =
      family<prometheus::Gauge>(registry, "firn_queue_length", "Requests that wait.").Add({});
  prometheus::Gauge& running =
      family<prometheus::Gauge>(registry, "firn_running", "Requests that are worked on.").Add({});
  prometheus::Gauge& budget =
      family<prometheus::Gauge>(registry, "firn_memory_budget_bytes", "Memory that the work may use.")
          .Add({});
  struct Others {
    prometheus::Family<prometheus::Gauge>* family = nullptr;
    std::map<Labels, prometheus::Gauge*> gauges;
  };
  base::Guarded<std::map<std::string, Others>> others;
  base::Guarded<std::map<std::string, prometheus::Family<prometheus::Counter>*>> counters;
};

Metrics::Metrics() : state_(std::make_unique<State>()) {}
Metrics::~Metrics() = default;

void Metrics::backup_ended(const std::string& result, const std::string& reason) {
  state_->backups.Add({{"result", result}, {"reason", reason}}).Increment();
}
void Metrics::backup_succeeded(const std::string& ns, const std::string& claim, double unix_seconds) {
  state_->last_success.Add({{"namespace", ns}, {"pvc", claim}}).Set(unix_seconds);
}
void Metrics::restore_ended(const std::string& result, const std::string& reason) {
  state_->restores.Add({{"result", result}, {"reason", reason}}).Increment();
}
void Metrics::backup_bytes(const std::string& kind, double bytes) {
  state_->bytes.Add({{"kind", kind}}).Increment(bytes);
}
void Metrics::backup_files(const std::string& kind, double files) {
  state_->files.Add({{"kind", kind}}).Increment(files);
}
void Metrics::backup_seconds(double seconds) { state_->seconds.Observe(seconds); }
void Metrics::queue_length(double requests) { state_->queue.Set(requests); }
void Metrics::running(double jobs) { state_->running.Set(jobs); }
void Metrics::memory_budget(double bytes) { state_->budget.Set(bytes); }

void Metrics::set(const std::string& name, const std::string& help, double value, const Labels& labels) {
  auto others = state_->others.lock();
  State::Others& known = (*others)[name];
  if (known.family == nullptr) {
    known.family = &family<prometheus::Gauge>(state_->registry, name.c_str(), help.c_str());
  }
  prometheus::Gauge*& gauge = known.gauges[labels];
  if (gauge == nullptr) {
    gauge = &known.family->Add(labels);
  }
  gauge->Set(value);
}

void Metrics::count(const std::string& name, const std::string& help, const Labels& labels) {
  auto counters = state_->counters.lock();
  prometheus::Family<prometheus::Counter>*& known = (*counters)[name];
  if (known == nullptr) {
    known = &family<prometheus::Counter>(state_->registry, name.c_str(), help.c_str());
  }
  known->Add(labels).Increment();
}

void Metrics::keep_only(const std::string& name, const std::set<Labels>& labels) {
  auto others = state_->others.lock();
  const auto known = others->find(name);
  if (known == others->end()) {
    return;
  }
  std::erase_if(known->second.gauges, [&](const auto& one) {
    const bool goes = !labels.contains(one.first);
    if (goes) {
      known->second.family->Remove(one.second);
    }
    return goes;
  });
}

std::string Metrics::text() const {
  return prometheus::TextSerializer().Serialize(state_->registry.Collect());
}

struct StatusServer::State {
  base::FileDescriptor listening;
  const Metrics* metrics = nullptr;
  const base::StopFlag* stop = nullptr;
  std::function<bool()> ready;
  std::unique_ptr<base::Task> task;

  static bool wait_for(int fd, short events, int timeout_ms) {
    pollfd waiting{.fd = fd, .events = events, .revents = 0};
    return ::poll(&waiting, 1, timeout_ms) == 1;
  }

  void serve() const {
    while (!stop->requested()) {
      if (!wait_for(listening.get(), POLLIN, kStopLookedAtMs)) {
        continue;
      }
      const base::FileDescriptor client(
          ::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (client.valid()) {
        answer(client.get());
      }
    }
  }

  void answer(int client) const {
    std::string request;
    std::array<char, 2048> buffer{};
    while (request.find("\r\n\r\n") == std::string::npos) {
      if (request.size() > kRequestBytesMax || !wait_for(client, POLLIN, kClientWaitsMs)) {
        return;
      }
      const ssize_t got = ::recv(client, buffer.data(), buffer.size(), 0);
      if (got <= 0) {
        return;
      }
      request.append(buffer.data(), static_cast<std::size_t>(got));
    }
    const auto asks = [&](const char* path) {
      return request.starts_with("GET " + std::string(path) + " ") ||
             request.starts_with("GET " + std::string(path) + "?");
    };
    std::string body = "not here\n";
    const char* status = "404 Not Found";
    if (asks("/metrics")) {
      body = metrics->text();
      status = "200 OK";
    } else if (asks("/healthz")) {
      body = "ok\n";
      status = "200 OK";
    } else if (asks("/readyz")) {
      const bool is_ready = ready();
      body = is_ready ? "ok\n" : "not ready\n";
      status = is_ready ? "200 OK" : "503 Service Unavailable";
    }
    std::string reply = std::string("HTTP/1.1 ") + status +
                        "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nConnection: close\r\n"
                        "Content-Length: " +
                        std::to_string(body.size()) + "\r\n\r\n" + body;
    std::string_view rest = reply;
    while (!rest.empty() && wait_for(client, POLLOUT, kClientWaitsMs)) {
      const ssize_t sent = ::send(client, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (sent <= 0) {
        return;
      }
      rest.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
};

StatusServer::StatusServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
StatusServer::~StatusServer() = default;

Result<std::unique_ptr<StatusServer>> StatusServer::start(base::Executor& executor,
                                                          const base::StopFlag& stop,
                                                          const std::string& address, const Metrics& metrics,
                                                          std::function<bool()> ready) {
  const auto colon = address.rfind(':');
  if (colon == std::string::npos) {
    return fail(ErrorCode::Invalid, "--metrics-listen " + address + ": write ADDRESS:PORT");
  }
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int looked_up =
      ::getaddrinfo(host.empty() ? nullptr : host.c_str(), address.c_str() + colon + 1, &wanted, &found);
  if (looked_up != 0) {
    return fail(ErrorCode::Invalid, "--metrics-listen " + address + ": " + ::gai_strerror(looked_up));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> place(found, ::freeaddrinfo);
  auto state = std::make_unique<State>();
  state->listening =
      base::FileDescriptor(::socket(place->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  if (!state->listening.valid() ||
      ::setsockopt(state->listening.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      ::bind(state->listening.get(), place->ai_addr, place->ai_addrlen) != 0 ||
      ::listen(state->listening.get(), 16) != 0) {
    return fail_errno(errno, "listen", address);
  }
  state->metrics = &metrics;
  state->stop = &stop;
  state->ready = std::move(ready);
  State* raw = state.get();
  state->task = executor.spawn("status", [raw] { raw->serve(); });
  return std::unique_ptr<StatusServer>(new StatusServer(std::move(state)));
}

}  // namespace firn::service
