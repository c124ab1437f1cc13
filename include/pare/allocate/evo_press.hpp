// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_ALLOCATE_EVO_PRESS_HPP
#define PARE_ALLOCATE_EVO_PRESS_HPP

#include "../core/random.hpp"
#include "../prune/search_limit.hpp"
#include "generation.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace pare::allocate {

/// A round of selection: all are measured with `effort`, the best `survivors` go on.
struct selection {
    std::size_t survivors;
    double effort;
};

inline namespace PARE_ARCH_NAMESPACE {

/// Evolutionary search: the best levels so far have mutated offspring, selection narrows these down
/// with growing effort, the last are measured in full, and the best of them takes over if it is
/// better: (1 + lambda), elitist. Sieberling et al., "EvoPress", arXiv:2410.14649.
///
/// Deviations: layers need not be of one size, so a mutation does not exchange levels of two but
/// keeps within the budget (mutation.hpp). The parent is not measured again: the loss of levels
/// does not change here.
///
/// It ends after so many generations, at the deadline, or when the observer says so. The result is
/// that of the seed as long as it is not the deadline that ends it.
struct evo_press {
    std::size_t generations = 400;
    std::size_t offspring = 64;
    std::array<selection, 2> narrowing{{{8, 1.0 / 32}, {2, 1.0 / 4}}};
    std::optional<std::chrono::nanoseconds> deadline{};  ///< from the call on
    std::uint64_t seed = 1;

    /// @return invalid_argument for no offspring or survivors, or an effort outside (0, 1]
    status check() const noexcept;

    /// levels (layers): where to start, that of greedy for one; on return the best found, never
    /// worse. What `loss` throws passes through, with the best levels so far.
    /// @return as check() and unspent(); out_of_memory
    template <loss_function Loss, observer Observer = prune::unobserved>
    result<outcome> search(const choices& of, std::span<level> levels, Loss&& loss,
                           Observer&& observe = {}) const;
};

inline status evo_press::check() const noexcept {
    bool sound = offspring > 0;
    for (const selection& s : narrowing)
        sound &= s.survivors > 0 && is_finite(s.effort) && s.effort > 0 && s.effort <= 1;
    if (sound) return {};
    return error{errc::invalid_argument, "evo_press: no offspring, or efforts outside (0, 1]"};
}

template <loss_function Loss, observer Observer>
result<outcome> evo_press::search(const choices& of, std::span<level> levels, Loss&& loss,
                                  Observer&& observe) const {
    const prune::search_limit limit(deadline);
    if (auto ok = check(); !ok) return ok.error();
    const auto start = unspent(of, levels);
    if (!start) return start.error();
    auto children = generation::make(levels.size(), offspring);
    if (!children) return children.error();
    random draw(seed);
    std::uint64_t left = *start;
    outcome best{.bytes = of.budget - left};
    best.loss = measure(loss, levels, 1.0, best);

    // Measures all children that are alive. @return whether there was time
    const auto measure_all = [&](double effort) {
        for (candidate& c : children->alive()) {
            if (limit()) return false;
            c.loss = measure(loss, children->levels(c), effort, best);
        }
        return true;
    };
    while (best.rounds < generations && observe(std::as_const(best)) && !limit()) {
        children->breed(of, levels, left, draw);
        if (children->alive().empty()) break;
        for (const selection& s : narrowing) {
            if (children->alive().size() <= s.survivors) continue;
            if (!measure_all(s.effort)) return best;
            children->keep_best(s.survivors);
        }
        if (!measure_all(1.0)) return best;
        ++best.rounds;
        children->keep_best(1);
        for (const candidate& c : children->alive()) {
            if (!(c.loss < best.loss)) continue;
            generation::copy(children->levels(c), levels);
            left = c.left;
            best.loss = c.loss;
            best.bytes = of.budget - left;
        }
    }
    return best;
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::allocate

#endif  // PARE_ALLOCATE_EVO_PRESS_HPP
