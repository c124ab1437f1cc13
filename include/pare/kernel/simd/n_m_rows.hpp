// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_N_M_ROWS_HPP
#define PARE_KERNEL_SIMD_N_M_ROWS_HPP

#include "../../packed/n_m.hpp"
#include "index_stream.hpp"
#include "lookup.hpp"
#include "vec.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

inline constexpr std::size_t tile_vecs = packed::tile_rows / lanes;

/// Output channels in lanes: Tiles neighbouring tiles of 16 channels times a few tokens. Every
/// stored byte is read once and in order, from Tiles places at a time, as memory is fastest; so one
/// token runs at its speed. A range of steps is summed in `chains` interleaved partial sums, which
/// are then added in order.
template <class Layout, std::size_t Tokens, std::size_t Tiles>
class n_m_rows {
    using T = typename Layout::value_type;
    static constexpr int bits = Layout::index_bits;
    static constexpr std::size_t N = Layout::n, M = Layout::m;
    /// Independent sums per output, so that additions do not wait for each other. They do not
    /// depend on Tiles: the order of a sum is the same however tiles are grouped.
    static constexpr std::size_t chains = Tokens * tile_vecs < 4 ? 4 / (Tokens * tile_vecs) : 1;

    using table = lookup<(M > 1 ? M : 2)>;
    using stream = index_stream<(bits > 0 ? bits : 1)>;
    using step_sums = std::array<std::array<vecf, tile_vecs>, Tokens>;
    using tile_sums = std::array<step_sums, chains>;

  public:
    /// A range of steps begins at a multiple of this: there a group and an index word begin.
    static constexpr std::size_t grain = bits == 0 ? N : std::lcm(stream::chunk, N);
    /// Floats that may be read past the end of a token's activations.
    static constexpr std::size_t padding = 32;

    /// Adds the products of the steps [begin, end) to sums[(i * row_tokens + t) * 16 + l], lane l
    /// of tile `tile` + i, token t. Token t's activations, from the first column of step `begin`
    /// on, lie at x + t * x_stride.
    static void add(const Layout& weights, std::size_t tile, std::size_t begin, std::size_t end,
                    const float* x, std::size_t x_stride, float* sums,
                    std::size_t row_tokens) noexcept {
        std::array<tile_sums, Tiles> partial;
        for (auto& of_tile : partial)
            for (auto& chain : of_tile)
                for (auto& token : chain) token.fill(vecf(0.0f));

        const std::size_t to_next_tile = Layout::steps(weights.cols) * packed::tile_rows;
        const T* values = weights.values + tile * to_next_tile + begin * packed::tile_rows;
        const std::size_t n = end - begin;
        std::size_t s = 0;
        if constexpr (bits == 0) {
            std::array<const float*, Tokens> token;
            for (std::size_t t = 0; t < Tokens; ++t) token[t] = opaque(x + t * x_stride);
            for (; s + chains <= n; s += chains) {
                PARE_UNROLL
                for (std::size_t i = 0; i < Tiles; ++i) {
                    PARE_UNROLL
                    for (std::size_t c = 0; c < chains; ++c)
                        dense_step(values + i * to_next_tile, token, s + c, partial[i][c]);
                }
            }
            for (; s < n; ++s)
                for (std::size_t i = 0; i < Tiles; ++i)
                    dense_step(values + i * to_next_tile, token, s, partial[i][0]);
        } else {
            const std::size_t next_words = Layout::index_words(weights.cols) * packed::tile_rows;
            const std::uint32_t* words =
                weights.indices + tile * next_words + begin * bits / 32 * packed::tile_rows;
            for (; s + stream::chunk <= n; s += stream::chunk)
                for (std::size_t i = 0; i < Tiles; ++i)
                    whole_chunk(values + i * to_next_tile, words + i * next_words, s, x, x_stride,
                                partial[i]);
            for (; s < n; ++s)
                for (std::size_t i = 0; i < Tiles; ++i)
                    single_step(values + i * to_next_tile, words + i * next_words, s, x, x_stride,
                                partial[i][0]);
        }
        for (std::size_t i = 0; i < Tiles; ++i)
            for (std::size_t t = 0; t < Tokens; ++t)
                for (std::size_t j = 0; j < tile_vecs; ++j) {
                    vecf sum = partial[i][0][t][j];
                    for (std::size_t c = 1; c < chains; ++c) sum = sum + partial[i][c][t][j];
                    float* to = sums + (i * row_tokens + t) * packed::tile_rows + j * lanes;
                    (vecf::load_aligned(to) + sum).store_aligned(to);
                }
    }

  private:
    static void dense_step(const T* values, const std::array<const float*, Tokens>& token,
                           std::size_t step, step_sums& sums) noexcept {
        PARE_UNROLL
        for (std::size_t j = 0; j < tile_vecs; ++j) {
            const T* value = values + step * packed::tile_rows + j * lanes;
            prefetch_ahead<0>(value);
            const vecf w = load(value);
            PARE_UNROLL
            for (std::size_t t = 0; t < Tokens; ++t)
                sums[t][j] = fma(w, vecf(token[t][step]), sums[t][j]);
        }
    }

    // A page ahead, which the hardware does not dare; every other step where two share a line.
    template <std::size_t Step>
    PARE_ALWAYS_INLINE static void prefetch_ahead(const T* value) noexcept {
        if constexpr (sizeof(T) == 4 || Step % 2 == 0) prefetch(value, 4096);
    }

    // 32 steps, unrolled.
    PARE_ALWAYS_INLINE static void whole_chunk(const T* values, const std::uint32_t* words,
                                               std::size_t first_step, const float* x,
                                               std::size_t x_stride, tile_sums& partial) noexcept {
        values += first_step * packed::tile_rows;
        words += first_step * bits / 32 * packed::tile_rows;
        for (std::size_t w = 0; w < static_cast<std::size_t>(bits); ++w)
            prefetch(words + w * packed::tile_rows, 4096);
        const std::size_t first_group = first_step / N;
        std::array<const float*, Tokens> token;
        for (std::size_t t = 0; t < Tokens; ++t)
            token[t] = opaque(x + t * x_stride + first_group * M);
        for (std::size_t j = 0; j < tile_vecs; ++j)
            stream::template read_steps<stream::chunk, table::takes_dirty_index>(
                words + j * lanes, [&](auto step, veci index) {
                    // A constant where groups and chunks end together.
                    const std::size_t group =
                        stream::chunk % N == 0 ? step / N : (first_step + step) / N - first_group;
                    const T* value = values + step * packed::tile_rows + j * lanes;
                    prefetch_ahead<step>(value);
                    const vecf w = load(value);
                    PARE_UNROLL
                    for (std::size_t t = 0; t < Tokens; ++t) {
                        vecf& sum = partial[step % chains][t][j];
                        sum = fma(w, table(token[t] + group * M)(index), sum);
                    }
                });
    }

    static void single_step(const T* values, const std::uint32_t* words, std::size_t step,
                            const float* x, std::size_t x_stride, step_sums& sums) noexcept {
        for (std::size_t t = 0; t < Tokens; ++t) {
            const table group(x + t * x_stride + step / N * M);
            for (std::size_t j = 0; j < tile_vecs; ++j)
                sums[t][j] = fma(load(values + step * packed::tile_rows + j * lanes),
                                 group(stream::read(words + j * lanes, step)), sums[t][j]);
        }
    }
};

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_N_M_ROWS_HPP
