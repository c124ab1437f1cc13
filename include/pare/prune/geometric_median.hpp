// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_GEOMETRIC_MEDIAN_HPP
#define PARE_PRUNE_GEOMETRIC_MEDIAN_HPP

#include "channel_concepts.hpp"

#include <cmath>
#include <cstddef>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// The sum of the distances from a channel's filter to all filters of the layer: what is near their
/// geometric median the others replace best. He et al., "Filter Pruning via Geometric Median for
/// Deep Convolutional Neural Networks Acceleration", arXiv:1811.00250. O(channels^2) distances.
struct geometric_median {
    void score(const channel_observation& layer, std::span<float> scores) const noexcept {
        for (std::size_t c = 0; c < scores.size(); ++c) {
            double sum = 0.0;
            for (std::size_t other = 0; other < scores.size(); ++other)
                sum += distance(layer.weights, c, other);
            scores[c] = static_cast<float>(sum);
        }
    }

  private:
    static double distance(matrix_view<const float> w, std::size_t a, std::size_t b) noexcept {
        double sum = 0.0;
        for (std::size_t i = 0; i < w.cols(); ++i) {
            const double apart = static_cast<double>(w(a, i)) - static_cast<double>(w(b, i));
            sum += apart * apart;
        }
        return std::sqrt(sum);
    }
};

static_assert(channel_criterion<geometric_median>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_GEOMETRIC_MEDIAN_HPP
