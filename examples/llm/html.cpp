// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "common/html.hpp"

#include "common/chart.hpp"
#include "common/error.hpp"
#include "common/model_report.hpp"
#include "report.hpp"

#include <algorithm>
#include <cmath>

namespace llm {

namespace {

using tools::axis, tools::curve, tools::html::figure;

const axis nll{.name = "nll, nats per token"};
const axis kl{
    .name = "KL from the dense model, nats", .scale = tools::scale::decades, .least = 1e-5};

std::vector<tools::trade> trades(std::span<const row> rows, double quality::*of) {
    std::vector<tools::trade> all;
    for (const row& r : rows)
        if (r.kv == "full")
            all.push_back({r.name, r.layers.bits_per_weight, r.quality.*of, r.method});
    return all;
}

std::vector<tools::trade> changes(std::span<const row> rows) {
    std::vector<tools::trade> all = trades(rows, &quality::kl);
    std::erase_if(all, [](const tools::trade& t) { return t.quality <= 0.0; });
    return all;
}

std::string fronts(std::span<const row> rows) {
    const auto front = [](std::span<const tools::trade> of, const axis& quality,
                          std::string_view caption) {
        return front_figure(of, tools::bits_per_weight, quality, false, caption);
    };
    return tools::html::grid(
        front(trades(rows, &quality::nll), nll,
              "What a token costs the model over the bits of its weights: lower is better.") +
        front(changes(rows), kl,
              "How far predictions are from the dense model's, where they differ: lower is "
              "better."));
}

// A curve per recipe and cache over the bytes of the budgets, and the dense model's level.
std::string cache_chart(const row& dense, std::span<const row> rows, const axis& y,
                        double (*value)(const row&)) {
    const bool one_recipe =
        std::ranges::all_of(rows, [&](const row& r) { return r.name == rows.front().name; });
    std::vector<curve> curves;
    for (const row& r : rows) {
        if (r.kv == "full" && r.name == dense.name) continue;
        const std::string name = one_recipe ? r.kv : r.name + ", " + r.kv;
        auto at = std::ranges::find(curves, name, &curve::name);
        if (at == curves.end()) at = curves.insert(at, {name});
        at->points.push_back({static_cast<double>(r.quality.peak_cache_bytes), value(r)});
    }
    const auto full_bytes = static_cast<double>(dense.quality.peak_cache_bytes);
    double least = full_bytes, most = full_bytes;
    for (curve& c : curves) {
        std::ranges::sort(c.points, {}, &curve::point::x);
        least = std::min(least, c.points.front().x);
        most = std::max(most, c.points.back().x);
    }
    curves.push_back({dense.name + ", full",
                      {{least, value(dense)}, {most, value(dense)}},
                      curve::look::reference});
    return chart(curves,
                 {.name = "peak bytes of a sequence's cache",
                  .scale = tools::scale::octaves,
                  .least = 1,
                  .in_words = tools::bytes_in_words},
                 y);
}

std::string caches(const row& dense, std::span<const row> rows) {
    const tools::cells cells = cache_cells(rows);
    if (cells.empty()) return "";
    const axis recall{.name = "questions answered, %"};
    return tools::html::section(
        "Caches",
        tools::html::grid(
            figure(cache_chart(dense, rows, nll, [](const row& r) { return r.quality.nll; }),
                   "What a token costs the model: lower is better.") +
            figure(
                cache_chart(dense, rows, recall,
                            [](const row& r) { return r.recall ? 100 * *r.recall : std::nan(""); }),
                "Questions about earlier text answered exactly: higher is better.")) +
            tools::html::table(cells, 2));
}

std::string layers(std::span<const row> rows) {
    std::vector<tools::model_layers> models;
    for (const row& r : rows)
        if (std::ranges::find(models, r.name, &tools::model_layers::recipe) == models.end())
            models.push_back({r.name, r.each_layer});
    return layer_section(models);
}

}  // namespace

std::string plot(std::span<const row> rows) {
    const std::string drawn = front_chart(changes(rows), tools::bits_per_weight, kl, false,
                                          {.width = 900, .height = 560});
    if (drawn.empty()) throw tools::failure("--plot: no recipe changes what the model predicts");
    return tools::svg_file(drawn);
}

std::string html(const row& dense, std::span<const row> rows) {
    std::string content = tools::html::paragraph(
        "Measured on " + std::to_string(dense.n_predictions) + " predictions, " +
        std::to_string(dense.threads) + (dense.threads == 1 ? " thread." : " threads."));
    if (const tools::cells cells = weight_cells(rows); !cells.empty())
        content +=
            tools::html::section("Recipes", fronts(rows) + tools::html::list(verdict(dense, rows)) +
                                                tools::html::table(cells));
    return tools::html::page(dense.model + " - pare_llm",
                             content + caches(dense, rows) + layers(rows));
}

}  // namespace llm
