// A queue of names that can lie on scratch: subdirectories that a walk has still to visit.
//
// Threads: one owner at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "repo/base/result.h"
#include "repo/base/scratch.h"

namespace firn::scan {

class PendingNames {
 public:
  void push(std::string_view name);
  /// Appends names as encoded() of another queue gave them.
  void push_encoded(std::string_view names) { tail_.append(names); }
  bool empty() const {
    return front_at_ == front_.size() && segment_at_ == segments_.size() && tail_.empty();
  }
  /// The next name; the queue is not empty. `file` is where spill() wrote. Errors: of the scratch space.
  Result<std::string> pop(base::ScratchFile* file);
  /// Moves what is in memory to the end of `file`.
  Result<> spill(base::ScratchFile& file);
  /// All names of a queue that was never popped or spilled.
  std::string_view encoded() const { return tail_; }
  std::size_t memory_bytes() const {
    return front_.capacity() + tail_.capacity() + segments_.capacity() * sizeof(Segment);
  }

 private:
  struct Segment {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
  };
  // In order: front_ from front_at_, the segments from segment_at_, tail_. A name is a length and its bytes.
  std::string front_;
  std::size_t front_at_ = 0;
  std::vector<Segment> segments_;
  std::size_t segment_at_ = 0;
  std::string tail_;
};

}  // namespace firn::scan
