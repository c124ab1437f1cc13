// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_SPARSITY_RAMP_HPP
#define PARE_PRUNE_SPARSITY_RAMP_HPP

#include "../core/dtype.hpp"
#include "../core/status.hpp"

#include <cstddef>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// The sparsity at each step of training: rises by to + (from - to) (1 - (t - begin) / (end -
/// begin))^3, fast at first, when much is redundant. Zhu and Gupta, "To prune, or not to prune",
/// arXiv:1710.01878.
struct sparsity_ramp {
    float from = 0.0f;  ///< before `begin`
    float to = 0.5f;    ///< from `end` on
    std::size_t begin = 0;
    std::size_t end = 1;
    std::size_t every = 1;  ///< steps for which it stays the same

    status check() const noexcept {
        if (is_nan(from) || is_nan(to) || from < 0.0f || to < from || to >= 1.0f)
            return error{errc::invalid_argument, "sparsity_ramp: needs 0 <= from <= to < 1"};
        if (begin >= end || every == 0)
            return error{errc::invalid_argument, "sparsity_ramp: needs begin < end and every > 0"};
        return {};
    }

    float at(std::size_t step) const noexcept {
        if (step < begin) return from;
        if (step >= end) return to;
        const std::size_t since = (step - begin) / every * every;
        const float left = 1.0f - static_cast<float>(since) / static_cast<float>(end - begin);
        return to + (from - to) * left * left * left;
    }

    /// Whether a mask is due: the sparsity may have changed since the step before.
    bool renews_at(std::size_t step) const noexcept {
        return step >= begin && step <= end && (step == end || (step - begin) % every == 0);
    }
};

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_SPARSITY_RAMP_HPP
