// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PACKED_BLOCK_HPP
#define PARE_PACKED_BLOCK_HPP

#include "../core/buffer.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "../prune/mask.hpp"
#include "concepts.hpp"
#include "pack_row.hpp"
#include "unpack.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

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

    static constexpr std::size_t n_values(const block_shape& s) noexcept {
        if constexpr (is_coded<T>) return (s.n_blocks * B * T::bits + 31) / 32;
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
    /// The weight of a row in block i, which lies in that column.
    PARE_ALWAYS_INLINE constexpr auto value(std::size_t i, std::size_t row,
                                            [[maybe_unused]] std::size_t col) const noexcept {
        const std::size_t at = i * B + row % B;
        if constexpr (is_coded<T>) {
            const std::uint32_t word = values[at * T::bits / 32] >> at * T::bits % 32;
            return T::weight(static_cast<std::uint8_t>(word & ((1u << T::bits) - 1)),
                             grid_at(row, col));
        } else return values[at];
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

namespace detail {

/// visit(first row) for the blocks of a column: its runs of kept rows, cut from their beginnings.
/// Only the last row may cut a block short. False where another run is no multiple of B.
template <int B>
bool for_each_block(prune::const_mask_view kept, std::size_t col, auto&& visit) noexcept {
    for (std::size_t r = 0, length = 0; r < kept.rows(); ++r) {
        if (kept(r, col)) {
            if (length % B == 0) visit(r);
            ++length;
        } else if (length % B != 0) return false;
        else length = 0;
    }
    return true;
}

inline constexpr error no_blocks{errc::pattern_violated,
                                 "the kept rows of a column are no blocks of that many rows"};

/// Writes starts and columns over zeroed words, and calls store(block, row, column) for every
/// weight. starts[k + 1] counts the blocks of k, a first row in a band; becomes where the next one
/// of k goes while blocks are written, and so ends as where those of k + 1 begin.
template <int B>
void place_blocks(const block_shape& shape, prune::const_mask_view kept,
                  std::span<std::uint32_t> words, auto&& store) noexcept {
    std::uint32_t* const next = words.data() + 1;
    std::uint32_t* const columns = words.data() + shape.n_starts();
    const auto place_of = [&](std::size_t row, std::size_t col) {
        return col / block_shape::band_cols * shape.rows + row;
    };
    for (std::size_t c = 0; c < shape.cols; ++c)
        for_each_block<B>(kept, c, [&](std::size_t r) { ++next[place_of(r, c)]; });
    std::uint32_t total = 0;
    for (std::size_t k = 0; k + 1 < shape.n_starts(); ++k) {
        const std::uint32_t n = next[k];
        next[k] = total;
        total += n;
    }
    for (std::size_t c = 0; c < shape.cols; ++c)
        for_each_block<B>(kept, c, [&](std::size_t first) {
            const std::size_t i = next[place_of(first, c)]++;
            columns[i / 2] |= static_cast<std::uint32_t>(c % block_shape::band_cols)
                              << (i % 2 * 16);
            for (std::size_t r = first; r < first + B && r < shape.rows; ++r) store(i, r, c);
        });
}

}  // namespace detail

/// What the blocks of a mask take. @return pattern_violated, with the column, where a run of kept
/// rows that ends before the last row is no multiple of B
template <int B>
result<block_shape> shape_of(prune::const_mask_view kept) noexcept {
    block_shape shape{kept.rows(), kept.cols()};
    for (std::size_t c = 0; c < kept.cols(); ++c)
        if (!detail::for_each_block<B>(kept, c, [&](std::size_t /*row*/) { ++shape.n_blocks; }))
            return error{detail::no_blocks.code, detail::no_blocks.message, c};
    return shape;
}

namespace detail {

/// The grids of all rows and groups of columns, into `scales`; memory for the weights of a row.
/// @return not_a_number
template <class Layout, class Codec>
status fit_grids(const block_shape& shape, matrix_view<const float> weights,
                 prune::const_mask_view kept, const Codec& codec, std::span<float> row_memory,
                 std::uint32_t* scales) noexcept {
    using T = typename Layout::value_type;
    const std::size_t group = T::group == 0 ? shape.cols : T::group;
    for (std::size_t r = 0; r < shape.rows; ++r)
        for (std::size_t begin = 0; begin < shape.cols; begin += group) {
            std::size_t n = 0;
            for (std::size_t c = begin; c < begin + group && c < shape.cols; ++c)
                if (kept(r, c)) row_memory[n++] = weights(r, c);
            const std::size_t at = Layout::scale_at(shape, r, begin);
            grid fitted;
            if (auto ok = fit_grid(codec, row_memory.first(n), at,
                                   scales[T::asymmetric ? at : at / 2], fitted);
                !ok)
                return error{ok.error().code, ok.error().message, r};
        }
    return {};
}

}  // namespace detail

/// Writes the kept weights (rows, cols) into `values` and `words`, of exactly n_values() and
/// n_words() elements of shape_of<B>(kept), each weight passed through `codec`. Offline: for a
/// coded type it allocates the weights of a row, or of the matrix where the codec has one scale
/// for it.
/// @return the layout over that memory; pattern_violated, not_a_number for a kept weight that is
/// NaN or infinite, as given or as encoded, shape_mismatch, buffer_too_small, out_of_memory. After
/// the first two the memory holds nothing of use.
template <int B, class Codec>
result<block<B, typename Codec::value_type>> pack(
    matrix_view<const float> weights, prune::const_mask_view kept, const Codec& codec,
    std::span<element_of<typename Codec::value_type>> values,
    std::span<std::uint32_t> words) noexcept {
    using T = typename Codec::value_type;
    using layout = block<B, T>;
    if (kept.rows() != weights.rows() || kept.cols() != weights.cols())
        return error{errc::shape_mismatch, "weights and mask differ in shape"};
    const auto shape = shape_of<B>(kept);
    if (!shape) return shape.error();
    if (values.size() != layout::n_values(*shape) || words.size() != layout::n_words(*shape))
        return error{errc::buffer_too_small, "pack: memory is not n_values and n_words long"};
    if constexpr (detail::of_whole_tensor<Codec>) {
        return detail::pack_with_tensor_grid(weights, kept, codec, [&](const auto& fixed) {
            return pack<B>(weights, kept, fixed, values, words);
        });
    } else {
        for (auto& v : values) v = {};
        for (std::uint32_t& word : words) word = 0;
        const layout packed = layout{*shape}.over(values.data(), words.data());
        if constexpr (is_coded<T>) {
            auto row = buffer<float>::make(shape->cols);
            if (!row) return row.error();
            if (auto ok = detail::fit_grids<layout>(*shape, weights, kept, codec, row->span(),
                                                    words.data() + shape->list_words());
                !ok)
                return ok.error();
        }
        status ok;
        detail::place_blocks<B>(
            *shape, kept, words, [&](std::size_t i, std::size_t r, std::size_t c) {
                const std::size_t at = i * B + r % B;
                if constexpr (is_coded<T>) {
                    values[at * T::bits / 32] |=
                        std::uint32_t{T::encode(weights(r, c), packed.grid_at(r, c))}
                        << at * T::bits % 32;
                } else {
                    const auto code = codec.encode(weights(r, c));
                    if (!is_finite(weights(r, c)) || !is_finite(to_float(code)))
                        ok = error{detail::not_storable.code, detail::not_storable.message, r};
                    values[at] = code;
                }
            });
        if (!ok) return ok.error();
        return packed;
    }
}

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
