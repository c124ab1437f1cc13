// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_EVICT_HPP
#define PARE_KV_EVICT_HPP

#include "../core/status.hpp"
#include "select.hpp"
#include "store.hpp"

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

}  // namespace detail

/// Removes tokens of one layer until the policy's budget holds: from tier to tier, and out of the
/// last. `now` is the position of the token that comes next. Does nothing in a tier where no head
/// is `every` tokens over its room.
/// @return invalid_argument, or what select_leaving(), store::demote() or store::remove() say
template <class Scorer, class Budget>
status evict(store& s, std::size_t sequence, std::size_t layer, std::size_t now,
             const policy<Scorer, Budget>& p, eviction_scratch& memory) noexcept {
    if (sequence >= s.shape().sequences || layer >= s.shape().layers)
        return error{errc::invalid_argument, "no such sequence or layer"};
    if (memory.decoded.size() < 2 * s.shape().head_dim)
        return error{errc::buffer_too_small, "the scratch was made for another head_dim"};
    for (std::size_t tier = 0; tier < s.shape().tiers; ++tier) {
        const status done = select_leaving(
            p, s.shape(), layer, tier, now, memory,
            [&](std::size_t h) { return s.view(sequence, layer, h, tier).size; },
            [&](std::size_t h, std::size_t first) {
                return detail::observe(s.view(sequence, layer, h, tier), first, now, memory);
            },
            [&](std::size_t h, std::span<const std::uint32_t> places) {
                return tier + 1 == s.shape().tiers
                           ? s.remove(sequence, layer, h, places, tier)
                           : s.demote(sequence, layer, h, places, tier, memory.decoded.span());
            });
        if (!done) return done;
    }
    return {};
}

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_EVICT_HPP
