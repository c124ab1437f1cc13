// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "chart.hpp"

#include "markup.hpp"
#include "svg.hpp"
#include "terminal.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>

namespace tools {

const char* const svg_style = R"(:root { color-scheme: light dark;
  --text: #1b1f24; --ground: #fff; --faint: #d7dbe0;
  --c0: #0a66c2; --c1: #c2410c; --c2: #15803d; --c3: #9333ea; --c4: #9a7009;
  --c5: #be185d; --c6: #0e7490; --c7: #6b7280; --c8: #7c2d12; --c9: #4d7c0f }
@media (prefers-color-scheme: dark) { :root { --text: #e6e8eb; --ground: #14171a; --faint: #363c43;
  --c0: #6cb2ff; --c1: #ff9d6b; --c2: #63d68b; --c3: #c99bff; --c4: #f2c14e;
  --c5: #ff86b5; --c6: #57d3e8; --c7: #aab2bd; --c8: #d9a07c; --c9: #b2d957 } }
svg { font: 12px system-ui, sans-serif; fill: var(--text); background: var(--ground);
  overflow: visible }
svg text { paint-order: stroke; stroke: var(--ground); stroke-width: 3px; stroke-linejoin: round }
)";

std::string plain(double number) {
    int decimals = 0;
    while (decimals < 9 &&
           std::abs(std::stod(fixed(number, decimals)) - number) > 1e-6 * std::abs(number))
        ++decimals;
    return fixed(number, decimals);
}

std::string bytes_in_words(double bytes) {
    constexpr std::array<std::string_view, 4> units{" B", " KiB", " MiB", " GiB"};
    std::size_t unit = 0;
    for (; bytes >= 1024 && unit + 1 < units.size(); bytes /= 1024) ++unit;
    return join({plain(std::round(bytes * 100) / 100), units[unit]});
}

namespace {

using point = curve::point;
using look = curve::look;

constexpr double letter = 6.8;  // room for one of a label

double width_of(std::string_view words) { return letter * static_cast<double>(words.size()); }

bool is_finite(const point& p) { return std::isfinite(p.x) && std::isfinite(p.y); }

std::vector<double> linear_ticks(double low, double high, double least_step) {
    const double wanted = (high - low) / 5, power = std::pow(10.0, std::floor(std::log10(wanted)));
    double step = 10 * power;
    for (const double factor : {5.0, 4.0, 2.0, 1.0})
        if (factor * power >= wanted * 0.999) step = factor * power;
    step = std::max(step, least_step);
    const double first = std::floor(low / step + 1e-6), last = std::ceil(high / step - 1e-6);
    std::vector<double> ticks;
    for (double i = first; i <= last; ++i) ticks.push_back(i * step);
    return ticks;
}

// Powers, or 1, 2 and 5 times those of ten, that enclose two numbers.
std::vector<double> logarithmic_ticks(double low, double high, double base, bool between) {
    const auto exponent = [&](double x) { return std::log(x) / std::log(base); };
    const double first = std::floor(exponent(low) + 1e-9);
    const double last = std::max(std::ceil(exponent(high) - 1e-9), first + 1);
    const double stride = std::ceil((last - first) / 7);
    std::vector<double> ticks;
    for (double i = first; i < last + stride; i += stride) {
        ticks.push_back(std::pow(base, i));
        if (between) ticks.insert(ticks.end(), {2 * ticks.back(), 5 * ticks.back()});
    }
    while (ticks.size() > 2 && ticks[1] <= low) ticks.erase(ticks.begin());
    while (ticks.size() > 2 && ticks[ticks.size() - 2] >= high) ticks.pop_back();
    return ticks;
}

std::vector<double> ticks_of(const axis& a, double low, double high) {
    if (a.scale == scale::octaves) return logarithmic_ticks(low, high, 2, false);
    if (a.scale == scale::decades) return logarithmic_ticks(low, high, 10, high < 300 * low);
    if (a.from_zero) low = std::min(low, 0.0);
    if (high - low <= 1e-9 * std::abs(high)) {
        low = std::min(low, 0.0);
        high = low == 0 && high <= 0 ? 1.0 : std::max(high, 0.0);
    }
    return linear_ticks(low, high, a.least_step);
}

/// Where an axis' numbers lie between two coordinates.
class ruler {
  public:
    ruler(const axis& a, std::span<const curve> curves, double point::*coordinate) : axis_(a) {
        double low = std::numeric_limits<double>::infinity(), high = -low;
        for (const curve& c : curves)
            for (const point& p : c.points)
                if (is_finite(p)) {
                    low = std::min(low, std::max(p.*coordinate, a.least));
                    high = std::max(high, std::max(p.*coordinate, a.least));
                }
        ticks_ = ticks_of(a, low, high);
    }

    void lie_between(double from, double to) { from_ = from, to_ = to; }
    double operator()(double value) const {
        const double low = transformed(ticks_.front()), high = transformed(ticks_.back());
        return from_ +
               (transformed(std::max(value, axis_.least)) - low) / (high - low) * (to_ - from_);
    }
    const std::vector<double>& ticks() const { return ticks_; }  // ascending
    std::string in_words(double value) const { return axis_.in_words(value); }
    double widest_tick() const {
        double widest = 0;
        for (const double tick : ticks_) widest = std::max(widest, width_of(in_words(tick)));
        return widest;
    }

  private:
    double transformed(double x) const { return axis_.scale == scale::linear ? x : std::log(x); }

    const axis& axis_;
    std::vector<double> ticks_;
    double from_ = 0, to_ = 1;
};

struct box {
    double left, top, right, bottom;
    bool meets(const box& b) const {
        return left < b.right && b.left < right && top < b.bottom && b.top < bottom;
    }
};

/// A circle, square, diamond or triangle.
std::string marker(std::size_t kind, double x, double y) {
    constexpr std::array<std::string_view, 4> shapes{"m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
                                                     "m-3.5 -3.5h7v7h-7z", "m0 -5l5 5l-5 5l-5 -5z",
                                                     "m0 -5l5 9h-10z"};
    return join({"M", svg::number(x), " ", svg::number(y), shapes[kind % shapes.size()]});
}

class drawing {
  public:
    drawing(std::span<const curve> curves, const axis& x, const axis& y, chart_size size)
        : curves_(curves), x_axis_(x), y_axis_(y), x_(x, curves, &point::x),
          y_(y, curves, &point::y), area_{y_.widest_tick() + 10, 30, size.width - 8,
                                          size.height - 44} {
        x_.lie_between(area_.left + 8, area_.right);
        if (y.reversed) y_.lie_between(area_.top, area_.bottom);
        else y_.lie_between(area_.bottom, area_.top);
        std::string body = axes();
        for (std::size_t i = 0; i < curves.size(); ++i) body += draw(curves[i], i);
        body += labels() + legend(size);
        text_ = join({"<svg viewBox='0 0 ", svg::number(size.width), " ", svg::number(size.height),
                      "' role='img' aria-label='", escape(y.name), " over ", escape(x.name), "'>\n",
                      body, "</svg>\n"});
    }

    const std::string& text() const { return text_; }

  private:
    std::string axes() const;
    std::string draw(const curve& c, std::size_t place) const;
    std::string labels() const;
    std::string legend(chart_size& size) const;
    std::string pen(std::size_t place) const;

    std::span<const curve> curves_;
    const axis &x_axis_, &y_axis_;
    ruler x_, y_;
    box area_;
    std::string text_;
};

std::string drawing::axes() const {
    std::string text = svg::text(0, 14, "start", y_axis_.name);
    for (const double tick : y_.ticks()) {
        text += svg::line(area_.left, y_(tick), area_.right, y_(tick));
        text += svg::text(area_.left - 6, y_(tick) + 4, "end", y_.in_words(tick));
    }
    const double apart = (area_.right - area_.left) / static_cast<double>(x_.ticks().size());
    const auto every = static_cast<std::size_t>(std::ceil((x_.widest_tick() + letter) / apart));
    for (std::size_t i = 0; i < x_.ticks().size(); ++i) {
        const double tick = x_.ticks()[i];
        text += svg::line(x_(tick), area_.bottom, x_(tick), area_.bottom + 5);
        if (i % every == 0)
            text += svg::text(x_(tick), area_.bottom + 19, "middle", x_.in_words(tick));
    }
    return text +
           svg::text((area_.left + area_.right) / 2, area_.bottom + 38, "middle", x_axis_.name);
}

// Opens a group in a curve's colour.
std::string drawing::pen(std::size_t place) const {
    if (curves_[place].drawn == look::reference)
        return "<g fill='none' stroke='var(--text)' stroke-width='1.3' stroke-dasharray='5 4'>";
    const std::string colour = join({"var(--c", svg::number(place % 10), ")"});
    return join({"<g fill='", colour, "' stroke='", colour, "' stroke-width='1.6'>"});
}

// Markers of long curves are 16 to 32.
std::string drawing::draw(const curve& c, std::size_t place) const {
    const std::size_t every = c.drawn == look::points ? 1 : 1 + c.points.size() / 32;
    std::string path, marks;
    for (std::size_t i = 0; i < c.points.size(); ++i) {
        const point& p = c.points[i];
        if (!is_finite(p)) continue;
        const double x = x_(p.x), y = y_(p.y);
        path += join({path.empty() ? "M" : "L", svg::number(x), " ", svg::number(y)});
        if (i % every == 0 && c.drawn != look::reference)
            marks += join({"<path d='", marker(place, x, y), "'><title>",
                           escape(p.name.empty() ? c.name : p.name), ": ", escape(x_.in_words(p.x)),
                           ", ", escape(y_.in_words(p.y)), "</title></path>\n"});
    }
    if (c.drawn != look::points) marks = join({"<path d='", path, "' fill='none'/>\n", marks});
    return join({pen(place), marks, "</g>\n"});
}

/// Where a label may lie beside its point, the best place first.
std::array<box, 6> places_beside(double x, double y, double wide) {
    constexpr double high = 12, gap = 7;
    const auto at = [&](double left, double top) -> box {
        return {left, top, left + wide, top + high};
    };
    return {at(x + gap, y - high - 2),        at(x + gap, y - high / 2),
            at(x - gap - wide, y - high / 2), at(x - gap - wide, y + 2),
            at(x - wide / 2, y - gap - high), at(x - wide / 2, y + gap)};
}

// Where nothing else is.
std::string drawing::labels() const {
    std::vector<box> taken;
    for (const curve& c : curves_)
        for (const point& p : c.points)
            if (is_finite(p) && c.drawn != look::reference)
                taken.push_back({x_(p.x) - 4, y_(p.y) - 4, x_(p.x) + 4, y_(p.y) + 4});
    const auto is_free = [&](const box& b) {
        return area_.left <= b.left && b.right <= area_.right && area_.top <= b.top &&
               b.bottom <= area_.bottom &&
               std::ranges::none_of(taken, [&](const box& other) { return other.meets(b); });
    };
    std::string text;
    for (const curve& c : curves_)
        for (const point& p : c.points) {
            if (!p.labelled || !is_finite(p)) continue;
            const auto places = places_beside(x_(p.x), y_(p.y), width_of(p.name));
            const auto place = std::ranges::find_if(places, is_free);
            if (place == places.end()) continue;
            taken.push_back(*place);
            text += svg::text(place->left, place->bottom - 2, "start", p.name);
        }
    return text;
}

// Below the chart, which grows by it.
std::string drawing::legend(chart_size& size) const {
    std::string text;
    double x = 0, y = size.height + 8;
    for (std::size_t i = 0; i < curves_.size(); ++i) {
        const curve& c = curves_[i];
        if (c.name.empty() || c.points.empty()) continue;
        const double wide = 36 + width_of(c.name) + 14;
        if (x != 0 && x + wide > size.width) x = 0, y += 20;
        text += pen(i);
        if (c.drawn != look::points)
            text += join({"<path d='M", svg::number(x), " ", svg::number(y), "h30'/>"});
        if (c.drawn != look::reference) text += join({"<path d='", marker(i, x + 15, y), "'/>"});
        text += "</g>\n" + svg::text(x + 36, y + 4, "start", c.name);
        x += wide;
    }
    if (!text.empty()) size.height = y + 12;
    return text;
}

}  // namespace

std::string chart(std::span<const curve> curves, const axis& x, const axis& y, chart_size size) {
    const bool any = std::ranges::any_of(
        curves, [](const curve& c) { return std::ranges::any_of(c.points, is_finite); });
    return any ? drawing(curves, x, y, size).text() : "";
}

std::string svg_file(const std::string& chart) {
    constexpr std::string_view open = "<svg";
    return join({open, " xmlns='http://www.w3.org/2000/svg'",
                 std::string_view(chart).substr(open.size(), chart.find('>') + 1 - open.size()),
                 "\n<style>", svg_style, "</style>",
                 std::string_view(chart).substr(chart.find('>') + 1)});
}

}  // namespace tools
