// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_GEMM_HPP
#define PARE_KERNEL_GEMM_HPP

#include "../core/executor.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "../packed/n_m.hpp"
#include "epilogue.hpp"
#include "reference.hpp"
#include "simd/n_m_panel.hpp"
#include "simd/n_m_rows.hpp"
#include "simd/panel.hpp"

#include <array>
#include <cstddef>
#include <span>
#include <type_traits>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {

namespace detail {

#if PARE_HAS_SIMD

/// Up to this many tokens the output channels lie in lanes, beyond it the tokens do.
inline constexpr std::size_t few_tokens = 12;
/// Tiles that a worker takes through a block of columns together.
inline constexpr std::size_t tiles_at_once = 16;

// visit.operator()<Tokens>(t) for groups of 8, 4 and 1 tokens that cover [0, tokens). The last
// group may reach beyond, never past the next multiple of 4.
inline void in_token_groups(std::size_t tokens, auto&& visit) noexcept {
    std::size_t t = 0;
    for (; t + 4 < tokens; t += 8) visit.template operator()<8>(t);
    if (t + 1 < tokens) visit.template operator()<4>(t);
    else if (t < tokens) visit.template operator()<1>(t);
}

// Tiles [first, end), at most tiles_at_once, times a few tokens. The columns are walked in blocks
// whose activations, copied side by side, stay in the first-level cache.
template <class Layout>
void few_tokens_block(const Layout& w, std::size_t first, std::size_t end,
                      matrix_view<const float> x, matrix_view<float> y,
                      std::span<const float> bias) noexcept {
    using kernel = simd::n_m_rows<Layout, 1, 1>;
    constexpr std::size_t grain_cols = kernel::grain / Layout::n * Layout::m;
    constexpr std::size_t pad = kernel::padding;
    constexpr std::size_t near_cols =
        grain_cols * few_tokens > 4096 ? grain_cols * few_tokens : 4096;
    alignas(64) std::array<float, near_cols + pad * few_tokens> near_x;
    alignas(64) std::array<float, tiles_at_once * few_tokens * packed::tile_rows> sums{};

    // Room for the tokens that groups are filled up with: they are zero, their sums are not used.
    const std::size_t tokens = x.rows() == 1 ? 1 : (x.rows() + 3) / 4 * 4;
    const std::size_t block_cols = near_cols / tokens / grain_cols * grain_cols;
    const std::size_t stride = block_cols + pad;
    for (std::size_t k = 0; k < w.cols; k += block_cols) {
        const std::size_t k_end = w.cols - k < block_cols ? w.cols : k + block_cols;
        for (std::size_t t = 0; t < tokens; ++t) {
            float* to = &near_x[t * stride];
            std::size_t c = 0;
            if (t < x.rows() && x.col_stride() == 1)
                for (const float* from = &x(t, k); c < k_end - k; ++c) to[c] = from[c];
            else if (t < x.rows())
                for (; c < k_end - k; ++c) to[c] = x(t, k + c);
            for (; c < stride; ++c) to[c] = 0.0f;
        }
        const std::size_t steps = Layout::steps(k), steps_end = Layout::steps(k_end);
        const auto add = [&]<std::size_t Tokens, std::size_t Tiles>(std::size_t tile,
                                                                    std::size_t t) {
            simd::n_m_rows<Layout, Tokens, Tiles>::add(
                w, tile, steps, steps_end, &near_x[t * stride], stride,
                &sums[((tile - first) * tokens + t) * packed::tile_rows], tokens);
        };
        std::size_t tile = first;
        // Memory is read fastest from two places; indices are one beside the values.
        if constexpr (Layout::index_bits == 0)
            if (x.rows() == 1)
                for (; tile + 2 <= end; tile += 2) add.template operator()<1, 2>(tile, 0);
        for (; tile < end; ++tile)
            in_token_groups(x.rows(), [&]<std::size_t Tokens>(std::size_t t) {
                add.template operator()<Tokens, 1>(tile, t);
            });
    }
    for (std::size_t r = first * packed::tile_rows; r < end * packed::tile_rows && r < w.rows; ++r)
        for (std::size_t t = 0; t < x.rows(); ++t) {
            const std::size_t tile = r / packed::tile_rows - first, lane = r % packed::tile_rows;
            y(t, r) = sums[(tile * tokens + t) * packed::tile_rows + lane] +
                      (bias.empty() ? 0.0f : bias[r]);
        }
}

template <class Layout>
void gemm_few_tokens(const Layout& w, matrix_view<const float> x, matrix_view<float> y,
                     std::span<const float> bias, auto& run) noexcept {
    run.parallel_for(
        Layout::tiles(w.rows), tiles_at_once / 2, [&](std::size_t begin, std::size_t end) {
            for (; begin < end; begin += tiles_at_once) {
                const std::size_t stop = end - begin < tiles_at_once ? end : begin + tiles_at_once;
                few_tokens_block(w, begin, stop, x, y, bias);
            }
        });
}

/// Tokens of a panel, floats of the panel (the first-level cache holds it) and of the sums of a
/// block of output channels: most of a worker's stack.
inline constexpr std::size_t panel_tokens = 64;
inline constexpr std::size_t panel_floats = 8 * 1024;
inline constexpr std::size_t sums_floats = 32 * 1024;

template <std::size_t Tokens, class Layout>
void panel_block(const Layout& w, std::size_t first_row, std::size_t n_rows,
                 matrix_view<const float> x, matrix_view<float> y,
                 std::span<const float> bias) noexcept {
    constexpr std::size_t block_cols = panel_floats / Tokens / Layout::m * Layout::m;
    alignas(64) std::array<float, panel_floats> panel;
    alignas(64) std::array<float, sums_floats> sums;
    const std::size_t tiles = Layout::tiles(n_rows);
    if (w.cols == 0) sums.fill(0.0f);  // else the first block of columns puts the first sums there
    for (std::size_t k = 0; k < w.cols; k += block_cols) {
        const std::size_t n = w.cols - k < block_cols ? w.cols - k : block_cols;
        simd::pack_panel<Tokens>(x.block(0, k, x.rows(), n), panel.data());
        for (std::size_t tile = 0; tile < tiles; ++tile)
            simd::n_m_panel<Layout, Tokens>::add(w, first_row / packed::tile_rows + tile, k, n,
                                                 panel.data(),
                                                 &sums[tile * packed::tile_rows * Tokens]);
    }
    simd::store_panel<Tokens>(sums.data(), bias.empty() ? bias : bias.subspan(first_row, n_rows),
                              y.block(0, first_row, y.rows(), n_rows));
}

template <class Layout, class Executor>
void gemm_panels(const Layout& w, matrix_view<const float> x, matrix_view<float> y,
                 std::span<const float> bias, Executor& run) noexcept {
    const std::size_t panels = (x.rows() + panel_tokens - 1) / panel_tokens;
    // Every block packs its panels anew, so blocks are large; smaller where threads share them out.
    std::size_t block_rows = sums_floats / panel_tokens;
    if constexpr (!std::is_same_v<std::remove_cv_t<Executor>, serial>)
        while (block_rows > 128 && w.rows * panels < 16 * block_rows) block_rows /= 2;
    const std::size_t row_blocks = (w.rows + block_rows - 1) / block_rows;
    run.parallel_for(row_blocks * panels, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t item = begin; item < end; ++item) {
            const std::size_t t = item % panels * panel_tokens, row = item / panels * block_rows;
            const std::size_t n = w.rows - row < block_rows ? w.rows - row : block_rows;
            const std::size_t tokens = x.rows() - t < panel_tokens ? x.rows() - t : panel_tokens;
            const auto x_panel = x.block(t, 0, tokens, x.cols());
            const auto y_panel = y.block(t, 0, tokens, y.cols());
            if (tokens > 32) panel_block<64>(w, row, n, x_panel, y_panel, bias);
            else if (tokens > 16) panel_block<32>(w, row, n, x_panel, y_panel, bias);
            else panel_block<16>(w, row, n, x_panel, y_panel, bias);
        }
    });
}

#endif  // PARE_HAS_SIMD

}  // namespace detail

/// y = x W^T + bias for packed weights W (out_features, in_features), x (tokens, in_features) and
/// y (tokens, out_features), each token-major (columns consecutive) or feature-major (rows
/// consecutive: pass `view.transposed()`), independently. y must overlap neither x nor the bias:
/// what it then holds is undefined. Allocates nothing; uses about 180 KiB of stack. The same bits
/// for every executor and thread count.
/// @return shape_mismatch, or not_contiguous for a view with neither stride 1; y is then untouched.
template <packed::n_m_weights Weights, executor Executor = serial>
status gemm(const Weights& weights, matrix_view<const float> x, matrix_view<float> y,
            Executor&& run = {}, const epilogue& after = {}) noexcept {
    const auto& w = weights.view();
    if (x.cols() != w.cols || y.cols() != w.rows || x.rows() != y.rows())
        return error{errc::shape_mismatch, "gemm: x (tokens, in), y (tokens, out) and W disagree"};
    if (!after.bias.empty() && after.bias.size() != w.rows)
        return error{errc::shape_mismatch, "gemm: one bias per output channel"};
    if ((x.col_stride() != 1 && x.row_stride() != 1) ||
        (y.col_stride() != 1 && y.row_stride() != 1))
        return error{errc::not_contiguous, "gemm: x and y need consecutive rows or columns"};
    if (y.empty()) return {};
#if PARE_HAS_SIMD
    if (x.rows() <= detail::few_tokens) detail::gemm_few_tokens(w, x, y, after.bias, run);
    else detail::gemm_panels(w, x, y, after.bias, run);
#else
    run.parallel_for(w.rows, packed::tile_rows, [&](std::size_t begin, std::size_t end) {
        gemm_ref(w, begin, end, x, y, after);
    });
#endif
    return {};
}

/// y = W x + bias for one token, x (in_features), y (out_features).
template <packed::n_m_weights Weights, executor Executor = serial>
status gemv(const Weights& weights, std::span<const float> x, std::span<float> y,
            Executor&& run = {}, const epilogue& after = {}) noexcept {
    return gemm(weights, matrix_view<const float>(x.data(), 1, x.size()),
                matrix_view<float>(y.data(), 1, y.size()), run, after);
}

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

namespace pare {
using kernel::epilogue;
using kernel::gemm;
using kernel::gemv;
}  // namespace pare

#endif  // PARE_KERNEL_GEMM_HPP
