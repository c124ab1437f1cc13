// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_MEAN_ACTIVATION_HPP
#define PARE_PRUNE_MEAN_ACTIVATION_HPP

#include "channel_concepts.hpp"

#include <cstddef>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// The mean of a channel's |output| on calibration images: the mean activation of Molchanov et al.,
/// "Pruning Convolutional Neural Networks for Resource Efficient Inference", arXiv:1611.06440,
/// whose outputs are those of a ReLU.
struct mean_activation {
    static constexpr bool needs_activations = true;

    void score(const channel_observation& layer, std::span<float> scores) const noexcept {
        for (std::size_t c = 0; c < scores.size(); ++c) scores[c] = layer.activations[c];
    }
};

static_assert(prune::needs_activations<mean_activation>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_MEAN_ACTIVATION_HPP
