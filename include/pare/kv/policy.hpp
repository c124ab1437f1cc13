// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_POLICY_HPP
#define PARE_KV_POLICY_HPP

#include "../core/status.hpp"
#include "concepts.hpp"
#include "shape.hpp"
#include "uniform.hpp"

#include <array>
#include <concepts>
#include <cstddef>
#include <span>

namespace pare::kv {

/// Positions [first, end).
struct position_range {
    std::size_t first, end;
};

/// Which tokens stay: the sinks, the recent ones, those in `keep`, and the best scored of the rest
/// until the budget is full. Of equal scores the later position stays. Over a store of several
/// tiers the same choice is made in each: what the first has no room for is demoted, what the last
/// has none for leaves.
template <token_scorer Scorer, budget Budget = uniform, merger Merging = no_merging>
struct policy {
    static_assert(
        attention_scorer<Scorer> || !requires(const Scorer& s) { s.carry(1); },
        "a scorer's carry(n) and weight(i, n) are const, noexcept and float");
    static_assert(attention_scorer<Scorer> ||
                      !(needs_attention<Budget> || needs_attention<Merging>),
                  "this budget or merging needs a scorer of attention: a2sf, h2o, tova, snapkv");

    Scorer scorer{};
    Budget budget{};
    std::size_t sinks = 0;      ///< first positions
    std::size_t recent = 0;     ///< newest tokens at least: grace for tokens no query has seen
    float recent_share = 0.0f;  ///< newest tokens as a share of the budget, rounded down
    std::size_t every = 1;      ///< evicts when this many tokens are over the budget, all at once
    std::size_t granularity =
        1;  ///< positions [i g, i g + g) are scored by their mean and leave together
    std::span<const position_range> keep{};  ///< must outlive whatever has the policy
    reduction across = reduction::mean;      ///< of the query heads that share a KV head
    /// Share of the budget that each tier but the last has room for; the last has the rest.
    std::array<float, max_tiers - 1> tier_shares{};
    bool demote_oldest = false;  ///< by age rather than by score; the last tier goes by score
    Merging merging{};
};

/// What caches and trackers are made with.
template <class P>
concept eviction_policy = requires(const P& p) {
    requires token_scorer<decltype(P::scorer)> && budget<decltype(P::budget)> &&
        merger<decltype(P::merging)>;
    { p.keep } -> std::convertible_to<std::span<const position_range>>;
};

inline namespace PARE_ARCH_NAMESPACE {

namespace detail {

// Tokens of each head that a tier has room for, of a budget.
template <eviction_policy Policy>
std::size_t room(const Policy& p, std::size_t budget, std::size_t tier,
                 std::size_t n_tiers) noexcept {
    std::size_t left = budget;
    for (std::size_t t = 0; t + 1 < n_tiers; ++t) {
        const float share = p.tier_shares[t] > 0.0f ? p.tier_shares[t] : 0.0f;
        auto n = static_cast<std::size_t>(share * static_cast<float>(budget));
        n = n < left ? n : left;
        if (t == tier) return n;
        left -= n;
    }
    return left;
}

// The newest tokens that a policy protects.
template <eviction_policy Policy>
std::size_t n_recent(const Policy& p, std::size_t budget) noexcept {
    const auto share = static_cast<std::size_t>(p.recent_share * static_cast<float>(budget));
    return p.recent > share ? p.recent : share;
}

}  // namespace detail

/// Refuses a policy that could not hold its budget in some layer: `keep`, each range counted in
/// full, the sinks and the recent tokens leave none of it, or of the first tier's share.
template <eviction_policy Policy>
status check(const Policy& p, std::size_t n_layers, std::size_t n_tiers = 1) noexcept {
    if (!(0.0f <= p.recent_share && p.recent_share <= 1.0f))
        return error{errc::invalid_argument, "recent_share is between 0 and 1"};
    constexpr std::size_t limit = std::size_t{1} << 31;  // positions have 32 bits
    if (p.every == 0 || p.every >= limit)
        return error{errc::invalid_argument, "every is 1 or more, and below 2^31"};
    if (p.granularity == 0 || p.granularity >= limit)
        return error{errc::invalid_argument, "granularity is 1 or more, and below 2^31"};
    if constexpr (checkable<decltype(p.scorer)>)
        if (const status ok = p.scorer.check(); !ok) return ok;
    if constexpr (checkable<decltype(p.budget)>)
        if (const status ok = p.budget.check(); !ok) return ok;
    for (std::size_t l = 0; l < n_layers; ++l) {
        const std::size_t tokens = p.budget.tokens(l, n_layers);
        if (tokens == 0 || tokens >= limit)
            return error{errc::invalid_argument, "a budget keeps 1 token or more, below 2^31", l};
        for (std::size_t t = 0; t < n_tiers; ++t)
            if (detail::room(p, tokens, t, n_tiers) == 0)
                return error{errc::invalid_argument, "a tier's share holds no token", t};
        std::size_t left = detail::room(p, tokens, 0, n_tiers);
        const auto take = [&left](std::size_t n) {
            const bool fits = n <= left;
            left = fits ? left - n : 0;
            return fits;
        };
        bool fits = take(p.sinks) && take(detail::n_recent(p, tokens));
        const position_range* r = p.keep.data();
        for (std::size_t n = p.keep.size(); n > 0; --n, ++r)
            fits = fits && take(r->first < r->end ? r->end - r->first : 0);
        if (!fits)
            return error{errc::invalid_argument,
                         n_tiers == 1 ? "what always stays exceeds the budget"
                                      : "what always stays exceeds the first tier",
                         l};
        if constexpr (shared_budget<decltype(p.budget)>)
            if (p.budget.floor(l, n_layers) > tokens)
                return error{errc::invalid_argument, "a head's floor exceeds its budget", l};
    }
    return {};
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::kv

#endif  // PARE_KV_POLICY_HPP
