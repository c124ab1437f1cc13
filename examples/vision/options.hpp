// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_OPTIONS_HPP
#define PARE_EXAMPLES_VISION_OPTIONS_HPP

#include "common/recipe.hpp"

#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace vision {

/// The command line of pare_vision.
struct options {
    std::string model, data, calibration, json;
    std::string html{};
    std::string save{};  ///< file for the compressed network; empty: none
    std::vector<tools::recipe> recipes;
    bool default_recipes = false;                     ///< they were not given
    std::optional<std::set<std::string>> keep_dense;  ///< none: the first and the last layer
    bool reestimate_norms = false;
    std::size_t limit = 0;  ///< images to measure on
    std::size_t threads = 1;
    tools::activation_kind activations = tools::activation_kind::f32;
};

/// @return nothing when the command line only asked for text such as --help, which is then printed
/// @throws tools::usage_error
std::optional<options> parse_options(int argc, char** argv);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_OPTIONS_HPP
