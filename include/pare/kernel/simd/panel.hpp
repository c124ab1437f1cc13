// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_PANEL_HPP
#define PARE_KERNEL_SIMD_PANEL_HPP

#include "../../core/tensor_view.hpp"
#include "../epilogue.hpp"
#include "activation.hpp"
#include "vec.hpp"

#include <array>
#include <cstddef>

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// column[t] = x(t, k) for the at most Tokens rows of x, zero for the tokens it lacks. A call, with
/// a view on the stack, would take longer.
template <std::size_t Tokens>
PARE_ALWAYS_INLINE inline void pack_column(const matrix_view<const float>& x, std::size_t k,
                                           float* column) noexcept {
    const std::size_t tokens = x.rows();
    std::size_t t = 0;
    if (x.row_stride() == 1)
        for (; t + lanes <= tokens; t += lanes)
            vecf::load_unaligned(&x(t, k)).store_aligned(column + t);
    for (; t < tokens; ++t) column[t] = x(t, k);
    for (; t < Tokens; ++t) column[t] = 0.0f;
}

/// panel[k * Tokens + t] = x(t, k) for the at most Tokens rows of x, zero for the tokens it lacks.
template <std::size_t Tokens>
void pack_panel(matrix_view<const float> x, float* panel) noexcept {
    const std::size_t tokens = x.rows(), cols = x.cols();
    std::size_t done_cols = 0;
    if (x.col_stride() == 1) {
        done_cols = cols / 4 * 4;
        const std::size_t whole = tokens / lanes * lanes;
        for (std::size_t t = 0; t < whole; t += lanes)
            for (std::size_t k = 0; k < done_cols; k += 4) {
                const auto columns = load_transposed(&x(t, k), x.row_stride());
                for (std::size_t i = 0; i < 4; ++i)
                    columns[i].store_aligned(panel + (k + i) * Tokens + t);
            }
        for (std::size_t t = whole; t < Tokens; ++t)
            for (std::size_t k = 0; k < done_cols; ++k)
                panel[k * Tokens + t] = t < tokens ? x(t, k) : 0.0f;
    }
    // Pieces of rows that lie apart: the hardware does not foresee the next ones.
    constexpr std::size_t ahead = 24, line = 64 / sizeof(float);
    for (std::size_t k = done_cols; k < cols; ++k) {
        for (std::size_t t = 0; t < Tokens && x.col_stride() > Tokens; t += line)
            prefetch(x.data_handle(), ((k + ahead) * x.col_stride() + t) * sizeof(float));
        pack_column<Tokens>(x, k, panel + k * Tokens);
    }
}

/// to[t] = sums[t] of output channel r, finished; they may be the same.
inline void store_row(const float* sums, std::size_t tokens, const kernel::epilogue& after,
                      std::size_t r, float* to) noexcept {
    const vecf bias(after.bias.empty() ? 0.0f : after.bias[r]);
    const vecf scale(after.scale.empty() ? 1.0f : after.scale[r]);
    const std::size_t whole = tokens / lanes * lanes;
    for (std::size_t t = 0; t < whole; t += lanes)
        activate(after.then, vecf::load_unaligned(sums + t) * scale + bias).store_unaligned(to + t);
    for (std::size_t t = whole; t < tokens; ++t) to[t] = kernel::finish(after, r, sums[t]);
}

/// y(t, r) = sums[r * Tokens + t], finished, for every element of y.
template <std::size_t Tokens>
void store_panel(const float* sums, const kernel::epilogue& after, matrix_view<float> y) noexcept {
    const std::size_t tokens = y.rows(), rows = y.cols();
    std::size_t done_rows = 0;
    if (y.col_stride() == 1) {
        done_rows = rows / lanes * lanes;
        for (std::size_t r = 0; r < done_rows; r += lanes) {
            const vecf bias =
                after.bias.empty() ? vecf(0.0f) : vecf::load_unaligned(&after.bias[r]);
            const vecf scale =
                after.scale.empty() ? vecf(1.0f) : vecf::load_unaligned(&after.scale[r]);
            for (std::size_t t = 0; t < tokens; t += 4) {
                const auto columns = load_transposed(sums + r * Tokens + t, Tokens);
                const std::size_t n = tokens - t < 4 ? tokens - t : 4;
                for (std::size_t i = 0; i < n; ++i)
                    activate(after.then, columns[i] * scale + bias).store_unaligned(&y(t + i, r));
            }
        }
    }
    for (std::size_t r = done_rows; r < rows; ++r)
        if (y.row_stride() == 1) store_row(sums + r * Tokens, tokens, after, r, &y(0, r));
        else
            for (std::size_t t = 0; t < tokens; ++t)
                y(t, r) = kernel::finish(after, r, sums[r * Tokens + t]);
}

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_PANEL_HPP
