// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_HTML_HPP
#define PARE_EXAMPLES_COMMON_HTML_HPP

#include "terminal.hpp"

#include <cstddef>
#include <string>
#include <string_view>

// Reports as HTML: one file that needs no other and no script, light and dark, for screens from 360
// pixels on. Content is markup, all other text is escaped here.

namespace tools::html {

std::string page(std::string_view title, std::string_view content);
std::string paragraph(std::string_view text);
/// Of lines; empty without any.
std::string list(std::string_view lines);
std::string section(std::string_view heading, std::string_view content);
/// Empty without content.
std::string figure(std::string_view content, std::string_view caption);
/// Figures side by side where there is room; empty without content.
std::string grid(std::string_view content);
/// A header, then rows; it scrolls in itself. @param n_flush_left  columns; the others flush right
std::string table(const cells& rows, std::size_t n_flush_left = 1);
/// Content that is folded away at first.
std::string folded(std::string_view summary, std::string_view content);

}  // namespace tools::html

#endif  // PARE_EXAMPLES_COMMON_HTML_HPP
