// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SELECTOR_HPP
#define PARE_KERNEL_SELECTOR_HPP

#include "../core/buffer.hpp"
#include "../core/status.hpp"
#include "../kv/selection.hpp"
#include "../kv/store.hpp"
#include "attention.hpp"

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {

/// Memory of a selector, made once.
struct selector_scratch {
    /// @param tokens  of one head at most
    static result<selector_scratch> make(const kv::shape& s, std::size_t tokens) noexcept {
        const std::size_t n = tokens + s.tiers * kv::block_tokens;
        auto scores = buffer<float>::make(n);
        auto order = buffer<std::uint32_t>::make(n);
        auto queries = buffer<float>::make(2 * s.group_size() * (s.head_dim + kv::group));
        if (!scores || !order || !queries)
            return error{errc::out_of_memory, "memory of a selector"};
        selector_scratch made;
        made.scores = std::move(*scores);
        made.order = std::move(*order);
        made.queries = std::move(*queries);
        return made;
    }

    std::size_t bytes() const noexcept { return scores.bytes() + queries.bytes() + order.bytes(); }

    buffer<float> scores, queries;
    buffer<std::uint32_t> order;
};

/// Chooses what one query reads of the kept tokens of a KV head, which all stay: a value type.
/// choose() writes the words of the head's rows, those beyond the last for tokens to come; stale()
/// says that a choice made `steps` queries ago, for the query `before`, does not serve `now`
/// (query_heads * head_dim). chunks_by_mean: a chunk of queries chooses by their mean, else it
/// reads all.
template <class S>
concept selector = std::copyable<S> &&
    requires(const S& s, kv::store& tokens, std::span<const float> queries, std::size_t i,
             kv::selection& chosen, selector_scratch& memory, attention_scratch& of_attention) {
    { S::chunks_by_mean } -> std::convertible_to<bool>;
    { s.stale(i, queries, queries) }
    noexcept->std::same_as<bool>;
    { s.choose(tokens, i, i, i, queries, i, chosen, memory, of_attention) }
    noexcept->std::same_as<void>;
};

namespace detail {

// Of equal scores the later is higher.
struct higher {
    const float* scores;
    bool operator()(std::uint32_t a, std::uint32_t b) const noexcept {
        return scores[a] != scores[b] ? scores[a] > scores[b] : a > b;
    }
};

// votes[32 r + t]: the sum over the query heads of a KV head of the probability of token t of the
// r-th row of all its tiers. query: (1, group_size * head_dim).
inline void vote(std::span<const kv::tier_rows> tiers, const kv::shape& s,
                 matrix_view<const float> query, std::size_t position, std::span<float> votes,
                 std::span<float> memory) noexcept {
#if PARE_HAS_SIMD
    simd::attention_pass(s.head_dim, s.group_size(), memory).vote(tiers, query, position, votes);
#else
    const std::span<float> key = memory.first(s.head_dim);
    for (float& x : votes) x = 0.0f;
    for (std::size_t g = 0; g < s.group_size(); ++g) {
        const auto q = query.row_span(0).subspan(g * s.head_dim, s.head_dim);
        float* const logits = memory.data() + s.head_dim;
        const auto for_seen = [&](auto&& visit) {
            std::size_t at = 0;
            for (const kv::tier_rows& tier : tiers)
                for (const auto* row = tier.first; row != nullptr; row = row->next)
                    for (std::size_t t = 0; t < kv::block_tokens; ++t, ++at)
                        if (t < row->size && row->positions[t] <= position)
                            visit(*tier.layout, *row, t, at);
        };
        float most = -1e30f, total = 0.0f;
        for_seen([&](const auto& layout, const auto& row, std::size_t t, std::size_t at) {
            kv::read_key(layout, row.block, t, key);
            float dot = 0.0f;
            for (std::size_t d = 0; d < key.size(); ++d) dot += q[d] * key[d];
            logits[at] = dot / std::sqrt(static_cast<float>(s.head_dim));
            most = logits[at] > most ? logits[at] : most;
        });
        for_seen([&](const auto&, const auto&, std::size_t, std::size_t at) {
            total += std::exp(logits[at] - most);
        });
        for_seen([&](const auto&, const auto&, std::size_t, std::size_t at) {
            votes[at] += std::exp(logits[at] - most) / total;
        });
    }
#endif
}

}  // namespace detail

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KERNEL_SELECTOR_HPP
