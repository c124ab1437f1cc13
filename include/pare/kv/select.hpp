// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_SELECT_HPP
#define PARE_KV_SELECT_HPP

#include "../core/buffer.hpp"
#include "../core/status.hpp"
#include "policy.hpp"
#include "shape.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

namespace detail {

// A kept token after one that leaves.
struct follower {
    std::uint32_t position, place;
    float attention;
};
struct earlier_follower {
    bool operator()(const follower& a, const follower& b) const noexcept {
        return a.position < b.position;
    }
};

}  // namespace detail

/// Memory for evict() or a tracker, made once.
class eviction_scratch {
  public:
    /// @param tokens  of one head at most, before an eviction
    static result<eviction_scratch> make(const shape& s, std::size_t tokens) noexcept {
        const std::size_t n = s.kv_heads * tokens;
        auto attention = buffer<float>::make(n), scores = buffer<float>::make(n);
        auto positions = buffer<std::uint32_t>::make(n), places = buffer<std::uint32_t>::make(n);
        auto ranks = buffer<std::uint32_t>::make(n);
        auto blocks = buffer<const std::byte*>::make(tokens / block_tokens + 1);
        auto decoded = buffer<float>::make(2 * block_tokens * s.head_dim);
        auto channels = buffer<std::uint16_t>::make(s.head_dim);
        auto followers = buffer<detail::follower>::make(tokens);
        eviction_scratch made;
        if (!channels || !followers || !attention || !scores || !positions || !places || !ranks ||
            !blocks || !decoded)
            return error{errc::out_of_memory, "memory for evictions"};
        made.attention = std::move(*attention);
        made.scores = std::move(*scores);
        made.positions = std::move(*positions);
        made.places = std::move(*places);
        made.ranks = std::move(*ranks);
        made.blocks = std::move(*blocks);
        made.decoded = std::move(*decoded);
        made.followers = std::move(*followers);
        made.channels = std::move(*channels);
        return made;
    }

    std::size_t bytes() const noexcept {
        return attention.bytes() + scores.bytes() + decoded.bytes() + positions.bytes() +
               places.bytes() + ranks.bytes() + blocks.bytes() + followers.bytes() +
               channels.bytes();
    }

    buffer<float> attention, scores, decoded;
    buffer<std::uint32_t> positions, places, ranks;
    buffer<const std::byte*> blocks;
    buffer<detail::follower> followers;
    buffer<std::uint16_t> channels;
};

namespace detail {

inline constexpr std::uint32_t kept_anyway = static_cast<std::uint32_t>(-1);

// Ascending with the score for any bits: -0 equals 0, and a NaN is as good as any other number.
inline std::uint32_t rank_of(float score) noexcept {
    const auto bits = std::bit_cast<std::uint32_t>(score);
    const std::uint32_t sign = bits >> 31;
    const std::uint32_t rank = (bits ^ ((0u - sign) | 0x80000000u)) + sign;
    return rank - (rank == kept_anyway ? 1 : 0);
}

// By rank; of equal ranks the earlier position is lower, of equal positions the earlier head.
struct by_rank {
    const std::uint32_t* ranks;
    const std::uint32_t* positions;
    bool operator()(std::uint32_t a, std::uint32_t b) const noexcept {
        if (ranks[a] != ranks[b]) return ranks[a] < ranks[b];
        return positions[a] != positions[b] ? positions[a] < positions[b] : a < b;
    }
};
struct ascending {
    bool operator()(std::uint32_t a, std::uint32_t b) const noexcept { return a < b; }
};

// The n lowest that may go, as ascending places.
inline std::span<std::uint32_t> lowest(std::span<const std::uint32_t> ranks,
                                       std::span<const std::uint32_t> positions, std::size_t n,
                                       std::span<std::uint32_t> places) noexcept {
    const by_rank lower{ranks.data(), positions.data()};
    if (n == 1) {
        // Every step of a decoder: piece by piece, in loops that compilers vectorise.
        constexpr std::size_t piece = 64;
        std::uint32_t least = kept_anyway, position = kept_anyway;
        std::size_t where = 0;
        for (std::size_t begin = 0; begin < ranks.size(); begin += piece) {
            const std::size_t end = ranks.size() - begin < piece ? ranks.size() : begin + piece;
            std::uint32_t here = kept_anyway, first = kept_anyway;
            for (std::size_t i = begin; i < end; ++i) here = ranks[i] < here ? ranks[i] : here;
            if (here > least) continue;
            for (std::size_t i = begin; i < end; ++i) {
                const std::uint32_t p = ranks[i] == here ? positions[i] : kept_anyway;
                first = p < first ? p : first;
            }
            if (here == least && first >= position) continue;
            least = here, position = first, where = begin;
        }
        if (least == kept_anyway) return {};
        while (ranks[where] != least || positions[where] != position) ++where;
        places[0] = static_cast<std::uint32_t>(where);
        return places.first(1);
    }
    std::size_t size = 0;
    for (std::uint32_t i = 0; i < ranks.size(); ++i)
        if (ranks[i] != kept_anyway) places[size++] = i;
    if (n < size) {
        std::nth_element(places.data(), places.data() + n, places.data() + size, lower);
        size = n;
    }
    std::sort(places.data(), places.data() + size, ascending{});
    return places.first(size);
}

// Makes the n highest of `ranks` stay.
inline void keep_highest(std::span<std::uint32_t> ranks, std::span<const std::uint32_t> positions,
                         std::size_t n, std::span<std::uint32_t> places) noexcept {
    const std::size_t size = ranks.size(), first = n < size ? size - n : 0;
    for (std::uint32_t i = 0; i < size; ++i) places[i] = i;
    if (first != 0 && first != size)
        std::nth_element(places.data(), places.data() + first, places.data() + size,
                         by_rank{ranks.data(), positions.data()});
    for (std::size_t i = first; i < size; ++i) ranks[places[i]] = kept_anyway;
}

struct by_position {
    const std::uint32_t* positions;
    bool operator()(std::uint32_t a, std::uint32_t b) const noexcept {
        return positions[a] < positions[b];
    }
};

// Gives every token the mean score of those with which it shares a chunk of positions.
inline void average_chunks(std::span<const std::uint32_t> positions, std::size_t granularity,
                           std::span<float> scores, std::span<std::uint32_t> order) noexcept {
    for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.data(), order.data() + order.size(), by_position{positions.data()});
    for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
        const std::size_t chunk = positions[order[begin]] / granularity;
        float sum = 0.0f;
        for (; end < order.size() && positions[order[end]] / granularity == chunk; ++end)
            sum += scores[order[end]];
        for (std::size_t i = begin; i < end; ++i)
            scores[order[i]] = sum / static_cast<float>(end - begin);
    }
}

// Adds to the lowest, `leaving`, what shares rank and chunk with one of them: to the highest of
// them, that is, for its rank belongs to its chunk.
inline std::span<std::uint32_t> whole_chunks(std::span<const std::uint32_t> ranks,
                                             std::span<const std::uint32_t> positions,
                                             std::size_t granularity,
                                             std::span<std::uint32_t> leaving,
                                             std::span<std::uint32_t> places) noexcept {
    if (granularity == 1 || leaving.empty()) return leaving;
    const by_rank lower{ranks.data(), positions.data()};
    std::uint32_t highest = leaving[0];
    for (const std::uint32_t place : leaving)
        if (lower(highest, place)) highest = place;
    const std::size_t chunk = positions[highest] / granularity;
    std::size_t size = 0;
    for (std::uint32_t i = 0; i < ranks.size(); ++i)
        if (!lower(highest, i) ||
            (ranks[i] == ranks[highest] && positions[i] / granularity == chunk))
            places[size++] = i;
    return places.first(size);
}

// Positions [first, first + n) are neither sinks nor recent.
struct position_span {
    std::uint32_t first, n;
};
template <eviction_policy Policy>
position_span unprotected(const Policy& p, std::size_t budget, std::size_t now) noexcept {
    const std::size_t recent = n_recent(p, budget), first_recent = now < recent ? 0 : now - recent;
    return {static_cast<std::uint32_t>(p.sinks),
            static_cast<std::uint32_t>(first_recent < p.sinks ? 0 : first_recent - p.sinks)};
}
template <eviction_policy Policy>
void keep_ranges(const Policy& p, std::span<const std::uint32_t> positions,
                 std::span<std::uint32_t> ranks) noexcept {
    const position_range* r = p.keep.data();
    for (std::size_t n = p.keep.size(); n > 0; --n, ++r)
        for (std::size_t t = 0; t < ranks.size(); ++t)
            if (r->first <= positions[t] && positions[t] < r->end) ranks[t] = kept_anyway;
}

// Ranks the tokens of one head; those that the policy protects stay whatever their score.
template <eviction_policy Policy>
void rank_tokens(const Policy& p, std::size_t budget, std::size_t now, bool by_age,
                 std::span<const float> scores, std::span<const std::uint32_t> positions,
                 std::span<std::uint32_t> ranks) noexcept {
    const auto [first, n_others] = unprotected(p, budget, now);
    for (std::size_t t = 0; t < ranks.size(); ++t) {
        const std::uint32_t rank = by_age ? positions[t] : rank_of(scores[t]);
        ranks[t] = positions[t] - first < n_others ? rank : kept_anyway;
    }
    keep_ranges(p, positions, ranks);
}

struct descending {
    bool operator()(float a, float b) const noexcept { return a > b; }
};

// Tokens of a head that stay of `room`: all that are protected, and as many of the others as the
// budget wants of their scores, which it sorts where it depends on them.
template <class Budget>
std::size_t n_staying(const Budget& budget, bool adaptive, std::size_t room,
                      std::span<float> scores, std::span<const std::uint32_t> ranks) noexcept {
    if constexpr (adaptive_budget<Budget>) {
        if (!adaptive) return room;
        std::size_t others = 0;
        for (std::size_t t = 0; t < ranks.size(); ++t)
            if (ranks[t] != kept_anyway) scores[others++] = scores[t];
        std::sort(scores.data(), scores.data() + others, descending{});
        const std::size_t n =
            ranks.size() - others + budget.enough(std::span<const float>(scores.first(others)));
        return n < room ? n : room;
    } else {
        return room;
    }
}

}  // namespace detail

/// Chooses the tokens of one layer that leave a tier, so that it holds its room of the policy's
/// budget; none while no head is `every` tokens over it. `now` is the position of the token that
/// comes next.
/// @param size     size(h): tokens of KV head h in the tier
/// @param observe  observe(h, first): the head_observation of KV head h; `attention` and
/// `positions`
///                 of `memory` may be used from `first` on, and `blocks` and `decoded`
/// @param leave    leave(h, places) -> status: told of the heads that lose tokens, places
/// ascending; perhaps of none
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
