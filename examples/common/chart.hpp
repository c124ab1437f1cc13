// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_CHART_HPP
#define PARE_EXAMPLES_COMMON_CHART_HPP

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tools {

/// A number as short as six digits allow.
std::string plain(double number);
/// "12 KiB"
std::string bytes_in_words(double bytes);

enum class scale : std::uint8_t {
    linear,
    decades,  ///< logarithmic, in powers of ten
    octaves   ///< of two
};

/// How numbers of one kind lie.
struct axis {
    std::string name;  ///< with its unit
    tools::scale scale = scale::linear;
    double least = -1e300;   ///< values below count as that; above 0 where it is logarithmic
    double least_step = 0;   ///< between ticks of a linear one
    bool from_zero = false;  ///< a linear one begins there
    bool reversed = false;   ///< small numbers on top
    std::string (*in_words)(double) = plain;
};

struct curve {
    struct point {
        double x, y;
        std::string name{};     ///< shown where it is pointed at; empty: the curve's
        bool labelled = false;  ///< by its name, where there is room
    };
    enum class look : std::uint8_t {
        line,      ///< with markers
        points,    ///< markers alone
        reference  ///< dashed, in the colour of text
    };
    std::string name;  ///< for the legend; empty: not in it
    std::vector<point> points{};
    look drawn = look::line;
};

/// Of a chart in user units, of which text takes 12; its legend comes below.
struct chart_size {
    double width = 360, height = 270;
};

/// An SVG element. Curves differ in colour (svg_style has ten) and in marker (of four). Points that
/// are not finite are left out; empty when none is left.
std::string chart(std::span<const curve> curves, const axis& x, const axis& y,
                  chart_size size = {});

/// CSS for charts, light and dark: colours --c0 to --c9, --text, --faint and --ground, text.
extern const char* const svg_style;
/// A chart as a file of its own.
std::string svg_file(const std::string& chart);

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_CHART_HPP
