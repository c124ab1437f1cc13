// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_SELECT_HPP
#define PARE_KV_SELECT_HPP

#include "../core/status.hpp"
#include "eviction_scratch.hpp"
#include "policy.hpp"
#include "rank.hpp"
#include "shape.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// Chooses the tokens of one layer that leave a tier, so that it holds its room of the policy's
/// budget; none while no head is `every` tokens over it. `now` is the position of the token that
/// comes next.
/// @param size     size(h): tokens of KV head h in the tier
/// @param observe  observe(h, first): the head_observation of KV head h, which may use of `memory`
///                 `blocks`, `decoded`, and `attention` and `positions` from `first` on
/// @param leave    leave(h, places) -> status, called once for each head that loses tokens: their
///                 places in it, ascending. There may be none
/// @return buffer_too_small when a head has more tokens than `memory` was made for,
/// shape_mismatch when heads that must agree differ in length, or what `leave` says
template <eviction_policy Policy>
status select_leaving(const Policy& p, const shape& s, std::size_t layer, std::size_t tier,
                      std::size_t now, eviction_scratch& memory, auto&& size, auto&& observe,
                      auto&& leave) noexcept {
    using Scorer = decltype(p.scorer);
    using Budget = decltype(p.budget);
    const std::size_t heads = s.kv_heads, tokens = p.budget.tokens(layer, s.layers);
    const std::size_t budget = detail::room(p, tokens, tier, s.tiers);
    const bool by_age = p.demote_oldest && tier + 1 < s.tiers;
    std::size_t total = 0, most = 0;
    for (std::size_t h = 0; h < heads; ++h) {
        const std::size_t n = size(h);
        total += n;
        most = n > most ? n : most;
    }
    const bool adaptive = adaptive_budget<Budget> && tier == 0 && !by_age;
    const bool asked = adaptive && now % p.every == 0;
    if (!asked &&
        (shared_budget<Budget> ? total < heads * (budget + p.every) : most < budget + p.every))
        return {};
    if (total > memory.scores.size() || most / block_tokens + 1 > memory.blocks.size())
        return error{errc::buffer_too_small, "more tokens than the scratch was made for", most};
    const auto scores = memory.scores.span();
    const auto ranks = memory.ranks.span(), positions = memory.positions.span(),
               places = memory.places.span();
    const auto rank_head = [&](std::size_t h, std::size_t first) {
        const std::size_t n = size(h);
        const head_observation seen = observe(h, first);
        if (!by_age) p.scorer.score(seen, scores.subspan(first, n));
        if (!by_age && p.granularity != 1)
            detail::average_chunks(seen.positions, p.granularity, scores.subspan(first, n),
                                   places.first(n));
        detail::rank_tokens(p, tokens, now, by_age, scores.subspan(first, n), seen.positions,
                            ranks.subspan(first, n));
        return seen.positions;
    };

    const auto choose = [&](std::size_t first, std::size_t n, std::size_t n_leaving,
                            std::span<const std::uint32_t> where) {
        const auto of = ranks.subspan(first, n);
        return detail::whole_chunks(of, where, p.granularity,
                                    detail::lowest(of, where, n_leaving, places), places);
    };

    if constexpr (!shared_budget<Budget> && !layer_wide_scorer<Scorer>) {
        for (std::size_t h = 0; h < heads; ++h) {
            const std::size_t n = size(h);
            if (!asked && n <= budget) continue;
            const auto where = rank_head(h, 0);
            const std::size_t stay =
                detail::n_staying(p.budget, adaptive, budget, scores, ranks.first(n));
            if (n <= stay) continue;
            const status done = leave(h, choose(0, n, n - stay, where));
            if (!done) return done;
        }
        return {};
    }

    // Heads that depend on each other lie one after the other.
    for (std::size_t h = 0, first = 0; h < heads; first += size(h), ++h) {
        const auto where = rank_head(h, first);
        if (where.data() != positions.data() + first)
            for (std::size_t t = 0; t < where.size(); ++t) positions[first + t] = where[t];
    }
    std::size_t stay = budget;
    if constexpr (layer_wide_scorer<Scorer>) {
        if (total != heads * most)
            return error{errc::shape_mismatch, "heads that keep the same tokens differ in length"};
        for (std::size_t t = 0; t < most && !by_age; ++t) {
            float sum = 0.0f;
            for (std::size_t h = 0; h < heads; ++h) sum += scores[h * most + t];
            for (std::size_t h = 0; h < heads; ++h)
                if (ranks[h * most + t] != detail::kept_anyway)
                    ranks[h * most + t] = detail::rank_of(sum);
            scores[t] = sum;
        }
        stay = detail::n_staying(p.budget, adaptive, budget, scores, ranks.first(most));
    }
    std::span<std::uint32_t> leaving;  // of a shared budget: places in the whole layer
    if constexpr (shared_budget<Budget>) {
        for (std::size_t h = 0, first = 0; h < heads; first += size(h), ++h)
            detail::keep_highest(ranks.subspan(first, size(h)), positions.subspan(first, size(h)),
                                 p.budget.floor(layer, s.layers) * budget / tokens, places);
        leaving = choose(0, total, total - heads * budget, positions.first(total));
    }
    for (std::size_t h = 0, first = 0; h < heads; ++h) {
        const std::size_t n = size(h), end = first + n;
        std::span<std::uint32_t> some;
        if constexpr (shared_budget<Budget>) {
            std::size_t n_leaving = 0;
            for (; n_leaving < leaving.size() && leaving[n_leaving] < end; ++n_leaving)
                leaving[n_leaving] -= static_cast<std::uint32_t>(first);
            some = leaving.first(n_leaving);
            leaving = leaving.subspan(n_leaving);
        } else if (n > stay) {
            some = choose(first, n, n - stay, positions.subspan(first, n));
        }
        if (const status done = leave(h, std::span<const std::uint32_t>(some)); !done) return done;
        first = end;
    }
    return {};
}

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_SELECT_HPP
