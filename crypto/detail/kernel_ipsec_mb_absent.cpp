// Stands in for kernel_ipsec_mb.cpp where libipsec-mb is not built in.
#include "crypto/detail/kernel.h"

namespace firn::crypto::detail {

const Kernel* ipsec_mb_kernel() { return nullptr; }

bool hash_leaves_like(ProcessorTier, std::span<const ByteView>, std::span<Digest>) { return false; }

}  // namespace firn::crypto::detail
