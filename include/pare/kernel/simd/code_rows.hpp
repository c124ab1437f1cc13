// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_CODE_ROWS_HPP
#define PARE_KERNEL_SIMD_CODE_ROWS_HPP

#include "../../packed/n_m.hpp"
#include "byte_products.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// Whether code_rows reads this layout of whole numbers: dense, 1:4, 2:4.
template <class Layout>
inline constexpr bool has_code_rows = Layout::m == 1 ||
                                      (Layout::m == 4 && (Layout::n == 1 || Layout::n == 2));

/// Columns of a unit: of 32 steps.
template <class Layout>
inline constexpr std::size_t unit_cols = 32 / Layout::n* Layout::m;

using bytes_of_16 [[gnu::vector_size(16)]] = std::uint8_t;
using words_of_16 [[gnu::vector_size(16)]] = std::uint32_t;

/// Activations of a unit in the order in which code_rows wants them: of 16 steps, those of plane p
/// are four bytes p, p + 4, p + 8, p + 12 where dense, and else the table of 16 that these steps
/// choose from.
/// @param x   unit_cols signed bytes
/// @param to  as many, multiple of 16
template <class Layout>
PARE_ALWAYS_INLINE inline void arrange_unit(const std::int8_t* x, std::byte* to) noexcept {
    const auto get = [x](std::size_t i) {
        bytes_of_16 sixteen;
        std::memcpy(&sixteen, x + 16 * i, 16);
        return sixteen ^ static_cast<std::uint8_t>(activation_offset);  // adds it
    };
    const auto put = [to](std::size_t i, auto sixteen) { std::memcpy(to + 16 * i, &sixteen, 16); };
    if constexpr (Layout::m == 1) {
        PARE_UNROLL
        for (std::size_t i = 0; i < 2; ++i) {
            const bytes_of_16 a = get(i);
            put(i, __builtin_shufflevector(a, a, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11,
                                           15));
        }
    } else {
        const auto even = [](words_of_16 a, words_of_16 b) {
            return __builtin_shufflevector(a, b, 0, 2, 4, 6);
        };
        const auto odd = [](words_of_16 a, words_of_16 b) {
            return __builtin_shufflevector(a, b, 1, 3, 5, 7);
        };
        const auto groups = [&](std::size_t i) { return reinterpret_cast<words_of_16>(get(i)); };
        PARE_UNROLL
        for (std::size_t i = 0; i < unit_cols<Layout> / 16; i += 4) {
            const words_of_16 a = groups(i), b = groups(i + 1), c = groups(i + 2),
                              d = groups(i + 3);
            const words_of_16 p = even(a, b), q = odd(a, b), r = even(c, d), s = odd(c, d);
            if constexpr (Layout::n == 2) put(i, p), put(i + 1, q), put(i + 2, r), put(i + 3, s);
            else
                put(i, even(p, r)), put(i + 1, even(q, s)), put(i + 2, odd(p, r)),
                    put(i + 3, odd(q, s));
        }
    }
}

/// Output channels in lanes: Vecs neighbouring vectors of them times a few tokens. A lane's four
/// bytes of a plane, the codes of four steps, are one operand of an integer dot product; the other
/// one is four activations, the same in all lanes where dense, chosen by the indices else.
template <class Layout, std::size_t Tokens, std::size_t Vecs>
class code_rows {
    using T = typename Layout::value_type;
    static constexpr int bits = T::bits;
    static constexpr bool selects = Layout::index_bits > 0;
    static constexpr std::size_t unit_bytes = unit_cols<Layout>;
    static constexpr std::size_t tile_vecs = packed::tile_rows / lanes;
    using sums_of_tokens = std::array<std::array<word_sums, Vecs>, Tokens>;

    struct unit_sums {
        sums_of_tokens products{};
        sums_of_tokens activations{};         ///< chosen ones, where asymmetric
        std::array<word_sums, Vecs> codes{};  ///< times activation_offset
    };

  public:
    /// Of the products with a row's codes where it has one scale, else scaled.
    using sum_type = std::conditional_t<T::group == 0, std::int32_t, float>;

    /// Adds the units [first, end), whole groups, to sums[(v * Tokens + t) * lanes + l], lane l of
    /// vector vecs[v] of all rows, token t. Its activations, arranged, lie at table + (u * Tokens +
    /// t) * unit_cols, u counted from `first`.
    PARE_NEVER_INLINE static void add(const Layout& w, const std::array<std::size_t, Vecs>& vecs,
                                      std::size_t first, std::size_t end, const std::byte* table,
                                      sum_type* sums) noexcept {
        std::array<const std::uint32_t*, Vecs> codes, indices{}, scales;
        PARE_UNROLL
        for (std::size_t v = 0; v < Vecs; ++v) {
            const auto begin = [&](const std::uint32_t* words, std::size_t per_row) {
                return words + vecs[v] / tile_vecs * per_row * packed::tile_rows +
                       vecs[v] % tile_vecs * lanes;
            };
            codes[v] = begin(w.values, w.value_elements(w.cols)) + first * bits * packed::tile_rows;
            if constexpr (selects)
                indices[v] =
                    begin(w.indices, w.index_words(w.cols)) + first * 2 * packed::tile_rows;
            scales[v] = begin(w.scales, w.scale_words(w.cols));
        }
        constexpr std::size_t group = T::group / 32;
        for (std::size_t u = first; u < end;) {
            const std::size_t stop = group == 0 || end - u < group ? end : u + group;
            unit_sums sum;
            const std::size_t n_units = stop - u;
            for (; u < stop; ++u, table += Tokens * unit_bytes) {
                add_unit(codes, indices, table, sum);
                PARE_UNROLL
                for (std::size_t v = 0; v < Vecs; ++v) {
                    codes[v] += bits * packed::tile_rows;
                    if constexpr (selects) indices[v] += 2 * packed::tile_rows;
                }
            }
            finish(sum, n_units, scales, group == 0 ? 0 : (u - n_units) / (group + !group), sums);
        }
    }

    /// The scale of a row's codes, for vector `vec`.
    static vecf row_scale(const Layout& w, std::size_t vec) noexcept requires(T::group == 0) {
        return scale_of(w.scales + vec / tile_vecs * w.scale_words(w.cols) * packed::tile_rows +
                            vec % tile_vecs * lanes,
                        0);
    }

  private:
    static vecf scale_of(const std::uint32_t* words, std::size_t group) noexcept {
        const std::size_t word = T::asymmetric ? group : group / 2;
        const veci both = veci::load_unaligned(words + word * packed::tile_rows);
        if constexpr (T::asymmetric) return from_bits(both & veci(0xffff0000u));
        else return from_bits(group % 2 == 0 ? both << 16 : both & veci(0xffff0000u));
    }

    PARE_ALWAYS_INLINE static void add_unit(const std::array<const std::uint32_t*, Vecs>& codes,
                                            const std::array<const std::uint32_t*, Vecs>& indices,
                                            const std::byte* table, unit_sums& sum) noexcept {
        // A page ahead, which the hardware does not dare.
        PARE_UNROLL
        for (std::size_t v = 0; v < Vecs; ++v) {
            PARE_UNROLL
            for (std::size_t i = 0; i < bits; ++i) prefetch(codes[v] + i * packed::tile_rows, 4096);
            if constexpr (selects) {
                PARE_UNROLL
                for (std::size_t i = 0; i < 2; ++i)
                    prefetch(indices[v] + i * packed::tile_rows, 4096);
            }
        }
        PARE_UNROLL
        for (std::size_t half = 0; half < 2; ++half) PARE_UNROLL
        for (std::size_t plane = 0; plane < 4; ++plane) {
            constexpr std::size_t words_of_half = bits / 2;
            const std::size_t word = half * words_of_half + plane * bits / 8;
            std::array<veci, Vecs> number, index;
            PARE_UNROLL
            for (std::size_t v = 0; v < Vecs; ++v) {
                number[v] =
                    in_top_bits(veci::load_unaligned(codes[v] + word * packed::tile_rows), plane);
                if constexpr (activation_offset != 0)
                    sum.codes[v] = add_products(sum.codes[v], veci(activation_offset * 0x01010101u),
                                                number[v]);
                if constexpr (selects) {
                    const veci all = veci::load_unaligned(indices[v] + half * packed::tile_rows);
                    index[v] = ((all >> static_cast<int>(2 * plane)) & veci(0x03030303u)) |
                               veci(0x0c080400u);
                }
            }
            const std::size_t of_plane = !selects         ? plane * 4
                                         : Layout::n == 2 ? plane / 2 * 16
                                                          : plane * 16;
            const std::byte* at = table + half * unit_bytes / 2 + of_plane;
            PARE_UNROLL
            for (std::size_t t = 0; t < Tokens; ++t) {
                const veci x = selects ? spread_sixteen(at + t * unit_bytes)
                                       : spread_four(at + t * unit_bytes);
                PARE_UNROLL
                for (std::size_t v = 0; v < Vecs; ++v) {
                    const veci chosen = selects ? select_bytes(x, index[v]) : x;
                    sum.products[t][v] = add_products(sum.products[t][v], chosen, number[v]);
                    if constexpr (T::asymmetric)
                        sum.activations[t][v] =
                            add_products(sum.activations[t][v], chosen, veci(0x01010101u));
                }
            }
        }
    }

    // A plane's codes as bytes, times 2^(8 - bits): their sign is then the byte's.
    PARE_ALWAYS_INLINE static veci in_top_bits(veci words, std::size_t plane) noexcept {
        if constexpr (bits == 8) return words;
        else {
            constexpr std::uint32_t top = (0xffu << (8 - bits) & 0xffu) * 0x01010101u;
            return (words << static_cast<int>(8 - bits - plane * bits % 8)) & veci(top);
        }
    }

    PARE_ALWAYS_INLINE static void finish(const unit_sums& sum, std::size_t n_units,
                                          const std::array<const std::uint32_t*, Vecs>& scales,
                                          std::size_t group, sum_type* sums) noexcept {
        PARE_UNROLL
        for (std::size_t v = 0; v < Vecs; ++v) {
            vecf scale(0.0f);
            word_sums zero{};
            if constexpr (T::group != 0) scale = scale_of(scales[v], group);
            if constexpr (T::asymmetric)
                zero = as_sums(veci::load_unaligned(scales[v] + group * packed::tile_rows) << 16) >>
                       16;
            PARE_UNROLL
            for (std::size_t t = 0; t < Tokens; ++t) {
                word_sums n = (sum.products[t][v] - sum.codes[v]) >> (8 - bits);
                if constexpr (T::asymmetric)
                    n -= zero * (sum.activations[t][v] -
                                 static_cast<int>(32 * n_units) * activation_offset);
                sum_type* to = sums + (v * Tokens + t) * lanes;
                if constexpr (T::group == 0) {
                    veci before = veci::load_aligned(reinterpret_cast<std::uint32_t*>(to));
                    (before + as_words(n)).store_aligned(reinterpret_cast<std::uint32_t*>(to));
                } else {
                    fma(scale, to_floats(as_words(n)), vecf::load_aligned(to)).store_aligned(to);
                }
            }
        }
    }
};

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_CODE_ROWS_HPP
