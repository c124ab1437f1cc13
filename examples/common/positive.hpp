// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_POSITIVE_HPP
#define PARE_EXAMPLES_COMMON_POSITIVE_HPP

#include "grammar.hpp"

#include <CLI/CLI.hpp>

#include <cmath>
#include <string>

namespace tools {

/// Checks an option whose values are numbers above 0.
inline const CLI::Validator positive(
    [](const std::string& text) {
        double number = 0.0;
        const bool fits = read_number(text, number) && number > 0.0 && std::isfinite(number);
        return fits ? std::string() : "'" + text + "' is not a number above 0";
    },
    "POSITIVE");

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_POSITIVE_HPP
