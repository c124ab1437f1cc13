// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_MARKUP_HPP
#define PARE_EXAMPLES_COMMON_MARKUP_HPP

#include <initializer_list>
#include <string>
#include <string_view>

namespace tools {

std::string join(std::initializer_list<std::string_view> pieces);
/// As text of an element or an attribute of HTML or SVG.
std::string escape(std::string_view text);

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_MARKUP_HPP
