// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "heat_map.hpp"

#include "common/markup.hpp"
#include "common/svg.hpp"
#include "common/terminal.hpp"

#include <array>
#include <cmath>
#include <cstddef>

namespace kvlab {

using tools::escape, tools::fixed, tools::join, tools::svg::number;

namespace {

/// Runs of cells of equal shade, as one path for each of four shades.
std::string cells_of(const kept_map& m) {
    constexpr std::size_t shades = 4;
    std::array<std::string, shades + 1> paths;
    for (std::size_t y = 0; y < m.n_cells(); ++y)
        for (std::size_t x = 0, end = 0; x < m.n_cells(); x = end) {
            const auto shade_at = [&](std::size_t cell) {
                return static_cast<std::size_t>(std::ceil(m.share(y, cell) * shades));
            };
            const std::size_t shade = shade_at(x);
            for (end = x + 1; end < m.n_cells() && shade_at(end) == shade;) ++end;
            paths[shade] += join({"M", number(x), " ", number(y), "h", number(end - x), "v1h-",
                                  number(end - x), "z"});
        }
    std::string svg;
    for (std::size_t shade = 1; shade <= shades; ++shade)
        if (!paths[shade].empty())
            svg += join({"<path fill-opacity='", fixed(static_cast<double>(shade) / shades, 2),
                         "' d='", paths[shade], "'/>\n"});
    return svg;
}

}  // namespace

std::string heat_map(const kept_map& m) {
    constexpr double left = 44, top = 24, side = 256;
    const std::string corner = join({number(left), " ", number(top)}), width = number(side),
                      scale = fixed(side / static_cast<double>(m.n_cells()), 4),
                      last = number(m.n_tokens() - 1);
    return join({"<svg viewBox='0 0 320 330' role='img' aria-label='kept tokens, ",
                 escape(m.policy()),
                 "'>\n",
                 tools::svg::text(left, 15, "start", m.policy()),
                 "<path d='M",
                 corner,
                 "h",
                 width,
                 "v",
                 width,
                 "h-",
                 width,
                 "z' fill='none' stroke='var(--faint)'/>\n<g transform='translate(",
                 corner,
                 ") scale(",
                 scale,
                 ")' fill='var(--c0)' shape-rendering='crispEdges'>\n",
                 cells_of(m),
                 "</g>\n",
                 tools::svg::text(left, top + side + 16, "middle", "0"),
                 tools::svg::text(left + side, top + side + 16, "end", last),
                 tools::svg::text(left + side / 2, top + side + 32, "middle", "token position"),
                 tools::svg::text(left - 6, top + 10, "end", "0"),
                 tools::svg::text(left - 6, top + side, "end", last),
                 "<text transform='translate(14 152) rotate(-90)' "
                 "text-anchor='middle'>step</text>\n</svg>\n"});
}

}  // namespace kvlab
