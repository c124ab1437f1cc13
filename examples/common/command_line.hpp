// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_COMMAND_LINE_HPP
#define PARE_EXAMPLES_COMMON_COMMAND_LINE_HPP

#include "error.hpp"
#include "grammar.hpp"
#include "recipe.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <sstream>
#include <string>
#include <thread>

// What the command lines of the tools have in common.

namespace tools {

/// Checks an option whose values are numbers above 0.
inline const CLI::Validator positive(
    [](const std::string& text) {
        double number = 0.0;
        const bool fits = read_number(text, number) && number > 0.0 && std::isfinite(number);
        return fits ? std::string() : "'" + text + "' is not a number above 0";
    },
    "POSITIVE");

/// Checks an option whose values are numbers from `least` to `most`: NaN, which CLI::Range lets
/// through, is none.
template <class T>
CLI::Validator in_range(T least, T most) {
    std::ostringstream range;
    range << '[' << least << " - " << most << ']';
    const auto check = [=, words = range.str()](const std::string& text) {
        T number{};
        const bool fits = read_number(text, number) && number >= least && number <= most;
        return fits ? std::string() : "'" + text + "' is not a number in " + words;
    };
    return {check, range.str()};
}

inline const CLI::Validator thread_counts = in_range(1, 1024);

/// --threads, by default all that the machine has.
inline void add_threads(CLI::App& app, std::size_t& threads) {
    threads = std::max(1u, std::thread::hardware_concurrency());
    app.add_option("--threads", threads, "Threads")->capture_default_str()->check(thread_counts);
}

/// --activations
inline void add_activations(CLI::App& app, activation_kind& kind) {
    app.add_option_function<std::string>(
           "--activations",
           [&kind](const std::string& name) {
               kind = name == "i8" ? activation_kind::i8 : activation_kind::f32;
           },
           "What compressed layers multiply: f32 (default), or i8, whole numbers with a scale per "
           "token, where weights are i8, i4 or i2, all of them, 1:4, 2:4 or hinm of these; other "
           "layers stay with f32")
        ->check(CLI::IsMember({"f32", "i8"}));
}

/// @return false when the command line asks for help, which is then printed. @throws usage_error
inline bool parse(CLI::App& app, int argc, char** argv) {
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        std::fputs(app.help().c_str(), stdout);
        return false;
    } catch (const CLI::ParseError& e) {
        throw usage_error(std::string(e.what()) + "; see --help");
    }
    return true;
}

/// That a file can be written where it shall lie, and replaces at most a regular one. @throws
/// usage_error
inline void check_output(const char* option, const std::string& file) {
    const std::filesystem::path folder = std::filesystem::path(file).parent_path();
    if (!folder.empty() && !std::filesystem::is_directory(folder))
        throw usage_error(
            std::string(option).append(": there is no folder ").append(folder.string()));
    if (std::filesystem::exists(file) && !std::filesystem::is_regular_file(file))
        throw usage_error(std::string(option) + ": " + file + " exists and is no regular file");
}

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_COMMAND_LINE_HPP
