// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_TUNE_REPORT_HPP
#define PARE_EXAMPLES_TUNE_REPORT_HPP

#include "common/terminal.hpp"
#include "tuned.hpp"

#include <span>
#include <string>

namespace tuner {

/// "64x32x3x3 f32, 2 layers"
std::string in_words(const layer_shape& shape);
/// "1 token, 2 threads"
std::string in_words(const setting& in);

/// What was measured in one setting: a header, then a row per recipe.
tools::cells table_cells(const tuned& t, const timed& in);
/// Why it is so: sentences in lines.
std::string why(const tuned& t, const timed& in);
/// Both for the terminal.
std::string describe(const tuned& t, const timed& times);
/// What the layers of a shape get.
std::string describe_choice(const tuned& t);

/// A recipe file; none, saying so, where nothing pays. @throws tools::failure
void write_plan(std::span<const tuned> all, const options& o);
/// @throws tools::failure
void write_measurements(std::span<const tuned> all, const std::string& file);
/// One file that needs no other: the plan, and what was measured, with a chart for each setting.
std::string html(const std::string& title, std::span<const tuned> all);

}  // namespace tuner

#endif  // PARE_EXAMPLES_TUNE_REPORT_HPP
