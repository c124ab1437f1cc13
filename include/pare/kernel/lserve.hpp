// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_LSERVE_HPP
#define PARE_KERNEL_LSERVE_HPP

#include "selector.hpp"
#include "simd/page_score.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {

/// Reads the pages whose keys could matter most to the query, by the least and largest number of
/// each channel: those of the dense heads of Yang et al., "LServe", arXiv:2502.14866 (the bound is
/// that of Tang et al., "Quest", arXiv:2406.10774). Pages are blocks of 32 tokens in two parts of
/// 16, where the paper has 64 in four; the query heads of a KV head read the pages of the best of
/// them. The first and the last page are always read, and so are tiers whose layout has no
/// key_ranges.
struct lserve {
    static constexpr bool chunks_by_mean = false;

    std::size_t tokens = 4096;  ///< read of each head and tier, in whole pages, three at least
    std::size_t every = 4;      ///< queries that one choice serves

    bool stale(std::size_t steps, std::span<const float>, std::span<const float>) const noexcept {
        return steps >= every;
    }
    void choose(kv::store& s, std::size_t sequence, std::size_t layer, std::size_t kv_head,
                std::span<const float> queries, std::size_t, kv::selection& chosen,
                selector_scratch& memory, attention_scratch&) const noexcept {
        const std::size_t dim = s.shape().head_dim, group_size = s.shape().group_size();
        for (std::size_t tier = 0; tier < s.shape().tiers; ++tier) {
            const kv::head_view head = s.view(sequence, layer, kv_head, tier);
            const std::size_t padded = head.layout->padded_dim();
            const auto words = chosen.rows(kv_head, tier);
            for (std::uint32_t& word : words) word = kv::selection::everything;
            const std::size_t n_pages = (head.size + kv::block_tokens - 1) / kv::block_tokens;
            const std::size_t wanted = tokens / kv::block_tokens;
            const std::size_t n_read = wanted < 3 ? 3 : wanted;
            if (!head.layout->key_ranges || n_pages <= n_read) continue;
            const auto parts = memory.queries.span().first(2 * group_size * padded);
            for (std::size_t q = 0; q < group_size; ++q)
                for (std::size_t c = 0; c < padded; ++c) {
                    const float x = c < dim ? queries[q * dim + c] : 0.0f;
                    parts[q * 2 * padded + c] = x > 0.0f ? x : 0.0f;
                    parts[q * 2 * padded + padded + c] = x < 0.0f ? x : 0.0f;
                }
            const auto scores = memory.scores.span().first(n_pages);
            const auto order = memory.order.span().first(n_pages - 2);
            std::size_t page = 0;
            for (const kv::ledger_row* row = head.first; row != nullptr; row = row->next, ++page) {
#if PARE_HAS_SIMD
                if (row->ahead != nullptr)
                    for (std::size_t at = 0; at < 2 * head.layout->range_bytes(); at += 64)
                        simd::prefetch(row->ahead->block, head.layout->ranges_at() + at);
#endif
                scores[page] = simd::page_score(*head.layout, row->block, row->size, parts);
            }
            for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i + 1;  // between the two
            std::nth_element(order.data(), order.data() + (n_read - 2), order.data() + order.size(),
                             detail::higher{scores.data()});
            for (std::size_t i = n_read - 2; i < order.size(); ++i) words[order[i]] = 0;
        }
    }
};

static_assert(selector<lserve>);

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

namespace pare {
using kernel::lserve;
}  // namespace pare

#endif  // PARE_KERNEL_LSERVE_HPP
