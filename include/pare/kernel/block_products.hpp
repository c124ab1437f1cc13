// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_BLOCK_PRODUCTS_HPP
#define PARE_KERNEL_BLOCK_PRODUCTS_HPP

#include "../core/executor.hpp"
#include "../core/tensor_view.hpp"
#include "../packed/block.hpp"
#include "decoded_blocks.hpp"
#include "few_tokens.hpp"
#include "simd/block_panel.hpp"
#include "simd/block_rows.hpp"
#include "simd/panel.hpp"

#include <array>
#include <cstddef>
#include <span>
#include <type_traits>

// Products of block weights. Every row begins B - 1 rows above its own first sum, so rows are cut
// into long ranges, and further where threads share them out.

#if PARE_HAS_SIMD
namespace pare::kernel::inline PARE_ARCH_NAMESPACE {
namespace detail {

/// visit(other, first, end) for ranges of rows, each `most` long at most; all others of a range
/// follow each other.
template <class Executor>
void in_row_ranges(std::size_t rows, std::size_t most, std::size_t others, Executor& run,
                   auto&& visit) noexcept {
    if constexpr (!std::is_same_v<std::remove_cv_t<Executor>, serial>)
        while (most > 256 && rows * others < 8 * most) most /= 2;
    const std::size_t ranges = (rows + most - 1) / most;
    run.parallel_for(ranges * others, 1, [&](std::size_t item, std::size_t stop) {
        for (; item < stop; ++item) {
            const std::size_t first = item / others * most;
            visit(item % others, first, rows - first < most ? rows : first + most);
        }
    });
}

template <packed::block_weights Layout>
void few_tokens_rows(const Layout& w, std::size_t first, std::size_t end,
                     matrix_view<const float> x, matrix_view<float> y,
                     const epilogue& after) noexcept {
    constexpr std::size_t stride = Layout::band_cols;
    alignas(64) std::array<float, few_tokens * stride> near_x;
    alignas(64) std::array<float, few_tokens * 1024> sums;
    const std::size_t tokens = few_sums::padded(x.rows()), most = sums.size() / tokens;
    for (std::size_t row = first, n = 0; row < end; row += n) {
        n = end - row < most ? end - row : most;
        for (std::size_t i = 0; i < n * tokens; ++i) sums[i] = 0.0f;
        for (std::size_t band = 0; band < w.n_bands(); ++band) {
            for (std::size_t t = 0; t < tokens; ++t)
                for (std::size_t c = 0; c < w.cols_of(band); ++c)
                    near_x[t * stride + c] = t < x.rows() ? x(t, band * stride + c) : 0.0f;
            as_floats(w, band, row, row + n,
                      [&]<class Floats>(const Floats& floats, std::size_t begin, std::size_t stop) {
                          in_token_groups(x.rows(), [&]<std::size_t Tokens>(std::size_t t) {
                              simd::block_rows<Floats, Tokens>::add(
                                  floats, band, begin, stop, &near_x[t * stride], stride,
                                  &sums[(begin - row) * tokens + t], tokens);
                          });
                      });
        }
        for (std::size_t r = row; r < row + n; ++r)
            for (std::size_t t = 0; t < x.rows(); ++t)
                y(t, r) = finish(after, r, sums[(r - row) * tokens + t]);
    }
}

template <packed::block_weights Layout>
void gemm_few_tokens(const Layout& w, matrix_view<const float> x, matrix_view<float> y,
                     const epilogue& after, auto& run) noexcept {
    in_row_ranges(w.rows, w.rows, 1, run, [&](std::size_t, std::size_t first, std::size_t end) {
        few_tokens_rows(w, first, end, x, y, after);
    });
}

// The rows [first, end) times a panel of tokens.
template <std::size_t Tokens, packed::block_weights Layout>
void add_bands(const Layout& w, std::size_t first, std::size_t end, matrix_view<const float> x,
               float* to, std::size_t stride) noexcept {
    alignas(64) std::array<float, Layout::band_cols * Tokens> panel;
    for (std::size_t band = 0; band < w.n_bands(); ++band) {
        simd::pack_panel<Tokens>(x.block(0, band * Layout::band_cols, x.rows(), w.cols_of(band)),
                                 panel.data());
        as_floats(w, band, first, end,
                  [&]<class Floats>(const Floats& floats, std::size_t begin, std::size_t stop) {
                      simd::block_panel<Floats, Tokens>::add(
                          floats, band, simd::panel_columns<Tokens>{panel.data()},
                          {begin, stop, to + (begin - first) * stride, stride});
                  });
    }
}

template <std::size_t Tokens, packed::block_weights Layout>
void panel_rows(const Layout& w, std::size_t first, std::size_t end, matrix_view<const float> x,
                matrix_view<float> y, const epilogue& after) noexcept {
    if (y.row_stride() == 1 && y.rows() == Tokens) {  // summed where they belong
        for (std::size_t r = first; r < end; ++r)
            for (std::size_t t = 0; t < Tokens; t += simd::lanes)
                simd::vecf(0.0f).store_unaligned(&y(t, r));
        add_bands<Tokens>(w, first, end, x, &y(0, first), y.col_stride());
        for (std::size_t r = first; r < end && !is_nothing(after); ++r)
            simd::store_row(&y(0, r), Tokens, after, r, &y(0, r));
        return;
    }
    constexpr std::size_t rows_at_once = 12 * 1024 / Tokens;
    for (; first < end; first += rows_at_once) {
        const std::size_t n = end - first < rows_at_once ? end - first : rows_at_once;
        alignas(64) std::array<float, rows_at_once * Tokens> sums;
        sums.fill(0.0f);
        add_bands<Tokens>(w, first, first + n, x, sums.data(), Tokens);
        simd::store_panel<Tokens>(sums.data(), part_of(after, first, n),
                                  y.block(0, first, y.rows(), n));
    }
}

// As many panels of 32 or 16 tokens as it takes; a few left over are no panel.
template <packed::block_weights Layout>
void tokens_rows(const Layout& w, std::size_t first, std::size_t end, matrix_view<const float> x,
                 matrix_view<float> y, const epilogue& after) noexcept {
    constexpr std::size_t few = 4;
    for (std::size_t t = 0, n = 0; t < x.rows(); t += n) {
        n = x.rows() - t;
        const auto at_most = [&](std::size_t most) { n = n < most ? n : most; };
        const auto part = [&](auto view) { return view.block(t, 0, n, view.cols()); };
        if (n > 16 + few) {
            at_most(32);
            panel_rows<32>(w, first, end, part(x), part(y), after);
        } else if (n > few) {
            at_most(16);
            panel_rows<16>(w, first, end, part(x), part(y), after);
        } else {
            few_tokens_rows(w, first, end, part(x), part(y), after);
        }
    }
}

template <packed::block_weights Layout>
void gemm_panels(const Layout& w, matrix_view<const float> x, matrix_view<float> y,
                 const epilogue& after, auto& run) noexcept {
    constexpr std::size_t at_once = 32, near_bytes = 4 << 20;
    const std::size_t panels = (x.rows() + at_once - 1) / at_once;
    // Many panels share weights that a cache holds; two would rather be packed once.
    std::size_t most = w.rows;
    while (panels > 2 && most > 256 && w.required_bytes() / w.rows * most > near_bytes) most /= 2;
    in_row_ranges(w.rows, most, panels, run,
                  [&](std::size_t panel, std::size_t first, std::size_t end) {
                      const std::size_t t = panel * at_once, left = x.rows() - t;
                      const std::size_t n = left < at_once ? left : at_once;
                      tokens_rows(w, first, end, x.block(t, 0, n, x.cols()),
                                  y.block(t, 0, n, y.cols()), after);
                  });
}

}  // namespace detail
}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_BLOCK_PRODUCTS_HPP
