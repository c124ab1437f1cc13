// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_PAGE_SCORE_HPP
#define PARE_KERNEL_SIMD_PAGE_SCORE_HPP

#include "../../kv/block_layout.hpp"
#include "../../kv/key_ranges.hpp"
#include "vec.hpp"

#include <array>
#include <cstddef>
#include <span>

namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// The most that a query's product with a key of a tile can be, over all tiles of a block that hold
/// its first `n_tokens` and all queries: sum over channels of max(q * least, q * largest).
/// @param queries  of each query its positive, then its negative part (padded_dim each, else 0)
inline float page_score(const kv::block_layout& layout, const std::byte* block,
                        std::size_t n_tokens, std::span<const float> queries) noexcept {
    const std::size_t padded = layout.padded_dim(), n_queries = queries.size() / (2 * padded);
    float most = 0.0f;
    for (std::size_t tile = 0; tile * kv::group < n_tokens; ++tile)
        for (std::size_t q = 0; q < n_queries; ++q) {
            const float* const up = queries.data() + q * 2 * padded;
            const float* const down = up + padded;
            float score = 0.0f;
#if PARE_HAS_SIMD
            const auto* const least = reinterpret_cast<const f16*>(block + layout.ranges_at() +
                                                                   tile * layout.range_bytes());
            vecf sum(0.0f);
            for (std::size_t c = 0; c < padded; c += lanes) {
                sum = fma(load(down + c), load(least + c), sum);
                sum = fma(load(up + c), load(least + padded + c), sum);
            }
            alignas(64) std::array<float, lanes> each;
            sum.store_aligned(each.data());
            for (const float x : each) score += x;
#else
            const kv::key_range range(layout, const_cast<std::byte*>(block), tile);
            for (std::size_t c = 0; c < layout.head_dim; ++c)
                score += down[c] * range.least(c) + up[c] * range.largest(c);
#endif
            if ((tile == 0 && q == 0) || score > most) most = score;
        }
    return most;
}

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KERNEL_SIMD_PAGE_SCORE_HPP
