// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_CACHE_BYTES_HPP
#define PARE_KV_CACHE_BYTES_HPP

#include "policy.hpp"
#include "store_bytes.hpp"

#include <cstddef>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// Bytes of a pool, in whole pages, that one sequence of such a cache takes at most.
template <eviction_policy Policy>
std::size_t cache_bytes(const shape& s, std::span<const block_layout> layouts,
                        std::size_t page_bytes, const Policy& policy,
                        std::size_t max_chunk) noexcept {
    return bytes_of_blocks(s, layouts, page_bytes, [&](std::size_t layer, std::size_t tier) {
        const std::size_t budget = policy.budget.tokens(layer, s.layers);
        // Over its room by `every` - 1, and for a moment by what comes at once: a chunk, or
        // what the tier above has no room for.
        const std::size_t most = detail::room(policy, budget, tier, s.tiers) + policy.every - 1 +
                                 max_chunk + tier * (policy.every - 1);
        // Heads that share a budget have a last block each, partly filled.
        if constexpr (shared_budget<decltype(policy.budget)>)
            return s.kv_heads * (most + policy.every) / block_tokens + s.kv_heads;
        else return s.kv_heads * ((most + block_tokens - 1) / block_tokens);
    });
}

/// The largest budget n with bytes_of(n) <= bytes, 0 when there is none: a budget in bytes for any
/// policy, with bytes_of(n) = cache_bytes() of that policy and n tokens.
std::size_t tokens_within(std::size_t bytes, auto&& bytes_of) noexcept {
    std::size_t tokens = 0;
    for (std::size_t step = std::size_t{1} << 30; step != 0; step /= 2)
        if (bytes_of(tokens + step) <= bytes) tokens += step;
    return tokens;
}

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_CACHE_BYTES_HPP
