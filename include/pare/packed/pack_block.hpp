// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PACKED_PACK_BLOCK_HPP
#define PARE_PACKED_PACK_BLOCK_HPP

#include "../core/buffer.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "../prune/mask.hpp"
#include "block.hpp"
#include "pack_row.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::packed::inline PARE_ARCH_NAMESPACE {
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
                if constexpr (is_coded<T>) {
                    const code_place at = layout::place(i, r);
                    values[at.word] |= std::uint32_t{T::encode(weights(r, c), packed.grid_at(r, c))}
                                       << at.shift;
                } else {
                    const auto code = codec.encode(weights(r, c));
                    if (!is_finite(weights(r, c)) || !is_finite(to_float(code)))
                        ok = error{detail::not_storable.code, detail::not_storable.message, r};
                    values[i * B + r % B] = code;
                }
            });
        if (!ok) return ok.error();
        return packed;
    }
}

}  // namespace pare::packed::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PACKED_PACK_BLOCK_HPP
