// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_LLM_PLOT_HPP
#define PARE_EXAMPLES_LLM_PLOT_HPP

#include "report.hpp"

#include <span>
#include <string>

namespace llm {

/// Writes what recipes with a full cache cost (KL from the dense model, logarithmic) over their
/// bits per weight, as SVG: a point and its name each, those that no other beats joined by a line.
/// The file appears when complete. @throws tools::failure
void write_plot(std::span<const row> rows, const std::string& file);

}  // namespace llm

#endif  // PARE_EXAMPLES_LLM_PLOT_HPP
