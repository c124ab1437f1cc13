// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_RANDOM_TOKENS_HPP
#define PARE_KV_RANDOM_TOKENS_HPP

#include "concepts.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// A uniform random order that depends on seed and position alone: the baseline every other scorer
/// has to beat.
struct random_tokens {
    static constexpr bool pointwise = true;

    std::uint32_t seed = 1;

    void score(const head_observation& head, std::span<float> scores) const noexcept {
        for (std::size_t t = 0; t < scores.size(); ++t) {
            // Steele and Vigna's mix of 32 bits.
            std::uint32_t x = head.positions[t] * 0x9e3779b9u + seed;
            x = (x ^ (x >> 16)) * 0x21f0aaadu;
            x = (x ^ (x >> 15)) * 0x735a2d97u;
            scores[t] = static_cast<float>((x ^ (x >> 15)) >> 8);
        }
    }
};

static_assert(token_scorer<random_tokens>);

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_RANDOM_TOKENS_HPP
