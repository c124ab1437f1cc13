// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PACKED_N_M_HPP
#define PARE_PACKED_N_M_HPP

#include "../core/buffer.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "../prune/mask.hpp"
#include "concepts.hpp"
#include "pack_row.hpp"
#include "unpack.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::packed {

/// N:M sparse weights over caller-owned memory: the kept values and, for each, its place in its
/// group of M columns. Laid out for kernels that hold 16 output channels in vector lanes; the bytes
/// are the same on every machine (docs/formats.md).
///
/// Rows are cut into tiles of 16 (the last one padded with zero weights). A row has `steps` slots,
/// N for each group of M columns, in ascending column order. Slot s of lane l of tile t is
/// values[(t * steps + s) * 16 + l]; of a coded type, slots are padded to 32 and place() says where
/// one lies. Its place in the group is the s-th `index_bits`-bit number of the lane's bit stream:
/// 32-bit words, least significant bit first, word w at indices[(t * words + w) * 16 + l], like
/// the words of scales.
template <int N, int M, storage T = float>
struct n_m {
    static_assert(1 <= N && N <= M && M <= 32, "packed n_m<N, M> needs 1 <= N <= M <= 32");

    using value_type = T;
    using element_type = element_of<T>;
    static constexpr int n = N;
    static constexpr int m = M;
    /// ceil(log2 M); none where every column is kept.
    static constexpr int index_bits = N == M ? 0 : std::bit_width(static_cast<unsigned>(M - 1));

    std::size_t rows = 0;                    ///< output channels
    std::size_t cols = 0;                    ///< input features
    const element_type* values = nullptr;    ///< n_values(rows, cols) elements
    const std::uint32_t* indices = nullptr;  ///< n_indices(rows, cols) words
    const std::uint32_t* scales = nullptr;   ///< n_scales(rows, cols) words, of a coded type

    static constexpr std::size_t tiles(std::size_t rows) noexcept {
        return (rows + tile_rows - 1) / tile_rows;
    }
    /// Slots of a row. A short last group of r columns has min(N, r).
    static constexpr std::size_t steps(std::size_t cols) noexcept {
        const std::size_t rest = cols % M;
        return cols / M * N + (rest < N ? rest : N);
    }
    /// Slots of a row with those that only fill it up: codes of 0, at the first column.
    static constexpr std::size_t stored_steps(std::size_t cols) noexcept {
        return is_coded<T> ? (steps(cols) + 31) / 32 * 32 : steps(cols);
    }
    /// Elements of a row.
    static constexpr std::size_t value_elements(std::size_t cols) noexcept {
        if constexpr (is_coded<T>) return stored_steps(cols) / 32 * T::bits;
        else return steps(cols);
    }
    /// The element from which on the values of a step of a tile lie, with others where codes of
    /// several steps share words.
    PARE_ALWAYS_INLINE static constexpr std::size_t element(std::size_t tile, std::size_t cols,
                                                            std::size_t step) noexcept {
        if constexpr (is_coded<T>) step = step * T::bits / 32;
        return (tile * value_elements(cols) + step) * tile_rows;
    }
    /// 32-bit index words of a row.
    static constexpr std::size_t index_words(std::size_t cols) noexcept {
        return (stored_steps(cols) * index_bits + 31) / 32;
    }
    /// 32-bit words of a row's scales.
    static constexpr std::size_t scale_words(std::size_t cols) noexcept {
        if constexpr (is_coded<T>) return T::scale_words(T::n_groups(stored_steps(cols)));
        else return 0;
    }
    static constexpr std::size_t n_values(std::size_t rows, std::size_t cols) noexcept {
        return tiles(rows) * value_elements(cols) * tile_rows;
    }
    static constexpr std::size_t n_indices(std::size_t rows, std::size_t cols) noexcept {
        return tiles(rows) * index_words(cols) * tile_rows;
    }
    static constexpr std::size_t n_scales(std::size_t rows, std::size_t cols) noexcept {
        return tiles(rows) * scale_words(cols) * tile_rows;
    }
    /// Words of indices and scales, in this order.
    static constexpr std::size_t n_words(std::size_t rows, std::size_t cols) noexcept {
        return n_indices(rows, cols) + n_scales(rows, cols);
    }
    /// Bytes of values, indices and scales together, padding included.
    static constexpr std::size_t required_bytes(std::size_t rows, std::size_t cols) noexcept {
        return n_values(rows, cols) * sizeof(element_type) +
               n_words(rows, cols) * sizeof(std::uint32_t);
    }

    constexpr std::size_t steps() const noexcept { return steps(cols); }
    constexpr std::size_t required_bytes() const noexcept { return required_bytes(rows, cols); }
    constexpr std::size_t output(std::size_t row) const noexcept { return row; }

    /// Itself: a layout and an owning layer are used alike.
    constexpr const n_m& view() const noexcept { return *this; }
    /// The same over other memory: n_values() and n_words() elements, as pack() fills them.
    constexpr n_m over(const element_type* all_values, const std::uint32_t* words) const noexcept {
        return {rows, cols, all_values, words,
                is_coded<T> ? words + n_indices(rows, cols) : nullptr};
    }

    /// Where a code lies: in every 16 steps plane p and byte b hold step p + 4 b, so that the four
    /// bytes of a plane are those of a word of i8, and either nibbles of one of i4: operands of an
    /// integer dot product.
    PARE_ALWAYS_INLINE static constexpr code_place place(std::size_t row, std::size_t cols,
                                                         std::size_t step) noexcept {
        const std::size_t plane = step % 4, byte = step / 4 % 4, bit = plane * T::bits;
        const std::size_t word = step / 16 * (T::bits / 2) + bit / 8;
        return {(row / tile_rows * value_elements(cols) + word) * tile_rows + row % tile_rows,
                8 * byte + bit % 8};
    }
    PARE_ALWAYS_INLINE static constexpr std::size_t scale_word(std::size_t row, std::size_t cols,
                                                               std::size_t group) noexcept {
        const std::size_t word = T::asymmetric ? group : group / 2;
        return (row / tile_rows * scale_words(cols) + word) * tile_rows + row % tile_rows;
    }
    PARE_ALWAYS_INLINE constexpr std::uint8_t code(std::size_t row,
                                                   std::size_t step) const noexcept {
        const code_place at = place(row, cols, step);
        return static_cast<std::uint8_t>(values[at.word] >> at.shift & ((1u << T::bits) - 1));
    }
    PARE_ALWAYS_INLINE constexpr grid grid_of(std::size_t row, std::size_t group) const noexcept {
        return T::read_grid(scales[scale_word(row, cols, group)], group);
    }

    /// Of a slot: a T, or the float that a code stands for.
    PARE_ALWAYS_INLINE constexpr auto value(std::size_t row, std::size_t step) const noexcept {
        PARE_ASSERT(row < rows && step < steps(cols), "index out of range");
        if constexpr (is_coded<T>)
            return T::weight(code(row, step), grid_of(row, T::group_of(step)));
        else return values[(row / tile_rows * steps(cols) + step) * tile_rows + row % tile_rows];
    }
    /// The place of a slot in its group, in [0, M).
    PARE_ALWAYS_INLINE constexpr std::size_t index(std::size_t row,
                                                   std::size_t step) const noexcept {
        PARE_ASSERT(row < rows && step < steps(cols), "index out of range");
        if constexpr (index_bits == 0) return step % N;
        const std::size_t bit = step * index_bits, word = bit / 32, shift = bit % 32;
        const std::uint32_t* lane =
            indices + row / tile_rows * index_words(cols) * tile_rows + row % tile_rows;
        std::uint64_t bits = lane[word * tile_rows];
        if (shift + index_bits > 32) bits |= std::uint64_t{lane[(word + 1) * tile_rows]} << 32;
        return static_cast<std::size_t>(bits >> shift) & ((std::size_t{1} << index_bits) - 1);
    }
    /// The column of a slot.
    PARE_ALWAYS_INLINE constexpr std::size_t column(std::size_t row,
                                                    std::size_t step) const noexcept {
        return step / N * M + index(row, step);
    }
    constexpr void for_each_weight(std::size_t row, auto&& visit) const noexcept {
        for (std::size_t s = 0; s < steps(); ++s) visit(column(row, s), value(row, s));
    }
};

/// Every column kept, no indices: the n_m layout at its trivial end. Values of 16 output channels
/// lie side by side, column after column.
template <storage T = float>
using dense = n_m<1, 1, T>;

inline namespace PARE_ARCH_NAMESPACE {

/// Writes the kept weights (rows, cols) into `values` and `words`, of exactly n_values() and
/// n_words() elements, each weight passed through `codec`. Offline: for a coded type it allocates
/// the weights of a row, or of the matrix where the codec has one scale for it.
/// @return the layout over that memory; pattern_violated when a group keeps more than N,
/// not_a_number for a kept weight that is NaN or infinite, as given or as encoded, shape_mismatch,
/// buffer_too_small, out_of_memory. After the first two the memory holds nothing of use.
template <int N, int M, class Codec>
result<n_m<N, M, typename Codec::value_type>> pack(
    matrix_view<const float> weights, prune::const_mask_view kept, const Codec& codec,
    std::span<element_of<typename Codec::value_type>> values,
    std::span<std::uint32_t> words) noexcept {
    using layout = n_m<N, M, typename Codec::value_type>;
    const std::size_t rows = weights.rows(), cols = weights.cols();
    if (kept.rows() != rows || kept.cols() != cols)
        return error{errc::shape_mismatch, "weights and mask differ in shape"};
    if (values.size() != layout::n_values(rows, cols) ||
        words.size() != layout::n_words(rows, cols))
        return error{errc::buffer_too_small, "pack: memory is not n_values and n_words long"};
    if constexpr (detail::of_whole_tensor<Codec>) {
        return detail::pack_with_tensor_grid(weights, kept, codec, [&](const auto& fixed) {
            return pack<N, M>(weights, kept, fixed, values, words);
        });
    } else {
        auto slots = buffer<float>::make(is_coded<typename Codec::value_type> ? cols : 0);
        if (!slots) return slots.error();
        for (auto& v : values) v = {};
        for (std::uint32_t& word : words) word = 0;
        for (std::size_t r = 0; r < rows; ++r)
            if (auto ok = detail::pack_row<layout>(
                    r, cols, [&](std::size_t c) { return weights(r, c); },
                    [&](std::size_t c) { return kept(r, c); }, codec,
                    {values.data(), words.data(), words.data() + layout::n_indices(rows, cols)},
                    slots->span());
                !ok)
                return error{ok.error().code, ok.error().message, r};
        return layout{rows, cols}.over(values.data(), words.data());
    }
}

/// Whether every index names a column of its group, in ascending order, and every scale is one: a
/// kernel may run only on weights that pass, so whoever takes packed bytes from outside checks them
/// once.
template <int N, int M, class T>
status check(const n_m<N, M, T>& packed) noexcept {
    if constexpr (n_m<N, M, T>::index_bits > 0) {
        // Padding rows are read by the kernels too, so whole tiles are checked.
        n_m<N, M, T> padded = packed;
        padded.rows = n_m<N, M, T>::tiles(packed.rows) * tile_rows;
        for (std::size_t r = 0; r < padded.rows; ++r)
            if (!detail::row_is_valid(padded, r, r < packed.rows))
                return error{errc::malformed_file,
                             "an index lies outside its group or out of order", r};
    }
    if constexpr (is_coded<T>) return detail::check_grids(packed);
    return {};
}

}  // namespace PARE_ARCH_NAMESPACE

static_assert(layout<n_m<2, 4, f16>> && layout<dense<float>>);
static_assert(n_m<2, 4, f16>::required_bytes(4096, 4096) * 8 == std::size_t{9} * 4096 * 4096);

}  // namespace pare::packed

#endif  // PARE_PACKED_N_M_HPP
