// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_EXAMPLES_HTML_HPP
#define PARE_TESTS_EXAMPLES_HTML_HPP

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pare::testing {

inline std::size_t count(std::string_view text, std::string_view what) {
    std::size_t n = 0;
    for (std::size_t at = 0; (at = text.find(what, at)) != text.npos; at += what.size()) ++n;
    return n;
}

/// What is wrong with a page: tags that do not balance, quotes in them that do not, an & that names
/// no character, something from outside. Empty: nothing.
inline std::string fault_of(std::string_view page) {
    for (const std::string_view outside :
         {"http", "src=", "href=", "@import", "url(", "<script", "<link"})
        if (page.find(outside) != page.npos) return "reaches out: " + std::string(outside);
    constexpr std::array<std::string_view, 5> characters{"&amp;", "&lt;", "&gt;", "&quot;",
                                                         "&#39;"};
    std::vector<std::string_view> open;
    for (std::size_t at = 0; at < page.size(); ++at) {
        const std::string_view rest = page.substr(at);
        if (rest[0] == '&' && std::ranges::none_of(characters, [&](std::string_view c) {
                return rest.starts_with(c);
            }))
            return "bare &: " + std::string(rest.substr(0, 40));
        if (rest[0] == '>') return "bare >: " + std::string(page.substr(at < 40 ? 0 : at - 40, 41));
        if (rest[0] != '<') continue;
        const std::size_t end = rest.find('>');
        if (end == rest.npos) return "open tag: " + std::string(rest.substr(0, 40));
        const std::string_view tag = rest.substr(1, end - 1);
        at += end;
        if (tag.find('<') != tag.npos || count(tag, "'") % 2 != 0)
            return "broken tag: " + std::string(tag);
        const std::string_view name = tag.substr(0, tag.find_first_of(" \n"));
        if (tag.ends_with('/') || name == "!DOCTYPE" || name == "meta") continue;
        if (name[0] != '/') open.push_back(name);
        else if (open.empty() || open.back() != name.substr(1)) return "</" + std::string(name);
        else open.pop_back();
    }
    return open.empty() ? "" : "not closed: " + std::string(open.back());
}

}  // namespace pare::testing

#endif  // PARE_TESTS_EXAMPLES_HTML_HPP
