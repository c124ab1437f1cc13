// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "svg.hpp"

#include "markup.hpp"
#include "terminal.hpp"

namespace tools::svg {

std::string number(double x) { return fixed(x, 1); }
std::string number(std::size_t x) { return std::to_string(x); }

std::string text(double x, double y, std::string_view anchor, std::string_view words) {
    return join({"<text x='", number(x), "' y='", number(y), "' text-anchor='", anchor, "'>",
                 escape(words), "</text>\n"});
}

std::string line(double x1, double y1, double x2, double y2) {
    return join({"<path d='M", number(x1), " ", number(y1), "L", number(x2), " ", number(y2),
                 "' stroke='var(--faint)'/>\n"});
}

}  // namespace tools::svg
