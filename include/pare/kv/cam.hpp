// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_CAM_HPP
#define PARE_KV_CAM_HPP

#include "../core/random.hpp"
#include "concepts.hpp"

#include <cstddef>
#include <cstdint>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// Adds the value of a token that leaves, in equal parts, to those of the `window` kept tokens that
/// follow it, with the probability that its attention has to their mean. Zhang et al., "CaM: Cache
/// Merging for Memory-efficient LLMs Inference", ICML 2024. Needs a scorer of attention. The draw
/// depends on seed and position alone.
struct cam {
    static constexpr bool needs_attention = true;

    std::size_t window = 32;
    std::uint64_t seed = 1;

    float share(float attention, float mean, std::uint32_t position) const noexcept {
        random draw(seed ^ (std::uint64_t{position} << 32));
        const float chance = mean > 0.0f ? attention / mean : 0.0f;
        return (draw.symmetric() + 1.0f) / 2.0f < chance ? 1.0f : 0.0f;
    }
};

static_assert(merger<cam>);

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_CAM_HPP
