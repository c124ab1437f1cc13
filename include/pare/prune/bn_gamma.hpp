// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_BN_GAMMA_HPP
#define PARE_PRUNE_BN_GAMMA_HPP

#include "channel_concepts.hpp"

#include <cmath>
#include <cstddef>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// |gamma| of the batch norm behind a channel. Liu et al., "Learning Efficient Convolutional
/// Networks through Network Slimming", arXiv:1708.06519, who trained with a penalty on it.
struct bn_gamma {
    static constexpr bool needs_norm = true;

    void score(const channel_observation& layer, std::span<float> scores) const noexcept {
        for (std::size_t c = 0; c < scores.size(); ++c) scores[c] = std::fabs(layer.gains[c]);
    }
};

static_assert(prune::needs_norm<bn_gamma>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_BN_GAMMA_HPP
