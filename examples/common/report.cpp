// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include "error.hpp"
#include "terminal.hpp"

#include <pare/io/atomic_file.hpp>

#include <nlohmann/json.hpp>
#include <cstddef>

namespace tools {

pare::layer_report total_of(std::span<const pare::layer_report> layers) {
    pare::layer_report all{.retained = 0.0};
    double n_weights = 0.0;
    for (const pare::layer_report& one : layers) {
        const double n = static_cast<double>(one.bytes) * 8.0 / one.bits_per_weight;
        n_weights += n;
        all.bytes += one.bytes;
        all.sparsity += n * one.sparsity;
        all.retained += n * one.retained;
    }
    all.bits_per_weight = static_cast<double>(all.bytes) * 8.0 / n_weights;
    all.sparsity /= n_weights;
    all.retained /= n_weights;
    return all;
}

std::string name_with_inputs(const std::string& recipe, std::size_t n_integer,
                             std::size_t n_layers) {
    if (n_integer == 0) return recipe;
    if (n_integer == n_layers) return recipe + ", i8 inputs";
    return recipe + ", i8 inputs of " + std::to_string(n_integer) + " of " +
           std::to_string(n_layers) + " layers";
}

std::string verdict(const std::string& recipe, std::span<const speed_ratio> speeds, double bytes) {
    constexpr double noticeable = 0.05;  // of a speed: less is within the noise of such runs
    bool faster = false, slower = false;
    std::string list;
    for (const auto& [what, ratio] : speeds) {
        const bool more = ratio > 1 + noticeable, less = ratio < 1 - noticeable;
        faster = faster || more;
        slower = slower || less;
        list.append(what).append(" ").append(fixed(ratio, 2));
        list.append(more ? "x, " : less ? "x (slower), " : "x (no gain), ");
    }
    return recipe +
           (faster && slower         ? " is faster and slower here: "
            : faster                 ? " is faster here: "
            : bytes < 1 - noticeable ? " only saves memory here: "
                                     : " does not pay here: ") +
           list + "bytes " + fixed(bytes, 2) + "x";
}

void write_file(const std::string& file, std::string_view text) {
    auto out = value_of(pare::io::atomic_file::create(file), file);
    value_of(out.write(std::as_bytes(std::span(text))), file);
    value_of(out.commit(), file);
}

void write_json(const std::string& file, const nlohmann::ordered_json& value) {
    using nlohmann::ordered_json;
    write_file(file, value.dump(1, ' ', true, ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace tools
