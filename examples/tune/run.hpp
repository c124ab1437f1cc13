// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_TUNE_RUN_HPP
#define PARE_EXAMPLES_TUNE_RUN_HPP

#include "options.hpp"

namespace tuner {

/// Does what the command line says. @throws tools::failure, also where --check finds the plan
/// slower than dense
void run(const options& o);

}  // namespace tuner

#endif  // PARE_EXAMPLES_TUNE_RUN_HPP
