// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_TUNE_OPTIONS_HPP
#define PARE_EXAMPLES_TUNE_OPTIONS_HPP

#include "common/recipe.hpp"

#include <pare/tune/candidate.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace tuner {

/// What a layer is timed for.
struct setting {
    std::size_t tokens, threads;
};

/// The command line of pare_tune.
struct options {
    std::string model, plan, json, html, calibration;
    std::vector<tools::recipe> recipes;  ///< the first is dense
    std::vector<std::string> layers;     ///< patterns; none: all
    std::vector<setting> settings;
    pare::tune::demand wanted;
    std::optional<std::size_t> memory;  ///< bytes of copies; none: as many as the model has
    std::size_t rounds = 15;
    tools::activation_kind activations = tools::activation_kind::f32;
    bool check = false;
};

/// @return nothing when the command line only asked for text such as --help, which is then printed
/// @throws tools::usage_error
std::optional<options> parse_options(int argc, char** argv);

}  // namespace tuner

#endif  // PARE_EXAMPLES_TUNE_OPTIONS_HPP
