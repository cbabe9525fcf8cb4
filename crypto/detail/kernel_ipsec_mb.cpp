// Stands in for kernel_ipsec_mb.cpp where libipsec-mb is not built in.
#include "crypto/detail/kernel.h"

namespace firn::crypto::detail {

const Kernel* ipsec_mb_kernel() { return nullptr; }

}  // namespace firn::crypto::detail
