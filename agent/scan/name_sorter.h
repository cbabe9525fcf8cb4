// The names of one directory, sorted bytewise, each once: in memory as long as they are few, in sorted runs
// on scratch when they are many.
//
// Promise: memory stays near the bound that was given, whatever the number of names. A directory that changes
// while it is listed may show a name twice; it comes out once.
// Threads: one owner at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "repo/base/result.h"
#include "repo/base/scratch.h"

namespace firn::scan {

/// Some names, one after the other in one piece of memory.
class NameBlock {
 public:
  void add(std::string_view name);
  void clear();
  void sort();
  std::size_t size() const { return refs_.size(); }
  bool empty() const { return refs_.empty(); }
  std::string_view operator[](std::size_t i) const { return view(refs_[i]); }
  std::size_t memory_bytes() const { return text_.capacity() + refs_.capacity() * sizeof(Ref); }
  std::size_t used_bytes() const { return text_.size() + refs_.size() * sizeof(Ref); }

 private:
  // The first eight bytes of a name as a number decide nearly every comparison without touching the text.
  struct Ref {
    std::uint64_t prefix;
    std::uint64_t offset : 56;
    std::uint64_t length : 8;
  };
  std::string_view view(const Ref& ref) const { return {text_.data() + ref.offset, ref.length}; }
  std::string text_;
  std::vector<Ref> refs_;
};

class NameSorter {
 public:
  NameSorter(base::Scratch& scratch, std::size_t memory_bytes_max)
      : scratch_(scratch), memory_bytes_max_(memory_bytes_max) {}

  /// Errors: of the scratch space.
  Result<> add(std::string_view name);
  /// After the last add and before the first take.
  Result<> finish();
  std::size_t added() const { return added_; }
  /// The next at most `count` names in order, in place of what `out` held; none at the end.
  Result<> take(std::size_t count, NameBlock& out);
  /// No name is left.
  bool exhausted() const { return run_heap_.empty() && next_ == current_.size(); }
  std::size_t memory_bytes() const;

 private:
  struct Run {
    std::uint64_t offset = 0;  // of what is not in the buffer yet
    std::uint64_t end = 0;
    std::string buffer;
    std::size_t at = 0;
    std::string_view name;  // the first that was not taken; borrows from the buffer
  };
  Result<> write_run();
  Result<bool> advance(Run& run);
  bool heap_after(std::size_t a, std::size_t b) const;
  void put(NameBlock& out, std::string_view name);

  base::Scratch& scratch_;
  const std::size_t memory_bytes_max_;
  std::size_t added_ = 0;
  NameBlock current_;
  std::size_t next_ = 0;  // in current_, when there are no runs
  std::string last_;      // the last name that was taken
  std::unique_ptr<base::ScratchFile> file_;
  std::vector<Run> runs_;
  std::vector<std::size_t> run_heap_;  // the run with the least name on top
  std::size_t buffer_bytes_ = 0;
};

}  // namespace firn::scan
