// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_PLAN_HPP
#define PARE_EXAMPLES_COMPRESS_PLAN_HPP

#include "layer.hpp"
#include "prices.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace compressor {

/// Recipes for the tensors whose names fit a pattern.
struct layer_choice {
    std::string pattern;
    candidates recipes;
};

/// Channels that leave layers, by names with one * each, which stands for the same in all, or with
/// none.
struct channel_choice {
    std::string words;                 ///< where it is said
    std::vector<std::string> writers;  ///< whose rows they are
    std::vector<std::string> between;  ///< tensors with a row for each: norms, depthwise filters
    std::vector<std::string> readers;  ///< whose columns they are
    tools::recipe recipe;              ///< without channels: all stay
};

/// What the command line and the recipe file say of a model; see --help.
struct choices {
    candidates by_default;
    std::vector<layer_choice> layers;
    std::vector<std::string> keep_dense;  ///< patterns
    std::vector<channel_choice> channels;
    std::string calibration;  ///< a file of input_sums, or empty
    std::optional<budget> within;
};

/// Whether a tensor's name, or its name without .weight, fits a pattern of characters, * and ?.
bool fits(std::string_view pattern, std::string_view tensor);

/// What can be compressed: rows of floats.
bool is_matrix(const tensor& t);

/// Whether a tensor is a layer's weights, by its shape, type and name.
bool is_layer(const tensor& t);

/// Recipes for each tensor; those that stay dense have one that does nothing.
/// @throws tools::usage_error when a pattern fits no tensor, or a --layer one that cannot be a
/// layer
std::vector<candidates> plan(std::span<const tensor> tensors, const choices& chosen);

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_PLAN_HPP
