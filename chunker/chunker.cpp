#include "chunker/chunker.h"
