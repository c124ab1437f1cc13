// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "plot.hpp"

#include "common/markup.hpp"
#include "common/report.hpp"
#include "common/terminal.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

namespace llm {

namespace {

using tools::escape, tools::fixed, tools::join;

constexpr double width = 900, height = 560, left = 60, right = 20, top = 20, bottom = 50;
constexpr double least_kl = 1e-5;

struct point {
    double bits, kl;
    std::string name;
    bool sparse, on_front = false;
};

std::vector<point> points_of(std::span<const row> rows) {
    std::vector<point> points;
    for (const row& r : rows)
        if (r.kv == "full" && r.quality.kl > 0.0)
            points.push_back({r.layers.bits_per_weight, std::max(r.quality.kl, least_kl), r.recipe,
                              r.layers.sparsity > 0.0});
    std::sort(points.begin(), points.end(), [](const point& a, const point& b) {
        return a.bits < b.bits || (a.bits == b.bits && a.kl < b.kl);
    });
    double best = 1e300;
    for (point& p : points)
        if (p.kl < best) best = p.kl, p.on_front = true;
    return points;
}

std::string text_at(double x, double y, std::string_view anchor, std::string_view text) {
    return join({"<text x='", fixed(x, 1), "' y='", fixed(y, 1), "' text-anchor='", anchor, "'>",
                 escape(text), "</text>\n"});
}

}  // namespace

void write_plot(std::span<const row> rows, const std::string& file) {
    std::vector<point> points = points_of(rows);
    double most_bits = 1.0, low = 1.0, high = least_kl;
    for (const point& p : points) {
        most_bits = std::max(most_bits, p.bits);
        low = std::min(low, p.kl);
        high = std::max(high, p.kl);
    }
    const double floor = std::floor(std::log10(low)), decades = std::ceil(std::log10(high)) - floor;
    const auto x = [&](double bits) { return left + (width - left - right) * bits / most_bits; };
    const auto y = [&](double kl) {
        return height - bottom - (height - top - bottom) * (std::log10(kl) - floor) / decades;
    };
    std::string svg =
        join({"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 ", fixed(width, 0), " ",
              fixed(height, 0), "'>\n",
              "<style>text{font:11px sans-serif;fill:#777}path{fill:none;stroke:#9995}"
              ".front{stroke:#999}.codes{fill:#1f77b4}.sparse{fill:#d62728}</style>\n"});
    for (int i = 0; i <= static_cast<int>(decades); ++i) {
        const double kl = std::pow(10.0, floor + i);
        svg += join({"<path d='M", fixed(left, 1), " ", fixed(y(kl), 1), "H",
                     fixed(width - right, 1), "'/>\n"});
        svg += text_at(left - 6, y(kl) + 4, "end", "1e" + fixed(floor + i, 0));
    }
    for (int bits = 0; bits <= static_cast<int>(most_bits); bits += most_bits > 10 ? 2 : 1)
        svg += text_at(x(bits), height - bottom + 18, "middle", std::to_string(bits));
    svg +=
        text_at((left + width) / 2, height - 10, "middle",
                "bits per weight (blue: every weight; red: some pruned); KL from the dense model");
    std::string front;
    for (const point& p : points)
        if (p.on_front)
            front += join({front.empty() ? "M" : "L", fixed(x(p.bits), 1), " ", fixed(y(p.kl), 1)});
    svg += join({"<path class='front' d='", front, "'/>\n"});
    for (const point& p : points) {
        svg += join({"<circle class='", p.sparse ? "sparse" : "codes", "' cx='",
                     fixed(x(p.bits), 1), "' cy='", fixed(y(p.kl), 1), "' r='",
                     p.on_front ? "4" : "2.5", "'><title>", escape(p.name), "</title></circle>\n"});
        if (p.on_front) svg += text_at(x(p.bits) + 7, y(p.kl) - 5, "start", p.name);
    }
    tools::write_file(file, svg + "</svg>\n");
}

}  // namespace llm
