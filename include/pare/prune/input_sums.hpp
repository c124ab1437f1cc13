// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_INPUT_SUMS_HPP
#define PARE_PRUNE_INPUT_SUMS_HPP

#include "../core/tensor_view.hpp"

#include <cstdint>
#include <span>

namespace pare::prune {

/// What pruning and quantisation ask of the inputs X (tokens, features) of a layer.
struct input_sums {
    std::uint64_t tokens = 0;
    std::span<const double> squares{};  ///< (features) sum of x^2
    std::span<const float> largest{};   ///< (features) largest |x|
    matrix_view<const float> gram{};    ///< (features, features) X^T X, or empty
};

}  // namespace pare::prune

#endif  // PARE_PRUNE_INPUT_SUMS_HPP
