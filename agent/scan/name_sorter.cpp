#include "agent/scan/name_sorter.h"

#include <algorithm>

#include "repo/base/check.h"

namespace firn::scan {

namespace {

constexpr std::size_t kNameBytesMax = 255;
// A run's buffer holds at least a name with its length.
constexpr std::size_t kBufferBytesMin = 1024;

std::uint64_t prefix_of(std::string_view name) {
  std::uint64_t prefix = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    prefix = prefix << 8 | (i < name.size() ? static_cast<unsigned char>(name[i]) : 0);
  }
  return prefix;
}

}  // namespace

void NameBlock::add(std::string_view name) {
  FIRN_CHECK(!name.empty() && name.size() <= kNameBytesMax);
  Ref ref;
  ref.prefix = prefix_of(name);
  ref.offset = text_.size() & ((std::uint64_t{1} << 56) - 1);
  ref.length = name.size() & 0xff;
  refs_.push_back(ref);
  text_.append(name);
}

void NameBlock::clear() {
  text_.clear();
  refs_.clear();
}

void NameBlock::sort() {
  std::sort(refs_.begin(), refs_.end(), [this](const Ref& a, const Ref& b) {
    return a.prefix != b.prefix ? a.prefix < b.prefix : view(a) < view(b);
  });
}

Result<> NameSorter::add(std::string_view name) {
  // Half of the bound, because what grows by doubling may hold twice of what it needs.
  if (current_.used_bytes() + kNameBytesMax > memory_bytes_max_ / 2 && !current_.empty()) {
    FIRN_TRY(write_run());
  }
  current_.add(name);
  ++added_;
  return {};
}

Result<> NameSorter::write_run() {
  if (!file_) {
    FIRN_LET(file_, scratch_.create());
  }
  current_.sort();
  Run run;
  run.offset = file_->size();
  std::string out;
  for (std::size_t i = 0; i < current_.size(); ++i) {
    const std::string_view name = current_[i];
    out.push_back(static_cast<char>(name.size()));
    out.append(name);
    if (out.size() >= (64u << 10) || i + 1 == current_.size()) {
      FIRN_TRY(file_->append(as_bytes(out)));
      out.clear();
    }
  }
  run.end = file_->size();
  runs_.push_back(std::move(run));
  current_.clear();
  return {};
}

Result<> NameSorter::finish() {
  if (runs_.empty()) {
    current_.sort();
    return {};
  }
  if (!current_.empty()) {
    FIRN_TRY(write_run());
  }
  current_ = NameBlock();
  buffer_bytes_ = std::clamp(memory_bytes_max_ / runs_.size(), kBufferBytesMin, std::size_t{64} << 10);
  for (std::size_t i = 0; i < runs_.size(); ++i) {
    FIRN_LET(const bool any, advance(runs_[i]));
    if (any) {
      run_heap_.push_back(i);
    }
  }
  std::make_heap(run_heap_.begin(), run_heap_.end(),
                 [this](std::size_t a, std::size_t b) { return heap_after(a, b); });
  return {};
}

bool NameSorter::heap_after(std::size_t a, std::size_t b) const { return runs_[a].name > runs_[b].name; }

// Steps to the run's next name. False at its end.
Result<bool> NameSorter::advance(Run& run) {
  const auto need = [&run] {
    const std::size_t left = run.buffer.size() - run.at;
    return left == 0 || left < 1 + std::size_t{static_cast<unsigned char>(run.buffer[run.at])};
  };
  if (need() && run.offset < run.end) {
    run.buffer.erase(0, run.at);
    run.at = 0;
    const std::size_t old = run.buffer.size();
    const std::size_t more =
        std::min<std::uint64_t>(buffer_bytes_ - std::min(buffer_bytes_, old), run.end - run.offset);
    run.buffer.resize(old + more);
    FIRN_TRY(file_->read_at(run.offset, std::as_writable_bytes(std::span(run.buffer).subspan(old))));
    run.offset += more;
  }
  if (need()) {
    return false;
  }
  const std::size_t length = static_cast<unsigned char>(run.buffer[run.at]);
  run.name = std::string_view(run.buffer).substr(run.at + 1, length);
  run.at += 1 + length;
  return true;
}

void NameSorter::put(NameBlock& out, std::string_view name) {
  if (name != last_) {
    last_.assign(name);
    out.add(name);
  }
}

Result<> NameSorter::take(std::size_t count, NameBlock& out) {
  out.clear();
  if (runs_.empty()) {
    while (out.size() < count && next_ < current_.size()) {
      put(out, current_[next_++]);
    }
    return {};
  }
  const auto after = [this](std::size_t a, std::size_t b) { return heap_after(a, b); };
  while (out.size() < count && !run_heap_.empty()) {
    std::pop_heap(run_heap_.begin(), run_heap_.end(), after);
    Run& run = runs_[run_heap_.back()];
    put(out, run.name);
    FIRN_LET(const bool any, advance(run));
    if (any) {
      std::push_heap(run_heap_.begin(), run_heap_.end(), after);
    } else {
      run_heap_.pop_back();
    }
  }
  return {};
}

std::size_t NameSorter::memory_bytes() const {
  return current_.memory_bytes() + runs_.size() * (sizeof(Run) + buffer_bytes_);
}

}  // namespace firn::scan
