// An API server on the loopback that answers as a test says: for faults that a real one does not make on
// demand.
//
// Each request is one connection. Threads: the answering function is called from the server's own thread, one
// request at a time.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace firn::kube {

struct Asked {
  std::string method;
  std::string path;  // with the query
  std::string head;  // request line and headers
  std::string body = {};
  bool has(const std::string& text) const { return path.find(text) != std::string::npos; }
};

struct Answer {
  int status = 200;
  std::string body = {};
  std::string headers = {};  // "Name: value\r\n" …
  bool says_length = true;   // false: the body ends with the connection
  bool breaks_off = false;   // the connection ends before the length that was said
};

class FakeApi {
 public:
  explicit FakeApi(std::function<Answer(const Asked&)> answer) : answer_(std::move(answer)) {
    listening_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(listening_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listening_, 16), 0);
    EXPECT_EQ(::getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeApi() {
    stopping_ = true;
    ::shutdown(listening_, SHUT_RDWR);
    thread_.join();
    ::close(listening_);
  }
  FakeApi(const FakeApi&) = delete;
  FakeApi& operator=(const FakeApi&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::vector<Asked> asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  void serve() {
    while (!stopping_) {
      const int client = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) {
        continue;
      }
      Asked asked;
      if (read_request(client, asked)) {
        {
          const std::lock_guard lock(mutex_);
          asked_.push_back(asked);
        }
        send(client, answer_(asked));
      }
      ::close(client);
    }
  }

  static bool read_request(int client, Asked& asked) {
    std::string text;
    std::size_t end = std::string::npos;
    char buffer[4096];
    std::size_t wanted = 0;
    while (end == std::string::npos || text.size() < end + 4 + wanted) {
      const ssize_t got = ::recv(client, buffer, sizeof(buffer), 0);
      if (got <= 0) {
        return false;
      }
      text.append(buffer, static_cast<std::size_t>(got));
      end = text.find("\r\n\r\n");
      if (const auto length = text.find("Content-Length: "); end != std::string::npos && length < end) {
        wanted = std::stoul(text.substr(length + 16));
      }
    }
    asked.method = text.substr(0, text.find(' '));
    const auto path = asked.method.size() + 1;
    asked.path = text.substr(path, text.find(' ', path) - path);
    asked.head = text.substr(0, end);
    asked.body = text.substr(end + 4);
    return true;
  }

  static void send(int client, const Answer& answer) {
    std::string text =
        "HTTP/1.1 " + std::to_string(answer.status) + " X\r\nConnection: close\r\n" + answer.headers;
    if (answer.says_length) {
      const std::size_t length = answer.body.size() + (answer.breaks_off ? 10 : 0);
      text += "Content-Length: " + std::to_string(length) + "\r\n";
    }
    text += "\r\n" + answer.body;
    static_cast<void>(::send(client, text.data(), text.size(), MSG_NOSIGNAL));
  }

  std::function<Answer(const Asked&)> answer_;
  int listening_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::vector<Asked> asked_;
  std::thread thread_;
};

}  // namespace firn::kube
