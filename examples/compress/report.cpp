// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include "common/html.hpp"
#include "common/model_report.hpp"
#include "common/report.hpp"
#include "common/terminal.hpp"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace compressor {

using tools::fixed, tools::in_words;

std::string table(std::span<const row> rows, bool with_errors) {
    std::vector<std::vector<std::string>> cells{
        {"layer", "shape", "recipe", "bits/w", "saliency", "bytes"}};
    const bool with_times = !rows.empty() && rows[0].seconds;
    if (with_errors) cells[0].push_back("error");
    if (with_times) cells[0].push_back("us");
    std::vector<pare::layer_report> reports;
    double sum = 0.0, n = 0.0, seconds = 0.0;
    const auto add = [&](std::string name, std::string shape, std::string recipe,
                         const pare::layer_report& r, double error, double time) {
        cells.push_back({std::move(name), std::move(shape), std::move(recipe),
                         fixed(r.bits_per_weight, 2), fixed(100 * r.retained, 1) + " %",
                         std::to_string(r.bytes)});
        if (with_errors) cells.back().push_back(fixed(error, 5));
        if (with_times) cells.back().push_back(fixed(1e6 * time, 2));
    };
    for (const row& r : rows) {
        add(std::string(r.from.name()), in_words(r.from.shape()), r.recipe.text, r.is.report,
            r.is.error, r.seconds.value_or(0.0));
        reports.push_back(r.is.report);
        sum += n_weights(r.is) * r.is.error;
        n += n_weights(r.is);
        seconds += r.seconds.value_or(0.0);
    }
    add("all " + std::to_string(rows.size()), "", "", tools::total_of(reports), sum / n, seconds);
    return tools::format_table(cells);
}

void write_json(std::span<const row> rows, bool with_errors, const std::string& file) {
    using nlohmann::ordered_json;
    ordered_json array = ordered_json::array();
    for (const row& r : rows) {
        array.push_back({{"layer", r.from.name()},
                         {"shape", std::vector(r.from.shape().begin(), r.from.shape().end())},
                         {"recipe", r.recipe.text},
                         {"bits_per_weight", r.is.report.bits_per_weight},
                         {"sparsity", r.is.report.sparsity},
                         {"retained_saliency", r.is.report.retained},
                         {"bytes", r.is.report.bytes}});
        if (with_errors) array.back()["error"] = r.is.error;
        if (r.seconds) array.back()["seconds"] = *r.seconds;
    }
    tools::write_json(file, array);
}

std::string html(const std::string& title, const std::string& summary, std::span<const row> rows,
                 bool with_errors) {
    tools::model_layers all;
    for (const row& r : rows) {
        tools::layer_row& l = all.layers.emplace_back();
        l = {.name = std::string(r.from.name()),
             .shape = in_words(r.from.shape()),
             .recipe = r.recipe.text,
             .report = r.is.report};
        if (with_errors) l.error = r.is.error;
        l.seconds = r.seconds;
    }
    return tools::html::page(title + " - pare_compress",
                             tools::html::list(summary) + tools::layer_section({&all, 1}));
}

}  // namespace compressor
