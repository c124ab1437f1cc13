// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_TUNE_REPORT_HPP
#define PARE_EXAMPLES_TUNE_REPORT_HPP

#include "tuned.hpp"

#include <span>
#include <string>

namespace tuner {

/// "64x32x3x3 f32, 2 layers"
std::string in_words(const layer_shape& shape);
/// "1 token, 2 threads"
std::string in_words(const setting& in);

/// What was measured in one setting, and why it is so.
std::string describe(const tuned& t, const timed& times);
/// What the layers of a shape get.
std::string describe_choice(const tuned& t);

/// A recipe file; none, saying so, where nothing pays. @throws tools::failure
void write_plan(std::span<const tuned> all, const options& o);
/// @throws tools::failure
void write_measurements(std::span<const tuned> all, const std::string& file);

}  // namespace tuner

#endif  // PARE_EXAMPLES_TUNE_REPORT_HPP
