// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_IN_PLACE_HPP
#define PARE_PRUNE_IN_PLACE_HPP

#include "concepts.hpp"

#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// No search: the order that a pattern makes itself, its outputs in place.
struct in_place {
    struct found {
        hinm_order order;
    };

    template <ordered_pattern Pattern>
    result<found> search(matrix_view<const float> scores, const Pattern& pattern,
                         const auto&... /*executor, observer*/) const noexcept {
        auto order = pattern.make_order(scores);
        if (!order) return order.error();
        return found{*std::move(order)};
    }
};

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_IN_PLACE_HPP
