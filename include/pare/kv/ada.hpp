// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_ADA_HPP
#define PARE_KV_ADA_HPP

#include "../core/dtype.hpp"
#include "concepts.hpp"
#include "uniform.hpp"

#include <cstddef>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// Lets the heads of a layer compete for the sum of their budgets; each is safe down to `safeguard`
/// of its own. Feng et al., "Ada-KV", arXiv:2407.11550.
template <budget PerHead = uniform>
struct ada {
    static_assert(!adaptive_budget<PerHead>, "heads share budgets that are known beforehand");

    PerHead per_head{};
    float safeguard = 0.2f;

    std::size_t tokens(std::size_t layer, std::size_t n_layers) const noexcept {
        return per_head.tokens(layer, n_layers);
    }
    std::size_t floor(std::size_t layer, std::size_t n_layers) const noexcept {
        return static_cast<std::size_t>(safeguard * static_cast<float>(tokens(layer, n_layers)));
    }
    status check() const noexcept {
        if (is_nan(safeguard) || !(0.0f <= safeguard && safeguard <= 1.0f))
            return error{errc::invalid_argument, "safeguard is between 0 and 1"};
        if constexpr (checkable<PerHead>) return per_head.check();
        else return {};
    }
};

static_assert(shared_budget<ada<>>);

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_ADA_HPP
