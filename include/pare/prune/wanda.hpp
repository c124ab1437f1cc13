// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_WANDA_HPP
#define PARE_PRUNE_WANDA_HPP

#include "concepts.hpp"

#include <cmath>
#include <cstddef>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// |w| times the L2 norm of its input feature over the calibration tokens. Sun et al., "A Simple
/// and Effective Pruning Approach for Large Language Models", arXiv:2306.11695.
struct wanda {
    static constexpr bool needs_input_norms = true;

    void score(matrix_view<const float> weights, const calibration& inputs,
               matrix_view<float> scores) const noexcept {
        for (std::size_t r = 0; r < weights.rows(); ++r)
            for (std::size_t c = 0; c < weights.cols(); ++c)
                scores(r, c) = std::fabs(weights(r, c)) * inputs.input_norms[c];
    }
};

static_assert(prune::needs_input_norms<wanda>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_WANDA_HPP
