// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_MAGNITUDE_HPP
#define PARE_PRUNE_MAGNITUDE_HPP

#include "concepts.hpp"

#include <cmath>
#include <cstddef>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// |w|. Han et al., "Learning both Weights and Connections for Efficient Neural Networks",
/// arXiv:1506.02626.
struct magnitude {
    void score(matrix_view<const float> weights, const calibration& /*inputs*/,
               matrix_view<float> scores) const noexcept {
        for (std::size_t r = 0; r < weights.rows(); ++r)
            for (std::size_t c = 0; c < weights.cols(); ++c)
                scores(r, c) = std::fabs(weights(r, c));
    }
};

static_assert(saliency<magnitude>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_MAGNITUDE_HPP
