// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_GIVEN_ORDER_HPP
#define PARE_PRUNE_GIVEN_ORDER_HPP

#include "concepts.hpp"

#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// No search: an order that was found before, for the same shape and pattern. So a layer is packed
/// as another type, or by an order that a saved one went on from, without searching again.
struct given_order {
    const hinm_order* order;  ///< outlives the call

    struct found {
        hinm_order order;
    };

    /// @return what the pattern says of an order that does not fit; out_of_memory
    template <ordered_pattern Pattern>
    result<found> search(matrix_view<const float> scores, const Pattern& pattern,
                         const auto&... /*executor, observer*/) const noexcept {
        if (auto ok = pattern.check(*order, scores.rows(), scores.cols()); !ok) return ok.error();
        auto copy = order->copy();
        if (!copy) return copy.error();
        return found{*std::move(copy)};
    }
};

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_GIVEN_ORDER_HPP
