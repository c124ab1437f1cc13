// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_FILTER_NORM_HPP
#define PARE_PRUNE_FILTER_NORM_HPP

#include "channel_concepts.hpp"

#include <cmath>
#include <cstddef>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// The L1 norm of a channel's filter. Li et al., "Pruning Filters for Efficient ConvNets",
/// arXiv:1608.08710.
struct l1_norm {
    void score(const channel_observation& layer, std::span<float> scores) const noexcept {
        for (std::size_t c = 0; c < scores.size(); ++c) {
            double sum = 0.0;
            for (std::size_t i = 0; i < layer.weights.cols(); ++i)
                sum += std::fabs(static_cast<double>(layer.weights(c, i)));
            scores[c] = static_cast<float>(sum);
        }
    }
};

/// The L2 norm of a channel's filter. He et al., "Soft Filter Pruning for Accelerating Deep
/// Convolutional Neural Networks", arXiv:1808.06866.
struct l2_norm {
    void score(const channel_observation& layer, std::span<float> scores) const noexcept {
        for (std::size_t c = 0; c < scores.size(); ++c) {
            double sum = 0.0;
            for (std::size_t i = 0; i < layer.weights.cols(); ++i) {
                const auto w = static_cast<double>(layer.weights(c, i));
                sum += w * w;
            }
            scores[c] = static_cast<float>(std::sqrt(sum));
        }
    }
};

static_assert(channel_criterion<l1_norm> && channel_criterion<l2_norm>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_FILTER_NORM_HPP
