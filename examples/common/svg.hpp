// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_SVG_HPP
#define PARE_EXAMPLES_COMMON_SVG_HPP

#include <cstddef>
#include <string>
#include <string_view>

// Pieces of SVG. Names and labels are escaped.

namespace tools::svg {

/// A coordinate.
std::string number(double x);
std::string number(std::size_t x);

/// @param anchor  what lies at x: "start", "middle" or "end"
std::string text(double x, double y, std::string_view anchor, std::string_view words);
/// Straight and faint.
std::string line(double x1, double y1, double x2, double y2);

}  // namespace tools::svg

#endif  // PARE_EXAMPLES_COMMON_SVG_HPP
