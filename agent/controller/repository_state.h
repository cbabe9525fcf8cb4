// What the controller says of a Repository in its conditions.
//
// Threads: any.
#pragma once

#include <string>

#include "agent/controller/repositories.h"

namespace firn::controller {

/// Puts what a Job said, or why there is none, into the conditions that its task is about.
void say_result(Tended& tended, Task task, const JobReport& report, base::WallTime now);

}  // namespace firn::controller
