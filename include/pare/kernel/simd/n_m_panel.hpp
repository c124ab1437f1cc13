// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_N_M_PANEL_HPP
#define PARE_KERNEL_SIMD_N_M_PANEL_HPP

#include "../../packed/n_m.hpp"
#include "index_stream.hpp"
#include "narrow.hpp"
#include "vec.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

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
    static constexpr std::size_t offset_words = Layout::index_bits > 0
                                                    ? (max_steps + 1) / 2 * packed::tile_rows
                                                    : packed::tile_rows;
    /// Channels, and vectors of tokens, whose sums stay in registers together.
    static constexpr std::size_t most_sums = vector_registers == 32 ? 16 : 8;
    static constexpr std::size_t vec_block =
        Tokens / lanes < most_sums / 4 ? Tokens / lanes : most_sums / 4;
    static constexpr std::size_t row_block = most_sums / vec_block;
    using stream = index_stream<(Layout::index_bits > 0 ? Layout::index_bits : 1)>;

  public:
    /// Adds the block's products to sums[row * Tokens + t], or puts them there, for the rows of the
    /// tile that there are, and some beyond. first_col is a multiple of M, and the block ends at
    /// another one or at the last column. Values from weights.values[next] on are wanted next, if
    /// there are any.
    static void add(const Layout& weights, std::size_t tile, std::size_t first_col,
                    std::size_t block_cols, const float* panel, bool put, float* sums,
                    std::size_t next) noexcept {
        const std::size_t begin = Layout::steps(first_col);
        const std::size_t end = Layout::steps(first_col + block_cols);
        const std::size_t left = weights.rows - tile * packed::tile_rows;
        const std::size_t n_rows = left < packed::tile_rows ? left : packed::tile_rows;
        const T* values = weights.values + Layout::element(tile, weights.cols, 0);
        alignas(64) std::array<std::uint32_t, offset_words> offsets;
        alignas(64) std::array<float, max_steps * packed::tile_rows> wide;
        for (std::size_t s = begin; s < end; s += max_steps) {
            const std::size_t n = end - s < max_steps ? end - s : max_steps;
            const T* from = values + s * packed::tile_rows;
            const float* w;
            if constexpr (std::is_same_v<T, float>) {
                w = from;
            } else {
                for (std::size_t i = 0; i < n * packed::tile_rows; i += lanes)
                    load(from + i).store_aligned(&wide[i]);
                w = wide.data();
            }
            if constexpr (Layout::index_bits > 0) decode(weights, tile, s, n, offsets.data());
            else offsets.fill(0);
            const float* x = panel + (s - begin) / N * M * Tokens;
            block<true>(w, offsets.data(), n, x, put && s == begin, sums, weights.values,
                        next + (s - begin) * packed::tile_rows);
            for (std::size_t t = vec_block * lanes; t < Tokens; t += vec_block * lanes)
                block<false>(w, offsets.data(), n, x + t, put && s == begin, sums + t);
            for (std::size_t r = row_block; r < n_rows; r += row_block)
                for (std::size_t t = 0; t < Tokens; t += vec_block * lanes)
                    block<false>(w + r, offsets.data() + r, n, x + t, put && s == begin,
                                 sums + r * Tokens + t);
        }
    }

  private:
    // Where in its group's part of the panel each slot's activations begin, in bytes, two slots a
    // word.
    static void decode(const Layout& weights, std::size_t tile, std::size_t first_step,
                       std::size_t n, std::uint32_t* offsets) noexcept {
        constexpr int scale = std::countr_zero(Tokens * sizeof(float));
        constexpr std::size_t at_once = 8, bits = Layout::index_bits;  // 8 pairs: half words
        static_assert(Layout::m * Tokens * sizeof(float) <= 65536);
        const std::uint32_t* words =
            weights.indices + tile * Layout::index_words(weights.cols) * packed::tile_rows;
        for (std::size_t l = 0; l < packed::tile_rows; l += lanes) {
            std::uint32_t* to = offsets + l;
            const auto put = [&](std::size_t pair, veci halves) {
                halves.store_unaligned(to + pair * packed::tile_rows);
            };
            std::size_t s = 0;
            for (; s + 2 * at_once <= n; s += 2 * at_once, to += at_once * packed::tile_rows) {
                const std::size_t bit = (first_step + s) * bits;
                const std::uint32_t* word = words + bit / 32 * packed::tile_rows + l;
                if (bit % 32 == 0) stream::template read_pairs<at_once, scale, 0>(word, put);
                else if (bit % 32 == 16) stream::template read_pairs<at_once, scale, 16>(word, put);
                else break;
            }
            for (; s < n; s += 2, to += packed::tile_rows) {
                veci halves = stream::read(words + l, first_step + s) << scale;
                if (s + 1 < n)
                    halves = halves | (stream::read(words + l, first_step + s + 1) << (scale + 16));
                put(0, halves);
            }
        }
    }

    static const float* after(const float* x, std::size_t bytes) noexcept {
        return reinterpret_cast<const float*>(reinterpret_cast<const char*>(x) + bytes);
    }

    // A few channels times a few vectors of tokens, over n steps that begin with a group; x is that
    // group's part of the panel. Prefetch: asks for stored[next] onward meanwhile, a step's
    // values a step, for the hardware does not foresee the jump; into the second level, for the
    // panel would drive them from the first. At -O3 gcc would inline all calls, and the loop would
    // lose a sixteenth of its speed.
    template <bool Prefetch>
    PARE_NEVER_INLINE static void block(const float* values, const std::uint32_t* offsets,
                                        std::size_t n, const float* x, bool first, float* sums,
                                        [[maybe_unused]] const T* stored = nullptr,
                                        [[maybe_unused]] std::size_t next = 0) noexcept {
        std::array<std::array<vecf, vec_block>, row_block> sum;
        PARE_UNROLL
        for (std::size_t r = 0; r < row_block; ++r) PARE_UNROLL
        for (std::size_t v = 0; v < vec_block; ++v)
            sum[r][v] = first ? vecf(0.0f) : vecf::load_aligned(sums + r * Tokens + v * lanes);
        // The offsets of step s are the lower or upper halves of the words from `pair` on.
        const auto step = [&](std::size_t s, std::size_t slot, std::size_t pair,
                              std::size_t half) PARE_ALWAYS_INLINE_LAMBDA {
            const auto quad = [&](auto q) PARE_ALWAYS_INLINE_LAMBDA {  // four channels
                const std::array<vecf, 4> w = broadcast_four(values + s * packed::tile_rows + q);
                std::array<const float*, 4> from;
                from.fill(x + slot * Tokens);  // where every column is kept
                if constexpr (Layout::index_bits > 0) {
                    PARE_UNROLL
                    for (std::size_t r = 0; r < 4; r += 2) {
                        std::uint64_t four;  // one load for two slots of two channels
                        std::memcpy(&four, offsets + pair + q + r, sizeof(four));
                        from[r] = after(x, static_cast<std::uint16_t>(four >> (16 * half)));
                        from[r + 1] =
                            after(x, static_cast<std::uint16_t>(four >> (16 * half + 32)));
                    }
                }
                PARE_UNROLL
                for (std::size_t r = 0; r < 4; ++r) PARE_UNROLL
                for (std::size_t v = 0; v < vec_block; ++v)
                    sum[q + r][v] =
                        fma(w[r], vecf::load_aligned(from[r] + v * lanes), sum[q + r][v]);
            };
            // A loop of two rounds would not be unrolled, and the sums not stay in registers.
            [&]<std::size_t... Q>(std::index_sequence<Q...>) PARE_ALWAYS_INLINE_LAMBDA {
                (quad(std::integral_constant<std::size_t, 4 * Q>{}), ...);
            }
            (std::make_index_sequence<row_block / 4>{});
            if constexpr (Prefetch) prefetch<2>(stored, (next + s * packed::tile_rows) * sizeof(T));
        };
        // Whole pairs a round.
        constexpr std::size_t groups = 1 + N % 2, round = groups * N;
        std::size_t s = 0, pair = 0;
        for (; s + round <= n; s += round, pair += round / 2 * packed::tile_rows) PARE_UNROLL
        for (std::size_t g = 0; g < groups; ++g, x += M * Tokens) PARE_UNROLL
        for (std::size_t i = 0; i < N; ++i)
            step(s + g * N + i, i, pair + (g * N + i) / 2 * packed::tile_rows, (g * N + i) % 2);
        for (std::size_t i = 0; s < n; ++i, ++s) {
            step(s, i % N, pair + i / 2 * packed::tile_rows, i % 2);
            if (i % N + 1 == N) x += M * Tokens;
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
