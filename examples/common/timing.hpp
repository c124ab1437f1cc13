// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_TIMING_HPP
#define PARE_EXAMPLES_COMMON_TIMING_HPP

#include <functional>
#include <span>
#include <vector>

namespace tools {

/// Median seconds of each run, taken by turns, so that all see the same weather on the machine: 5
/// rounds at least, and 0.25 seconds per run.
std::vector<double> median_seconds(std::span<const std::function<void()>> runs);

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_TIMING_HPP
