// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "markup.hpp"

#include <array>
#include <cstddef>

namespace tools {

std::string join(std::initializer_list<std::string_view> pieces) {
    std::string text;
    for (const std::string_view piece : pieces) text += piece;
    return text;
}

std::string escape(std::string_view text) {
    constexpr std::string_view special = R"(&<>"')";
    constexpr std::array<std::string_view, special.size()> names{"&amp;", "&lt;", "&gt;", "&quot;",
                                                                 "&#39;"};
    std::string safe;
    for (const char c : text) {
        const std::size_t at = special.find(c);
        if (at == special.npos) safe += c;
        else safe += names[at];
    }
    return safe;
}

}  // namespace tools
