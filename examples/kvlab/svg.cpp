// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "svg.hpp"

#include "common/markup.hpp"
#include "common/terminal.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace kvlab {

using tools::escape, tools::fixed, tools::join;

namespace {

std::string number(double x) { return fixed(x, 1); }
std::string number(std::size_t x) { return std::to_string(x); }

std::string label(double x, double y, std::string_view anchor, std::string_view text) {
    return join({"<text x='", number(x), "' y='", number(y), "' text-anchor='", anchor, "'>",
                 escape(text), "</text>\n"});
}

std::string turned_label(double x, double y, std::string_view text) {
    const std::string at = join({number(x), " ", number(y)});
    return join({"<text transform='translate(", at, ") rotate(-90)' text-anchor='middle'>",
                 escape(text), "</text>\n"});
}

std::string line(double x1, double y1, double x2, double y2) {
    return join({"<path d='M", number(x1), " ", number(y1), "L", number(x2), " ", number(y2),
                 "' stroke='var(--faint)'/>\n"});
}

/// A circle, square, diamond or triangle.
std::string marker(std::size_t kind, double x, double y) {
    const std::string move = join({"M", number(x), " ", number(y)});
    constexpr std::array<std::string_view, 4> shapes{"m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
                                                     "m-3.5 -3.5h7v7h-7z", "m0 -5l5 5l-5 5l-5 -5z",
                                                     "m0 -5l5 9h-10z"};
    return join({"<path d='", move, shapes[kind % shapes.size()], "'/>"});
}

std::string pen(std::string_view colour, std::string_view more) {
    return join({"<g fill='", colour, "' stroke='", colour, "' stroke-width='1.6'", more, ">"});
}

/// Where a chart's numbers lie: budgets and values on logarithmic axes, which keep good policies
/// apart however bad the baselines are. Values below `least` count as that.
class axes {
  public:
    static constexpr double left = 84, right = 520, top = 14, bottom = 320, least = 1e-4;

    /// @param best_on_top  small values there
    axes(const std::vector<curve>& curves, bool best_on_top) : best_on_top_(best_on_top) {
        double low = std::numeric_limits<double>::infinity(), high = least;
        for (const curve& c : curves)
            for (const curve::point& p : c.points) {
                budgets_.push_back(p.budget);
                low = std::min(low, std::max(p.value, least));
                high = std::max(high, p.value);
            }
        std::sort(budgets_.begin(), budgets_.end());
        budgets_.erase(std::unique(budgets_.begin(), budgets_.end()), budgets_.end());
        for (double power = least; ticks_.size() < 2 || ticks_.back() < high; power *= 10)
            for (const double factor : {1.0, 2.0, 5.0}) {
                if (factor * power <= low) ticks_.clear();
                if (ticks_.size() < 2 || ticks_.back() < high) ticks_.push_back(factor * power);
            }
    }

    double x_of(std::size_t budget) const {
        const auto octaves = [&](std::size_t b) {
            return std::log2(static_cast<double>(b) / static_cast<double>(budgets_.front()));
        };
        if (budgets_.size() == 1) return (left + right) / 2;
        return left + 20 + octaves(budget) / octaves(budgets_.back()) * (right - left - 40);
    }
    double y_of(double value) const {
        const double at = std::log(std::max(value, least) / ticks_.front()) /
                          std::log(ticks_.back() / ticks_.front());
        return best_on_top_ ? top + at * (bottom - top) : bottom - at * (bottom - top);
    }
    std::string draw(std::string_view y_name, std::string (*in_words)(double)) const {
        std::string svg;
        for (const double y : ticks_) {
            svg += line(left, y_of(y), right, y_of(y));
            svg += label(left - 8, y_of(y) + 4, "end", in_words(y));
        }
        double free_from = 0;
        for (const std::size_t budget : budgets_) {
            const double x = x_of(budget);
            svg += line(x, bottom, x, bottom + 5);
            if (x < free_from) continue;
            free_from = x + 34;
            svg += label(x, bottom + 20, "middle", number(budget));
        }
        svg += label((left + right) / 2, bottom + 42, "middle", "budget, tokens per KV head");
        return svg + turned_label(16, (top + bottom) / 2, y_name);
    }

  private:
    bool best_on_top_;
    std::vector<std::size_t> budgets_;  // ascending
    std::vector<double> ticks_;         // ascending
};

/// A curve and its line of the legend.
std::string draw(const curve& c, const axes& where, std::size_t place, bool with_markers) {
    const double y = axes::top + 10 + 22 * static_cast<double>(place);
    std::string path, marks;
    for (const curve::point& p : c.points) {
        const double px = where.x_of(p.budget), py = where.y_of(p.value);
        path += join({path.empty() ? "M" : "L", number(px), " ", number(py)});
        marks += marker(place, px, py);
    }
    marks += marker(place, 555, y);
    return join({"<path d='", path, "M540 ", number(y), "h30' fill='none'/>\n",
                 with_markers ? marks : "", "</g>\n", label(578, y + 4, "start", c.name)});
}

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

std::string chart(const std::vector<curve>& curves, bool has_oracle, bool best_on_top,
                  std::string_view y_name, std::string (*in_words)(double)) {
    const axes where(curves, best_on_top);
    const double height = std::max(370.0, axes::top + 22 * static_cast<double>(curves.size()) + 10);
    std::string svg = join({"<svg viewBox='0 0 760 ", number(height), "' role='img' aria-label='",
                            y_name, " over budget'>\n", where.draw(y_name, in_words)});
    for (std::size_t i = 0; i < curves.size(); ++i) {
        const bool policy = !has_oracle || i + 1 != curves.size();
        const std::string colour = policy ? join({"var(--c", number(i % 10), ")"}) : "var(--text)";
        svg += pen(colour, policy ? "" : " stroke-dasharray='5 4'");
        svg += draw(curves[i], where, i, policy);
    }
    return svg + "</svg>\n";
}

std::string heat_map(const kept_map& m) {
    constexpr double left = 44, top = 24, side = 256;
    const std::string corner = join({number(left), " ", number(top)}), width = number(side),
                      scale = fixed(side / static_cast<double>(m.n_cells()), 4),
                      last = number(m.n_tokens() - 1);
    return join({"<svg viewBox='0 0 320 330' role='img' aria-label='kept tokens, ",
                 escape(m.policy()),
                 "'>\n",
                 label(left, 15, "start", m.policy()),
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
                 label(left, top + side + 16, "middle", "0"),
                 label(left + side, top + side + 16, "end", last),
                 label(left + side / 2, top + side + 32, "middle", "token position"),
                 label(left - 6, top + 10, "end", "0"),
                 label(left - 6, top + side, "end", last),
                 turned_label(14, top + side / 2, "step"),
                 "</svg>\n"});
}

}  // namespace kvlab
