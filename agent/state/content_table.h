// Where the contents of a source's small files lay at its last backup, by their digest: a small file that was
// moved, copied or restored is found here, and not stored again.
//
// A cache, sealed like all local state: without it nothing is lost but space. A table that is torn or of
// another repository finds nothing. Says nothing about the chunks: the session is asked for each. Memory is
// bounded. Threads: find() any, the rest one caller.
#pragma once

#include <memory>
#include <optional>

#include "repo/base/record_sorter.h"
#include "repo/base/result.h"
#include "repo/format/tree.h"
#include "repo/format/ids.h"
#include "repo/kv/local_kv.h"
#include "repo/repository.h"

namespace firn::state {

class ContentTable {
 public:
  /// Null when there is none of this source.
  static std::unique_ptr<ContentTable> open(kv::LocalKv& state, const repo::Repository& repository,
                                            const format::SourceTag& source);
  /// Nothing too when the table cannot be read.
  std::optional<format::Slice> find(const format::ContentDigest& digest) const;

 private:
  ContentTable(std::unique_ptr<kv::Environment> environment, const repo::Repository& repository)
      : environment_(std::move(environment)), repository_(repository) {}

  std::unique_ptr<kv::Environment> environment_;
  const repo::Repository& repository_;
};

class ContentTableWriter {
 public:
  explicit ContentTableWriter(base::Scratch& scratch);

  /// Errors: Exhausted (scratch space).
  Result<> add(const format::ContentDigest& digest, const format::Slice& slice);
  /// Replaces the source's table, which may be open: who has it goes on with the old one. Errors: those of
  /// the local state and of scratch space; the table is then the old one, or none.
  Result<> save(kv::LocalKv& state, const repo::Repository& repository, const format::SourceTag& source);

 private:
  base::RecordSorter records_;
};

}  // namespace firn::state
