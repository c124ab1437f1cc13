// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_CHURN_HPP
#define PARE_PRUNE_CHURN_HPP

#include "../core/status.hpp"
#include "mask.hpp"

#include <cstddef>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// The share of the weights that `after` keeps which `before` did not; 0 where nothing is kept.
/// @return shape_mismatch
inline result<double> churn(const_mask_view before, const_mask_view after) noexcept {
    if (before.rows() != after.rows() || before.cols() != after.cols())
        return error{errc::shape_mismatch, "churn: the masks differ in shape"};
    std::size_t n_kept = 0, n_new = 0;
    for (std::size_t r = 0; r < after.rows(); ++r)
        for (std::size_t c = 0; c < after.cols(); ++c) {
            n_kept += after(r, c);
            n_new += after(r, c) && !before(r, c);
        }
    return n_kept == 0 ? 0.0 : static_cast<double>(n_new) / static_cast<double>(n_kept);
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_CHURN_HPP
