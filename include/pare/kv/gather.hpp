// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_GATHER_HPP
#define PARE_KV_GATHER_HPP

#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "block.hpp"
#include "store.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

namespace detail {

struct earlier {
    bool operator()(std::uint32_t a, std::uint32_t b) const noexcept { return a < b; }
};

// visit(row, layout) for the rows of all tiers of a head.
void for_rows(const store& s, std::size_t sequence, std::size_t layer, std::size_t kv_head,
              auto&& visit) noexcept {
    for (std::size_t tier = 0; tier < s.shape().tiers; ++tier) {
        const head_view head = s.view(sequence, layer, kv_head, tier);
        for (const ledger_row* row = head.first; row != nullptr; row = row->next)
            visit(*row, *head.layout);
    }
}

// Fills `positions` (tokens of the head) with the head's, ascending.
inline void sort_positions(const store& s, std::size_t sequence, std::size_t layer,
                           std::size_t kv_head, std::span<std::uint32_t> positions) noexcept {
    std::size_t n = 0;
    for_rows(s, sequence, layer, kv_head, [&](const ledger_row& row, const block_layout&) {
        std::memcpy(&positions[n], row.positions.data(), row.size * sizeof(std::uint32_t));
        n += row.size;
    });
    std::sort(positions.data(), positions.data() + n, earlier{});
}

// How many of ascending positions are below `position`.
inline std::size_t n_before(std::span<const std::uint32_t> positions,
                            std::uint32_t position) noexcept {
    const std::uint32_t* const begin = positions.data();
    const auto* const found =
        std::lower_bound(begin, begin + positions.size(), position, earlier{});
    return static_cast<std::size_t>(found - begin);
}

// How many tokens of the head lie before token t of `its_row` and stand where it stands.
inline std::size_t n_twins_before(const store& s, std::size_t sequence, std::size_t layer,
                                  std::size_t kv_head, const ledger_row& its_row,
                                  std::size_t t) noexcept {
    std::size_t n = 0;
    bool before = true;
    for_rows(s, sequence, layer, kv_head, [&](const ledger_row& row, const block_layout&) {
        for (std::size_t i = 0; i < row.size && before; ++i) {
            before = &row != &its_row || i != t;
            if (before && row.positions[i] == its_row.positions[t]) ++n;
        }
    });
    return n;
}

}  // namespace detail

/// Copies what attention sees of one head's kept tokens, in the order of their positions: keys and
/// values (tokens, head_dim), decoded, and positions (tokens); store::size() says how many.
/// Tokens that share a position stand in the order they lie. Allocates nothing.
inline status gather(const store& s, std::size_t sequence, std::size_t layer, std::size_t kv_head,
                     matrix_view<float> keys, matrix_view<float> values,
                     std::span<std::uint32_t> positions) noexcept {
    const shape& shape = s.shape();
    if (sequence >= shape.sequences || layer >= shape.layers || kv_head >= shape.kv_heads)
        return error{errc::invalid_argument, "no such head"};
    const std::size_t n = s.size(sequence, layer, kv_head);
    if (keys.rows() != n || keys.cols() != shape.head_dim || keys.extents() != values.extents() ||
        positions.size() != n)
        return error{errc::shape_mismatch,
                     "keys and values: (tokens of the head, head_dim), positions: (tokens)", n};
    if (keys.col_stride() != 1 || values.col_stride() != 1)
        return error{errc::not_contiguous, "keys and values need consecutive columns"};
    detail::sort_positions(s, sequence, layer, kv_head, positions);
    detail::for_rows(s, sequence, layer, kv_head, [&](const ledger_row& row, const auto& layout) {
        for (std::size_t t = 0; t < row.size; ++t) {
            const std::uint32_t position = row.positions[t];
            std::size_t to = detail::n_before(positions, position);
            if (to + 1 < n && positions[to + 1] == position)
                to += detail::n_twins_before(s, sequence, layer, kv_head, row, t);
            read_key(layout, row.block, t, keys.row_span(to));
            read_value(layout, row.block, t, values.row_span(to));
        }
    });
    return {};
}

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_GATHER_HPP
