// Proves that every header of the tree compiles by itself.
#include "repo/tree/page_store.h"
#include "repo/tree/read_options.h"
#include "repo/tree/refs_walk.h"
#include "repo/tree/slice_list.h"
#include "repo/tree/tree_diff.h"
#include "repo/tree/tree_reader.h"
#include "repo/tree/tree_writer.h"
