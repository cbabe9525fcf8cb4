// Compiles the interface until its implementation is here.
#include "repo/index/chunk_index.h"
