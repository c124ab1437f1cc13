// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_CHANNEL_CONCEPTS_HPP
#define PARE_PRUNE_CHANNEL_CONCEPTS_HPP

#include "../core/tensor_view.hpp"

#include <concepts>
#include <span>

namespace pare::prune {

/// What is known of the output channels of a layer, of a convolution its filters. A criterion reads
/// the part it declares a need for; all but the weights may stay empty. What is there is finite.
struct channel_observation {
    /// (channels, inputs * taps), a filter per row.
    matrix_view<const float> weights;
    /// (channels, inputs * taps) gradient of a loss by each weight, summed over images.
    matrix_view<const float> gradients{};
    /// (channels) gamma of the batch norm that follows.
    std::span<const float> gains{};
    /// (channels) mean of |output| behind the activation, over the pixels of calibration images.
    std::span<const float> activations{};
};

// Version 14 does not know noexcept in a requirement:
// clang-format off

/// Gives every channel its importance: scores (channels), each >= 0, higher means keep. A criterion
/// that reads `gradients`, the batch norm or `activations` says so by `static constexpr bool
/// needs_gradients = true` (`needs_norm`, `needs_activations`), and is then only called with these
/// filled.
template <class C>
concept channel_criterion = std::copyable<C> &&
    requires(const C& c, const channel_observation& layer, std::span<float> scores) {
        { c.score(layer, scores) } noexcept;
    };

// clang-format on

template <class C>
concept needs_channel_gradients = channel_criterion<C> && requires {
    requires C::needs_gradients;
};

template <class C>
concept needs_norm = channel_criterion<C> && requires {
    requires C::needs_norm;
};

template <class C>
concept needs_activations = channel_criterion<C> && requires {
    requires C::needs_activations;
};

}  // namespace pare::prune

#endif  // PARE_PRUNE_CHANNEL_CONCEPTS_HPP
