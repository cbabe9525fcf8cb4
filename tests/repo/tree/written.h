// Shorthands that several tests share: writing a model as a tree, reading a reader to its end.
#pragma once

#include <gtest/gtest.h>

#include "memory_page_store.h"
#include "model.h"
#include "repo/tree/tree_reader.h"
#include "repo/tree/tree_writer.h"

namespace firn::tree {

inline WrittenTree write(MemoryPageStore& store, const Model& model) {
  TreeWriter writer(store, kSeeds);
  for (const auto& [key, entry] : model) {
    const auto added = writer.add(join(key.first), entry);
    EXPECT_TRUE(added) << added.error().message;
  }
  auto tree = writer.finish();
  EXPECT_TRUE(tree) << tree.error().message;
  return *tree;
}

/// The rest of a reader as a model.
inline Model read_all(TreeReader& reader) {
  Model model;
  for (;;) {
    const auto more = reader.next();
    EXPECT_TRUE(more) << more.error().message;
    if (!more || !*more) {
      return model;
    }
    const bool is_new = model.emplace(model_key(reader.key()), format::to_entry(reader.entry())).second;
    EXPECT_TRUE(is_new);
  }
}

}  // namespace firn::tree
