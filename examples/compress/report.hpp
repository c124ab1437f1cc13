// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_REPORT_HPP
#define PARE_EXAMPLES_COMPRESS_REPORT_HPP

#include "measured.hpp"
#include "source.hpp"

#include "common/recipe.hpp"

#include <optional>
#include <span>
#include <string>

namespace compressor {

/// A layer and what became of it.
struct row {
    const tensor& from;
    const tools::recipe& recipe;
    measured is;
    std::optional<double> seconds{};  ///< of a product, within a budget of time
};

/// For the terminal, with what all rows come to. @param with_errors  these were measured
std::string table(std::span<const row> rows, bool with_errors);

/// @throws tools::failure
void write_json(std::span<const row> rows, bool with_errors, const std::string& file);

/// One file that needs no other: the layers. @param summary  lines that the terminal shows too
std::string html(const std::string& title, const std::string& summary, std::span<const row> rows,
                 bool with_errors);

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_REPORT_HPP
