// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "common/markup.hpp"
#include "common/terminal.hpp"
#include "svg.hpp"

#include <algorithm>

namespace kvlab {

namespace {

using tools::escape, tools::fixed, tools::join;

constexpr std::string_view style = R"(<style>
:root { color-scheme: light dark; --text: #1b1f24; --ground: #fff; --faint: #d7dbe0;
  --c0: #0a66c2; --c1: #c2410c; --c2: #15803d; --c3: #9333ea; --c4: #b8860b;
  --c5: #be185d; --c6: #0e7490; --c7: #6b7280; --c8: #7c2d12; --c9: #4d7c0f }
@media (prefers-color-scheme: dark) { :root { --text: #e6e8eb; --ground: #14171a; --faint: #363c43;
  --c0: #6cb2ff; --c1: #ff9d6b; --c2: #63d68b; --c3: #c99bff; --c4: #f2c14e;
  --c5: #ff86b5; --c6: #57d3e8; --c7: #aab2bd; --c8: #d9a07c; --c9: #b2d957 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--ground);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
figure { margin: 2rem 0 }
figcaption { font-size: .9rem }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; fill: currentColor;
  overflow: visible }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .15rem .7rem; text-align: right; border-bottom: 1px solid var(--faint) }
th:first-child, td:first-child { text-align: left }
.scroll { overflow-x: auto }
</style>
)";

std::vector<curve> curves_of(const study& s, double (*value)(const outcome&)) {
    std::vector<curve> curves;
    for (const outcome& o : s.outcomes) {
        if (o.budget == 0) continue;
        if (curves.empty() || curves.back().name != o.policy) curves.push_back({o.policy, {}});
        curves.back().points.push_back({o.budget, value(o)});
    }
    return curves;
}

std::string figure(std::string_view content, std::string_view caption) {
    return join({"<figure>\n", content, "<figcaption>", caption, "</figcaption>\n</figure>\n"});
}

std::string mass_figure(const study& s) {
    std::vector<curve> lost = curves_of(s, [](const outcome& o) { return 1.0 - o.mass; });
    curve& oracle = lost.emplace_back(curve{"oracle", {}});
    for (const auto& [budget, mass] : s.oracles) oracle.points.push_back({budget, 1.0 - mass});
    const auto in_words = [](double x) { return fixed(100 * (1 - x), x < 0.009 ? 2 : 0) + " %"; };
    return figure(
        chart(lost, true, true, "retained attention mass", in_words),
        "Share of the full cache's attention that falls on tokens which were still there: "
        "higher is better. The oracle keeps the best tokens of each query and head.");
}

std::string error_figure(const study& s) {
    const auto curves = curves_of(s, [](const outcome& o) { return o.output_error; });
    const auto in_words = [](double x) { return fixed(x, x < 0.0009 ? 4 : x < 0.009 ? 3 : 2); };
    return figure(chart(curves, false, false, "relative output error", in_words),
                  "How far attention's output is from the full cache's, |difference| / |output|, "
                  "root mean square over tokens and layers: lower is better.");
}

std::string map_figures(const study& s) {
    constexpr std::string_view meaning =
        ": a line downwards is a token that stays, and it ends where the token is evicted.";
    std::string maps;
    for (const kept_map& m : s.maps) maps += heat_map(m);
    return figure(join({"<div class='maps'>\n", maps, "</div>\n"}),
                  join({"Tokens that layer ", std::to_string(s.map_layer), ", KV head ",
                        std::to_string(s.map_head), " had at each step with a budget of ",
                        std::to_string(s.map_budget), meaning}));
}

std::string numbers(const study& s) {
    std::string text = "<div class='scroll'><table>\n";
    std::string_view open = "<th>", close = "</th>";
    for (const auto& row : rows(s)) {
        text += "<tr>";
        for (const std::string& cell : row) text += join({open, escape(cell), close});
        text += "</tr>\n";
        open = "<td>", close = "</td>";
    }
    return text + "</table></div>\n";
}

}  // namespace

std::string html(const study& s) {
    constexpr std::string_view head =
        "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width'>\n<title>";
    const std::string name = escape(s.source);
    std::string page =
        join({head, name, " - pare_kvlab</title>\n", style, "</head>\n<body>\n<h1>", name,
              "</h1>\n<p>", escape(title(s)),
              ". Every policy saw the same queries, keys and values, token by token.</p>\n"});
    if (std::any_of(s.outcomes.begin(), s.outcomes.end(),
                    [](const outcome& o) { return o.budget != 0; }))
        page += mass_figure(s) + error_figure(s);
    if (!s.maps.empty()) page += map_figures(s);
    return page + numbers(s) + "</body>\n</html>\n";
}

}  // namespace kvlab
