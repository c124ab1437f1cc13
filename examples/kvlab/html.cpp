// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "common/html.hpp"
#include "common/chart.hpp"
#include "common/markup.hpp"
#include "common/terminal.hpp"
#include "heat_map.hpp"

#include <algorithm>

namespace kvlab {

namespace {

using tools::axis, tools::curve, tools::fixed, tools::join, tools::html::figure;

std::vector<curve> curves_of(const study& s, double (*value)(const outcome&)) {
    std::vector<curve> curves;
    for (const outcome& o : s.outcomes) {
        if (o.budget == 0) continue;
        if (curves.empty() || curves.back().name != o.policy) curves.push_back({o.policy});
        curves.back().points.push_back({static_cast<double>(o.budget), value(o)});
    }
    return curves;
}

const axis budgets{
    .name = "budget, tokens per KV head", .scale = tools::scale::octaves, .least = 1};

std::string mass_figure(const study& s) {
    std::vector<curve> lost = curves_of(s, [](const outcome& o) { return 1.0 - o.mass; });
    curve& oracle = lost.emplace_back(curve{"oracle", {}, curve::look::reference});
    for (const auto& [budget, mass] : s.oracles)
        oracle.points.push_back({static_cast<double>(budget), 1.0 - mass});
    const axis mass{
        .name = "retained attention mass",
        .scale = tools::scale::decades,
        .least = 1e-4,
        .reversed = true,
        .in_words = [](double x) { return fixed(100 * (1 - x), x < 0.009 ? 2 : 0) + " %"; }};
    return figure(
        chart(lost, budgets, mass),
        "Share of the full cache's attention that falls on tokens which were still there: "
        "higher is better. The oracle keeps the best tokens of each query and head.");
}

std::string error_figure(const study& s) {
    const axis error{
        .name = "relative output error", .scale = tools::scale::decades, .least = 1e-4};
    return figure(
        chart(curves_of(s, [](const outcome& o) { return o.output_error; }), budgets, error),
        "How far attention's output is from the full cache's, |difference| / |output|, "
        "root mean square over tokens and layers: lower is better.");
}

std::string map_figures(const study& s) {
    if (s.maps.empty()) return "";
    constexpr std::string_view meaning =
        ": a line downwards is a token that stays, and it ends where the token is evicted.";
    std::string maps;
    for (const kept_map& m : s.maps) maps += heat_map(m);
    return figure(join({"<div class='maps'>\n", maps, "</div>\n"}),
                  join({"Tokens that layer ", std::to_string(s.map_layer), ", KV head ",
                        std::to_string(s.map_head), " had at each step with a budget of ",
                        std::to_string(s.map_budget), meaning}));
}

}  // namespace

std::string html(const study& s) {
    return tools::html::page(
        s.source + " - pare_kvlab",
        tools::html::paragraph(
            title(s) + ". Every policy saw the same queries, keys and values, token by token.") +
            tools::html::grid(mass_figure(s) + error_figure(s)) + map_figures(s) +
            tools::html::table(rows(s)));
}

}  // namespace kvlab
