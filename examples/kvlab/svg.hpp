// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_KVLAB_SVG_HPP
#define PARE_EXAMPLES_KVLAB_SVG_HPP

#include "report.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace kvlab {

/// A quantity that is positive and better when small, over the budget.
struct curve {
    struct point {
        std::size_t budget;
        double value;
    };
    std::string name;
    std::vector<point> points;
};

/// Curves on logarithmic axes, in ten colours (CSS variables --c0 to --c9, and --text, --faint) and
/// four markers, with a legend. Values below 1e-4 count as that.
/// @param has_oracle  the last curve is one, and dashed
/// @param in_words    a value for the axis
std::string chart(const std::vector<curve>& curves, bool has_oracle, bool best_on_top,
                  std::string_view y_name, std::string (*in_words)(double));

/// Token positions to the right, steps downwards.
std::string heat_map(const kept_map& m);

}  // namespace kvlab

#endif  // PARE_EXAMPLES_KVLAB_SVG_HPP
