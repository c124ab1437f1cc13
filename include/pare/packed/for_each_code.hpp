// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PACKED_FOR_EACH_CODE_HPP
#define PARE_PACKED_FOR_EACH_CODE_HPP

#include "block.hpp"
#include "hinm.hpp"
#include "n_m.hpp"

#include <cstddef>

namespace pare::packed::inline PARE_ARCH_NAMESPACE {

/// visit(column, word, shift, grid) for the codes of the row output(i): each lies at bit `shift` of
/// values[word].
template <int N, int M, class T>
    requires(is_coded<T>)
void for_each_code(const n_m<N, M, T>& w, std::size_t i, auto&& visit) noexcept {
    for (std::size_t s = 0; s < w.steps(); ++s) {
        const auto at = w.place(i, w.cols, s);
        visit(w.column(i, s), at.word, at.shift, w.grid_of(i, T::group_of(s)));
    }
}
template <int N, int M, class T>
    requires(is_coded<T>)
void for_each_code(const hinm<N, M, T>& w, std::size_t i, auto&& visit) noexcept {
    const auto visit_part = [&](const auto& part, std::size_t first_col) {
        for_each_code(part, w.compact_row(i),
                      [&](std::size_t c, std::size_t word, std::size_t shift, const grid& of) {
                          visit(w.tile_column(i / w.tile_rows, first_col + c),
                                word + static_cast<std::size_t>(part.values - w.values), shift, of);
                      });
    };
    visit_part(w.compact_dense(), 0);
    visit_part(w.compact_grouped(), w.dense);
}
template <int B, class T>
    requires(is_coded<T>)
void for_each_code(const block<B, T>& w, std::size_t row, auto&& visit) noexcept {
    for (std::size_t band = 0; band < w.n_bands(); ++band)
        for (std::size_t r = row < B ? 0 : row - B + 1; r <= row; ++r)
            for (std::size_t i = w.first(band, r); i < w.first(band, r + 1); ++i) {
                const std::size_t col = band * w.band_cols + w.column_in_band(i);
                const std::size_t bit = (i * B + row % B) * T::bits;
                visit(col, bit / 32, bit % 32, w.grid_at(row, col));
            }
}

}  // namespace pare::packed::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PACKED_FOR_EACH_CODE_HPP
