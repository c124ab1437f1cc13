// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_TOKEN_SELECT_HPP
#define PARE_KERNEL_TOKEN_SELECT_HPP

#include "selector.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {

/// Reads the tokens with most of the query's attention, by a pass over the keys: the soft vote and
/// selection cache of Wu et al., "TokenSelect", arXiv:2411.02886. Here the query heads of each KV
/// head vote, where the paper lets all heads of a layer: ragged heads have no tokens in common. The
/// queries of a chunk vote by their mean.
struct token_select {
    static constexpr bool chunks_by_mean = true;

    std::size_t tokens = 2048;  ///< by vote
    std::size_t first = 128;    ///< positions that are always read
    std::size_t recent = 512;   ///< newest positions, likewise
    float similarity = 0.9f;    ///< cosine with the query before, from which its choice serves on

    bool stale(std::size_t, std::span<const float> before,
               std::span<const float> now) const noexcept {
        double dot = 0.0, a = 0.0, b = 0.0;
        for (std::size_t i = 0; i < now.size(); ++i) {
            dot += static_cast<double>(before[i]) * static_cast<double>(now[i]);
            a += static_cast<double>(before[i]) * static_cast<double>(before[i]);
            b += static_cast<double>(now[i]) * static_cast<double>(now[i]);
        }
        return !(dot >= static_cast<double>(similarity) * std::sqrt(a * b));
    }
    void choose(kv::store& s, std::size_t sequence, std::size_t layer, std::size_t kv_head,
                std::span<const float> queries, std::size_t position, kv::selection& chosen,
                selector_scratch& memory, attention_scratch& of_attention) const noexcept {
        const auto all = detail::tiers_of(s, sequence, layer, kv_head, nullptr);
        const auto tiers = std::span<const kv::tier_rows>(all).first(s.shape().tiers);
        const auto votes = memory.scores.span();
        detail::vote(tiers, s.shape(), {queries.data(), 1, queries.size()}, position, votes,
                     of_attention.of_head(kv_head));
        const auto order = memory.order.span();
        std::size_t n = 0, row_of_all = 0;
        for (std::size_t tier = 0; tier < tiers.size(); ++tier) {
            const auto words = chosen.rows(kv_head, tier);
            for (std::uint32_t& word : words) word = kv::selection::everything;
            std::size_t index = 0;
            for (const auto* row = tiers[tier].first; row != nullptr; row = row->next, ++index) {
                for (std::size_t t = 0; t < row->size; ++t) {
                    const std::size_t at = row->positions[t];
                    if (at < first || at + recent > position || at >= position) continue;
                    words[index] &= ~(std::uint32_t{1} << t);
                    order[n++] = static_cast<std::uint32_t>(row_of_all * kv::block_tokens + t);
                }
                ++row_of_all;
            }
        }
        if (n > tokens)
            std::nth_element(order.data(), order.data() + tokens, order.data() + n,
                             detail::higher{votes.data()});
        read(tiers, chosen, kv_head, order.first(n < tokens ? n : tokens));
    }

  private:
    static void read(std::span<const kv::tier_rows> tiers, kv::selection& chosen,
                     std::size_t kv_head, std::span<const std::uint32_t> tokens) noexcept {
        std::array<std::size_t, kv::max_tiers + 1> first{};  // row of each tier's first
        for (std::size_t tier = 0; tier < tiers.size(); ++tier) {
            first[tier + 1] = first[tier];
            for (const auto* row = tiers[tier].first; row != nullptr; row = row->next)
                ++first[tier + 1];
        }
        for (const std::uint32_t token : tokens) {
            const std::size_t row = token / kv::block_tokens;
            std::size_t tier = 0;
            while (row >= first[tier + 1]) ++tier;
            chosen.rows(kv_head, tier)[row - first[tier]] |= std::uint32_t{1}
                                                             << token % kv::block_tokens;
        }
    }
};

static_assert(selector<token_select>);

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

namespace pare {
using kernel::token_select;
}  // namespace pare

#endif  // PARE_KERNEL_TOKEN_SELECT_HPP
