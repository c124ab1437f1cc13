// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_KVLAB_HEAT_MAP_HPP
#define PARE_EXAMPLES_KVLAB_HEAT_MAP_HPP

#include "report.hpp"

#include <string>

namespace kvlab {

/// As SVG: token positions to the right, steps downwards.
std::string heat_map(const kept_map& m);

}  // namespace kvlab

#endif  // PARE_EXAMPLES_KVLAB_HEAT_MAP_HPP
