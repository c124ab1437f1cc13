// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_RUN_HPP
#define PARE_EXAMPLES_VISION_RUN_HPP

#include "options.hpp"

namespace vision {

/// Does what the command line asks for, on stdout. @throws tools::failure
void run(const options& o);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_RUN_HPP
