// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_MEASURED_HPP
#define PARE_EXAMPLES_COMPRESS_MEASURED_HPP

#include <pare/compress.hpp>

namespace compressor {

/// What a layer comes to by a recipe.
struct measured {
    pare::layer_report report;
    double error = 0.0;  ///< of its output, see error_measure; 0 where it was not measured
};

/// Of the layer.
inline double n_weights(const measured& is) {
    return static_cast<double>(is.report.bytes) * 8.0 / is.report.bits_per_weight;
}

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_MEASURED_HPP
