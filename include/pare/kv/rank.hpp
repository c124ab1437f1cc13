// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_RANK_HPP
#define PARE_KV_RANK_HPP

#include "policy.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

// Scores as ranks that compare as integers, and the choice of the lowest of them.

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

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_RANK_HPP
