// Where the contents of a source's small files lay at its last backup, by their digest: a small file that was
// moved, copied or restored is found here, and not stored again.
//
// A cache, sealed like all local state: without it nothing is lost but space. A table that is torn or of
// another repository finds nothing. Says nothing about the chunks: the session is asked for each. Memory is
// bounded. Threads: find() any, before save(); the rest one caller.
#pragma once

#include <memory>
#include <optional>

#include "repo/base/record_sorter.h"
#include "repo/base/result.h"
#include "repo/format/ids.h"
#include "repo/format/tree.h"
#include "repo/kv/local_kv.h"
#include "repo/repository.h"

namespace firn::state {

class ContentTable {
 public:
  ContentTable(kv::LocalKv& state, const repo::Repository& repository, const format::SourceTag& source);

  /// Nothing too when there is no table, or it cannot be read.
  std::optional<format::Slice> find(const format::ContentDigest& digest) const;

  /// True: the table is made anew, of every small file of the tree that is written now: there is none, or
  /// much of it is of files that are gone. False: it takes those that were read, and the rest stays.
  bool wants_all() const { return wants_all_; }
  /// Not found before save(). Errors: Exhausted (scratch space).
  Result<> add(const format::ContentDigest& digest, const format::Slice& slice);
  /// Errors: those of the local state and of scratch space; the table is then what it was, or none.
  Result<> save();

 private:
  Result<> save_all();
  Result<> save_recent();

  kv::LocalKv& state_;
  const repo::Repository& repository_;
  const format::SourceTag source_;
  std::unique_ptr<kv::Environment> environment_;  // null: there is no table
  bool wants_all_ = true;
  base::RecordSorter added_;
  Bytes record_;
};

}  // namespace firn::state
