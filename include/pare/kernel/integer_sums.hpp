// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_INTEGER_SUMS_HPP
#define PARE_KERNEL_INTEGER_SUMS_HPP

#include "../core/tensor_view.hpp"
#include "epilogue.hpp"
#include "simd/activation.hpp"
#include "simd/code_rows.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

// What integer products are made of: activations in the order that codes want, and sums.

#if PARE_HAS_SIMD
namespace pare::kernel::inline PARE_ARCH_NAMESPACE {
namespace detail {

/// Tokens that go through the weights together, tiles that a worker takes through a block of
/// columns, and bytes of activations that it arranges for them.
inline constexpr std::size_t integer_tokens = 12, integer_tiles = 16, arranged_bytes = 48 * 1024;
/// Columns that are asked of a source of activations at a time.
inline constexpr std::size_t source_cols = 1024;
/// Vectors of channels that tokens go through together: as many as there are registers for sums.
/// One token has many; memory is then read fastest from about four places far apart, and a tile of
/// codes, indices and scales is up to three.
template <class Layout, std::size_t Tokens>
constexpr std::size_t vecs_at_once() noexcept {
    if (Tokens > 1) return Tokens <= 4 || simd::vector_registers == 32 ? 2 : 1;
    constexpr std::size_t places = 1 + (Layout::index_bits > 0) + (Layout::value_type::group > 0);
    constexpr std::size_t tile_vecs = packed::tile_rows / simd::lanes;
    return 4 / places > tile_vecs ? 4 / places : tile_vecs;
}

/// A few tokens in the order that code_rows wants, a block of columns at a time: codes(t, c, n)
/// gives the codes of token t < n_tokens from column c on, n of them and zeros up to a multiple of
/// 128.
template <class Layout, std::size_t Tokens, class Codes>
class arranged_tokens {
    static constexpr std::size_t unit = simd::unit_cols<Layout>;

  public:
    /// Units of a block: whole groups.
    static constexpr std::size_t block_units = arranged_bytes / Tokens / unit / 32 * 32;

    arranged_tokens(std::size_t n_tokens, Codes codes) noexcept
        : n_tokens_(n_tokens), codes_(codes) {}

    /// Units [first, end) of all tokens; those it holds already are not arranged again.
    const std::byte* block(std::size_t first, std::size_t end) noexcept {
        for (std::size_t t = 0; t < Tokens && first != first_; ++t) arrange(t, first, end);
        first_ = first;
        return memory_.data();
    }

  private:
    void arrange(std::size_t t, std::size_t u, std::size_t end) noexcept {
        static constexpr std::array<std::int8_t, source_cols> zeros{};
        constexpr std::size_t at_a_time = source_cols / unit;
        std::byte* to = memory_.data() + t * unit;
        for (; u < end; u += at_a_time) {
            const std::size_t n = end - u < at_a_time ? end - u : at_a_time;
            const std::int8_t* from = t < n_tokens_ ? codes_(t, u * unit, n * unit) : zeros.data();
            for (std::size_t i = 0; i < n; ++i, to += Tokens * unit)
                simd::arrange_unit<Layout>(from + i * unit, to);
        }
    }

    std::size_t n_tokens_, first_ = ~std::size_t{0};
    Codes codes_;
    alignas(64) std::array<std::byte, block_units * unit * Tokens> memory_;
};

/// Sums of at most integer_tiles neighbouring tiles times Tokens tokens.
template <std::size_t Tokens>
class integer_sums {
    static constexpr std::size_t n_vecs = integer_tiles * packed::tile_rows / simd::lanes;
    static constexpr std::size_t tile_vecs = packed::tile_rows / simd::lanes;

  public:
    /// Adds n_tiles tiles of w, first, first + stride, ..., times tokens.
    template <class Layout, class Codes>
    void add(const Layout& w, std::size_t first, std::size_t stride, std::size_t n_tiles,
             arranged_tokens<Layout, Tokens, Codes>& tokens) noexcept {
        constexpr std::size_t at_once = vecs_at_once<Layout, Tokens>();
        using kernel = simd::code_rows<Layout, Tokens, at_once>;
        using sum_type = typename kernel::sum_type;
        constexpr std::size_t block = std::remove_reference_t<decltype(tokens)>::block_units;
        constexpr bool in_floats = std::is_same_v<sum_type, float>;
        alignas(64) std::array<sum_type, in_floats ? 1 : floats> whole{};

        const std::size_t units = w.stored_steps(w.cols) / 32, vecs = n_tiles * tile_vecs;
        const auto vec = [&](std::size_t v) {
            return (first + v / tile_vecs * stride) * tile_vecs + v % tile_vecs;
        };
        for (std::size_t u = 0; u < units; u += block) {
            const std::size_t end = units - u < block ? units : u + block;
            const std::byte* arranged = tokens.block(u, end);
            for (std::size_t v = 0; v < vecs; v += at_once) {
                std::array<std::size_t, at_once> which;
                for (std::size_t i = 0; i < at_once; ++i)
                    which[i] = vec(v + i < vecs ? v + i : vecs - 1);
                const std::size_t at = v * Tokens * simd::lanes;
                if constexpr (in_floats) kernel::add(w, which, u, end, arranged, &sums_[at]);
                else kernel::add(w, which, u, end, arranged, &whole[at]);
            }
        }
        if constexpr (!in_floats)
            for (std::size_t v = 0; v < vecs; ++v) {
                const simd::vecf scale = kernel::row_scale(w, vec(v));
                for (std::size_t t = 0; t < Tokens; ++t) {
                    const std::size_t at = (v * Tokens + t) * simd::lanes;
                    const auto n = simd::veci::load_aligned(
                        reinterpret_cast<const std::uint32_t*>(&whole[at]));
                    (simd::vecf::load_aligned(&sums_[at]) + scale * simd::to_floats(n))
                        .store_aligned(&sums_[at]);
                }
            }
    }

    /// Stores the first n rows from the i-th tile on: row r to channel output(r). InOrder:
    /// output(r) = output(0) + r.
    template <bool InOrder>
    void store(std::size_t i, std::size_t n, const float* token_scales, matrix_view<float> y,
               const epilogue& after, auto&& output) const noexcept {
        for (std::size_t row = 0; row < n; row += simd::lanes) {
            const std::size_t v = i * tile_vecs + row / simd::lanes;
            const bool whole = InOrder && y.col_stride() == 1 && row + simd::lanes <= n;
            for (std::size_t t = 0; t < y.rows(); ++t) {
                const float* sums = &sums_[(v * Tokens + t) * simd::lanes];
                if (whole) {
                    store_vec(simd::vecf::load_aligned(sums) * simd::vecf(token_scales[t]),
                              output(row), after, &y(t, output(row)));
                    continue;
                }
                for (std::size_t l = 0; l < simd::lanes && row + l < n; ++l) {
                    const std::size_t r = output(row + l);
                    y(t, r) = finish(after, r, sums[l] * token_scales[t]);
                }
            }
        }
    }

  private:
    // The vectors behind the last tile's take the sums of a pass that reaches beyond it.
    static constexpr std::size_t floats = (n_vecs + 4) * Tokens * simd::lanes;

    static void store_vec(simd::vecf x, std::size_t row, const epilogue& after,
                          float* to) noexcept {
        if (!after.scale.empty()) x = x * simd::vecf::load_unaligned(&after.scale[row]);
        if (!after.bias.empty()) x = x + simd::vecf::load_unaligned(&after.bias[row]);
        simd::activate(after.then, x).store_unaligned(to);
    }

    alignas(64) std::array<float, floats> sums_{};
};

// visit.operator()<Tokens>(t, n) for groups of n <= Tokens tokens.
inline void in_integer_tokens(std::size_t tokens, auto&& visit) noexcept {
    for (std::size_t t = 0; t < tokens; t += integer_tokens) {
        const std::size_t n = tokens - t < integer_tokens ? tokens - t : integer_tokens;
        if (n > 8) visit.template operator()<12>(t, n);
        else if (n > 4) visit.template operator()<8>(t, n);
        else if (n > 1) visit.template operator()<4>(t, n);
        else visit.template operator()<1>(t, n);
    }
}

}  // namespace detail
}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_INTEGER_SUMS_HPP
