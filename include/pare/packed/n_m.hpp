// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PACKED_N_M_HPP
#define PARE_PACKED_N_M_HPP

#include "../core/dtype.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "../prune/mask.hpp"
#include "concepts.hpp"
#include "unpack.hpp"

#include <array>
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
/// values[(t * steps + s) * 16 + l]. Its place in the group is the s-th `index_bits`-bit number of
/// the lane's bit stream: 32-bit words, least significant bit first, word w at
/// indices[(t * words + w) * 16 + l].
template <int N, int M, float_storage T = float>
struct n_m {
    static_assert(1 <= N && N <= M && M <= 32, "packed n_m<N, M> needs 1 <= N <= M <= 32");

    using value_type = T;
    static constexpr int n = N;
    static constexpr int m = M;
    /// ceil(log2 M); none where every column is kept.
    static constexpr int index_bits = N == M ? 0 : std::bit_width(static_cast<unsigned>(M - 1));

    std::size_t rows = 0;                    ///< output channels
    std::size_t cols = 0;                    ///< input features
    const T* values = nullptr;               ///< n_values(rows, cols) elements
    const std::uint32_t* indices = nullptr;  ///< n_indices(rows, cols) words

    static constexpr std::size_t tiles(std::size_t rows) noexcept {
        return (rows + tile_rows - 1) / tile_rows;
    }
    /// Slots of a row. A short last group of r columns has min(N, r).
    static constexpr std::size_t steps(std::size_t cols) noexcept {
        const std::size_t rest = cols % M;
        return cols / M * N + (rest < N ? rest : N);
    }
    /// 32-bit index words of a row.
    static constexpr std::size_t index_words(std::size_t cols) noexcept {
        return (steps(cols) * index_bits + 31) / 32;
    }
    static constexpr std::size_t n_values(std::size_t rows, std::size_t cols) noexcept {
        return tiles(rows) * steps(cols) * tile_rows;
    }
    static constexpr std::size_t n_indices(std::size_t rows, std::size_t cols) noexcept {
        return tiles(rows) * index_words(cols) * tile_rows;
    }
    /// Bytes of values and indices together, padding included.
    static constexpr std::size_t required_bytes(std::size_t rows, std::size_t cols) noexcept {
        return n_values(rows, cols) * sizeof(T) + n_indices(rows, cols) * sizeof(std::uint32_t);
    }

    constexpr std::size_t steps() const noexcept { return steps(cols); }
    constexpr std::size_t required_bytes() const noexcept { return required_bytes(rows, cols); }
    constexpr std::size_t output(std::size_t row) const noexcept { return row; }

    /// Itself: a layout and an owning layer are used alike.
    constexpr const n_m& view() const noexcept { return *this; }
    /// The same over other memory.
    constexpr n_m over(const T* all_values, const std::uint32_t* words) const noexcept {
        return {rows, cols, all_values, words};
    }

    PARE_ALWAYS_INLINE constexpr T value(std::size_t row, std::size_t step) const noexcept {
        PARE_ASSERT(row < rows && step < steps(cols), "index out of range");
        return values[(row / tile_rows * steps(cols) + step) * tile_rows + row % tile_rows];
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
template <float_storage T = float>
using dense = n_m<1, 1, T>;

inline namespace PARE_ARCH_NAMESPACE {

namespace detail {

// The columns a group stores, ascending: the kept ones and, where a mask keeps fewer than the
// group has slots, the first others (their value will be zero). False when too many are kept.
inline bool stored_columns(std::array<bool, 32>& kept, std::size_t length,
                           std::size_t slots) noexcept {
    std::size_t n = 0;
    for (std::size_t c = 0; c < length; ++c) n += kept[c];
    if (n > slots) return false;
    for (std::size_t c = 0; c < length && n < slots; ++c)
        if (!kept[c]) n += kept[c] = true;
    return true;
}

template <class Layout>
void write_index(std::uint32_t* indices, std::size_t cols, std::size_t row, std::size_t step,
                 std::size_t index) noexcept {
    const std::size_t bit = step * Layout::index_bits, shift = bit % 32;
    std::uint32_t* word = indices +
                          (row / tile_rows * Layout::index_words(cols) + bit / 32) * tile_rows +
                          row % tile_rows;
    const std::uint64_t bits = std::uint64_t{index} << shift;
    *word |= static_cast<std::uint32_t>(bits);
    if (shift + Layout::index_bits > 32) word[tile_rows] |= static_cast<std::uint32_t>(bits >> 32);
}

/// Writes a row of `cols` columns over zeroed memory: column c has the weight weight(c) where
/// kept(c).
template <class Layout, class Codec>
status pack_row(std::size_t row, std::size_t cols, auto&& weight, auto&& kept, const Codec& codec,
                typename Layout::value_type* values, std::uint32_t* indices) noexcept {
    typename Layout::value_type* value =
        values + row / tile_rows * Layout::steps(cols) * tile_rows + row % tile_rows;
    for (std::size_t begin = 0, step = 0; begin < cols; begin += Layout::m) {
        const std::size_t length = cols - begin < Layout::m ? cols - begin : Layout::m;
        std::array<bool, 32> stored{};
        for (std::size_t c = 0; c < length; ++c) stored[c] = kept(begin + c);
        if (!stored_columns(stored, length, length < Layout::n ? length : Layout::n))
            return error{errc::pattern_violated, "a group keeps more than N weights"};
        for (std::size_t c = 0; c < length; ++c) {
            if (!stored[c]) continue;
            if (kept(begin + c)) {
                const float w = weight(begin + c);
                const auto code = codec.encode(w);
                if (!is_finite(w) || !is_finite(to_float(code)))
                    return error{errc::not_a_number,
                                 "a kept weight is NaN, infinite or too large for its type"};
                value[step * tile_rows] = code;
            }
            if constexpr (Layout::index_bits > 0) write_index<Layout>(indices, cols, row, step, c);
            ++step;
        }
    }
    return {};
}

/// Whether the indices of a row name columns that exist and, where Ascending, ascend in a group.
template <class Layout>
bool row_is_valid(const Layout& packed, std::size_t row, bool ascending) noexcept {
    for (std::size_t s = 0; s < packed.steps(); ++s)
        if (packed.index(row, s) >= Layout::m || packed.column(row, s) >= packed.cols ||
            (ascending && s % Layout::n != 0 && packed.index(row, s) <= packed.index(row, s - 1)))
            return false;
    return true;
}

}  // namespace detail

/// Writes the kept weights (rows, cols) into `values` and `indices`, of exactly n_values() and
/// n_indices() elements, each weight passed through `codec`.
/// @return the layout over that memory; pattern_violated when a group keeps more than N,
/// not_a_number for a kept weight that is NaN or infinite, as given or as encoded, shape_mismatch,
/// buffer_too_small. After the first two the memory holds nothing of use.
template <int N, int M, class Codec>
result<n_m<N, M, typename Codec::value_type>> pack(matrix_view<const float> weights,
                                                   prune::const_mask_view kept, const Codec& codec,
                                                   std::span<typename Codec::value_type> values,
                                                   std::span<std::uint32_t> indices) noexcept {
    using T = typename Codec::value_type;
    using layout = n_m<N, M, T>;
    const std::size_t rows = weights.rows(), cols = weights.cols();
    if (kept.rows() != rows || kept.cols() != cols)
        return error{errc::shape_mismatch, "weights and mask differ in shape"};
    if (values.size() != layout::n_values(rows, cols) ||
        indices.size() != layout::n_indices(rows, cols))
        return error{errc::buffer_too_small, "pack: memory is not n_values and n_indices long"};
    for (T& v : values) v = codec.encode(0.0f);
    for (std::uint32_t& word : indices) word = 0;

    for (std::size_t r = 0; r < rows; ++r)
        if (auto ok = detail::pack_row<layout>(
                r, cols, [&](std::size_t c) { return weights(r, c); },
                [&](std::size_t c) { return kept(r, c); }, codec, values.data(), indices.data());
            !ok)
            return error{ok.error().code, ok.error().message, r};
    return layout{rows, cols, values.data(), indices.data()};
}

/// Whether every index names a column of its group, in ascending order: a kernel may run only on
/// weights that pass, so whoever takes packed bytes from outside checks them once.
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
    return {};
}

}  // namespace PARE_ARCH_NAMESPACE

static_assert(layout<n_m<2, 4, f16>> && layout<dense<float>>);
static_assert(n_m<2, 4, f16>::required_bytes(4096, 4096) * 8 == std::size_t{9} * 4096 * 4096);

}  // namespace pare::packed

#endif  // PARE_PACKED_N_M_HPP
