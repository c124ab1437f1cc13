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
/// panel[k * Tokens + t], the columns [first_col, first_col + block_cols) of Tokens tokens. The panel
/// is meant to stay in the first-level cache while tile after tile passes over it. The kept columns of
/// neighbouring channels differ, so each multiply-add reads its own activation vector.
template <class Layout, std::size_t Tokens>
class n_m_panel {
    static_assert(std::has_single_bit(Tokens) && Tokens >= packed::tile_rows);
    using T = typename Layout::value_type;
    static constexpr std::size_t N = Layout::n, M = Layout::m;
    static constexpr std::size_t max_steps = 128;  // decoded at a time
    /// Channels, and vectors of tokens, whose sums stay in registers together.
    static constexpr std::size_t row_block = 4;
    static constexpr std::size_t most_vecs = vector_registers == 32 ? 4 : 2;
    static constexpr std::size_t vec_block = Tokens / lanes < most_vecs ? Tokens / lanes : most_vecs;
    using stream = index_stream<(Layout::index_bits > 0 ? Layout::index_bits : 1)>;

  public:
    /// Adds the block's products to sums[row * Tokens + t]. first_col is a multiple of M, and the
    /// block ends at another one or at the last column.
    static void add(const Layout& weights, std::size_t tile, std::size_t first_col,
                    std::size_t block_cols, const float* panel, float* sums) noexcept {
        const std::size_t steps = Layout::steps(weights.cols);
        const std::size_t begin = Layout::steps(first_col);
        const std::size_t end = Layout::steps(first_col + block_cols);
        const T* values = weights.values + tile * steps * packed::tile_rows;
        alignas(64) std::array<std::uint32_t, max_steps * packed::tile_rows> offsets;
        alignas(64) std::array<float, max_steps * packed::tile_rows> wide;
        for (std::size_t s = begin; s < end; s += max_steps) {
            const std::size_t n = end - s < max_steps ? end - s : max_steps;
            const T* from = values + s * packed::tile_rows;
            const T* next_tile = from + steps * packed::tile_rows;
            const float* w;
            if constexpr (std::is_same_v<T, float>) {
                w = from;
            } else {
                for (std::size_t i = 0; i < n * packed::tile_rows; i += lanes)
                    load(from + i).store_aligned(&wide[i]);
                w = wide.data();
            }
            if constexpr (Layout::index_bits > 0)
                decode(weights, tile, s, n, first_col, offsets.data());
            const float* dense_panel = panel + (s - begin) * Tokens;
            block<true>(w, offsets.data(), n, dense_panel, panel, sums, next_tile);
            for (std::size_t t = vec_block * lanes; t < Tokens; t += vec_block * lanes)
                block<false>(w, offsets.data(), n, dense_panel + t, panel + t, sums + t);
            for (std::size_t r = row_block; r < packed::tile_rows; r += row_block)
                for (std::size_t t = 0; t < Tokens; t += vec_block * lanes)
                    block<false>(w + r, offsets.data() + r, n, dense_panel + t, panel + t,
                                 sums + r * Tokens + t);
        }
    }

  private:
    // Where in the panel each slot's activations begin.
    static void decode(const Layout& weights, std::size_t tile, std::size_t first_step,
                       std::size_t n, std::size_t first_col, std::uint32_t* offsets) noexcept {
        constexpr int log2_tokens = std::countr_zero(Tokens);
        const std::uint32_t* words =
            weights.indices + tile * Layout::index_words(weights.cols) * packed::tile_rows;
        for (std::size_t l = 0; l < packed::tile_rows; l += lanes) {
            const auto put = [&](std::size_t s, veci index) {
                const std::size_t group = ((first_step + s) / N * M - first_col) * Tokens;
                (veci(static_cast<std::uint32_t>(group)) + (index << log2_tokens))
                    .store_aligned(offsets + s * packed::tile_rows + l);
            };
            std::size_t s = 0;
            if (first_step * Layout::index_bits % 32 == 0)
                for (; s + stream::chunk <= n; s += stream::chunk) {
                    const std::size_t word = (first_step + s) * Layout::index_bits / 32;
                    stream::template read_chunk<false>(
                        words + word * packed::tile_rows + l,
                        [&](auto step, veci index) { put(s + step, index); });
                }
            for (; s < n; ++s) put(s, stream::read(words + l, first_step + s));
        }
    }

    // Prefetch: asks for the next tile's values while this one is multiplied, a line a step; the
    // hardware does not foresee the jump.
    template <bool Prefetch>
    static void block(const float* values, const std::uint32_t* offsets, std::size_t n,
                      const float* dense_panel, const float* panel, float* sums,
                      [[maybe_unused]] const T* next_tile = nullptr) noexcept {
        std::array<std::array<vecf, vec_block>, row_block> sum;
        for (std::size_t r = 0; r < row_block; ++r)
            for (std::size_t v = 0; v < vec_block; ++v)
                sum[r][v] = vecf::load_aligned(sums + r * Tokens + v * lanes);
        for (std::size_t s = 0; s < n; ++s) {
            const std::array<vecf, row_block> w = broadcast_four(values);
            std::array<std::uint64_t, row_block / 2> pairs;  // one load for two offsets
            if constexpr (Layout::index_bits > 0) std::memcpy(pairs.data(), offsets, sizeof(pairs));
            for (std::size_t r = 0; r < row_block; ++r) {
                const float* x = dense_panel;
                if constexpr (Layout::index_bits > 0)
                    x = panel + static_cast<std::uint32_t>(pairs[r / 2] >> (r % 2 * 32));
                for (std::size_t v = 0; v < vec_block; ++v)
                    sum[r][v] = xsimd::fma(w[r], vecf::load_aligned(x + v * lanes), sum[r][v]);
            }
            if constexpr (Prefetch) prefetch(next_tile + s * packed::tile_rows);
            values += packed::tile_rows;
            offsets += packed::tile_rows;
            dense_panel += Tokens;
        }
        for (std::size_t r = 0; r < row_block; ++r)
            for (std::size_t v = 0; v < vec_block; ++v)
                sum[r][v].store_aligned(sums + r * Tokens + v * lanes);
    }
};

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_N_M_PANEL_HPP
