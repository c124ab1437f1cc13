// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_LEDGER_HPP
#define PARE_KV_LEDGER_HPP

#include "block_layout.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace pare::kv {

/// 32 tokens of one head: where their keys and values lie, and what is known of each.
struct alignas(64) ledger_row {
    ledger_row* previous;
    ledger_row* next;
    ledger_row* ahead;     ///< the row `rows_ahead` further on, or null: to be asked for in time
    std::byte* block;      ///< a block_layout's bytes
    std::uint32_t size;    ///< tokens; only a head's last row has less than 32
    std::uint32_t newest;  ///< no position here is larger
    alignas(64) std::array<float, block_tokens> attention;  ///< what a scorer sums up
    std::array<std::uint32_t, block_tokens> positions;
};

inline constexpr std::size_t rows_ahead = 8;
static_assert(sizeof(ledger_row) == 320);

/// Asks for what is known of the tokens some rows further on, and twice as far.
PARE_ALWAYS_INLINE inline void ask_ahead([[maybe_unused]] const ledger_row& row) noexcept {
#if defined(__GNUC__) || defined(__clang__)
    const ledger_row* ahead = row.ahead;
    for (int i = 0; i < 2 && ahead != nullptr; ++i, ahead = ahead->ahead)
        for (std::size_t at = 0; at < sizeof(ledger_row); at += 64)
            __builtin_prefetch(reinterpret_cast<const char*>(ahead) + at);
#endif
}

/// The tokens of one head in one tier, in no particular order.
struct head_view {
    const ledger_row* first;
    std::size_t size;  ///< tokens
    const block_layout* layout;
};

/// The same, for a pass that may write the sums.
struct tier_rows {
    ledger_row* first;
    const block_layout* layout;
    const std::uint32_t* selected = nullptr;  ///< a selection's word of each row; null: all tokens

    PARE_ALWAYS_INLINE std::uint32_t selected_of(std::size_t row) const noexcept {
        return selected == nullptr ? static_cast<std::uint32_t>(-1) : selected[row];
    }
};

}  // namespace pare::kv

#endif  // PARE_KV_LEDGER_HPP
