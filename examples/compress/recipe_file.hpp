// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_RECIPE_FILE_HPP
#define PARE_EXAMPLES_COMPRESS_RECIPE_FILE_HPP

#include "plan.hpp"

#include <string>
#include <string_view>

namespace compressor {

/// A recipe of the command line or a file, which this program is compiled for.
/// @throws tools::usage_error
tools::recipe read_recipe(std::string_view text);

/// What a recipe file (JSON, docs/formats.md) says of a model. Its calibration is a path from the
/// file's folder. @throws tools::failure for a file that is not read, tools::usage_error for what
/// it says, naming the file and the key
choices read_recipe_file(const std::string& file);

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_RECIPE_FILE_HPP
