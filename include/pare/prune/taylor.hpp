// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_TAYLOR_HPP
#define PARE_PRUNE_TAYLOR_HPP

#include "channel_concepts.hpp"

#include <cmath>
#include <cstddef>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// |sum of w g| over a channel's filter, g the gradient of a loss: by how much the loss changes, to
/// first order, when the filter becomes zero. Molchanov et al., "Importance Estimation for Neural
/// Network Pruning", arXiv:1906.10771: the root of what a filter's parameters contribute together,
/// (sum of w g)^2. They average the square over minibatches; here the gradient is that of all
/// images at once. On images that a network has learned by heart gradients vanish, and with them
/// what this knows; a column for the biases beside both matrices makes it their gate behind a batch
/// norm.
struct taylor {
    static constexpr bool needs_gradients = true;

    void score(const channel_observation& layer, std::span<float> scores) const noexcept {
        for (std::size_t c = 0; c < scores.size(); ++c) {
            double sum = 0.0;
            for (std::size_t i = 0; i < layer.weights.cols(); ++i)
                sum += static_cast<double>(layer.weights(c, i)) *
                       static_cast<double>(layer.gradients(c, i));
            scores[c] = static_cast<float>(std::fabs(sum));
        }
    }
};

static_assert(needs_channel_gradients<taylor>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_TAYLOR_HPP
