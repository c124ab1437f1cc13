// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_FEW_TOKENS_HPP
#define PARE_KERNEL_FEW_TOKENS_HPP

#include "../core/tensor_view.hpp"
#include "../packed/hinm.hpp"
#include "../packed/n_m.hpp"
#include "epilogue.hpp"
#include "simd/decode.hpp"
#include "simd/n_m_code_rows.hpp"
#include "simd/n_m_rows.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <type_traits>

// Products with so few tokens that output channels, not tokens, lie in lanes.

#if PARE_HAS_SIMD
namespace pare::kernel::inline PARE_ARCH_NAMESPACE {
namespace detail {

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

/// Sums of at most tiles_at_once neighbouring tiles times a few tokens.
class few_sums {
  public:
    explicit few_sums(std::size_t tokens) noexcept : n_tokens_(tokens), tokens_(padded(tokens)) {}

    /// Tokens that groups of them cover.
    static constexpr std::size_t padded(std::size_t tokens) noexcept {
        return tokens == 1 ? 1 : (tokens + 3) / 4 * 4;
    }

    /// Adds the tiles [first, end) of w times activations: copy(t, begin, end, to) puts those of
    /// token t for the columns [begin, end) side by side. The columns are walked in blocks whose
    /// activations stay in the first-level cache.
    template <class Layout>
    void add(const Layout& w, std::size_t first, std::size_t end, auto&& copy) noexcept {
        using kernel = simd::n_m_rows<packed::n_m<Layout::n, Layout::m, float>, 1, 1>;
        constexpr std::size_t grain_cols = (packed::is_coded<typename Layout::value_type>
                                                ? std::lcm(std::size_t{32}, std::size_t{Layout::n})
                                                : kernel::grain) /
                                           Layout::n * Layout::m;
        constexpr std::size_t pad = kernel::padding;
        constexpr std::size_t near_cols =
            grain_cols * few_tokens > 4096 ? grain_cols * few_tokens : 4096;
        alignas(64) std::array<float, near_cols + pad * few_tokens> near_x;

        const std::size_t block_cols = near_cols / tokens_ / grain_cols * grain_cols;
        const std::size_t stride = block_cols + pad;
        for (std::size_t k = 0; k < w.cols; k += block_cols) {
            const std::size_t k_end = w.cols - k < block_cols ? w.cols : k + block_cols;
            for (std::size_t t = 0; t < tokens_; ++t) {
                float* to = &near_x[t * stride];
                std::size_t c = 0;
                if (t < n_tokens_) copy(t, k, k_end, to), c = k_end - k;
                for (; c < stride; ++c) to[c] = 0.0f;
            }
            const std::size_t steps = Layout::steps(k), steps_end = Layout::steps(k_end);
            std::size_t tile = first;
            if constexpr (packed::is_coded<typename Layout::value_type>) {
                if (n_tokens_ == 1) {
                    // Bytes come faster from two places; arithmetic bounds the others.
                    constexpr bool two = Layout::index_bits == 0 && Layout::value_type::bits == 8;
                    const auto add_tiles = [&]<std::size_t Tiles>() {
                        for (; tile + Tiles <= end; tile += Tiles)
                            simd::n_m_code_rows<Layout, Tiles>::add(
                                w, tile, steps, steps_end, near_x.data(),
                                &sums_[(tile - first) * packed::tile_rows]);
                    };
                    if constexpr (two) add_tiles.template operator()<2>();
                    add_tiles.template operator()<1>();
                    continue;
                }
                constexpr std::size_t piece =
                    (256 - 1) / kernel::grain * kernel::grain + kernel::grain;
                simd::decoded_tile<Layout, piece> decoded;
                for (; tile < end; ++tile)
                    for (std::size_t s = steps; s < steps_end; s += piece) {
                        const std::size_t n = steps_end - s < piece ? steps_end - s : piece;
                        const auto floats = decoded(w, tile, s, s + n);
                        in_token_groups(n_tokens_, [&]<std::size_t Tokens>(std::size_t t) {
                            simd::n_m_rows<std::remove_const_t<decltype(floats)>, Tokens, 1>::add(
                                floats, 0, s, s + n,
                                &near_x[t * stride + (s - steps) / Layout::n * Layout::m], stride,
                                &sums_[((tile - first) * tokens_ + t) * packed::tile_rows],
                                tokens_);
                        });
                    }
            } else {
                const auto add_tiles = [&]<std::size_t Tokens, std::size_t Tiles>(std::size_t at,
                                                                                  std::size_t t) {
                    simd::n_m_rows<Layout, Tokens, Tiles>::add(
                        w, at, steps, steps_end, &near_x[t * stride], stride,
                        &sums_[((at - first) * tokens_ + t) * packed::tile_rows], tokens_);
                };
                // Memory is read fastest from two places; indices are one beside the values.
                if constexpr (Layout::index_bits == 0)
                    if (n_tokens_ == 1)
                        for (; tile + 2 <= end; tile += 2)
                            add_tiles.template operator()<1, 2>(tile, 0);
                for (; tile < end; ++tile)
                    in_token_groups(n_tokens_, [&]<std::size_t Tokens>(std::size_t t) {
                        add_tiles.template operator()<Tokens, 1>(tile, t);
                    });
            }
        }
    }

    /// Of a row, counted from the first tile's first.
    float operator()(std::size_t row, std::size_t token) const noexcept {
        return sums_[(row / packed::tile_rows * tokens_ + token) * packed::tile_rows +
                     row % packed::tile_rows];
    }

  private:
    std::size_t n_tokens_;
    std::size_t tokens_;  // with those that groups are filled up with, whose sums are not used
    alignas(64) std::array<float, tiles_at_once * few_tokens * packed::tile_rows> sums_{};
};

// Tiles [first, end), at most tiles_at_once.
template <packed::n_m_weights Layout>
void few_tokens_block(const Layout& w, std::size_t first, std::size_t end,
                      matrix_view<const float> x, matrix_view<float> y,
                      const epilogue& after) noexcept {
    few_sums sums(x.rows());
    sums.add(w, first, end, [&](std::size_t t, std::size_t begin, std::size_t stop, float* to) {
        std::size_t c = begin;
        if (x.col_stride() == 1)
            for (const float* from = &x(t, begin); c < stop; ++c) to[c - begin] = from[c - begin];
        for (; c < stop; ++c) to[c - begin] = x(t, c);
    });
    const std::size_t row = first * packed::tile_rows;
    for (std::size_t r = row; r < end * packed::tile_rows && r < w.rows; ++r)
        for (std::size_t t = 0; t < x.rows(); ++t) y(t, r) = finish(after, r, sums(r - row, t));
}

template <packed::n_m_weights Layout>
void gemm_few_tokens(const Layout& w, matrix_view<const float> x, matrix_view<float> y,
                     const epilogue& after, auto& run) noexcept {
    run.parallel_for(
        Layout::tiles(w.rows), tiles_at_once / 2, [&](std::size_t begin, std::size_t end) {
            for (; begin < end; begin += tiles_at_once) {
                const std::size_t stop = end - begin < tiles_at_once ? end : begin + tiles_at_once;
                few_tokens_block(w, begin, stop, x, y, after);
            }
        });
}

// to[i] = x[stride * column], for the columns [begin, end) of a tile, two of a word at a time.
// Meanwhile the weights at `next` are asked for, a line every four columns: memory does not wait.
template <packed::hinm_weights Layout>
void gather(const Layout& w, std::size_t tile, std::size_t begin, std::size_t end, const float* x,
            auto stride, float* to, const void* next) noexcept {
    if (begin < end && begin % 2 != 0) *to++ = x[stride * w.tile_column(tile, begin++)];
    const std::uint32_t* two = w.columns + tile * w.column_words() + begin / 2;
    const auto pair = [&] {
        to[0] = x[stride * (*two & 0xffffu)];
        to[1] = x[stride * (*two >> 16)];
        begin += 2, ++two, to += 2;
    };
    for (std::size_t line = 0, lines = (end - begin) / 4; line < lines; ++line) {
        simd::prefetch(next, 64 * line);
        pair(), pair();
    }
    while (begin + 2 <= end) pair();
    if (begin < end) *to = x[stride * w.tile_column(tile, begin)];
}

// Places [first, end) of one tile, at most tiles_at_once tiles of the compact matrix.
template <packed::hinm_weights Layout>
void few_tokens_block(const Layout& w, std::size_t first, std::size_t end,
                      matrix_view<const float> x, matrix_view<float> y,
                      const epilogue& after) noexcept {
    using one = std::integral_constant<std::size_t, 1>;
    few_sums sums(x.rows());
    const std::size_t tile = first / w.tile_rows, at = w.compact_row(first) / packed::tile_rows;
    const auto add = [&](const auto& part, std::size_t first_col) {
        sums.add(part, at, at + part.tiles(end - first),
                 [&](std::size_t t, std::size_t begin, std::size_t stop, float* to) {
                     const auto* next =
                         part.values + part.element(at, part.cols, part.steps(begin));
                     begin += first_col, stop += first_col;
                     if (x.col_stride() == 1)
                         gather(w, tile, begin, stop, &x(t, 0), one{}, to, next);
                     else gather(w, tile, begin, stop, &x(t, 0), x.col_stride(), to, next);
                 });
    };
    // Short lists, each in a place of its own: the rows of these places, the next tile's columns.
    for (std::size_t i = first; i < end && !w.in_place; i += 16)
        simd::prefetch<2>(&w.outputs[i], 0);
    for (std::size_t i = 0; i < w.column_words(); i += 16)
        simd::prefetch<2>(&w.columns[tile * w.column_words() + i],
                          w.column_words() * sizeof(std::uint32_t));
    if (w.dense > 0) add(w.compact_dense(), 0);
    add(w.compact_grouped(), w.dense);
    for (std::size_t i = first; i < end; ++i) {
        const std::size_t r = w.output(i);
        for (std::size_t t = 0; t < x.rows(); ++t) y(t, r) = finish(after, r, sums(i - first, t));
    }
}

template <packed::hinm_weights Layout>
void gemm_few_tokens(const Layout& w, matrix_view<const float> x, matrix_view<float> y,
                     const epilogue& after, auto& run) noexcept {
    run.parallel_for(w.n_tiles(), 1, [&](std::size_t tile, std::size_t end_tile) {
        for (; tile < end_tile; ++tile)
            w.in_blocks(tile, tiles_at_once, [&](std::size_t first, std::size_t end) {
                few_tokens_block(w, first, end, x, y, after);
            });
    });
}

}  // namespace detail
}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_FEW_TOKENS_HPP
