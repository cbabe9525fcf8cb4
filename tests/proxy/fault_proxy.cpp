// A loopback HTTP/1.1 proxy between a client and an S3 server that breaks chosen requests: a tool for tests.
//
//   fault_proxy --upstream PORT --log FILE [--listen PORT] [--rtt-ms N] [--mbit N] [--seed N] [--fault RULE]…
//
// It prints the port that it listens on and works until its standard input ends. RULE = WHICH=KIND[:ARG],
// WHICH separated by commas and closed by "=": `17=503` is the 18th request, `17-=503` that and all later
// ones, `3-5=…` a range, `5%=reset-before` a share of them drawn from the seed and the request's index,
// `PUT,data/,0=drop-reply` the first PUT whose target holds "data/" (an index counts the requests that pass
// the rule's other words). The first rule that fits is applied. README.md beside this file lists the kinds.
//
// Requests are counted in the order in which their headers arrived. --rtt-ms delays a new connection and each
// request once, as a link of that round trip does; --mbit is the link's bandwidth in each direction. The log
// has one line a request, written when it is over: index, connection, method, target, kind or "-", whether
// the fault could be applied, status, body bytes up and down, separated by tabs.
//
// Threads: one a connection. Bodies go from socket to socket by splice(). Errors of the tool itself end it.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr std::size_t kHeadMax = 64 << 10;
constexpr std::size_t kPipeBytes = 1 << 20;

[[noreturn]] void die(const std::string& text) {
  std::fprintf(stderr, "fault_proxy: %s\n", text.c_str());
  std::exit(2);
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty() ? std::optional(value)
                                                                                   : std::nullopt;
}

/// The same answer for the same seed and index, whatever else happens.
std::uint64_t mix(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t z = seed * 0x9e3779b97f4a7c15u + index + 0x632be59bd9b4e019u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Rules.

struct Request {
  std::string head;  // with its empty line
  std::string method;
  std::string target;
  std::uint64_t length = 0;
};

struct Rule {
  std::string kind;
  std::string argument;
  std::optional<std::uint64_t> first;
  std::uint64_t last = 0;
  std::optional<double> percent;
  std::string method;
  std::vector<std::string> words;
  std::unique_ptr<std::atomic<std::uint64_t>> seen = std::make_unique<std::atomic<std::uint64_t>>(0);
};

void parse_index(Rule& rule, std::string_view text) {
  const auto dash = text.find('-');
  rule.first = number(text.substr(0, dash));
  rule.last = dash == std::string_view::npos ? *rule.first
              : dash + 1 == text.size()      ? UINT64_MAX
                                             : number(text.substr(dash + 1)).value_or(UINT64_MAX);
}

Rule parse_rule(std::string_view text) {
  Rule rule;
  const auto equals = text.find('=');
  if (equals == std::string_view::npos) {
    die("a rule has no '=': " + std::string(text));
  }
  std::string_view which = text.substr(0, equals);
  const std::string_view what = text.substr(equals + 1);
  const auto colon = what.find(':');
  rule.kind = what.substr(0, colon);
  rule.argument = colon == std::string_view::npos ? "" : what.substr(colon + 1);
  while (!which.empty()) {
    const auto comma = which.find(',');
    const std::string_view word = which.substr(0, comma);
    which = comma == std::string_view::npos ? std::string_view() : which.substr(comma + 1);
    if (word.ends_with('%')) {
      rule.percent = std::strtod(std::string(word).c_str(), nullptr);
    } else if (word.front() >= '0' && word.front() <= '9' && word.find('/') == std::string_view::npos) {
      parse_index(rule, word);
    } else if (word.front() >= 'A' && word.front() <= 'Z') {
      rule.method = word;
    } else {
      rule.words.emplace_back(word);
    }
  }
  return rule;
}

struct Options {
  int upstream_port = 0;
  int listen_port = 0;
  std::string log;
  nanoseconds rtt{0};
  std::uint64_t bits_per_s = 0;
  std::uint64_t seed = 1;
  std::vector<Rule> rules;
};

/// One direction of the link: bytes pass one after the other.
class Link {
 public:
  explicit Link(std::uint64_t bits_per_s) : bits_per_s_(bits_per_s) {}
  bool limited() const { return bits_per_s_ != 0; }
  void pass(std::uint64_t bytes) {
    if (!limited()) {
      return;
    }
    Clock::time_point done;
    {
      const std::lock_guard lock(mutex_);
      const auto cost = nanoseconds(
          static_cast<std::int64_t>(static_cast<double>(bytes) * 8e9 / static_cast<double>(bits_per_s_)));
      free_at_ = std::max(free_at_, Clock::now()) + cost;
      done = free_at_;
    }
    std::this_thread::sleep_until(done);
  }

 private:
  const std::uint64_t bits_per_s_;
  std::mutex mutex_;
  Clock::time_point free_at_{};
};

struct Shared {
  explicit Shared(Options o) : options(std::move(o)), up(options.bits_per_s), down(options.bits_per_s) {}
  Options options;
  Link up;
  Link down;
  std::mutex order;
  std::uint64_t requests = 0;
  std::atomic<std::uint64_t> connections{0};
  int log = -1;

  /// Gives a request its index and its fault, in one step, so that both follow the order of arrival.
  std::pair<std::uint64_t, const Rule*> admit(const Request& request) {
    const std::lock_guard lock(order);
    const std::uint64_t index = requests++;
    const Rule* chosen = nullptr;
    for (std::size_t i = 0; i < options.rules.size(); ++i) {
      Rule& rule = options.rules[i];
      if (!rule.method.empty() && rule.method != request.method) {
        continue;
      }
      if (!std::all_of(rule.words.begin(), rule.words.end(), [&](const std::string& word) {
            return request.target.find(word) != std::string::npos;
          })) {
        continue;
      }
      const std::uint64_t count = rule.seen->fetch_add(1);
      if (rule.first && (count < *rule.first || count > rule.last)) {
        continue;
      }
      const double draw = static_cast<double>(mix(options.seed + i, index) >> 11) * 0x1.0p-53;
      if (rule.percent && draw * 100 >= *rule.percent) {
        continue;
      }
      if (chosen == nullptr) {
        chosen = &rule;
      }
    }
    return {index, chosen};
  }
};

// Sockets.

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {
    const int one = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() { close(); }
  int fd() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  void adopt(int fd) {
    close();
    fd_ = fd;
    const int one = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  void close() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
    fd_ = -1;
    buffer.clear();
  }
  /// Closes so that the other side sees a reset, not an end.
  void reset() {
    if (fd_ >= 0) {
      const linger now{.l_onoff = 1, .l_linger = 0};
      ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    close();
  }
  bool send_all(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) {
        continue;
      }
      if (sent <= 0) {
        return false;
      }
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  /// Adds what is there to `buffer`, waiting for at least a byte. False at the end.
  bool fill(std::size_t size_max = 64 << 10) {
    const std::size_t old = buffer.size();
    buffer.resize(old + size_max);
    ssize_t got = 0;
    do {
      got = ::recv(fd_, buffer.data() + old, size_max, 0);
    } while (got < 0 && errno == EINTR);
    buffer.resize(old + (got > 0 ? static_cast<std::size_t>(got) : 0));
    return got > 0;
  }
  /// A message head with its empty line; "" at the end of the connection.
  std::string read_head() {
    std::size_t end = 0;
    while ((end = buffer.find("\r\n\r\n")) == std::string::npos) {
      if (buffer.size() > kHeadMax || !fill()) {
        return {};
      }
    }
    std::string head = buffer.substr(0, end + 4);
    buffer.erase(0, end + 4);
    return head;
  }

  std::string buffer;  // read and not used yet

 private:
  int fd_ = -1;
};

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

std::optional<std::string> header(std::string_view head, std::string_view name) {
  const std::string wanted = "\r\n" + std::string(name) + ":";
  const std::string all = lower(head);
  const auto at = all.find(wanted);
  if (at == std::string::npos) {
    return std::nullopt;
  }
  const auto begin = head.find_first_not_of(' ', at + wanted.size());
  return std::string(head.substr(begin, head.find("\r\n", begin) - begin));
}

std::string without_header(std::string head, std::string_view name) {
  const auto at = lower(head).find("\r\n" + std::string(name) + ":");
  if (at != std::string::npos) {
    head.erase(at, head.find("\r\n", at + 2) - at);
  }
  return head;
}

std::string with_header(std::string head, std::string_view name, const std::string& value) {
  head = without_header(std::move(head), lower(name));
  return head.insert(head.size() - 2, std::string(name) + ": " + value + "\r\n");
}

std::string http_date(std::time_t at) {
  std::tm parts{};
  ::gmtime_r(&at, &parts);
  char text[64];
  std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return text;
}

/// The status line's number; 0 where there is none.
int status_of(std::string_view head) {
  return head.size() > 12 ? static_cast<int>(number(head.substr(9, 3)).value_or(0)) : 0;
}

struct Pipe {
  Pipe() {
    if (::pipe2(ends, O_CLOEXEC) != 0) {
      die("pipe: " + std::string(std::strerror(errno)));
    }
    ::fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  int ends[2] = {-1, -1};
};

enum class Moved { All, SourceEnded, SinkEnded, Answered };

/// Brings `length` body bytes from one socket to the other. Stops with Answered when the sink has something
/// to say before it has read everything and `watch` asks for that.
Moved move_body(Socket& from, Socket& to, std::uint64_t length, Link& link, bool watch,
                std::uint64_t& moved) {
  const std::uint64_t first = std::min<std::uint64_t>(length, from.buffer.size());
  link.pass(first);
  if (first > 0 && !to.send_all(std::string_view(from.buffer).substr(0, first))) {
    return Moved::SinkEnded;
  }
  from.buffer.erase(0, first);
  moved += first;
  length -= first;
  if (length == 0) {
    return Moved::All;
  }
  Pipe pipe;
  const std::uint64_t step = link.limited() ? 32 << 10 : kPipeBytes;
  while (length > 0) {
    pollfd waits[2] = {{from.fd(), POLLIN, 0}, {to.fd(), POLLIN, 0}};
    ::poll(waits, watch ? 2 : 1, -1);
    if (watch && (waits[1].revents & POLLIN) != 0) {
      return Moved::Answered;
    }
    const ssize_t got =
        ::splice(from.fd(), nullptr, pipe.ends[1], nullptr, std::min(length, step), SPLICE_F_MOVE);
    if (got <= 0) {
      return Moved::SourceEnded;
    }
    link.pass(static_cast<std::uint64_t>(got));
    for (ssize_t left = got; left > 0;) {
      const ssize_t put =
          ::splice(pipe.ends[0], nullptr, to.fd(), nullptr, static_cast<std::size_t>(left), SPLICE_F_MOVE);
      if (put <= 0) {
        return Moved::SinkEnded;
      }
      left -= put;
    }
    moved += static_cast<std::uint64_t>(got);
    length -= static_cast<std::uint64_t>(got);
  }
  return Moved::All;
}

// One connection.

struct Answer {
  std::string head;
  std::optional<std::uint64_t> length;  // of the body that follows on the socket; none: until it closes
  std::string body;                     // already read (a chunked one, decoded)
  bool closes = false;
};

class Connection {
 public:
  Connection(Shared& shared, int client) : shared_(shared), client_(client), number_(shared.connections++) {}

  void serve() {
    std::this_thread::sleep_for(shared_.options.rtt);
    while (client_.open() && one_request()) {
    }
  }

 private:
  struct Record {
    std::uint64_t index = 0;
    std::string kind = "-";
    bool applied = false;
    int status = 0;
    std::uint64_t up = 0;
    std::uint64_t down = 0;
  };

  bool one_request() {
    Request request;
    request.head = client_.read_head();
    if (request.head.empty()) {
      return false;
    }
    const auto space = request.head.find(' ');
    request.method = request.head.substr(0, space);
    request.target = request.head.substr(space + 1, request.head.find(' ', space + 1) - space - 1);
    request.length = number(header(request.head, "content-length").value_or("0")).value_or(0);
    if (header(request.head, "expect")) {
      request.head = without_header(request.head, "expect");
      client_.send_all("HTTP/1.1 100 Continue\r\n\r\n");
    }
    Record record;
    const auto [index, rule] = shared_.admit(request);
    record.index = index;
    record.kind = rule == nullptr ? "-" : rule->kind + (rule->argument.empty() ? "" : ":" + rule->argument);
    std::this_thread::sleep_for(shared_.options.rtt);
    const bool goes_on =
        rule == nullptr ? forward(request, record, nullptr) : disturb(request, record, *rule);
    write_log(request, record);
    return goes_on;
  }

  bool disturb(const Request& request, Record& record, const Rule& rule) {
    const std::string& kind = rule.kind;
    record.applied = true;
    if (kind == "delay") {
      std::this_thread::sleep_for(milliseconds(number(rule.argument).value_or(1000)));
      return forward(request, record, nullptr);
    }
    if (kind == "reset-before") {
      client_.reset();
      return false;
    }
    if (kind == "reset-request") {
      return cut_request(request, record);
    }
    if (kind == "stall") {
      return stall();
    }
    if (kind == "corrupt-request") {
      return corrupt_request(request, record);
    }
    if (const auto status = number(kind)) {
      return swallow(request, record) && answer(record, static_cast<int>(*status), rule.argument);
    }
    if (kind == "redirect" || kind == "moved" || kind == "skew" || kind == "garbage" ||
        kind == "empty-list" || kind == "lie") {
      return swallow(request, record) && answer_specially(request, record, kind);
    }
    return forward(request, record, &rule);
  }

  // Faults before the server.

  /// Reads the request's body and throws it away, so that the client has sent it all when the answer comes.
  bool swallow(const Request& request, Record& record) {
    std::uint64_t left = request.length;
    while (left > 0) {
      if (client_.buffer.empty() && !client_.fill(256 << 10)) {
        return false;
      }
      const std::uint64_t part = std::min<std::uint64_t>(left, client_.buffer.size());
      shared_.up.pass(part);
      client_.buffer.erase(0, part);
      left -= part;
      record.up += part;
    }
    return true;
  }

  bool cut_request(const Request& request, Record& record) {
    if (request.length < 2) {
      record.applied = false;
      return forward(request, record, nullptr);
    }
    if (reach_server() && server_.send_all(request.head)) {
      move_body(client_, server_, request.length / 2, shared_.up, false, record.up);
    }
    server_.reset();
    client_.reset();
    return false;
  }

  bool corrupt_request(const Request& request, Record& record) {
    if (request.length == 0) {
      record.applied = false;
      return forward(request, record, nullptr);
    }
    while (client_.buffer.size() < request.length) {
      if (!client_.fill(1 << 20)) {
        return false;
      }
    }
    client_.buffer[request.length / 2] = static_cast<char>(client_.buffer[request.length / 2] ^ 0x10);
    return forward(request, record, nullptr);
  }

  /// Says nothing until the client gives up.
  bool stall() {
    while (client_.fill()) {
      client_.buffer.clear();
    }
    client_.close();
    return false;
  }

  bool answer(Record& record, int status, const std::string& argument) {
    static const std::map<int, std::string> codes = {
        {400, "InvalidRequest"},  {403, "AccessDenied"},     {404, "NoSuchKey"},
        {408, "RequestTimeout"},  {409, "OperationAborted"}, {412, "PreconditionFailed"},
        {429, "TooManyRequests"}, {500, "InternalError"},    {502, "BadGateway"},
        {503, "SlowDown"},        {504, "GatewayTimeout"}};
    const auto known = codes.find(status);
    const std::string code = !argument.empty() ? argument : known != codes.end() ? known->second : "Error";
    return send_own(record, status,
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>" + code +
                        "</Code><Message>made by the test's proxy</Message></Error>");
  }

  bool answer_specially(const Request& request, Record& record, const std::string& kind) {
    if (kind == "redirect") {
      return send_own(record, 307, "<Error><Code>TemporaryRedirect</Code></Error>",
                      "Location: http://127.0.0.1:9" + request.target + "\r\n");
    }
    if (kind == "moved") {
      return send_own(record, 301,
                      "<Error><Code>PermanentRedirect</Code><Endpoint>other.invalid</Endpoint></Error>",
                      "x-amz-bucket-region: eu-other-1\r\n");
    }
    if (kind == "skew") {
      return send_own(record, 403, "<Error><Code>RequestTimeTooSkewed</Code></Error>",
                      "Date: " + http_date(std::time(nullptr) + 7200) + "\r\n");
    }
    if (kind == "garbage") {
      return send_own(record, 200,
                      "<?xml version=\"1.0\"?><ListBucketResult><Contents><Key>a</Ke<<&&\x01\xff");
    }
    if (kind == "lie") {
      return send_own(record, request.method == "DELETE" ? 204 : 200, "");
    }
    if (request.method != "GET" || request.target.find("list-type=2") == std::string::npos) {
      record.applied = false;
      return forward(request, record, nullptr);
    }
    return send_own(
        record, 200,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><IsTruncated>false</IsTruncated>"
        "<KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys></ListBucketResult>");
  }

  bool send_own(Record& record, int status, const std::string& body, const std::string& more = {}) {
    record.status = status;
    std::string head = "HTTP/1.1 " + std::to_string(status) + " Fault\r\n" + more;
    if (more.find("Date:") == std::string::npos) {
      head += "Date: " + http_date(std::time(nullptr)) + "\r\n";
    }
    if (status != 204) {
      head += "Content-Type: application/xml\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
    }
    return client_.send_all(head + "\r\n" + body);
  }

  // The way through.

  bool reach_server() {
    if (server_.open()) {
      // A server may have ended an idle connection meanwhile.
      char byte = 0;
      const ssize_t got = ::recv(server_.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      if (got == 0 || (got < 0 && errno != EAGAIN)) {
        server_.close();
      }
    }
    if (server_.open()) {
      return true;
    }
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(shared_.options.upstream_port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      ::close(fd);
      return false;
    }
    server_.adopt(fd);
    return true;
  }

  /// Sends the request on and its answer back; `rule` changes the answer.
  bool forward(const Request& request, Record& record, const Rule* rule) {
    if (!reach_server()) {
      client_.reset();
      return false;
    }
    shared_.up.pass(request.head.size());
    if (!server_.send_all(request.head)) {
      client_.reset();
      return false;
    }
    const Moved moved = move_body(client_, server_, request.length, shared_.up, true, record.up);
    if (moved == Moved::SourceEnded) {
      server_.reset();
      return false;
    }
    std::optional<Answer> answer = read_answer(request);
    if (!answer) {
      server_.close();
      client_.reset();
      return false;
    }
    // An answer before the request was read whole: what is left of it must not be taken for the next one.
    answer->closes = answer->closes || moved != Moved::All;
    record.status = status_of(answer->head);
    const bool goes_on =
        rule == nullptr ? pass_answer(*answer, record) : disturb_answer(request, *answer, record, *rule);
    if (!goes_on || answer->closes) {
      server_.close();
      client_.close();
      return false;
    }
    return true;
  }

  std::optional<Answer> read_answer(const Request& request) {
    Answer answer;
    do {
      answer.head = server_.read_head();
      if (answer.head.empty()) {
        return std::nullopt;
      }
    } while (status_of(answer.head) == 100);
    const int status = status_of(answer.head);
    answer.closes = lower(header(answer.head, "connection").value_or("")) == "close";
    if (request.method == "HEAD" || status == 204 || status == 304) {
      answer.length = 0;
    } else if (lower(header(answer.head, "transfer-encoding").value_or("")) == "chunked") {
      if (!read_chunks(answer.body)) {
        return std::nullopt;
      }
      answer.head = with_header(without_header(answer.head, "transfer-encoding"), "Content-Length",
                                std::to_string(answer.body.size()));
      answer.length = 0;
    } else if (const auto length = header(answer.head, "content-length")) {
      answer.length = number(*length);
    } else {
      answer.closes = true;
    }
    return answer;
  }

  bool read_chunks(std::string& body) {
    while (true) {
      std::size_t end = 0;
      while ((end = server_.buffer.find("\r\n")) == std::string::npos) {
        if (!server_.fill()) {
          return false;
        }
      }
      const std::size_t size = std::strtoull(server_.buffer.substr(0, end).c_str(), nullptr, 16);
      while (server_.buffer.size() < end + 2 + size + 2) {
        if (!server_.fill()) {
          return false;
        }
      }
      body += server_.buffer.substr(end + 2, size);
      server_.buffer.erase(0, end + 2 + size + 2);
      if (size == 0) {
        return true;
      }
    }
  }

  bool pass_answer(Answer& answer, Record& record) {
    shared_.down.pass(answer.head.size() + answer.body.size());
    record.down += answer.body.size();
    if (!client_.send_all(answer.head + answer.body)) {
      return false;
    }
    const std::uint64_t length = answer.length.value_or(UINT64_MAX);
    return move_body(server_, client_, length, shared_.down, false, record.down) == Moved::All;
  }

  /// The whole body in memory, for faults that change it.
  bool gather(Answer& answer) {
    const std::uint64_t length = answer.length.value_or(0);
    while (server_.buffer.size() < length) {
      if (!server_.fill(1 << 20)) {
        return false;
      }
    }
    answer.body += server_.buffer.substr(0, length);
    server_.buffer.erase(0, length);
    answer.length = 0;
    return true;
  }

  bool disturb_answer(const Request& request, Answer& answer, Record& record, const Rule& rule) {
    const std::string& kind = rule.kind;
    const bool has_body = request.method != "HEAD" && status_of(answer.head) != 204;
    if (has_body && !gather(answer)) {
      return false;
    }
    if (kind == "drop-reply") {
      client_.reset();
      return false;
    }
    if (kind == "applied") {
      return this->answer(record, static_cast<int>(number(rule.argument).value_or(500)), "");
    }
    if (kind == "date") {
      const std::time_t shifted = std::time(nullptr) + std::strtol(rule.argument.c_str(), nullptr, 10);
      answer.head = with_header(answer.head, "Date", http_date(shifted));
      return pass_answer(answer, record);
    }
    if (kind == "reset-after") {
      pass_answer(answer, record);
      std::this_thread::sleep_for(milliseconds(20));  // so that the answer is read before the reset
      client_.reset();
      return false;
    }
    if (answer.body.empty()) {
      record.applied = false;
      return pass_answer(answer, record);
    }
    if (kind == "reset-reply" || kind == "short") {
      record.down = answer.body.size() / 2;
      client_.send_all(answer.head + answer.body.substr(0, answer.body.size() / 2));
      std::this_thread::sleep_for(milliseconds(5));
      kind == "short" ? client_.close() : client_.reset();
      return false;
    }
    if (kind == "truncated") {
      answer.body.resize(answer.body.size() / 2);
    } else if (kind == "longer") {
      answer.body += "and more than there is";
    } else if (kind == "corrupt") {
      answer.body[answer.body.size() / 2] = static_cast<char>(answer.body[answer.body.size() / 2] ^ 0x10);
    } else if (kind == "drip") {
      return drip(answer, record, number(rule.argument).value_or(100));
    } else {
      die("unknown kind of fault: " + kind);
    }
    answer.head = with_header(answer.head, "Content-Length", std::to_string(answer.body.size()));
    return pass_answer(answer, record);
  }

  /// A tenth of the bytes of a second at a time.
  bool drip(const Answer& answer, Record& record, std::uint64_t bytes_per_s) {
    const std::size_t step = std::max<std::uint64_t>(1, bytes_per_s / 10);
    bool sent = client_.send_all(answer.head);
    for (std::size_t at = 0; sent && at < answer.body.size(); at += step) {
      sent = client_.send_all(std::string_view(answer.body).substr(at, step));
      record.down = at;
      std::this_thread::sleep_for(milliseconds(100));
    }
    return sent;
  }

  void write_log(const Request& request, const Record& record) {
    const std::string line = std::to_string(record.index) + "\t" + std::to_string(number_) + "\t" +
                             request.method + "\t" + request.target + "\t" + record.kind + "\t" +
                             (record.applied ? "1" : "0") + "\t" + std::to_string(record.status) + "\t" +
                             std::to_string(record.up) + "\t" + std::to_string(record.down) + "\n";
    if (::write(shared_.log, line.data(), line.size()) < 0) {
      die("cannot write the log");
    }
  }

  Shared& shared_;
  Socket client_;
  Socket server_;
  const std::uint64_t number_;
};

Options parse(int count, char** words) {
  Options options;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view name = words[i];
    const std::string_view value = words[i + 1];
    const std::uint64_t as_number = number(value).value_or(0);
    if (name == "--upstream") {
      options.upstream_port = static_cast<int>(as_number);
    } else if (name == "--listen") {
      options.listen_port = static_cast<int>(as_number);
    } else if (name == "--log") {
      options.log = value;
    } else if (name == "--rtt-ms") {
      options.rtt = nanoseconds(static_cast<std::int64_t>(std::strtod(words[i + 1], nullptr) * 1e6));
    } else if (name == "--mbit") {
      options.bits_per_s = as_number * 1'000'000;
    } else if (name == "--seed") {
      options.seed = as_number;
    } else if (name == "--fault") {
      options.rules.push_back(parse_rule(value));
    } else {
      die("unknown option " + std::string(name));
    }
  }
  if (options.upstream_port == 0 || options.log.empty()) {
    die("--upstream PORT and --log FILE are needed");
  }
  return options;
}

}  // namespace

int main(int count, char** words) {
  ::signal(SIGPIPE, SIG_IGN);
  Shared shared(parse(count, words));
  shared.log = ::open(shared.options.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(shared.options.listen_port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (shared.log < 0 || ::bind(listener, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::listen(listener, 1024) != 0 ||
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    die(std::strerror(errno));
  }
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  while (true) {
    pollfd waits[2] = {{listener, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    ::poll(waits, 2, -1);
    if (waits[1].revents != 0) {
      ::_exit(0);  // connections' threads end with the process
    }
    const int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (client >= 0) {
      std::thread([&shared, client] { Connection(shared, client).serve(); }).detach();
    }
  }
}
