// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_EVICT_HPP
#define PARE_KV_EVICT_HPP

#include "../core/status.hpp"
#include "select.hpp"
#include "store.hpp"
#include "think.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

namespace detail {

// Copies what the ledger knows of a head's tokens to where a scorer can see it as one piece.
inline head_observation observe(const head_view& head, std::size_t first, std::size_t now,
                                eviction_scratch& memory) noexcept {
    const auto attention = memory.attention.span().subspan(first, head.size);
    const auto positions = memory.positions.span().subspan(first, head.size);
    std::size_t n = 0, n_blocks = 0;
    for (const ledger_row* row = head.first; row != nullptr; row = row->next) {
        std::memcpy(&attention[n], row->attention.data(), row->size * sizeof(float));
        std::memcpy(&positions[n], row->positions.data(), row->size * sizeof(std::uint32_t));
        n += row->size;
        memory.blocks[n_blocks++] = row->block;
    }
    return {attention,   positions,
            now,         memory.blocks.span().first(n_blocks),
            head.layout, memory.decoded.span()};
}

// The place of the one token of a head that leaves, found in one pass over the ledger: what
// select_leaving() finds for n_leaving = 1, at a third of its cost. None: all are protected.
template <eviction_policy Policy>
std::span<const std::uint32_t> lowest_token(const Policy& p, std::size_t tokens,
                                            const head_view& head, std::size_t now,
                                            std::uint32_t& place) noexcept {
    const auto [sinks, n_others] = unprotected(p, tokens, now);
    std::uint32_t least = kept_anyway, position = kept_anyway, first = 0;
    for (const ledger_row* row = head.first; row != nullptr;
         row = row->next, first += block_tokens) {
        ask_ahead(*row);
        // 32 of each, in loops that compilers turn into vectors without being asked to.
        alignas(64) std::array<float, block_tokens> scores;
        alignas(64) std::array<std::uint32_t, block_tokens> ranks;
        const std::array<std::uint32_t, block_tokens>& positions = row->positions;
        p.scorer.score({row->attention, positions, now}, scores);
        for (std::size_t t = 0; t < block_tokens; ++t)
            ranks[t] = rank_of(scores[t]) | (positions[t] - sinks < n_others ? 0u : kept_anyway);
        keep_ranges(p, positions, ranks);
        for (std::size_t t = row->size; t < block_tokens; ++t) ranks[t] = kept_anyway;
        std::uint32_t here = kept_anyway;
        for (std::size_t t = 0; t < block_tokens; ++t) here = ranks[t] < here ? ranks[t] : here;
        if (here > least || here == kept_anyway) continue;
        for (std::size_t t = 0; t < block_tokens; ++t) {
            if (ranks[t] != here || (here == least && positions[t] > position)) continue;
            least = here, position = positions[t];
            place = first + static_cast<std::uint32_t>(t);
        }
    }
    if (least == kept_anyway) return {};
    return {&place, 1};
}

// Whether every head of a tier is at most one token over its room, and may choose it by itself.
template <eviction_policy Policy>
bool one_leaves(const store& s, std::size_t sequence, std::size_t layer, std::size_t tier,
                std::size_t room, const Policy& p) noexcept {
    using Budget = decltype(p.budget);
    if constexpr (!pointwise_scorer<decltype(p.scorer)> || shared_budget<Budget> ||
                  adaptive_budget<Budget>)
        return false;
    bool one =
        p.every == 1 && p.granularity == 1 && !(p.demote_oldest && tier + 1 < s.shape().tiers);
    for (std::size_t h = 0; h < s.shape().kv_heads; ++h)
        one = one && s.view(sequence, layer, h, tier).size <= room + 1;
    return one;
}

// The `window` tokens that stay and whose positions follow `position`, fewer where there are none.
inline std::span<const follower> followers(const head_view& head,
                                           std::span<const std::uint32_t> leaving,
                                           std::uint32_t position, std::size_t window,
                                           std::span<follower> found) noexcept {
    std::size_t n = 0, next_leaving = 0;
    std::uint32_t place = 0;
    for (const ledger_row* row = head.first; row != nullptr; row = row->next)
        for (std::size_t t = 0; t < row->size; ++t, ++place) {
            const bool leaves = next_leaving < leaving.size() && leaving[next_leaving] == place;
            next_leaving += leaves;
            if (!leaves && row->positions[t] > position)
                found[n++] = {row->positions[t], place, row->attention[t]};
        }
    if (n <= window) return found.first(n);
    std::nth_element(found.data(), found.data() + window, found.data() + n, earlier_follower{});
    return found.first(window);
}

// Spreads the values of tokens that are about to leave a head's last tier over those that follow.
template <merger Merging>
status merge(store& s, std::size_t sequence, std::size_t layer, std::size_t kv_head,
             std::span<const std::uint32_t> leaving, const Merging& merging,
             eviction_scratch& memory) noexcept {
    const std::size_t tier = s.shape().tiers - 1, dim = s.shape().head_dim;
    const std::span<float> value = memory.decoded.span().first(dim);
    const head_view head = s.view(sequence, layer, kv_head, tier);
    const ledger_row* row = head.first;
    std::size_t first = 0;  // place of the row's first
    for (const std::uint32_t place : leaving) {
        for (; place >= first + block_tokens; first += block_tokens) row = row->next;
        const std::size_t t = place - first;
        const auto window =
            followers(head, leaving, row->positions[t], merging.window, memory.followers.span());
        if (window.empty()) continue;
        const auto n = static_cast<float>(window.size());
        float mean = 0.0f;
        for (const follower& f : window) mean += f.attention / n;
        const float share = merging.share(row->attention[t], mean, row->positions[t]) / n;
        if (share == 0.0f) continue;
        read_value(*head.layout, row->block, t, value);
        for (float& x : value) x *= share;
        for (const follower& f : window) {
            const status added = s.add_to_value(sequence, layer, kv_head, f.place, value,
                                                memory.decoded.span().subspan(dim), tier);
            if (!added) return added;
        }
    }
    return {};
}

// Demotes tokens of a head, and chooses the channels that their keys keep if they are the first.
inline status demote(store& s, std::size_t sequence, std::size_t layer, std::size_t kv_head,
                     std::span<const std::uint32_t> places, std::size_t tier,
                     eviction_scratch& memory, std::span<const float> energy) noexcept {
    const std::size_t n = s.layout(layer, tier + 1).key_channels, dim = s.shape().head_dim;
    const auto channels = memory.channels.span().first(n);
    if (n != 0 && s.view(sequence, layer, kv_head, tier + 1).size == 0)
        think::choose(s, sequence, layer, kv_head, tier,
                      energy.empty() ? energy : energy.subspan(kv_head * dim, dim),
                      memory.decoded.span(), channels);
    return s.demote(sequence, layer, kv_head, places, tier, memory.decoded.span(), channels);
}

}  // namespace detail

/// Removes tokens of one layer until the policy's budget holds: from tier to tier, and out of the
/// last. `now` is the position of the token that comes next. Does nothing in a tier where no head
/// is `every` tokens over its room.
/// @param energy  (kv_heads * head_dim) of the layer, where a tier's keys lose channels: see think
/// @return invalid_argument, or what select_leaving(), store::demote(), store::remove() or
/// store::add_to_value() say
template <eviction_policy Policy>
status evict(store& s, std::size_t sequence, std::size_t layer, std::size_t now, const Policy& p,
             eviction_scratch& memory, std::span<const float> energy = {}) noexcept {
    if (sequence >= s.shape().sequences || layer >= s.shape().layers)
        return error{errc::invalid_argument, "no such sequence or layer"};
    if (memory.decoded.size() < 2 * block_tokens * s.shape().head_dim)
        return error{errc::buffer_too_small, "the scratch was made for another head_dim"};
    for (std::size_t tier = 0; tier < s.shape().tiers; ++tier) {
        const auto leave = [&](std::size_t h, std::span<const std::uint32_t> places) {
            if (tier + 1 < s.shape().tiers)
                return detail::demote(s, sequence, layer, h, places, tier, memory, energy);
            if (p.merging.window != 0) {
                const status merged =
                    detail::merge(s, sequence, layer, h, places, p.merging, memory);
                if (!merged) return merged;
            }
            return s.remove(sequence, layer, h, places, tier);
        };
        const std::size_t tokens = p.budget.tokens(layer, s.shape().layers);
        const std::size_t room = detail::room(p, tokens, tier, s.shape().tiers);
        if (detail::one_leaves(s, sequence, layer, tier, room, p)) {
            for (std::size_t h = 0; h < s.shape().kv_heads; ++h) {
                const head_view head = s.view(sequence, layer, h, tier);
                std::uint32_t place = 0;
                if (head.size <= room) continue;
                const status left = leave(h, detail::lowest_token(p, tokens, head, now, place));
                if (!left) return left;
            }
            continue;
        }
        const status done = select_leaving(
            p, s.shape(), layer, tier, now, memory,
            [&](std::size_t h) { return s.view(sequence, layer, h, tier).size; },
            [&](std::size_t h, std::size_t first) {
                return detail::observe(s.view(sequence, layer, h, tier), first, now, memory);
            },
            leave);
        if (!done) return done;
    }
    return {};
}

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_EVICT_HPP
