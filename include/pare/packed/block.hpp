// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PACKED_BLOCK_HPP
#define PARE_PACKED_BLOCK_HPP

#include "../core/status.hpp"
#include "concepts.hpp"
#include "pack_row.hpp"
#include "unpack.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace pare::packed {

/// What the size of packed block weights depends on.
struct block_shape {
    /// Columns of a band: the activations that a kernel keeps near.
    static constexpr std::size_t band_cols = 1024;

    std::size_t rows = 0;      ///< output channels
    std::size_t cols = 0;      ///< input features
    std::size_t n_blocks = 0;  ///< below 2^32

    constexpr std::size_t n_bands() const noexcept { return (cols + band_cols - 1) / band_cols; }
    /// Columns of a band, fewer in the last one.
    constexpr std::size_t cols_of(std::size_t band) const noexcept {
        const std::size_t left = cols - band * band_cols;
        return left < band_cols ? left : band_cols;
    }
    constexpr std::size_t n_starts() const noexcept { return n_bands() * rows + 1; }
    constexpr std::size_t column_words() const noexcept { return (n_blocks + 1) / 2; }
    /// 32-bit words of starts and columns, in this order.
    constexpr std::size_t list_words() const noexcept { return n_starts() + column_words(); }

    friend constexpr bool operator==(const block_shape&, const block_shape&) = default;
};

/// Rows of a block that there is a layout for; others are stored dense.
template <int B>
inline constexpr bool is_block_height = B == 4 || B == 8 || B == 16 || B == 32;

/// Weights in blocks of B consecutive output channels at one input column, over caller-owned
/// memory; a block begins at any row (docs/formats.md). Columns are cut into bands; within a band
/// blocks are in the order of their first rows, then of their columns. The weight of row R lies in
/// slot R mod B of its block, so that a kernel's sums stay in place while its window of B rows
/// moves on: the weight-rotating, output-stationary order of Lee and Shin, arXiv:2407.19644. Codes
/// of a coded type follow one another without gaps in words, least significant bit first; weights
/// of a row in T::group consecutive columns share a scale.
template <int B, storage T = float>
struct block : block_shape {
    static_assert(is_block_height<B>, "packed block<B> has 4, 8, 16 or 32 rows");
    using value_type = T;
    using element_type = element_of<T>;
    static constexpr std::size_t block_rows = B;

    const element_type* values = nullptr;    ///< (n_blocks, B) numbers
    const std::uint32_t* starts = nullptr;   ///< (n_starts) see first()
    const std::uint32_t* columns = nullptr;  ///< (column_words) two a word, lower first
    const std::uint32_t* scales = nullptr;   ///< (n_scales) of a coded type, see grid_at()

    /// Of a coded type in bytes, then words, so that no number of bits overflows.
    static constexpr std::size_t n_values(const block_shape& s) noexcept {
        if constexpr (is_coded<T>) return (s.n_blocks * (B * T::bits / 8) + 3) / 4;
        else return s.n_blocks * B;
    }
    /// Words of scales: of each group of columns, one for every row.
    static constexpr std::size_t n_scales(const block_shape& s) noexcept {
        if constexpr (is_coded<T>) return T::scale_words(T::n_groups(s.cols) * s.rows);
        else return 0;
    }
    /// Words of starts, columns and scales, in this order.
    PARE_ALWAYS_INLINE static constexpr std::size_t n_words(const block_shape& s) noexcept {
        return s.list_words() + n_scales(s);
    }
    static constexpr std::size_t required_bytes(const block_shape& s) noexcept {
        return n_values(s) * sizeof(element_type) + n_words(s) * sizeof(std::uint32_t);
    }
    constexpr std::size_t required_bytes() const noexcept { return required_bytes(*this); }

    constexpr const block& view() const noexcept { return *this; }
    /// The same over other memory: n_values() and n_words() elements, as pack() fills them.
    constexpr block over(const element_type* all_values,
                         const std::uint32_t* words) const noexcept {
        block moved = *this;
        moved.values = all_values;
        moved.starts = words;
        moved.columns = words + n_starts();
        if constexpr (is_coded<T>) moved.scales = words + list_words();
        return moved;
    }

    constexpr std::size_t output(std::size_t i) const noexcept { return i; }
    /// The blocks of a band that begin at row r are those from first(band, r) to first(band, r +
    /// 1).
    PARE_ALWAYS_INLINE constexpr std::size_t first(std::size_t band, std::size_t r) const noexcept {
        return starts[band * rows + r];
    }
    /// The column of a block, counted from the first of its band.
    PARE_ALWAYS_INLINE constexpr std::size_t column_in_band(std::size_t i) const noexcept {
        return columns[i / 2] >> (i % 2 * 16) & 0xffffu;
    }
    /// Which of the scales a weight has.
    PARE_ALWAYS_INLINE static constexpr std::size_t scale_at(const block_shape& s, std::size_t row,
                                                             std::size_t col) noexcept {
        return T::group_of(col) * s.rows + row;
    }
    PARE_ALWAYS_INLINE constexpr grid grid_at(std::size_t row, std::size_t col) const noexcept {
        const std::size_t at = scale_at(*this, row, col);
        return T::read_grid(scales[T::asymmetric ? at : at / 2], at);
    }
    /// Where the code of a row in block i lies.
    PARE_ALWAYS_INLINE static constexpr code_place place(std::size_t i, std::size_t row) noexcept {
        constexpr std::size_t per_word = 32 / T::bits;
        const std::size_t at = i * B + row % B;
        return {at / per_word, at % per_word * T::bits};
    }
    /// The weight of a row in block i, which lies in that column.
    PARE_ALWAYS_INLINE constexpr auto value(std::size_t i, std::size_t row,
                                            [[maybe_unused]] std::size_t col) const noexcept {
        if constexpr (is_coded<T>) {
            const code_place at = place(i, row);
            return T::weight(
                static_cast<std::uint8_t>(values[at.word] >> at.shift & ((1u << T::bits) - 1)),
                grid_at(row, col));
        } else return values[i * B + row % B];
    }
    constexpr void for_each_weight(std::size_t row, auto&& visit) const noexcept {
        for (std::size_t band = 0; band < n_bands(); ++band)
            for (std::size_t r = row < B ? 0 : row - B + 1; r <= row; ++r)
                for (std::size_t i = first(band, r); i < first(band, r + 1); ++i) {
                    const std::size_t col = band * band_cols + column_in_band(i);
                    visit(col, value(i, row, col));
                }
    }
};

inline namespace PARE_ARCH_NAMESPACE {

/// Whether starts count the blocks, and columns exist, ascend among blocks of one first row, and
/// have no two blocks that overlap: a kernel may run only on weights that pass.
template <int B, class T>
status check(const block<B, T>& packed) noexcept {
    std::array<std::size_t, block_shape::band_cols> free_from;  // per column
    if (packed.starts[0] != 0 || packed.starts[packed.n_starts() - 1] != packed.n_blocks)
        return error{errc::malformed_file, "starts do not count the blocks"};
    for (std::size_t band = 0; band < packed.n_bands(); ++band) {
        free_from.fill(0);
        for (std::size_t r = 0; r < packed.rows; ++r) {
            const std::size_t begin = packed.first(band, r), end = packed.first(band, r + 1);
            if (begin > end || end > packed.n_blocks)
                return error{errc::malformed_file, "starts do not ascend", r};
            for (std::size_t i = begin; i < end; ++i) {
                const std::size_t c = packed.column_in_band(i);
                if (c >= packed.cols_of(band) || (i > begin && c <= packed.column_in_band(i - 1)) ||
                    free_from[c] > r)
                    return error{errc::malformed_file,
                                 "a block's column does not exist, is out of order or taken", r};
                free_from[c] = r + B;
            }
        }
    }
    if constexpr (is_coded<T>)
        for (std::size_t r = 0; r < packed.rows; ++r)
            for (std::size_t c = 0; c < packed.cols; c += T::group == 0 ? packed.cols : T::group)
                if (!T::is_sound(packed.grid_at(r, c))) return detail::bad_grid;
    return {};
}

}  // namespace PARE_ARCH_NAMESPACE

static_assert(layout<block<8, f16>> && block_weights<block<8>>);

}  // namespace pare::packed

#endif  // PARE_PACKED_BLOCK_HPP
