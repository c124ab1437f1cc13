// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_A2SF_HPP
#define PARE_KV_A2SF_HPP

#include "../core/dtype.hpp"
#include "concepts.hpp"
#include "decay.hpp"

#include <cstddef>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// Accumulated attention with a forgetting factor: S_t = forgetting * S_(t-1) + A_t, so that tokens
/// of different age compare. Jo and Shin, "A2SF", arXiv:2407.20485; the paper's tables have
/// forgetting 0.1 and no recent window; on small models 0.9 with half of the budget recent does
/// better (docs/policies.md). 0 ranks by the last query alone, 1 is h2o's sum.
struct a2sf {
    static constexpr bool pointwise = true;

    float forgetting = 0.1f;

    float carry(std::size_t n) const noexcept { return decay(forgetting, n); }
    float weight(std::size_t i, std::size_t n) const noexcept {
        return decay(forgetting, n - 1 - i);
    }
    void score(const head_observation& head, std::span<float> scores) const noexcept {
        for (std::size_t t = 0; t < scores.size(); ++t) scores[t] = head.attention[t];
    }
    status check() const noexcept {
        if (is_nan(forgetting) || !(0.0f <= forgetting && forgetting <= 1.0f))
            return error{errc::invalid_argument, "forgetting is between 0 and 1"};
        return {};
    }
};

static_assert(attention_scorer<a2sf>);

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_A2SF_HPP
