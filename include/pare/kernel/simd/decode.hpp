// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_DECODE_HPP
#define PARE_KERNEL_SIMD_DECODE_HPP

#include "../../packed/n_m.hpp"
#include "lookup.hpp"
#include "vec.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// The numbers that codes stand for: at<Shift>(words) takes the codes that lie in the bits from
/// Shift on.
template <class Code>
struct numbers_in;

template <int Bits>
struct numbers_in<whole_numbers<Bits>> {
#if defined(__AVX512F__)
    static constexpr bool looks_up = Bits <= 4;
#else
    static constexpr bool looks_up = false;
#endif

    template <int Shift>
    static vecf at(veci words) noexcept {
        if constexpr (looks_up) {
            return lookup<1 << Bits>(numbers.data())(words >> Shift);
        } else {
            constexpr int above = 32 - Bits - Shift;
            if constexpr (above > 0) words = words << above;
            return to_floats(signed_shift_right<32 - Bits>(words));
        }
    }

  private:
    static constexpr auto numbers = [] {
        std::array<float, looks_up ? 1 << Bits : 1> all;
        for (std::size_t i = 0; i < all.size(); ++i)
            all[i] = whole_numbers<Bits>::decode(static_cast<std::uint8_t>(i));
        return all;
    }();
};

template <>
struct numbers_in<code_nf4> {
    template <int Shift>
    static vecf at(veci words) noexcept {
        using table = lookup<16>;
        words = words >> Shift;
        if constexpr (!table::takes_dirty_index) words = words & veci(15u);
        return table(code_nf4::numbers.data())(words);
    }
};

template <int ExponentBits>
struct numbers_in<small_float<ExponentBits>> {
    using code = small_float<ExponentBits>;
    template <int Shift>
    static vecf at(veci words) noexcept {
        constexpr int shift = 23 - code::fraction_bits;
        words = words >> Shift;
        const veci size = words & veci(0x7fu), sign = (words & veci(0x80u)) << 24;
        const veci normal =
            (size << shift) + veci(static_cast<std::uint32_t>(127 - code::bias) << 23);
        const veci subnormal = as_bits(to_floats(size) * vecf(code::decode(1)));
        // All ones where the exponent is zero.
        const veci is_subnormal = veci(0u) - ((size - veci(1u << code::fraction_bits)) >> 31);
        return from_bits(sign | (subnormal & is_subnormal) | (normal & ~is_subnormal));
    }
};

/// What the codes of `lanes` rows stand for.
struct grid_vecs {
    vecf scale, zero;
};

/// Of a group of the rows from `lane` on of a tile.
template <packed::n_m_weights Layout>
grid_vecs grids_of(const Layout& w, std::size_t tile, std::size_t group,
                   std::size_t lane) noexcept {
    using T = typename Layout::value_type;
    const veci grids = veci::load_unaligned(
        w.scales + Layout::scale_word(tile * packed::tile_rows, w.cols, group) + lane);
    if constexpr (T::asymmetric) {
        const veci low = grids & veci(0xffffu), sign(0x8000u);
        return {from_bits(grids & veci(0xffff0000u)), to_floats((low ^ sign) - sign)};
    } else return {from_bits(group % 2 != 0 ? grids & veci(0xffff0000u) : grids << 16), vecf(0.0f)};
}

/// Writes the weights of the steps [begin, end) of a tile to wide[(s - begin / 16 * 16) * 16 + l],
/// and of the others that share 16 steps with them.
template <packed::n_m_weights Layout>
void decode(const Layout& w, std::size_t tile, std::size_t begin, std::size_t end,
            float* wide) noexcept {
    using T = typename Layout::value_type;
    using numbers = numbers_in<typename T::code>;
    constexpr std::size_t n_words = T::bits / 2;  // of 16 steps
    const std::uint32_t* words =
        w.values +
        (tile * Layout::value_elements(w.cols) + begin / 16 * n_words) * packed::tile_rows;
    for (std::size_t s = begin / 16 * 16; s < end; s += 16, words += n_words * packed::tile_rows)
        for (std::size_t l = 0; l < packed::tile_rows; l += lanes) {
            const grid_vecs grid = grids_of(w, tile, T::group_of(s), l);
            std::array<veci, n_words> word;
            for (std::size_t i = 0; i < n_words; ++i) {
                prefetch(words + i * packed::tile_rows + l, 4096);
                word[i] = veci::load_unaligned(words + i * packed::tile_rows + l);
            }
            const auto put = [&]<std::size_t Step>(std::integral_constant<std::size_t, Step>) {
                constexpr std::size_t bit = Step % 4 * T::bits;
                constexpr int shift = 8 * (Step / 4) + bit % 8;
                vecf number = numbers::template at<shift>(word[bit / 8]);
                if constexpr (T::asymmetric) number = number - grid.zero;
                (number * grid.scale).store_aligned(wide + Step * packed::tile_rows + l);
            };
            [&]<std::size_t... Step>(std::index_sequence<Step...>) {
                (put(std::integral_constant<std::size_t, Step>{}), ...);
            }
            (std::make_index_sequence<16>{});
            if (l + lanes == packed::tile_rows) wide += 16 * packed::tile_rows;
        }
}

/// Weights of a tile as floats, for kernels that read floats: at most Steps of them at a time.
template <class Layout, std::size_t Steps>
class decoded_tile {
  public:
    using layout = packed::n_m<Layout::n, Layout::m, float>;

    /// A layout of the tile alone, of whose steps only [begin, end) are there.
    layout operator()(const Layout& w, std::size_t tile, std::size_t begin,
                      std::size_t end) noexcept {
        decode(w, tile, begin, end, wide_.data());
        const auto first = reinterpret_cast<std::uintptr_t>(wide_.data()) -
                           begin / 16 * 16 * packed::tile_rows * sizeof(float);
        const std::size_t words = tile * Layout::index_words(w.cols) * packed::tile_rows;
        const std::size_t left = w.rows - tile * packed::tile_rows;
        return {left < packed::tile_rows ? left : packed::tile_rows, w.cols,
                reinterpret_cast<const float*>(first),
                Layout::index_bits > 0 ? w.indices + words : nullptr};
    }

  private:
    alignas(64) std::array<float, (Steps + 31) / 16 * 16 * packed::tile_rows> wide_;
};

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_DECODE_HPP
