// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_LPVIT_HPP
#define PARE_PRUNE_LPVIT_HPP

#include "concepts.hpp"

#include <cstddef>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// (w g)^2 + w^2 (g^2 + damping) / 2, g the gradient of a loss by w: what the second-order Taylor
/// expansion of LPViT says the loss of a weight distorts, with H = g g^T + damping I. Xu et al.,
/// "LPViT: Low-Power Semi-structured Pruning for Vision Transformers", arXiv:2407.02068.
///
/// Their code ranks blocks by the mean of |w g| and measures by this distortion, over all that is
/// dropped, what a rate costs a layer. Here it is the score itself, of a weight dropped alone:
/// without the products of different weights, which no sum over a block's scores could hold, and
/// with the first term as it is, not divided by the weights of the layer. Rates of layers and
/// their term of power are the caller's, and so is the loss: theirs is the mean of the squared
/// outputs, its gradients averaged over batches.
struct lpvit {
    static constexpr bool needs_gradients = true;

    float damping = 1e-7f;

    void score(matrix_view<const float> weights, const calibration& inputs,
               matrix_view<float> scores) const noexcept {
        for (std::size_t r = 0; r < weights.rows(); ++r)
            for (std::size_t c = 0; c < weights.cols(); ++c) {
                const float w = weights(r, c), g = inputs.gradients(r, c);
                scores(r, c) = w * w * (1.5f * g * g + 0.5f * damping);
            }
    }
};

static_assert(prune::needs_gradients<lpvit>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_LPVIT_HPP
