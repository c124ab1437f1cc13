// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_RENUMBER_HPP
#define PARE_KV_RENUMBER_HPP

#include "../core/status.hpp"
#include "gather.hpp"
#include "rotary.hpp"
#include "select.hpp"
#include "store.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

namespace detail {

// The least position of the next token that leaves the head's tokens room behind the sinks.
inline std::size_t room_for(const store& s, std::size_t sequence, std::size_t layer,
                            std::size_t kv_head, std::size_t sinks) noexcept {
    std::size_t n_others = 0, after_sinks = 0;
    for_rows(s, sequence, layer, kv_head, [&](const ledger_row& row, const block_layout&) {
        for (std::size_t t = 0; t < row.size; ++t) {
            const std::size_t position = row.positions[t];
            if (position >= sinks) ++n_others;
            else if (position >= after_sinks) after_sinks = position + 1;
        }
    });
    return n_others == 0 ? after_sinks : sinks + n_others;
}

// Moves the tokens of one row; `before`: the positions of its head, ascending.
inline void renumber_row(ledger_row& row, const block_layout& layout,
                         std::span<const std::uint32_t> before, std::size_t next, std::size_t sinks,
                         rotation& turn, std::span<float> key) noexcept {
    row.newest = 0;
    for (std::size_t t = 0; t < row.size; ++t) {
        const std::uint32_t old = row.positions[t];
        // A token's own position counts as before it: tokens that shared one still do.
        const std::size_t n_later = before.size() - n_before(before, old + 1);
        const auto moved = static_cast<std::uint32_t>(next - 1 - n_later);
        if (old >= sinks && moved != old) {
            turn.set(std::int64_t{moved} - std::int64_t{old});
            read_key(layout, row.block, t, key);
            turn.apply(key);
            write_key(layout, row.block, t, key);
            row.positions[t] = moved;
        }
        if (row.positions[t] > row.newest) row.newest = row.positions[t];
        if (!layout.key_ranges) continue;
        read_key(layout, row.block, t, key);
        key_range range(layout, row.block, t / group);
        t % group == 0 ? range.start(key) : range.widen(key);
    }
}

}  // namespace detail

/// Gives the kept tokens of a sequence positions without gaps and turns their stored keys to them,
/// as StreamingLLM does (Xiao et al., arXiv:2309.17453) and what llama.cpp calls a context shift:
/// positions then stay as small as the cache, whatever its sequence has seen. Call it between
/// steps, when every layer has the same tokens behind it, and go on at the position it returns.
///
/// Positions below `sinks` stay; the other tokens of a head, in their order, get those that end
/// before the returned one: the newest of every head, whatever its length, stands one before the
/// next token, and of the longest head nothing lies between the sinks and the others.
///
/// A key that moves is rounded to its storage type anew: nothing to mind in f32, half a unit of
/// f16 or bf16, up to half a code of i8 or i4 each time, so do it rarely, not at every step. Values
/// and scores stay. A fork keeps its own positions. Positions from before mean nothing afterwards:
/// truncate() to the returned one or later, and go back further by a fork.
/// @param memory  made for as many tokens as the longest head has
/// @return the position of the next token; nothing changed and: invalid_argument; shape_mismatch
/// for frequencies that do not fit; buffer_too_small; out_of_memory when forks share the blocks
inline result<std::size_t> renumber(store& s, std::size_t sequence, const rotary& r,
                                    eviction_scratch& memory, std::size_t sinks = 0) noexcept {
    const shape& shape = s.shape();
    if (sequence >= shape.sequences)
        return error{errc::invalid_argument, "no such sequence", sequence};
    if (const status ok = check(r, shape.head_dim); !ok) return ok.error();
    for (std::size_t l = 0; l < shape.layers; ++l)
        for (std::size_t t = 0; t < shape.tiers; ++t)
            if (s.layout(l, t).key_channels != 0)
                return error{errc::invalid_argument, "keys without all channels cannot be turned",
                             l};
    if (memory.decoded.size() < 2 * block_tokens * shape.head_dim)
        return error{errc::buffer_too_small, "the scratch was made for another head_dim"};
    const auto for_heads = [&](auto&& visit) -> status {
        for (std::size_t l = 0; l < shape.layers; ++l)
            for (std::size_t h = 0; h < shape.kv_heads; ++h)
                if (const status done = visit(l, h); !done) return done;
        return {};
    };
    std::size_t next = 0;
    const status fits = for_heads([&](std::size_t l, std::size_t h) -> status {
        const std::size_t n = s.size(sequence, l, h);
        if (n > memory.positions.size())
            return error{errc::buffer_too_small, "more tokens than the scratch was made for", n};
        const std::size_t room = detail::room_for(s, sequence, l, h, sinks);
        next = room > next ? room : next;
        return {};
    });
    if (!fits) return fits.error();
    if (next > static_cast<std::uint32_t>(-1))  // tokens that share the largest positions there are
        return error{errc::invalid_argument, "positions have 32 bits", next};
    const status owned =
        for_heads([&](std::size_t l, std::size_t h) { return s.own(sequence, l, h); });
    if (!owned) return owned.error();
    rotation turn(r, memory.decoded.span().subspan(shape.head_dim));
    const std::span<float> key = memory.decoded.span().first(shape.head_dim);
    for (std::size_t l = 0; l < shape.layers; ++l)
        for (std::size_t h = 0; h < shape.kv_heads; ++h) {
            const auto before = memory.positions.span().first(s.size(sequence, l, h));
            detail::sort_positions(s, sequence, l, h, before);
            for (std::size_t tier = 0; tier < shape.tiers; ++tier)
                for (auto* row = s.rows(sequence, l, h, tier); row != nullptr; row = row->next)
                    detail::renumber_row(*row, s.layout(l, tier), before, next, sinks, turn, key);
        }
    return next;
}

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_RENUMBER_HPP
