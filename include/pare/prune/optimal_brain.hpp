// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_OPTIMAL_BRAIN_HPP
#define PARE_PRUNE_OPTIMAL_BRAIN_HPP

#include "concepts.hpp"

#include <cstddef>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// w^2 / (2 [H^-1]_cc): the growth of the layer's squared output error when w alone is removed and
/// the rest of its row adapts. Hassibi and Stork, "Second order derivatives for network pruning:
/// Optimal Brain Surgeon", NIPS 1992; with the layer-wise H of Frantar and Alistarh,
/// arXiv:2208.11580. Only the score: the surviving weights are not adapted.
/// eigen/inverse_hessian.hpp makes the diagonal.
struct optimal_brain {
    static constexpr bool needs_inverse_hessian = true;

    void score(matrix_view<const float> weights, const calibration& inputs,
               matrix_view<float> scores) const noexcept {
        for (std::size_t r = 0; r < weights.rows(); ++r)
            for (std::size_t c = 0; c < weights.cols(); ++c) {
                const float w = weights(r, c);
                scores(r, c) = w * w / (2.0f * inputs.inverse_hessian_diagonal[c]);
            }
    }
};

static_assert(prune::needs_inverse_hessian<optimal_brain>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_OPTIMAL_BRAIN_HPP
