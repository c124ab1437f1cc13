// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_BY_VALUE_HPP
#define PARE_KV_BY_VALUE_HPP

#include "concepts.hpp"

#include <cmath>
#include <cstddef>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// A scorer's sum times the mean |number| of the token's value: attention to what is near zero
/// moves no output. The option `value_mode` of A2SF's authors, arXiv:2407.20485.
template <attention_scorer Scorer>
struct by_value {
    static constexpr bool needs_vectors = true;
    static constexpr bool layer_wide = layer_wide_scorer<Scorer>;

    Scorer scorer{};

    float carry(std::size_t n) const noexcept { return scorer.carry(n); }
    float weight(std::size_t i, std::size_t n) const noexcept { return scorer.weight(i, n); }
    void score(const head_observation& head, std::span<float> scores) const noexcept {
        scorer.score(head, scores);
        for (std::size_t t = 0; t < scores.size(); ++t) {
            const std::span<const float> value = head.value(t);
            float sum = 0.0f;
            for (const float v : value) sum += std::fabs(v);
            scores[t] *= sum / static_cast<float>(value.size());
        }
    }
    status check() const noexcept {
        if constexpr (checkable<Scorer>) return scorer.check();
        else return {};
    }
};

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_BY_VALUE_HPP
