// What the daemons say: JSON lines on standard output, one event each, and an audit stream among them.
//
// Promise: a line is written whole or not at all, in one write. Lines with "audit":true tell every use of a
// key and everything that was deleted. Threads: any.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "repo/base/clock.h"

namespace firn::service {

class Log {
 public:
  using Fields = std::initializer_list<std::pair<const char*, std::string>>;

  Log(const base::Clock& clock, int fd, std::string component)
      : clock_(clock), fd_(fd), component_(std::move(component)) {}

  void info(std::string_view message, Fields fields = {}) const { line("info", message, fields, false); }
  void warn(std::string_view message, Fields fields = {}) const { line("warning", message, fields, false); }
  void error(std::string_view message, Fields fields = {}) const { line("error", message, fields, false); }
  void audit(std::string_view message, Fields fields = {}) const { line("info", message, fields, true); }

 private:
  void line(const char* level, std::string_view message, Fields fields, bool audit) const;

  const base::Clock& clock_;
  const int fd_;
  const std::string component_;
};

}  // namespace firn::service
