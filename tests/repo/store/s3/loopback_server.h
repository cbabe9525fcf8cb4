// An HTTP server on loopback that says what a test tells it to, byte by byte.
//
// One thread; a connection is kept while the script keeps it. It understands of a
// request only where it ends. For what real servers do see tests/conformance.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace firn::store::s3 {

struct ServedRequest {
  std::string head;  // the request line and headers, with CRLF
  std::string body;
  bool has(std::string_view text) const { return head.find(text) != std::string::npos; }
  /// The value of a header; empty when it is not there.
  std::string header(std::string_view name) const {
    const auto at = head.find("\r\n" + std::string(name) + ": ");
    if (at == std::string::npos) {
      return {};
    }
    const auto start = at + name.size() + 4;
    return head.substr(start, head.find("\r\n", start) - start);
  }
};

struct Reply {
  std::string bytes = {};    // as they go over the wire
  bool close = false;        // the connection, after the bytes
  bool never_again = false;  // keeps the connection and says no more
};

inline Reply reply(int status, std::string_view body = "", std::string_view headers = "") {
  return {.bytes = "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: " +
                   std::to_string(body.size()) + "\r\n" + std::string(headers) + "\r\n" + std::string(body)};
}

class LoopbackServer {
 public:
  using Handler = std::function<Reply(const ServedRequest&)>;

  /// With `held_until` the first so many requests are answered when the last of them has arrived.
  explicit LoopbackServer(Handler handler, std::size_t held_until = 0)
      : handler_(std::move(handler)), held_until_(held_until) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 64), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~LoopbackServer() {
    ending_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::vector<ServedRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  int connections() const { return connections_; }

 private:
  struct Connection {
    int fd;
    std::string unread;
    bool mute = false;
  };

  void run() {
    std::vector<Connection> open;
    while (!ending_) {
      std::vector<pollfd> polled{{listener_, POLLIN, 0}};
      for (const Connection& connection : open) {
        polled.push_back({connection.fd, POLLIN, 0});
      }
      ::poll(polled.data(), polled.size(), 50);
      for (std::size_t i = open.size(); i-- > 0;) {
        if (polled[i + 1].revents != 0 && !serve(open[i])) {
          ::close(open[i].fd);
          open.erase(open.begin() + static_cast<std::ptrdiff_t>(i));
        }
      }
      if (polled[0].revents != 0 && !ending_) {
        const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd >= 0) {
          open.push_back({fd, {}});
          ++connections_;
        }
      }
    }
    for (const Connection& connection : open) {
      ::close(connection.fd);
    }
  }

  /// False when the connection is to be closed.
  bool serve(Connection& connection) {
    std::string buffer(1 << 16, '\0');
    const ssize_t got = ::read(connection.fd, buffer.data(), buffer.size());
    if (got <= 0) {
      return false;
    }
    connection.unread.append(buffer, 0, static_cast<std::size_t>(got));
    while (!connection.mute) {
      const auto head_end = connection.unread.find("\r\n\r\n");
      if (head_end == std::string::npos) {
        return true;
      }
      ServedRequest request{connection.unread.substr(0, head_end + 2), {}};
      const std::string length = request.header("Content-Length");
      const std::size_t body = length.empty() ? 0 : std::stoul(length);
      if (connection.unread.size() < head_end + 4 + body) {
        return true;
      }
      request.body = connection.unread.substr(head_end + 4, body);
      connection.unread.erase(0, head_end + 4 + body);
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
      }
      const Reply answer = handler_(request);
      if (++served_ < held_until_) {
        held_.emplace_back(connection.fd, answer.bytes);
        continue;
      }
      for (const auto& [fd, bytes] : std::exchange(held_, {})) {
        ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      }
      if (::send(connection.fd, answer.bytes.data(), answer.bytes.size(), MSG_NOSIGNAL) < 0 || answer.close) {
        return false;
      }
      connection.mute = answer.never_again;
    }
    return true;
  }

  const Handler handler_;
  const std::size_t held_until_;
  std::size_t served_ = 0;
  std::vector<std::pair<int, std::string>> held_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> ending_{false};
  std::atomic<int> connections_{0};
  mutable std::mutex mutex_;
  std::vector<ServedRequest> requests_;
  std::thread thread_;
};

}  // namespace firn::store::s3
