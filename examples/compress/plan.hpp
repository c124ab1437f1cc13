// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_PLAN_HPP
#define PARE_EXAMPLES_COMPRESS_PLAN_HPP

#include "common/recipe.hpp"
#include "source.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace compressor {

/// A recipe for the tensors whose names fit a pattern.
struct layer_choice {
    std::string pattern;
    tools::recipe recipe;
};

/// What the command line says of tensors; see its --help.
struct choices {
    tools::recipe by_default;
    std::vector<layer_choice> layers;
    std::vector<std::string> keep_dense;  ///< patterns
};

/// Whether a tensor's name, or its name without .weight, fits a pattern of characters, * and ?.
bool fits(std::string_view pattern, std::string_view tensor);

/// Whether a tensor is a layer's weights, by its shape, type and name.
bool is_layer(const tensor& t);

/// A recipe for each tensor; those that stay dense have one that does nothing.
/// @throws tools::usage_error when a pattern fits no tensor, or a --layer one that cannot be a
/// layer
std::vector<tools::recipe> plan(std::span<const tensor> tensors, const choices& chosen);

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_PLAN_HPP
