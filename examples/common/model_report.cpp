// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "model_report.hpp"

#include "html.hpp"
#include "report.hpp"
#include "terminal.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace tools {

namespace {

constexpr std::size_t n_drawn = 10;  // models: as many as there are colours

struct quantity {
    std::string_view caption;
    axis values;
    double (*of)(const layer_row&);  // not finite: unknown
};

std::vector<quantity> quantities() {
    return {{"Sparsity: the share of weights that are zero.",
             {.name = "sparsity, %"},
             [](const layer_row& l) { return 100 * l.report.sparsity; }},
            {"Bits per weight, scales and indices included.",
             {.name = "bits per weight", .from_zero = true},
             [](const layer_row& l) { return l.report.bits_per_weight; }},
            {"Retained saliency, kept / total: higher is better.",
             {.name = "retained saliency, %"},
             [](const layer_row& l) { return 100 * l.report.retained; }},
            {"Bytes of the packed layer.",
             {.name = "bytes", .scale = scale::octaves, .least = 1, .in_words = bytes_in_words},
             [](const layer_row& l) { return static_cast<double>(l.report.bytes); }},
            {"Error of the layer's output, |difference|^2 / |output|^2: lower is better.",
             {.name = "error", .scale = scale::decades, .least = 1e-6},
             [](const layer_row& l) { return l.error.value_or(std::nan("")); }},
            {"Time of one product with the layer: lower is better.",
             {.name = "microseconds", .from_zero = true},
             [](const layer_row& l) { return l.seconds ? 1e6 * *l.seconds : std::nan(""); }}};
}

std::string charts(std::span<const model_layers> models) {
    const axis layers{.name = "layer, in the model's order", .least_step = 1};
    std::string figures;
    for (const quantity& q : quantities()) {
        std::vector<curve> curves;
        bool any = false;
        for (const model_layers& m : models) {
            curve& c = curves.emplace_back();
            c.name = m.recipe;
            for (const layer_row& l : m.layers) {
                c.points.push_back({static_cast<double>(c.points.size() + 1), q.of(l), l.name});
                any = any || q.of(l) > 0;
            }
        }
        if (any) figures += html::figure(chart(curves, layers, q.values), q.caption);
    }
    return html::grid(figures);
}

layer_row all_of(const model_layers& m) {
    std::vector<pare::layer_report> reports;
    for (const layer_row& l : m.layers) reports.push_back(l.report);
    return {
        .name = "all " + std::to_string(m.layers.size()), .shape = "", .report = total_of(reports)};
}

std::string table(const model_layers& m) {
    bool any_recipe = false, any_error = false, any_time = false;
    for (const layer_row& l : m.layers) {
        any_recipe = any_recipe || !l.recipe.empty();
        any_error = any_error || l.error;
        any_time = any_time || l.seconds;
    }
    cells rows{{"no.", "layer"}};
    if (any_recipe) rows[0].push_back("recipe");
    for (const char* const name : {"shape", "sparsity", "bits/w", "saliency", "bytes"})
        rows[0].push_back(name);
    if (any_error) rows[0].push_back("error");
    if (any_time) rows[0].push_back("microseconds");
    const auto add = [&](std::string number, const layer_row& l) {
        auto& row = rows.emplace_back();
        row = {std::move(number), l.name};
        if (any_recipe) row.push_back(l.recipe);
        row.insert(row.end(),
                   {l.shape, percent(l.report.sparsity), fixed(l.report.bits_per_weight, 2),
                    percent(l.report.retained), std::to_string(l.report.bytes)});
        if (any_error) row.push_back(l.error ? fixed(*l.error, 5) : "-");
        if (any_time) row.push_back(l.seconds ? fixed(1e6 * *l.seconds, 1) : "-");
    };
    for (const layer_row& l : m.layers) add(std::to_string(rows.size()), l);
    add("", all_of(m));
    return html::table(rows, any_recipe ? 3 : 2);
}

}  // namespace

std::string in_words(std::span<const std::size_t> shape) {
    std::string words;
    for (const std::size_t extent : shape)
        words.append(words.empty() ? "" : "x").append(std::to_string(extent));
    return words;
}

std::string layer_section(std::span<const model_layers> models) {
    std::string content = charts(models.first(std::min(models.size(), n_drawn)));
    if (models.size() > n_drawn)
        content = html::paragraph("Curves are of the first " + std::to_string(n_drawn) + " of " +
                                  std::to_string(models.size()) + " recipes; tables of all.") +
                  content;
    for (const model_layers& m : models)
        content += models.size() == 1 ? table(m) : html::folded("layers of " + m.recipe, table(m));
    return html::section("Layers", content);
}

std::string method_of(const recipe& r, double sparsity) {
    std::string method = "every weight";
    if (sparsity > 0.0) {
        method = "magnitude";
        if (r.saliency == saliency_kind::wanda) method = "wanda";
        if (r.saliency == saliency_kind::optimal_brain) method = "optimal brain";
        if (r.pattern == pattern_kind::dense) method = "some weights pruned";
    }
    return r.gptq ? method + ", gptq" : method;
}

const axis bits_per_weight{.name = "bits per weight", .from_zero = true};

std::string front_chart(std::span<const trade> trades, const axis& cost, const axis& quality,
                        bool more_is_better, chart_size size) {
    std::vector<trade> sorted(trades.begin(), trades.end());
    const auto badness = [&](const trade& t) { return more_is_better ? -t.quality : t.quality; };
    std::erase_if(sorted, [](const trade& t) { return !std::isfinite(t.quality); });
    std::ranges::stable_sort(sorted, [&](const trade& a, const trade& b) {
        return a.cost < b.cost || (a.cost == b.cost && badness(a) < badness(b));
    });
    std::vector<curve> curves;
    for (const trade& t : trades)  // in the order of the legend
        if (std::isfinite(t.quality) &&
            std::ranges::find(curves, t.method, &curve::name) == curves.end())
            curves.push_back({.name = t.method, .drawn = curve::look::points});
    curve front{.name = "none costs less and is better", .drawn = curve::look::reference};
    double least = HUGE_VAL;
    for (const trade& t : sorted) {
        const bool on_front = badness(t) < least;
        least = std::min(least, badness(t));
        std::ranges::find(curves, t.method, &curve::name)
            ->points.push_back({t.cost, t.quality, t.recipe, on_front});
        if (on_front) front.points.push_back({t.cost, t.quality});
    }
    curves.push_back(std::move(front));
    return chart(curves, cost, quality, size);
}

std::string front_figure(std::span<const trade> trades, const axis& cost, const axis& quality,
                         bool more_is_better, std::string_view caption) {
    if (trades.size() < 2) return "";
    return html::figure(front_chart(trades, cost, quality, more_is_better), caption);
}

}  // namespace tools
