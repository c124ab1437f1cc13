// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_STORE_BYTES_HPP
#define PARE_KV_STORE_BYTES_HPP

#include "block_layout.hpp"
#include "ledger.hpp"
#include "pool.hpp"
#include "row_list.hpp"
#include "shape.hpp"

#include <cstddef>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// Pages that blocks of these layouts fill to 90 %, or, of up to 16 of the largest, best.
inline std::size_t page_bytes_for(std::span<const block_layout> layouts) noexcept {
    std::size_t most = 0, best = 0;
    double best_filled = 0.0;
    for (const block_layout& layout : layouts) {
        const std::size_t bytes = row_list::stored_bytes(layout);
        most = bytes > most ? bytes : most;
    }
    for (std::size_t n = 1; n <= 16 && best_filled < 0.9; ++n) {
        const std::size_t page = pool::page_bytes_for(most, n);
        double filled = 1.0;
        for (const block_layout& layout : layouts) {
            const std::size_t bytes = row_list::stored_bytes(layout);
            const std::size_t used = pool::blocks_per_page(page, bytes) * bytes;
            const double share = static_cast<double>(used) / static_cast<double>(page);
            filled = share < filled ? share : filled;
        }
        if (filled > best_filled) best = page, best_filled = filled;
    }
    return best;
}

/// Bytes of a pool, in whole pages, of one sequence with blocks(layer, tier) blocks in all heads of
/// a layer together. Forks and evictions may leave pages partly filled beyond that. The largest
/// number there is when a block does not fit into a page.
/// @param layouts  of every tier: for all layers, or for each
std::size_t bytes_of_blocks(const shape& s, std::span<const block_layout> layouts,
                            std::size_t page_bytes, auto&& blocks) noexcept {
    constexpr std::size_t endless = static_cast<std::size_t>(-1);
    const std::size_t slots = s.layers * s.tiers;
    if (s.tiers == 0 || (layouts.size() != s.tiers && layouts.size() != slots)) return endless;
    const auto stored = [&](std::size_t i) {
        return row_list::stored_bytes(layouts[i % layouts.size()]);
    };
    const auto blocks_of = [&](std::size_t i) { return blocks(i / s.tiers, i % s.tiers); };
    std::size_t n_rows = 0, bytes = 0;
    const auto add = [&](std::size_t n, std::size_t block_bytes) {
        const std::size_t fit = pool::blocks_per_page(page_bytes, block_bytes);
        if (fit == 0 || bytes == endless) bytes = endless;
        else bytes += (n + fit - 1) / fit * pool::rounded(page_bytes);
    };
    for (std::size_t i = 0; i < slots; ++i) {
        n_rows += blocks_of(i);
        std::size_t n = 0, k = 0;  // blocks of one size share pages: counted at the first
        for (; k < slots && (k >= i || stored(k) != stored(i)); ++k)
            if (stored(k) == stored(i)) n += blocks_of(k);
        if (k == slots) add(n, stored(i));
    }
    add(n_rows, sizeof(ledger_row));
    return bytes;
}

/// The same with `tokens` tokens in every head's first tier.
inline std::size_t store_bytes(const shape& s, std::span<const block_layout> layouts,
                               std::size_t page_bytes, std::size_t tokens) noexcept {
    const std::size_t blocks = s.kv_heads * ((tokens + block_tokens - 1) / block_tokens);
    return bytes_of_blocks(s, layouts, page_bytes,
                           [&](std::size_t, std::size_t tier) { return tier == 0 ? blocks : 0; });
}

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_STORE_BYTES_HPP
