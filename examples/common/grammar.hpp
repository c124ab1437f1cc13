// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_GRAMMAR_HPP
#define PARE_EXAMPLES_COMMON_GRAMMAR_HPP

#include "error.hpp"

#include <charconv>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace tools {

using arguments = std::span<const std::string_view>;

/// One word of a grammar. `read` stores the part and says whether its arguments fit.
template <class Recipe>
struct part {
    std::string_view role;  ///< of each role a recipe has one part at most
    std::string_view name;
    std::string_view signature;
    std::string_view meaning;
    bool (*read)(arguments, Recipe&);
};

/// Strings of parts joined by '+', each `name[:argument]*`, in any order.
template <class Recipe>
struct grammar {
    std::string_view what;  ///< for messages: "recipe"
    std::span<const part<Recipe>> parts;
    std::string_view example;
};

template <class T>
bool read_number(std::string_view text, T& number) {
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    return error == std::errc{} && stop == end;
}

/// For parts without arguments: sets a member.
template <auto Member, auto Value, class Recipe>
bool set(arguments args, Recipe& r) {
    r.*Member = Value;
    return args.empty();
}

inline std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> fields;
    for (;;) {
        const std::size_t end = text.find(separator);
        fields.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return fields;
        text.remove_prefix(end + 1);
    }
}

/// The list of what exists, one line per part.
template <class Recipe>
std::string list_parts(const grammar<Recipe>& g) {
    std::string list;
    for (const part<Recipe>& p : g.parts) {
        std::string line = "  " + std::string(p.role);
        line.resize(12, ' ');
        line += p.signature;
        if (line.size() < 28) line.resize(28, ' ');
        list += line + ' ' + std::string(p.meaning) + '\n';
    }
    return list + "  joined by '+', at most one of each kind: " + std::string(g.example);
}

/// `reason` follows the part in quotes. @throws usage_error
template <class Recipe>
[[noreturn]] void refuse(const grammar<Recipe>& g, std::string_view text, std::string_view part,
                         std::string_view reason) {
    std::string sentence(g.what);
    for (const std::string_view piece : {std::string_view(" '"), text, std::string_view("': '"),
                                         part, std::string_view("' "), reason})
        sentence += piece;
    throw usage_error(sentence + ". What exists:\n" + list_parts(g));
}

/// Reads a string into `r`, in the order of the grammar's parts, so that a particular one can
/// follow a common one. @return for each part of the grammar, whether it was there
/// @throws usage_error, with the list of what exists
template <class Recipe>
std::vector<bool> parse_parts(const grammar<Recipe>& g, std::string_view text, Recipe& r) {
    std::vector<bool> there(g.parts.size(), false);
    std::vector<std::string_view> fields(g.parts.size());
    for (const std::string_view field : split(text, '+')) {
        const std::string_view name = split(field, ':')[0];
        std::size_t found = g.parts.size();
        for (std::size_t i = 0; i < g.parts.size(); ++i)
            if (g.parts[i].name == name) found = i;
        if (found == g.parts.size()) refuse(g, text, name, "is unknown");
        for (std::size_t i = 0; i < g.parts.size(); ++i)
            if (there[i] && g.parts[i].role == g.parts[found].role)
                refuse(g, text, g.parts[found].name,
                       std::string("contradicts ").append(g.parts[i].name));
        there[found] = true;
        fields[found] = field;
    }
    for (std::size_t i = 0; i < g.parts.size(); ++i) {
        if (!there[i]) continue;
        const std::vector<std::string_view> words = split(fields[i], ':');
        if (!g.parts[i].read(arguments(words).subspan(1), r))
            refuse(g, text, fields[i], std::string("is not ").append(g.parts[i].signature));
    }
    return there;
}

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_GRAMMAR_HPP
