// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PACKED_HINM_HPP
#define PARE_PACKED_HINM_HPP

#include "../prune/hinm_order.hpp"
#include "n_m.hpp"
#include "pack_row.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace pare::packed {

/// What the size of packed hinm weights depends on.
struct hinm_shape {
    static constexpr std::size_t max_cols = 65536;

    std::size_t rows = 0;       ///< output channels
    std::size_t cols = 0;       ///< input features, at most max_cols
    std::size_t tile_rows = 1;  ///< V: rows that share their columns, at most 1024
    std::size_t kept = 0;       ///< columns of a tile, at least one
    std::size_t dense = 0;      ///< of those the first, which rows keep whole; the others N:M
    bool in_place = true;       ///< place i is row i

    constexpr std::size_t n_tiles() const noexcept { return (rows + tile_rows - 1) / tile_rows; }
    /// Rows of the compact matrix that a whole tile takes: of 16, as n_m cuts it.
    constexpr std::size_t padded_tile_rows() const noexcept {
        return (tile_rows + packed::tile_rows - 1) / packed::tile_rows * packed::tile_rows;
    }
    /// The row of the compact matrix that holds place i.
    constexpr std::size_t compact_row(std::size_t i) const noexcept {
        return i / tile_rows * padded_tile_rows() + i % tile_rows;
    }
    constexpr std::size_t compact_rows() const noexcept {
        return rows == 0 ? 0 : compact_row(rows - 1) + 1;
    }
    constexpr std::size_t column_words() const noexcept { return (kept + 1) / 2; }
    constexpr bool is_sound() const noexcept {
        return 0 < tile_rows && tile_rows <= 1024 && 0 < kept && kept <= cols && dense <= kept &&
               cols <= max_cols;
    }

    /// visit(first, end) for the places of a tile, at most `n` tiles of the compact matrix at once.
    constexpr void in_blocks(std::size_t tile, std::size_t n, auto&& visit) const {
        const std::size_t begin = tile * tile_rows, left = rows - begin;
        const std::size_t places = left < tile_rows ? left : tile_rows;
        for (std::size_t i = 0; i < places; i += n * packed::tile_rows)
            visit(
                begin + i,
                begin + (places - i < n * packed::tile_rows ? places : i + n * packed::tile_rows));
    }

    friend constexpr bool operator==(const hinm_shape&, const hinm_shape&) = default;
};

/// Hierarchical N:M weights over caller-owned memory. A tile of V rows keeps the same columns,
/// which a list names; put side by side in its order they are the compact matrix, of `kept`
/// columns. Its first `dense` ones are stored as packed::dense, the others as n_m, every tile
/// beginning a new tile of 16 rows there: a V that is no multiple of 16 is padded to one.
template <int N, int M, storage T = float>
struct hinm : hinm_shape {
    using value_type = T;
    using element_type = element_of<T>;
    static constexpr int n = N;
    static constexpr int m = M;
    using dense_part = packed::dense<T>;
    using grouped_part = n_m<N, M, T>;

    const element_type* values = nullptr;         ///< of the grouped part
    const element_type* dense_values = nullptr;   ///< of the dense part
    const std::uint32_t* indices = nullptr;       ///< of the grouped part
    const std::uint32_t* scales = nullptr;        ///< of the grouped part, of a coded type
    const std::uint32_t* dense_scales = nullptr;  ///< of the dense part
    const std::uint32_t* outputs = nullptr;       ///< (rows) row at each place; unless in_place
    const std::uint32_t* columns = nullptr;  ///< (n_tiles, column_words) two a word, lower first

    static constexpr std::size_t n_values(const hinm_shape& s) noexcept {
        return grouped_part::n_values(s.compact_rows(), s.kept - s.dense) +
               dense_part::n_values(s.compact_rows(), s.dense);
    }
    static constexpr std::size_t n_indices(const hinm_shape& s) noexcept {
        return grouped_part::n_indices(s.compact_rows(), s.kept - s.dense);
    }
    /// Words of indices, scales, scales of the dense part, outputs and columns, in this order.
    PARE_ALWAYS_INLINE static constexpr std::size_t n_words(const hinm_shape& s) noexcept {
        return list_words(s) + (s.in_place ? 0 : s.rows) + s.n_tiles() * s.column_words();
    }
    /// Those before outputs and columns.
    PARE_ALWAYS_INLINE static constexpr std::size_t list_words(const hinm_shape& s) noexcept {
        return n_indices(s) + grouped_part::n_scales(s.compact_rows(), s.kept - s.dense) +
               dense_part::n_scales(s.compact_rows(), s.dense);
    }
    static constexpr std::size_t required_bytes(const hinm_shape& s) noexcept {
        return n_values(s) * sizeof(element_type) + n_words(s) * sizeof(std::uint32_t);
    }
    constexpr std::size_t required_bytes() const noexcept { return required_bytes(*this); }

    constexpr const hinm& view() const noexcept { return *this; }
    /// The same over other memory: n_values() and n_words() elements, as pack() fills them.
    constexpr hinm over(const element_type* all_values, const std::uint32_t* words) const noexcept {
        hinm moved = *this;
        moved.values = all_values;
        moved.dense_values = all_values + grouped_part::n_values(compact_rows(), kept - dense);
        moved.indices = words;
        if constexpr (is_coded<T>) {
            moved.scales = words + n_indices(*this);
            moved.dense_scales =
                moved.scales + grouped_part::n_scales(compact_rows(), kept - dense);
        }
        moved.outputs = in_place ? nullptr : words + list_words(*this);
        moved.columns = words + list_words(*this) + (in_place ? 0 : rows);
        return moved;
    }
    /// The compact matrix.
    constexpr dense_part compact_dense() const noexcept {
        return {compact_rows(), dense, dense_values, nullptr, dense_scales};
    }
    constexpr grouped_part compact_grouped() const noexcept {
        return {compact_rows(), kept - dense, values, indices, scales};
    }

    PARE_ALWAYS_INLINE constexpr std::size_t output(std::size_t i) const noexcept {
        PARE_ASSERT(i < rows, "index out of range");
        return in_place ? i : outputs[i];
    }
    constexpr void for_each_weight(std::size_t i, auto&& visit) const noexcept {
        const auto visit_part = [&](const auto& part, std::size_t first_col) {
            part.for_each_weight(compact_row(i), [&](std::size_t c, auto weight) {
                visit(tile_column(i / tile_rows, first_col + c), weight);
            });
        };
        visit_part(compact_dense(), 0);
        visit_part(compact_grouped(), dense);
    }
    /// Column c of the compact matrix, of a tile.
    PARE_ALWAYS_INLINE constexpr std::size_t tile_column(std::size_t tile,
                                                         std::size_t c) const noexcept {
        PARE_ASSERT(tile < n_tiles() && c < kept, "index out of range");
        return columns[tile * column_words() + c / 2] >> (c % 2 * 16) & 0xffffu;
    }
};

inline namespace PARE_ARCH_NAMESPACE {

/// The order that packed weights are in, to go on searching from or to plan with. @return
/// out_of_memory
/// @pre packed.is_sound()
template <int N, int M, class T>
result<prune::hinm_order> order_of(const hinm<N, M, T>& packed) noexcept {
    auto order = prune::hinm_order::make(packed.rows, packed.cols, packed.tile_rows, packed.kept,
                                         packed.dense);
    if (!order) return order;
    for (std::size_t i = 0; i < packed.rows; ++i)
        order->outputs()[i] = static_cast<std::uint32_t>(packed.output(i));
    for (std::size_t t = 0; t < packed.n_tiles(); ++t)
        for (std::size_t c = 0; c < packed.kept; ++c)
            order->columns(t)[c] = static_cast<std::uint32_t>(packed.tile_column(t, c));
    return order;
}

/// Whether outputs and columns exist and are listed once, and indices name columns of their groups
/// in ascending order: a kernel may run only on weights that pass. Allocates a copy of the lists.
template <int N, int M, class T>
status check(const hinm<N, M, T>& packed) noexcept {
    if (!packed.is_sound()) return error{errc::malformed_file, "a shape that hinm cannot have"};
    const auto order = order_of(packed);
    if (!order) return order.error();
    if (auto ok = order->check(); !ok)
        return error{errc::malformed_file, ok.error().message, ok.error().where};

    if constexpr (hinm<N, M, T>::grouped_part::index_bits > 0) {
        // Padding rows are read by the kernels too.
        auto padded = packed.compact_grouped();
        padded.rows = padded.tiles(padded.rows) * tile_rows;
        for (std::size_t r = 0; r < padded.rows; ++r) {
            const std::size_t place = r % packed.padded_tile_rows();
            if (!detail::row_is_valid(padded, r,
                                      place < packed.tile_rows && r < packed.compact_rows()))
                return error{errc::malformed_file,
                             "an index lies outside its group or out of order", r};
        }
    }
    if constexpr (is_coded<T>)
        if (auto ok = detail::check_grids(packed.compact_dense()); !ok) return ok;
    if constexpr (is_coded<T>) return detail::check_grids(packed.compact_grouped());
    return {};
}

}  // namespace PARE_ARCH_NAMESPACE

static_assert(layout<hinm<2, 4, f16>> && hinm_weights<hinm<2, 4>> && !n_m_weights<hinm<2, 4>>);

}  // namespace pare::packed

#endif  // PARE_PACKED_HINM_HPP
