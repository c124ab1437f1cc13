// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_ERROR_HPP
#define PARE_EXAMPLES_COMMON_ERROR_HPP

#include <pare/core/status.hpp>

#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace tools {

/// The library returns its refusals; the tools throw theirs as one sentence for the terminal.
struct failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A command line that makes no sense: exit code 2 instead of 1.
struct usage_error : failure {
    using failure::failure;
};

/// What the library refused.
struct refusal : failure {
    refusal(const std::string& why, pare::errc is) : failure(why), code(is) {}
    pare::errc code;
};

inline std::string in_words(const pare::error& e) {
    std::string words = e.message;
    if (e.code == pare::errc::io_failure && e.where != 0)
        words.append(": ").append(std::strerror(static_cast<int>(e.where)));
    if (e.code == pare::errc::malformed_file)
        words.append(" (byte ").append(std::to_string(e.where)).append(")");
    return words;
}

/// The value of a library call, or a refusal that names what it was about.
template <class T>
T value_of(pare::result<T> outcome, const std::string& about) {
    if (!outcome) throw refusal(about + ": " + in_words(outcome.error()), outcome.error().code);
    if constexpr (!std::is_void_v<T>) return *std::move(outcome);
}

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_ERROR_HPP
