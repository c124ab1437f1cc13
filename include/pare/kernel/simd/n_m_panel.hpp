// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_N_M_PANEL_HPP
#define PARE_KERNEL_SIMD_N_M_PANEL_HPP

#include "../../packed/n_m.hpp"
#include "index_stream.hpp"
#include "vec.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// Tokens in lanes: one tile of 16 output channels times a panel of activations,
/// panel[k * Tokens + t], the columns [first_col, first_col + block_cols) of Tokens tokens. The
/// panel is meant to stay in the first-level cache while tile after tile passes over it. The kept
/// columns of neighbouring channels differ, so each multiply-add reads its own activation vector.
template <class Layout, std::size_t Tokens>
class n_m_panel {
    static_assert(std::has_single_bit(Tokens) && Tokens >= packed::tile_rows);
    using T = typename Layout::value_type;
    static constexpr std::size_t N = Layout::n, M = Layout::m;
    static constexpr std::size_t max_steps = 128 / N * N;  // decoded at a time, whole groups
    /// Channels, and vectors of tokens, whose sums stay in registers together.
    static constexpr std::size_t row_block = 4;
    static constexpr std::size_t most_vecs = vector_registers == 32 ? 4 : 2;
    static constexpr std::size_t vec_block =
        Tokens / lanes < most_vecs ? Tokens / lanes : most_vecs;
    using stream = index_stream<(Layout::index_bits > 0 ? Layout::index_bits : 1)>;

  public:
    /// Adds the block's products to sums[row * Tokens + t], or puts them there. first_col is a
    /// multiple of M, and the block ends at another one or at the last column.
    static void add(const Layout& weights, std::size_t tile, std::size_t first_col,
                    std::size_t block_cols, const float* panel, bool put, float* sums) noexcept {
        const std::size_t steps = Layout::steps(weights.cols);
        const std::size_t begin = Layout::steps(first_col);
        const std::size_t end = Layout::steps(first_col + block_cols);
        const T* values = weights.values + tile * steps * packed::tile_rows;
        alignas(64) std::array<std::uint16_t, max_steps * packed::tile_rows> offsets;
        alignas(64) std::array<float, max_steps * packed::tile_rows> wide;
        for (std::size_t s = begin; s < end; s += max_steps) {
            const std::size_t n = end - s < max_steps ? end - s : max_steps;
            const T* from = values + s * packed::tile_rows;
            const std::size_t next_tile = steps * packed::tile_rows * sizeof(T);
            const float* w;
            if constexpr (std::is_same_v<T, float>) {
                w = from;
            } else {
                for (std::size_t i = 0; i < n * packed::tile_rows; i += lanes)
                    load(from + i).store_aligned(&wide[i]);
                w = wide.data();
            }
            if constexpr (Layout::index_bits > 0) decode(weights, tile, s, n, offsets.data());
            const float* x = panel + (s - begin) / N * M * Tokens;
            block<true>(w, offsets.data(), n, x, put && s == begin, sums, from, next_tile);
            for (std::size_t t = vec_block * lanes; t < Tokens; t += vec_block * lanes)
                block<false>(w, offsets.data(), n, x + t, put && s == begin, sums + t);
            for (std::size_t r = row_block; r < packed::tile_rows; r += row_block)
                for (std::size_t t = 0; t < Tokens; t += vec_block * lanes)
                    block<false>(w + r, offsets.data() + r, n, x + t, s == 0,
                                 sums + r * Tokens + t);
        }
    }

  private:
    // Where in its group's part of the panel each slot's activations begin.
    static void decode(const Layout& weights, std::size_t tile, std::size_t first_step,
                       std::size_t n, std::uint16_t* offsets) noexcept {
        constexpr int scale = std::countr_zero(Tokens);
        constexpr std::size_t at_once = 16, bits = Layout::index_bits;  // 16 steps: half words
        static_assert(Layout::m * Tokens <= 65536);
        const std::uint32_t* words =
            weights.indices + tile * Layout::index_words(weights.cols) * packed::tile_rows;
        for (std::size_t l = 0; l < packed::tile_rows; l += lanes) {
            std::size_t s = 0;
            const auto put = [&](std::size_t step, veci offset) {
                store_low_halves(offset, offsets + (s + step) * packed::tile_rows + l);
            };
            for (; s + at_once <= n; s += at_once) {
                const std::size_t bit = (first_step + s) * bits;
                const std::uint32_t* word = words + bit / 32 * packed::tile_rows + l;
                if (bit % 32 == 0) stream::template read_steps<at_once, false, scale>(word, put);
                else if (bit % 32 == 16)
                    stream::template read_steps<at_once, false, scale, 16>(word, put);
                else break;
            }
            for (; s < n; ++s) put(0, stream::read(words + l, first_step + s) << scale);
        }
    }

    // A few channels times a few vectors of tokens, over n steps that begin with a group; x is that
    // group's part of the panel. Prefetch: asks for the next tile's values meanwhile, a step's a
    // step, for the hardware does not foresee the jump.
    template <bool Prefetch>
    static void block(const float* values, const std::uint16_t* offsets, std::size_t n,
                      const float* x, bool first, float* sums,
                      [[maybe_unused]] const T* stored = nullptr,
                      [[maybe_unused]] std::size_t next_tile = 0) noexcept {
        std::array<std::array<vecf, vec_block>, row_block> sum;
        PARE_UNROLL
        for (std::size_t r = 0; r < row_block; ++r) PARE_UNROLL
        for (std::size_t v = 0; v < vec_block; ++v)
            sum[r][v] = first ? vecf(0.0f) : vecf::load_aligned(sums + r * Tokens + v * lanes);
        const auto step = [&](std::size_t s, std::size_t slot) {
            const std::array<vecf, row_block> w = broadcast_four(values + s * packed::tile_rows);
            std::array<const float*, row_block> from;
            from.fill(x + slot * Tokens);  // where every column is kept
            if constexpr (Layout::index_bits > 0) {
                std::uint64_t four;  // one load for four offsets
                std::memcpy(&four, offsets + s * packed::tile_rows, sizeof(four));
                PARE_UNROLL
                for (std::size_t r = 0; r < row_block; ++r)
                    from[r] = x + static_cast<std::uint16_t>(four >> (16 * r));
            }
            PARE_UNROLL
            for (std::size_t r = 0; r < row_block; ++r) PARE_UNROLL
            for (std::size_t v = 0; v < vec_block; ++v)
                sum[r][v] = fma(w[r], vecf::load_aligned(from[r] + v * lanes), sum[r][v]);
            if constexpr (Prefetch) prefetch(stored + s * packed::tile_rows, next_tile);
        };
        // Two steps a round at least, or the loop itself is felt.
        constexpr std::size_t groups = N == 1 ? 2 : 1;
        std::size_t s = 0;
        for (; s + groups * N <= n; s += groups * N) PARE_UNROLL
        for (std::size_t g = 0; g < groups; ++g, x += M * Tokens) PARE_UNROLL
        for (std::size_t slot = 0; slot < N; ++slot) step(s + g * N + slot, slot);
        for (std::size_t slot = 0; s < n; ++s) {
            step(s, slot);
            if (++slot == N) slot = 0, x += M * Tokens;
        }
        PARE_UNROLL
        for (std::size_t r = 0; r < row_block; ++r) PARE_UNROLL
        for (std::size_t v = 0; v < vec_block; ++v)
            sum[r][v].store_aligned(sums + r * Tokens + v * lanes);
    }
};

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_N_M_PANEL_HPP
