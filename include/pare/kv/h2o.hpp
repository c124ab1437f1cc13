// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_H2O_HPP
#define PARE_KV_H2O_HPP

#include "concepts.hpp"

#include <cstddef>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// Heavy hitters: the attention that a token has received since it came. Zhang et al., "H2O",
/// arXiv:2306.14048, which keeps as many recent tokens: recent_share 0.5. The sum favours old
/// tokens; mean_per_query divides it by the queries that could see the token.
struct h2o {
    static constexpr bool pointwise = true;

    bool mean_per_query = false;

    float carry(std::size_t) const noexcept { return 1.0f; }
    float weight(std::size_t, std::size_t) const noexcept { return 1.0f; }
    void score(const head_observation& head, std::span<float> scores) const noexcept {
        for (std::size_t t = 0; t < scores.size(); ++t) {
            const auto queries = static_cast<float>(head.now - head.positions[t]);
            scores[t] = mean_per_query ? head.attention[t] / queries : head.attention[t];
        }
    }
};

static_assert(attention_scorer<h2o>);

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_H2O_HPP
