// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_CALIBRATION_HPP
#define PARE_EXAMPLES_COMPRESS_CALIBRATION_HPP

#include <pare/io/safetensors_reader.hpp>
#include <pare/prune/input_sums.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace compressor {

/// What is known of the layers' inputs.
class calibration {
  public:
    /// @param file  of input_sums; empty: nothing. @throws tools::failure
    explicit calibration(const std::string& file);

    /// A layer's, in place; none: the file has none of it. @throws tools::failure
    std::optional<pare::prune::input_sums> find(std::string_view tensor) const;

  private:
    std::string file_;
    std::optional<pare::io::safetensors_reader> sums_;
};

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_CALIBRATION_HPP
