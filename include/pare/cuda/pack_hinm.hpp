// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CUDA_PACK_HINM_HPP
#define PARE_CUDA_PACK_HINM_HPP

#include "../packed/hinm.hpp"
#include "hinm.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::cuda {

/// The shape that pack() gives packed weights. Columns that rows keep whole go two to a group of
/// four, so that the same instruction takes them.
constexpr hinm_shape shape_of(const packed::hinm_shape& s) noexcept {
    const std::size_t n_groups = (s.dense + 1) / 2 + (s.kept - s.dense + 3) / 4;
    return {s.rows, s.cols, s.tile_rows, (4 * n_groups + slab_depth - 1) / slab_depth, s.in_place};
}

inline namespace PARE_ARCH_NAMESPACE {

/// Lays weights out anew in `values` and `words`, of exactly n_values() and n_words() elements of
/// shape_of(weights). packed::unpack() turns the result into the dense matrix again.
/// @return the layout over that memory; invalid_argument unless tiles have 32, 64 or 128 rows,
/// buffer_too_small
/// @pre packed::check(weights)
template <half_storage T>
result<hinm<T>> pack(const packed::hinm<2, 4, T>& weights, std::span<T> values,
                     std::span<std::uint32_t> words) noexcept {
    if (weights.tile_rows != 32 && weights.tile_rows != 64 && weights.tile_rows != 128)
        return error{errc::invalid_argument, "cuda::pack: tiles have 32, 64 or 128 rows"};
    hinm<T> made{shape_of(weights)};
    if (values.size() != made.n_values() || words.size() != made.n_words())
        return error{errc::buffer_too_small, "cuda::pack: memory is not n_values and n_words long"};
    made = made.over(values.data(), words.data());

    // Slots that nothing fills are zeros at the first two columns of their groups: the instruction
    // wants indices that ascend.
    for (T& value : values) value = {};
    for (std::uint32_t& word : words.first(made.n_metadata())) word = 0x44444444;
    const std::span<std::uint32_t> columns = words.subspan(made.n_metadata(), made.n_columns());
    for (std::uint32_t& column : columns) column = no_column;

    const std::size_t dense_groups = (weights.dense + 1) / 2;
    for (std::size_t t = 0; t < made.n_tiles(); ++t) {
        const auto tile = columns.subspan(t * made.n_slabs * slab_depth, made.n_slabs * slab_depth);
        for (std::size_t c = 0; c < weights.kept; ++c)
            tile[c < weights.dense ? c / 2 * 4 + c % 2 : 4 * dense_groups + c - weights.dense] =
                static_cast<std::uint32_t>(weights.tile_column(t, c));
    }

    const auto dense = weights.compact_dense();
    const auto grouped = weights.compact_grouped();
    for (std::size_t i = 0; i < made.rows; ++i) {
        if (!made.in_place) words[made.n_metadata() + made.n_columns() + i] = weights.outputs[i];
        const std::size_t row = weights.compact_row(i);
        for (std::size_t c = 0; c < weights.dense; ++c)
            values[made.value_at(i, c)] = dense.value(row, c);
        for (std::size_t s = 0; s < grouped.steps(); ++s) {
            const std::size_t slot = 2 * dense_groups + s;
            values[made.value_at(i, slot)] = grouped.value(row, s);
            const auto at = made.metadata_at(i, slot);
            words[at.word] = (words[at.word] & ~(3u << at.shift)) |
                             static_cast<std::uint32_t>(grouped.index(row, s)) << at.shift;
        }
    }
    return made;
}

}  // namespace PARE_ARCH_NAMESPACE

static_assert(packed::layout<hinm<f16>> && packed::layout<hinm<bf16>>);

}  // namespace pare::cuda

#endif  // PARE_CUDA_PACK_HINM_HPP
