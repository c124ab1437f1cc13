// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_DECODED_BLOCKS_HPP
#define PARE_KERNEL_DECODED_BLOCKS_HPP

#include "../packed/block.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {
namespace detail {

/// Writes the weights of the blocks of a band that begin in the rows [begin, end) to `wide`.
template <packed::block_weights Layout>
void decode_blocks(const Layout& w, std::size_t band, std::size_t begin, std::size_t end,
                   float* wide) noexcept {
    using T = typename Layout::value_type;
    constexpr std::size_t B = Layout::block_rows;
    constexpr std::uint32_t mask = (1u << T::bits) - 1;
    for (std::size_t r = begin; r < end; ++r) {
        std::array<float, B> scale, zero;
        std::size_t group = static_cast<std::size_t>(-1);
        for (std::size_t i = w.first(band, r); i < w.first(band, r + 1); ++i, wide += B) {
            const std::size_t col = band * w.band_cols + w.column_in_band(i);
            if (T::group_of(col) != group) {
                group = T::group_of(col);
                for (std::size_t k = r; k < r + B; ++k) {
                    const auto of = w.grid_at(k < w.rows ? k : w.rows - 1, col);
                    scale[k % B] = of.scale;
                    zero[k % B] = static_cast<float>(of.zero);
                }
            }
            for (std::size_t s = 0; s < B; ++s) {
                const auto at = Layout::place(i, s);
                const auto code = static_cast<std::uint8_t>(w.values[at.word] >> at.shift & mask);
                wide[s] = (T::code::decode(code) - zero[s]) * scale[s];
            }
        }
    }
}

/// visit(floats, first, end) for parts of the rows [first, end) of a band: the weights that they
/// need as block<B, float>, decoded where they are codes.
template <packed::block_weights Layout>
void as_floats(const Layout& w, std::size_t band, std::size_t first, std::size_t end,
               auto&& visit) noexcept {
    if constexpr (!packed::is_coded<typename Layout::value_type>) {
        visit(w, first, end);
    } else {
        // A row needs the blocks of B rows, of which a column of the band has at most one.
        constexpr std::size_t B = Layout::block_rows, fit = 32 * 1024 / B;
        static_assert(fit >= Layout::band_cols);
        alignas(64) std::array<float, fit * B> wide;
        for (std::size_t row = first, stop = first; row < end; row = stop) {
            const std::size_t above = row < B ? 0 : row - B + 1, from = w.first(band, above);
            for (stop = row + 1; stop < end && w.first(band, stop + 1) - from <= fit;) ++stop;
            decode_blocks(w, band, above, stop, wide.data());
            // A kernel reads values from `from` * B on.
            const auto begin =
                reinterpret_cast<std::uintptr_t>(wide.data()) - from * B * sizeof(float);
            visit(
                packed::block<B, float>{static_cast<const packed::block_shape&>(w),
                                        reinterpret_cast<const float*>(begin), w.starts, w.columns},
                row, stop);
        }
    }
}

}  // namespace detail
}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KERNEL_DECODED_BLOCKS_HPP
