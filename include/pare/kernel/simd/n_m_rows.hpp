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

/// Output channels in lanes: one tile of 16 channels times a few tokens. Reads every stored byte
/// once, in order, so that one token runs at the speed of memory. A range of steps is summed in
/// `chains` interleaved partial sums, which are then added in order.
template <class Layout, std::size_t Tokens>
class n_m_rows {
    using T = typename Layout::value_type;
    static constexpr int bits = Layout::index_bits;
    static constexpr std::size_t N = Layout::n, M = Layout::m;
    /// Independent sums per output, so that additions do not wait for each other.
    static constexpr std::size_t chains = 8 / (Tokens * tile_vecs) > 1 ? 8 / (Tokens * tile_vecs)
                                                                       : 1;

    using table = lookup<(M > 1 ? M : 2)>;
    using stream = index_stream<(bits > 0 ? bits : 1)>;
    using step_sums = std::array<std::array<vecf, tile_vecs>, Tokens>;

  public:
    /// A range of steps begins at a multiple of this: there a group and an index word begin.
    static constexpr std::size_t grain = bits == 0 ? N : std::lcm(stream::chunk, N);
    /// Floats that may be read past the end of a token's activations.
    static constexpr std::size_t padding = 32;

    /// Adds the products of the steps [begin, end) to sums[t * 16 + l], lane l, token t. Token t's
    /// activations, from the first column of step `begin` on, lie at x + t * x_stride.
    static void add(const Layout& weights, std::size_t tile, std::size_t begin, std::size_t end,
                    const float* x, std::size_t x_stride, float* sums) noexcept {
        std::array<step_sums, chains> partial;
        for (auto& chain : partial)
            for (auto& token : chain) token.fill(vecf(0.0f));

        const std::size_t steps = Layout::steps(weights.cols);
        const T* values = weights.values + (tile * steps + begin) * packed::tile_rows;
        const std::size_t to_next_tile = steps * packed::tile_rows;
        const std::size_t n = end - begin;
        std::size_t s = 0;
        if constexpr (bits == 0) {
            std::array<const float*, Tokens> token;
            for (std::size_t t = 0; t < Tokens; ++t) token[t] = opaque(x + t * x_stride);
            for (; s + chains <= n; s += chains)
                for (std::size_t c = 0; c < chains; ++c) {
                    prefetch(values + (s + c) * packed::tile_rows + to_next_tile);
                    dense_step(values, token, s + c, partial[c]);
                }
            for (; s < n; ++s) dense_step(values, token, s, partial[0]);
        } else {
            const std::uint32_t* words =
                weights.indices +
                (tile * Layout::index_words(weights.cols) + begin * bits / 32) * packed::tile_rows;
            for (; s + stream::chunk <= n; s += stream::chunk)
                whole_chunk(values, words, s, x, x_stride, to_next_tile, partial);
            for (; s < n; ++s) single_step(values, words, s, x, x_stride, partial[0]);
        }
        for (std::size_t t = 0; t < Tokens; ++t)
            for (std::size_t j = 0; j < tile_vecs; ++j) {
                vecf sum = partial[0][t][j];
                for (std::size_t c = 1; c < chains; ++c) sum = sum + partial[c][t][j];
                float* to = sums + t * packed::tile_rows + j * lanes;
                (vecf::load_aligned(to) + sum).store_aligned(to);
            }
    }

  private:
    static void dense_step(const T* values, const std::array<const float*, Tokens>& token,
                           std::size_t step, step_sums& sums) noexcept {
        for (std::size_t j = 0; j < tile_vecs; ++j) {
            const vecf w = load(values + step * packed::tile_rows + j * lanes);
            for (std::size_t t = 0; t < Tokens; ++t)
                sums[t][j] = xsimd::fma(w, vecf(token[t][step]), sums[t][j]);
        }
    }

    // 32 steps, unrolled.
    static void whole_chunk(const T* values, const std::uint32_t* words, std::size_t first_step,
                            const float* x, std::size_t x_stride, std::size_t to_next_tile,
                            std::array<step_sums, chains>& partial) noexcept {
        values += first_step * packed::tile_rows;
        words += first_step * bits / 32 * packed::tile_rows;
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
                    prefetch(value + to_next_tile);
                    const vecf w = load(value);
                    for (std::size_t t = 0; t < Tokens; ++t) {
                        vecf& sum = partial[step % chains][t][j];
                        sum = xsimd::fma(w, table(token[t] + group * M)(index), sum);
                    }
                });
    }

    static void single_step(const T* values, const std::uint32_t* words, std::size_t step,
                            const float* x, std::size_t x_stride, step_sums& sums) noexcept {
        for (std::size_t t = 0; t < Tokens; ++t) {
            const table group(x + t * x_stride + step / N * M);
            for (std::size_t j = 0; j < tile_vecs; ++j)
                sums[t][j] = xsimd::fma(load(values + step * packed::tile_rows + j * lanes),
                                        group(stream::read(words + j * lanes, step)), sums[t][j]);
        }
    }
};

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_N_M_ROWS_HPP
