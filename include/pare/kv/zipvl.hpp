// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_ZIPVL_HPP
#define PARE_KV_ZIPVL_HPP

#include "../core/dtype.hpp"
#include "concepts.hpp"

#include <cstddef>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// As few of a head's best tokens as make up `mass` of all scores, tokens_per_head at most: much
/// where attention is spread, little where it is not. The others leave, or, over tiers, are stored
/// with fewer bits. He et al., "ZipVL", arXiv:2410.08584, which counts per layer; here per head,
/// per layer with a layer-wide scorer. For scores that are attention. The authors' mass is not
/// published with the abstract; 0.975 is ours.
struct zipvl {
    static constexpr bool needs_attention = true;

    float mass = 0.975f;
    std::size_t tokens_per_head = 0;

    std::size_t tokens(std::size_t, std::size_t) const noexcept { return tokens_per_head; }
    std::size_t enough(std::span<const float> descending) const noexcept {
        double total = 0.0, sum = 0.0;
        for (const float score : descending) {
            if (!is_finite(score)) return descending.size();
            total += static_cast<double>(score);
        }
        for (std::size_t n = 0; n < descending.size(); ++n) {
            sum += static_cast<double>(descending[n]);
            if (sum >= static_cast<double>(mass) * total) return n + 1;
        }
        return descending.size();
    }
    status check() const noexcept {
        if (is_nan(mass) || !(0.0f < mass && mass <= 1.0f))
            return error{errc::invalid_argument, "mass is above 0 and at most 1"};
        return {};
    }
};

static_assert(adaptive_budget<zipvl>);

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_ZIPVL_HPP
