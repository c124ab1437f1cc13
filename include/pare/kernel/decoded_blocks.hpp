// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_DECODED_BLOCKS_HPP
#define PARE_KERNEL_DECODED_BLOCKS_HPP

#include "../packed/block.hpp"
#include "simd/decode.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if PARE_HAS_SIMD
namespace pare::kernel::inline PARE_ARCH_NAMESPACE {
namespace detail {

/// What the codes of blocks of one first row stand for, by slot: as many blocks side by side as
/// fill a vector.
template <packed::block_weights Layout>
class slot_grids {
    using T = typename Layout::value_type;
    static constexpr std::size_t B = Layout::block_rows;

  public:
    static constexpr std::size_t blocks = B < simd::lanes ? simd::lanes / B : 1;

    slot_grids(const Layout& w, std::size_t row) noexcept : w_(w), row_(row) {
        group_.fill(static_cast<std::size_t>(-1));
    }
    /// Sets those of a block, the k-th, that lies in a column.
    void set(std::size_t k, std::size_t col) noexcept {
        if (T::group_of(col) == group_[k]) return;
        group_[k] = T::group_of(col);
        // By row, twice, so that a rotation is a part.
        std::array<std::uint32_t, 2 * B> scales;
        std::array<float, 2 * B> zeros;
        const auto put = [&](std::size_t r, std::uint32_t word) {
            scales[r] = scales[r + B] = word & 0xffff0000u;
            if constexpr (T::asymmetric)
                zeros[r] = zeros[r + B] = static_cast<float>(static_cast<std::int16_t>(word));
        };
        const std::size_t at = Layout::scale_at(w_, row_, col);
        if (row_ + B > w_.rows) {
            for (std::size_t r = 0; r < B; ++r) {
                const auto of = w_.grid_at(row_ + r < w_.rows ? row_ + r : w_.rows - 1, col);
                put(r, T::with_grid(0, 1, of));
            }
        } else if constexpr (T::asymmetric) {
            for (std::size_t r = 0; r < B; ++r) put(r, w_.scales[at + r]);
        } else {
            std::array<std::uint16_t, B> halves;
            std::memcpy(halves.data(), reinterpret_cast<const unsigned char*>(w_.scales) + 2 * at,
                        sizeof(halves));
            for (std::size_t r = 0; r < B; ++r) put(r, static_cast<std::uint32_t>(halves[r]) << 16);
        }
        const std::size_t first = B - row_ % B;
        std::memcpy(&scale[k * B], &scales[first], B * sizeof(float));
        if constexpr (T::asymmetric) std::memcpy(&zero[k * B], &zeros[first], B * sizeof(float));
    }

    alignas(64) std::array<float, blocks * B> scale, zero{};

  private:
    const Layout& w_;
    std::size_t row_;
    std::array<std::size_t, blocks> group_;
};

/// The codes that lie one after the other from a byte on, in the lowest bits of every lane; others
/// hold anything.
template <std::size_t Bits>
simd::veci codes_from(const unsigned char* bytes) noexcept {
    alignas(64) std::array<std::uint32_t, simd::lanes> codes;
    for (std::size_t l = 0; l < simd::lanes; ++l)
        codes[l] = static_cast<std::uint32_t>(bytes[l * Bits / 8] >> (l * Bits % 8));
    return simd::veci::load_aligned(codes.data());
}

/// Writes the weights of the blocks of a band that begin in the rows [begin, end) to `wide`.
template <packed::block_weights Layout>
void decode_blocks(const Layout& w, std::size_t band, std::size_t begin, std::size_t end,
                   float* wide) noexcept {
    using T = typename Layout::value_type;
    using grids = slot_grids<Layout>;
    constexpr std::size_t B = Layout::block_rows, block_bytes = B * T::bits / 8;
    const auto* bytes = reinterpret_cast<const unsigned char*>(w.values);
    for (std::size_t r = begin; r < end; ++r) {
        grids of(w, r);
        const auto set = [&](std::size_t k, std::size_t i) {
            of.set(k, band * packed::block_shape::band_cols + w.column_in_band(i));
        };
        std::size_t i = w.first(band, r);
        const std::size_t stop = w.first(band, r + 1);
        if constexpr (T::group == 0)
            for (std::size_t k = 0; k < grids::blocks && i < stop; ++k) set(k, i);
        for (; i + grids::blocks <= stop; i += grids::blocks, wide += grids::blocks * B) {
            if constexpr (T::group > 0)
                for (std::size_t k = 0; k < grids::blocks; ++k) set(k, i + k);
            for (std::size_t s = 0; s < grids::blocks * B; s += simd::lanes) {
                const auto codes = codes_from<T::bits>(bytes + i * block_bytes + s * T::bits / 8);
                const auto number = simd::numbers_in<typename T::code>::template at<0>(codes);
                const auto from_zero = T::asymmetric ? number - simd::load(&of.zero[s]) : number;
                (from_zero * simd::load(&of.scale[s])).store_unaligned(wide + s);
            }
        }
        for (; i < stop; ++i, wide += B) {
            if constexpr (T::group > 0) set(0, i);
            for (std::size_t s = 0; s < B; ++s) {
                const auto at = Layout::place(i, s);
                const auto code = static_cast<std::uint8_t>(w.values[at.word] >> at.shift &
                                                            ((1u << T::bits) - 1));
                wide[s] = (T::code::decode(code) - of.zero[s]) * of.scale[s];
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
#endif

#endif  // PARE_KERNEL_DECODED_BLOCKS_HPP
