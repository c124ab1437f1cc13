// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_N_M_CODE_ROWS_HPP
#define PARE_KERNEL_SIMD_N_M_CODE_ROWS_HPP

#include "decode.hpp"
#include "n_m_rows.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <type_traits>
#include <utility>

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// n_m_rows for one token and weights that are codes, which are widened in registers; the sum of a
/// group is scaled as one. 32 steps make a unit: whole words of codes and indices, of one group.
template <class Layout, std::size_t Tiles>
class n_m_code_rows {
    using T = typename Layout::value_type;
    using numbers = numbers_in<typename T::code>;
    static constexpr std::size_t N = Layout::n, M = Layout::m, unit = 32;
    static constexpr std::size_t stream_bits = static_cast<std::size_t>(Layout::index_bits);
    static constexpr bool selects = stream_bits > 0;
    static constexpr std::size_t chains = tile_vecs < 4 ? 4 / tile_vecs : 1;

    using table = lookup<(M > 1 ? M : 2)>;
    using stream = index_stream<(selects ? Layout::index_bits : 1)>;
    using group_sums = std::array<std::array<vecf, chains>, tile_vecs>;

  public:
    /// A range of steps begins at a multiple of this.
    static constexpr std::size_t grain = std::lcm(unit, N);

    /// Adds the products of the steps [begin, end) to sums[i * 16 + l], lane l of tile `tile` + i.
    /// The activations from the first column of step `begin` on lie at x, with padding as for
    /// n_m_rows.
    static void add(const Layout& w, std::size_t tile, std::size_t begin, std::size_t end,
                    const float* x, float* sums) noexcept {
        for (std::size_t s = begin; s < end;) {
            std::size_t stop = end;
            if constexpr (T::group > 0)
                if (end - s > T::group - s % T::group) stop = s + T::group - s % T::group;
            const std::size_t group = T::group_of(s);
            std::array<group_sums, Tiles> total{};
            for (; s + unit <= stop; s += unit) {
                PARE_UNROLL
                for (std::size_t i = 0; i < Tiles; ++i)
                    add_unit(w, tile + i, s, x + (s / N - begin / N) * M, total[i]);
            }
            for (; s < stop; ++s)
                for (std::size_t i = 0; i < Tiles; ++i)
                    add_step(w, tile + i, s, x + (s / N - begin / N) * M, total[i]);
            for (std::size_t i = 0; i < Tiles; ++i)
                add_group(w, tile + i, group, total[i], sums + i * packed::tile_rows);
        }
    }

  private:
    static const std::uint32_t* codes_at(const Layout& w, std::size_t tile,
                                         std::size_t step) noexcept {
        return w.values + Layout::element(tile, w.cols, step / 16 * 16);
    }
    static const std::uint32_t* indices_at(const Layout& w, std::size_t tile,
                                           std::size_t step) noexcept {
        const std::size_t word = tile * Layout::index_words(w.cols) + step / unit * stream_bits;
        return w.indices + word * packed::tile_rows;
    }

    static vecf zero_of(const Layout& w, std::size_t tile, std::size_t step,
                        std::size_t j) noexcept {
        if constexpr (T::asymmetric) return grids_of(w, tile, T::group_of(step), j * lanes).zero;
        else return vecf(0.0f);
    }
    template <int Shift>
    static vecf number(veci words, [[maybe_unused]] vecf zero) noexcept {
        if constexpr (T::asymmetric) return numbers::template at<Shift>(words) - zero;
        else return numbers::template at<Shift>(words);
    }

    PARE_ALWAYS_INLINE static void add_unit(const Layout& w, std::size_t tile, std::size_t step,
                                            const float* x, group_sums& sums) noexcept {
        const std::uint32_t* codes = codes_at(w, tile, step);
        x = opaque(x);
        for (std::size_t i = 0; i < stream_bits; ++i)
            prefetch(indices_at(w, tile, step) + i * packed::tile_rows, 4096);
        for (std::size_t j = 0; j < tile_vecs; ++j) {
            const vecf zero = zero_of(w, tile, step, j);
            const auto visit = [&]<std::size_t S>(std::integral_constant<std::size_t, S>,
                                                  [[maybe_unused]] veci index) {
                // Where the code lies: Layout::place().
                constexpr std::size_t bit = S % 4 * T::bits,
                                      word = S / 16 * (T::bits / 2) + bit / 8;
                const std::uint32_t* from = codes + word * packed::tile_rows + j * lanes;
                if constexpr (S / 4 % 4 == 0 && bit % 8 == 0) prefetch(from, 4096);
                const vecf w_s =
                    number<8 * (S / 4 % 4) + bit % 8>(veci::load_unaligned(from), zero);
                vecf& sum = sums[j][S % chains];
                if constexpr (selects) {
                    const std::size_t group = unit % N == 0 ? S / N : (step + S) / N - step / N;
                    sum = fma(w_s, table(x + group * M)(index), sum);
                } else sum = fma(w_s, vecf(x[S]), sum);
            };
            if constexpr (selects)
                stream::template read_steps<unit, table::takes_dirty_index>(
                    indices_at(w, tile, step) + j * lanes, visit);
            else [&]<std::size_t... S>(std::index_sequence<S...>) {
                    (visit(std::integral_constant<std::size_t, S>{}, veci(0u)), ...);
                }
            (std::make_index_sequence<unit>{});
        }
    }

    // Of a unit that the columns end in. x: of the step's group.
    static void add_step(const Layout& w, std::size_t tile, std::size_t step, const float* x,
                         group_sums& sums) noexcept {
        const std::size_t bit = step % 4 * T::bits;
        const std::uint32_t* codes = codes_at(w, tile, step) + bit / 8 * packed::tile_rows;
        const int shift = static_cast<int>(8 * (step / 4 % 4) + bit % 8);
        for (std::size_t j = 0; j < tile_vecs; ++j) {
            const veci words = veci::load_unaligned(codes + j * lanes) >> shift;
            const vecf w_s = number<0>(words, zero_of(w, tile, step, j));
            vecf x_s(*x);
            if constexpr (selects)
                x_s = table(x)(stream::read(indices_at(w, tile, step) + j * lanes, step % unit));
            sums[j][0] = fma(w_s, x_s, sums[j][0]);
        }
    }

    static void add_group(const Layout& w, std::size_t tile, std::size_t group,
                          const group_sums& total, float* sums) noexcept {
        for (std::size_t j = 0; j < tile_vecs; ++j, sums += lanes) {
            vecf sum = total[j][0];
            for (std::size_t c = 1; c < chains; ++c) sum = sum + total[j][c];
            const vecf scale = grids_of(w, tile, group, j * lanes).scale;
            fma(sum, scale, vecf::load_aligned(sums)).store_aligned(sums);
        }
    }
};

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_N_M_CODE_ROWS_HPP
