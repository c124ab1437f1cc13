// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_MODEL_REPORT_HPP
#define PARE_EXAMPLES_COMMON_MODEL_REPORT_HPP

#include "chart.hpp"
#include "recipe.hpp"

#include <pare/compress.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// What reports of compressed models have in common.

namespace tools {

/// "64x3x5x5"
std::string in_words(std::span<const std::size_t> shape);

/// A layer that went through a recipe.
struct layer_row {
    std::string name, shape;
    std::string recipe{};  ///< empty: that of the model
    pare::layer_report report;
    std::optional<double> error{};    ///< of its output, |difference|^2 / |output|^2
    std::optional<double> seconds{};  ///< of one product with it
};

/// A model that went through a recipe.
struct model_layers {
    std::string recipe;
    std::vector<layer_row> layers;  ///< in the model's order
};

/// As HTML: sparsity, bits, retained saliency, bytes and, where known, error and time over the
/// layers, curves of the first ten models, tables of all.
std::string layer_section(std::span<const model_layers> models);

/// What a recipe gives for what it costs.
struct trade {
    std::string recipe;
    double cost;
    double quality;      ///< not finite: left out
    std::string method;  ///< those of one are drawn alike
};

/// What chose the weights that are kept and what rounded them: "every weight", "wanda, gptq".
/// @param sparsity  of the layers
std::string method_of(const recipe& r, double sparsity);

extern const axis bits_per_weight;

/// An SVG chart of the recipes' qualities over their costs, with those named that none beats in
/// both. Empty without any.
std::string front_chart(std::span<const trade> trades, const axis& cost, const axis& quality,
                        bool more_is_better, chart_size size = {});

/// The same as a figure of HTML; empty with fewer than two recipes.
std::string front_figure(std::span<const trade> trades, const axis& cost, const axis& quality,
                         bool more_is_better, std::string_view caption);

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_MODEL_REPORT_HPP
