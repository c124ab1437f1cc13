// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_BLOCK_ROWS_HPP
#define PARE_KERNEL_SIMD_BLOCK_ROWS_HPP

#include "../../packed/block.hpp"
#include "row_lanes.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// Output channels in lanes: blocks times a few tokens. The sum of a row stays in its lane while
/// the window of B rows moves past it, and leaves it once; every stored byte is read once and in
/// order.
template <class Layout, std::size_t Tokens>
class block_rows {
    using T = typename Layout::value_type;
    static constexpr std::size_t B = Layout::block_rows;
    using row_sums = row_lanes<B>;
    /// Independent sums per output, so that additions do not wait for each other.
    static constexpr std::size_t chains =
        Tokens * row_sums::n_parts < 4 ? 4 / (Tokens * row_sums::n_parts) : 1;

  public:
    /// Adds a band's products to sums[(r - first_row) * row_tokens + t] for the rows [first_row,
    /// end_row). Token t's activations, from the first column of the band on, lie at x + t *
    /// x_stride.
    static void add(const Layout& w, std::size_t band, std::size_t first_row, std::size_t end_row,
                    const float* x, std::size_t x_stride, float* sums,
                    std::size_t row_tokens) noexcept {
        std::array<row_sums, Tokens> window;
        std::size_t r = first_row < B ? 0 : first_row - B + 1;
        for (std::size_t i = w.first(band, r); r < end_row; ++r) {
            std::array<std::array<row_sums, Tokens>, chains> more;  // [0] stays unused
            const std::size_t end = w.first(band, r + 1);
            for (; i + chains <= end; i += chains) {
                for (std::size_t bytes = 0; bytes < chains * B * sizeof(T); bytes += 64)
                    prefetch(w.values + i * B, 4096 + bytes);
                step(w, i, x, x_stride, window);
                PARE_UNROLL
                for (std::size_t c = 1; c < chains; ++c) step(w, i + c, x, x_stride, more[c]);
            }
            for (; i < end; ++i) step(w, i, x, x_stride, window);
            PARE_UNROLL
            for (std::size_t t = 0; t < Tokens; ++t) {
                PARE_UNROLL
                for (std::size_t c = 1; c < chains; ++c) window[t] += more[c][t];
                alignas(64) std::array<float, B> each;
                window[t].store(each.data());
                if (r >= first_row) sums[(r - first_row) * row_tokens + t] += each[r % B];
                window[t].clear(r % B);
            }
        }
    }

  private:
    PARE_ALWAYS_INLINE static void step(const Layout& w, std::size_t i, const float* x,
                                        std::size_t x_stride,
                                        std::array<row_sums, Tokens>& to) noexcept {
        std::uint16_t column;
        std::memcpy(&column, reinterpret_cast<const char*>(w.columns) + 2 * i, sizeof(column));
        const row_sums weights(w.values + i * B);
        PARE_UNROLL
        for (std::size_t t = 0; t < Tokens; ++t)
            to[t].add_product(weights, x[t * x_stride + column]);
    }
};

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_BLOCK_ROWS_HPP
