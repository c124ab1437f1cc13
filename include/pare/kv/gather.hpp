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

// Fills `positions` (tokens of the head) with the head's, ascending.
inline void sort_positions(const head_view& head, std::span<std::uint32_t> positions) noexcept {
    std::size_t n = 0;
    for (const ledger_row* row = head.first; row != nullptr; n += row->size, row = row->next)
        std::memcpy(&positions[n], row->positions.data(), row->size * sizeof(std::uint32_t));
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

// How many tokens of the head lie before token t of `row` and stand where it stands.
inline std::size_t n_twins_before(const head_view& head, const ledger_row* row,
                                  std::size_t t) noexcept {
    std::size_t n = 0;
    for (const ledger_row* r = head.first;; r = r->next) {
        for (std::size_t i = 0; i < (r == row ? t : r->size); ++i)
            if (r->positions[i] == row->positions[t]) ++n;
        if (r == row) return n;
    }
}

}  // namespace detail

/// Copies what attention sees of one head's kept tokens, in the order of their positions: keys and
/// values (tokens, head_dim), decoded, and positions (tokens); store::view().size says how many.
/// Tokens that share a position stand in the order they lie. Allocates nothing.
inline status gather(const store& s, std::size_t sequence, std::size_t layer, std::size_t kv_head,
                     matrix_view<float> keys, matrix_view<float> values,
                     std::span<std::uint32_t> positions) noexcept {
    const shape& shape = s.shape();
    if (sequence >= shape.sequences || layer >= shape.layers || kv_head >= shape.kv_heads)
        return error{errc::invalid_argument, "no such head"};
    const head_view head = s.view(sequence, layer, kv_head);
    if (keys.rows() != head.size || keys.cols() != shape.head_dim ||
        keys.extents() != values.extents() || positions.size() != head.size)
        return error{errc::shape_mismatch,
                     "keys and values: (tokens of the head, head_dim), positions: (tokens)",
                     head.size};
    if (keys.col_stride() != 1 || values.col_stride() != 1)
        return error{errc::not_contiguous, "keys and values need consecutive columns"};
    detail::sort_positions(head, positions);
    for (const ledger_row* row = head.first; row != nullptr; row = row->next)
        for (std::size_t t = 0; t < row->size; ++t) {
            const std::uint32_t position = row->positions[t];
            std::size_t to = detail::n_before(positions, position);
            if (to + 1 < positions.size() && positions[to + 1] == position)
                to += detail::n_twins_before(head, row, t);
            read_key(*head.layout, row->block, t, keys.row_span(to));
            read_value(*head.layout, row->block, t, values.row_span(to));
        }
    return {};
}

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_GATHER_HPP
