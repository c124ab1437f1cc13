// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_TOKEN_PANELS_HPP
#define PARE_KERNEL_TOKEN_PANELS_HPP

#include "../core/executor.hpp"
#include "../core/tensor_view.hpp"
#include "../packed/hinm.hpp"
#include "../packed/n_m.hpp"
#include "epilogue.hpp"
#include "simd/decode.hpp"
#include "simd/n_m_panel.hpp"
#include "simd/panel.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

// Products with so many tokens that they, not output channels, lie in lanes.

#if PARE_HAS_SIMD
namespace pare::kernel::inline PARE_ARCH_NAMESPACE {
namespace detail {

/// Tokens of a panel, floats of the panel (the first-level cache holds it) and of the sums of a
/// block of output channels: most of a worker's stack.
inline constexpr std::size_t panel_tokens = 64;
inline constexpr std::size_t panel_floats = 8 * 1024;
inline constexpr std::size_t sums_floats = 32 * 1024;

/// Sums of a block of output channels times Tokens tokens.
template <std::size_t Tokens>
class panel_sums {
  public:
    /// Adds `n_tiles` tiles of w, `first` onward, times activations: pack(begin, n, panel) makes
    /// the panel of n columns. The first block of columns of all puts its sums there.
    template <class Layout>
    void add(const Layout& w, std::size_t first, std::size_t n_tiles, auto&& pack) noexcept {
        constexpr std::size_t block_cols = panel_floats / Tokens / Layout::m * Layout::m;
        alignas(64) std::array<float, panel_floats> panel;
        for (std::size_t k = 0; k < w.cols; k += block_cols, empty_ = false) {
            const std::size_t n = w.cols - k < block_cols ? w.cols - k : block_cols;
            pack(k, n, panel.data());
            for (std::size_t tile = 0; tile < n_tiles; ++tile) {
                float* const to = &sums_[tile * packed::tile_rows * Tokens];
                // The next tile, else the first one's next block, else the next block's first.
                const bool turns = tile + 1 == n_tiles, ends = k + n == w.cols;
                const std::size_t next_tile = !turns ? tile + 1 : ends ? n_tiles : 0;
                const std::size_t next_step = Layout::steps(!turns ? k : ends ? 0 : k + n);
                const std::size_t next = Layout::element(first + next_tile, w.cols, next_step);
                if constexpr (packed::is_coded<typename Layout::value_type>) {
                    const std::size_t begin = Layout::steps(k), end = Layout::steps(k + n);
                    simd::decoded_tile<Layout, block_cols> decoded;
                    const auto floats = decoded(w, first + tile, begin, end);
                    for (std::size_t i = 0; i < Layout::element(0, 0, end - begin); i += 16)
                        simd::prefetch<2>(w.values, (next + i) * sizeof(std::uint32_t));
                    simd::n_m_panel<std::remove_const_t<decltype(floats)>, Tokens>::add(
                        floats, 0, k, n, panel.data(), empty_, to, begin * packed::tile_rows);
                } else {
                    simd::n_m_panel<Layout, Tokens>::add(w, first + tile, k, n, panel.data(),
                                                         empty_, to, next);
                }
            }
        }
    }

    /// (rows, Tokens)
    const float* data() noexcept {
        if (empty_) sums_.fill(0.0f);
        return sums_.data();
    }

  private:
    bool empty_ = true;
    alignas(64) std::array<float, sums_floats> sums_;
};

// visit.operator()<Tokens>(t, n) for the panel of n tokens that begins at token t.
inline void in_panel(std::size_t tokens, std::size_t panel, auto&& visit) noexcept {
    const std::size_t t = panel * panel_tokens;
    const std::size_t n = tokens - t < panel_tokens ? tokens - t : panel_tokens;
    if (n > 32) visit.template operator()<64>(t, n);
    else if (n > 16) visit.template operator()<32>(t, n);
    else visit.template operator()<16>(t, n);
}

/// Panels of tokens of x (tokens, in_features).
struct packed_tokens {
    matrix_view<const float> x;

    /// What puts the columns [k, k + n_cols) of n tokens, `first` onward, into a panel.
    template <std::size_t Tokens>
    auto panel(std::size_t first, std::size_t n) const noexcept {
        return [=, this](std::size_t k, std::size_t n_cols, float* panel) {
            simd::pack_panel<Tokens>(x.block(first, k, n, n_cols), panel);
        };
    }
};

/// y = W times what `activations` makes panels of.
template <packed::n_m_weights Layout, class Executor>
void multiply_panels(const Layout& w, const auto& activations, matrix_view<float> y,
                     const epilogue& after, Executor& run) noexcept {
    const std::size_t panels = (y.rows() + panel_tokens - 1) / panel_tokens;
    // Every block packs its panels anew, so blocks are large; smaller where threads share them out.
    std::size_t block_rows = sums_floats / panel_tokens;
    if constexpr (!std::is_same_v<std::remove_cv_t<Executor>, serial>)
        while (block_rows > 128 && w.rows * panels < 16 * block_rows) block_rows /= 2;
    const std::size_t row_blocks = (w.rows + block_rows - 1) / block_rows;
    run.parallel_for(row_blocks * panels, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t item = begin; item < end; ++item) {
            const std::size_t row = item / panels * block_rows;
            const std::size_t n_rows = w.rows - row < block_rows ? w.rows - row : block_rows;
            in_panel(y.rows(), item % panels,
                     [&]<std::size_t Tokens>(std::size_t t, std::size_t n) {
                         panel_sums<Tokens> sums;
                         sums.add(w, row / packed::tile_rows, Layout::tiles(n_rows),
                                  activations.template panel<Tokens>(t, n));
                         simd::store_panel<Tokens>(sums.data(), part_of(after, row, n_rows),
                                                   y.block(t, row, n, n_rows));
                     });
        }
    });
}

// Places [first, end) of a tile times a panel of tokens; tokens consecutive in x.
template <std::size_t Tokens, packed::hinm_weights Layout>
void panel_block(const Layout& w, std::size_t first, std::size_t end, matrix_view<const float> x,
                 matrix_view<float> y, const epilogue& after) noexcept {
    panel_sums<Tokens> sums;
    const std::size_t tile = first / w.tile_rows, at = w.compact_row(first) / packed::tile_rows;
    const auto add = [&](const auto& part, std::size_t first_col) {
        sums.add(part, at, part.tiles(end - first),
                 [&](std::size_t begin, std::size_t n, float* panel) {
                     for (std::size_t c = 0; c < n; ++c)
                         simd::pack_column<Tokens>(x, w.tile_column(tile, first_col + begin + c),
                                                   panel + c * Tokens);
                 });
    };
    // The rows of y lie anywhere: prefetched here, they are near when their sums are.
    for (std::size_t i = first; i < end && y.row_stride() == 1; ++i)
        for (std::size_t t = 0; t < y.rows(); t += 64 / sizeof(float))
            simd::prefetch<2, true>(&y(t, w.output(i)), 0);
    if (w.dense > 0) add(w.compact_dense(), 0);
    add(w.compact_grouped(), w.dense);
    if (w.in_place)
        return simd::store_panel<Tokens>(sums.data(), part_of(after, first, end - first),
                                         y.block(0, first, y.rows(), end - first));
    const float* row = sums.data();
    for (std::size_t i = first; i < end; ++i, row += Tokens) {
        const std::size_t r = w.output(i);
        simd::store_panel<Tokens>(row, part_of(after, r, 1), y.block(0, r, y.rows(), 1));
    }
}

// A panel after the other, so that its activations stay near while all tiles gather from them.
template <packed::hinm_weights Layout>
void gemm_panels(const Layout& w, matrix_view<const float> x, matrix_view<float> y,
                 const epilogue& after, auto& run) noexcept {
    const std::size_t panels = (x.rows() + panel_tokens - 1) / panel_tokens;
    run.parallel_for(w.n_tiles() * panels, 1, [&](std::size_t begin, std::size_t stop) {
        for (std::size_t item = begin; item < stop; ++item)
            in_panel(x.rows(), item / w.n_tiles(),
                     [&]<std::size_t Tokens>(std::size_t t, std::size_t n) {
                         w.in_blocks(item % w.n_tiles(), sums_floats / Tokens / packed::tile_rows,
                                     [&](std::size_t first, std::size_t end) {
                                         panel_block<Tokens>(w, first, end,
                                                             x.block(t, 0, n, x.cols()),
                                                             y.block(t, 0, n, y.cols()), after);
                                     });
                     });
    });
}

template <packed::n_m_weights Layout>
void gemm_panels(const Layout& w, matrix_view<const float> x, matrix_view<float> y,
                 const epilogue& after, auto& run) noexcept {
    multiply_panels(w, packed_tokens{x}, y, after, run);
}

}  // namespace detail
}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_TOKEN_PANELS_HPP
