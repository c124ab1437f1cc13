// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_REPORT_HPP
#define PARE_EXAMPLES_COMMON_REPORT_HPP

#include "recipe.hpp"

#include <pare/compress.hpp>

#include <nlohmann/json_fwd.hpp>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace tools {

/// Of several layers together: `sparsity` and `retained` are means weighted by weights.
pare::layer_report total_of(std::span<const pare::layer_report> layers);

/// What tables call a recipe of whose layers some take whole numbers, see activation_kind.
std::string name_with_inputs(const std::string& recipe, std::size_t n_integer,
                             std::size_t n_layers);

/// A speed over that of the dense model.
struct speed_ratio {
    std::string_view what;
    double ratio;
};

/// Whether a recipe pays against the dense model, in plain words without full stop.
/// @param bytes  ratio of the weights' bytes
std::string verdict(const std::string& recipe, std::span<const speed_ratio> speeds, double bytes);

/// The file appears when complete. @throws failure
void write_file(const std::string& file, std::string_view text);
void write_json(const std::string& file, const nlohmann::ordered_json& value);

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_REPORT_HPP
