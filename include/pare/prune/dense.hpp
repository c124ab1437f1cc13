// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_DENSE_HPP
#define PARE_PRUNE_DENSE_HPP

#include "concepts.hpp"

#include <cstddef>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// Keeps every weight: the baseline, and the pattern of a layer that only changes its codec.
struct dense {
    status check() const noexcept { return {}; }

    void select(matrix_view<const float> scores, mask_view kept) const noexcept {
        for (std::size_t r = 0; r < scores.rows(); ++r)
            for (std::size_t c = 0; c < scores.cols(); ++c) kept.set(r, c, true);
    }
};

static_assert(pattern<dense>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_DENSE_HPP
