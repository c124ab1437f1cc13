// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_ALLOCATE_GREEDY_HPP
#define PARE_ALLOCATE_GREEDY_HPP

#include "../prune/search_limit.hpp"
#include "concepts.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace pare::allocate::inline PARE_ARCH_NAMESPACE {

/// Raises one layer by one level at a time, that whose loss falls most per byte, until no step both
/// fits and helps: the baseline. Optimal where losses of layers add up, are convex and steps are of
/// equal bytes. A round measures every layer.
struct greedy {
    std::optional<std::chrono::nanoseconds> deadline{};  ///< from the call on

    /// levels (layers): where to start, on return the best found. What `loss` throws passes
    /// through, and leaves the levels unspecified. @return as unspent()
    template <loss_function Loss, observer Observer = prune::unobserved>
    result<outcome> search(const choices& of, std::span<level> levels, Loss&& loss,
                           Observer&& observe = {}) const;
};

template <loss_function Loss, observer Observer>
result<outcome> greedy::search(const choices& of, std::span<level> levels, Loss&& loss,
                               Observer&& observe) const {
    const prune::search_limit limit(deadline);
    const auto start = unspent(of, levels);
    if (!start) return start.error();
    std::uint64_t left = *start;
    outcome best{.bytes = of.budget - left};
    best.loss = measure(loss, levels, 1.0, best);
    while (observe(std::as_const(best))) {
        std::size_t raised = levels.size();
        double gain = 0.0, bytes = 0.0, reached = 0.0;
        for (std::size_t l = 0; l < levels.size(); ++l) {
            if (levels[l] + 1 == of.bytes.cols() || step(of, l, levels[l]) > left) continue;
            if (limit()) return best;
            const auto cost = static_cast<double>(step(of, l, levels[l]));
            ++levels[l];
            const double value = measure(loss, levels, 1.0, best);
            --levels[l];
            // Products, for a step of no bytes has no quotient.
            const double less = best.loss - value;
            if (less <= 0.0 || (raised != levels.size() && less * bytes <= gain * cost)) continue;
            raised = l;
            gain = less;
            bytes = cost;
            reached = value;
        }
        if (raised == levels.size()) break;
        left -= step(of, raised, levels[raised]++);
        best.loss = reached;
        best.bytes = of.budget - left;
        ++best.rounds;
    }
    return best;
}

}  // namespace pare::allocate::inline PARE_ARCH_NAMESPACE

#endif  // PARE_ALLOCATE_GREEDY_HPP
