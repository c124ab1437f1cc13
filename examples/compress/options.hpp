// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_OPTIONS_HPP
#define PARE_EXAMPLES_COMPRESS_OPTIONS_HPP

#include "plan.hpp"

#include <cstddef>
#include <optional>
#include <string>

namespace compressor {

/// The command line of pare_compress.
struct options {
    std::string in, out, json, html;
    choices chosen;
    bool dry_run = false, force = false;
    std::size_t threads = 1;
};

/// @return nothing when the command line only asked for text such as --help, which is then printed
/// @throws tools::usage_error
std::optional<options> parse_options(int argc, char** argv);

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_OPTIONS_HPP
