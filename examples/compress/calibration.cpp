// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "calibration.hpp"

#include "common/error.hpp"

#include <pare/io/input_sums.hpp>

#include <utility>

namespace compressor {

calibration::calibration(const std::string& file) : file_(file) {
    if (!file.empty())
        sums_ = tools::value_of(pare::io::safetensors_reader::open(file.c_str()), file);
}

std::optional<pare::prune::input_sums> calibration::find(std::string_view tensor) const {
    if (!sums_) return std::nullopt;
    auto found = pare::io::load_input_sums(*sums_, tensor);
    if (!found && found.error().code == pare::errc::not_found) return std::nullopt;
    return tools::value_of(std::move(found), file_);
}

}  // namespace compressor
