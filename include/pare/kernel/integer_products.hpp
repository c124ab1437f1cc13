// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_INTEGER_PRODUCTS_HPP
#define PARE_KERNEL_INTEGER_PRODUCTS_HPP

#include "integer_reference.hpp"
#include "integer_sums.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

// Products of weights and activations that are both whole numbers: output channels lie in lanes.

#if PARE_HAS_SIMD
namespace pare::kernel::inline PARE_ARCH_NAMESPACE {
namespace detail {

template <packed::n_m_weights Layout>
    requires simd::has_code_rows<Layout>
void integer_products(const Layout& w, const quantised_tokens& x, matrix_view<float> y,
                      const epilogue& after, auto& run) noexcept {
    // n tiles: first, first + stride, ...
    const auto block = [&]<std::size_t Tokens>(std::size_t first, std::size_t stride, std::size_t n,
                                               std::size_t t, auto& tokens) {
        integer_sums<Tokens> sums;
        sums.add(w, first, stride, n, tokens);
        for (std::size_t i = 0; i < n; ++i) {
            const std::size_t row = (first + i * stride) * packed::tile_rows, left = w.rows - row;
            sums.template store<true>(
                i, left < packed::tile_rows ? left : packed::tile_rows, x.scales + t,
                y.block(t, 0, x.tokens - t < Tokens ? x.tokens - t : Tokens, w.rows), after,
                [&](std::size_t r) { return row + r; });
        }
    };
    const auto codes_from = [&](std::size_t t) {
        return [&x, t](std::size_t i, std::size_t c, std::size_t) { return x.token(t + i) + c; };
    };
    using codes = decltype(codes_from(0));
    const auto tiles = [&](std::size_t begin, std::size_t end) {
        if (x.tokens == 1) {
            constexpr std::size_t streams =
                vecs_at_once<Layout, 1>() * simd::lanes / packed::tile_rows;
            const std::size_t stride = (end - begin + streams - 1) / streams;
            arranged_tokens<Layout, 1, codes> token(1, codes_from(0));
            for (std::size_t first = begin; first < begin + stride; ++first)
                block.template operator()<1>(first, stride, (end - first + stride - 1) / stride, 0,
                                             token);
            return;
        }
        for (std::size_t first = begin; first < end; first += integer_tiles)
            in_integer_tokens(x.tokens, [&]<std::size_t Tokens>(std::size_t t, std::size_t n) {
                arranged_tokens<Layout, Tokens, codes> tokens(n, codes_from(t));
                const std::size_t left = end - first;
                block.template operator()<Tokens>(
                    first, 1, left < integer_tiles ? left : integer_tiles, t, tokens);
            });
    };
    run.parallel_for(Layout::tiles(w.rows), integer_tiles / 2, tiles);
}

// A tile's activations, gathered through its columns.
template <packed::hinm_weights Layout>
void integer_products(const Layout& w, const quantised_tokens& x, matrix_view<float> y,
                      const epilogue& after, auto& run) noexcept {
    const auto block = [&]<std::size_t Tokens>(std::size_t tile, std::size_t first, std::size_t end,
                                               std::size_t t, std::size_t n_t) {
        integer_sums<Tokens> sums;
        const auto add = [&](const auto& part, std::size_t first_col) {
            std::array<std::int8_t, source_cols> gathered;
            const auto codes = [&](std::size_t i, std::size_t c, std::size_t n) {
                const std::int8_t* from = x.token(t + i);
                std::size_t j = 0;
                for (; j < n && c + j < part.cols; ++j)
                    gathered[j] = from[w.tile_column(tile, first_col + c + j)];
                for (; j < n; ++j) gathered[j] = 0;
                return gathered.data();
            };
            using part_type = std::remove_cvref_t<decltype(part)>;
            arranged_tokens<part_type, Tokens, decltype(codes)> tokens(n_t, codes);
            sums.add(part, w.compact_row(first) / packed::tile_rows, 1, part.tiles(end - first),
                     tokens);
        };
        if (w.dense > 0) add(w.compact_dense(), 0);
        add(w.compact_grouped(), w.dense);
        const auto store = [&]<bool InOrder>() {
            sums.template store<InOrder>(0, end - first, x.scales + t, y.block(t, 0, n_t, w.rows),
                                         after, [&](std::size_t i) { return w.output(first + i); });
        };
        if (w.in_place) store.template operator()<true>();
        else store.template operator()<false>();
    };
    run.parallel_for(w.n_tiles(), 1, [&](std::size_t tile, std::size_t end_tile) {
        for (; tile < end_tile; ++tile)
            w.in_blocks(tile, integer_tiles, [&](std::size_t first, std::size_t end) {
                in_integer_tokens(x.tokens, [&]<std::size_t Tokens>(std::size_t t, std::size_t n) {
                    block.template operator()<Tokens>(tile, first, end, t, n);
                });
            });
    });
}

}  // namespace detail
}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE
#endif

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {

/// Whether gemm() over quantised tokens takes vectors to these weights, not the scalar twin: dense,
/// 1:4, 2:4 and hinm of these, but not with zero points where slots only fill a row up, which would
/// count its last column.
template <integer_weights Weights>
bool has_integer_kernel([[maybe_unused]] const Weights& weights) noexcept {
#if PARE_HAS_SIMD
    using layout = packed::layout_of<Weights>;
    const auto& w = weights.view();
    if constexpr (packed::hinm_weights<layout>) return has_integer_kernel(w.compact_grouped());
    else if constexpr (simd::has_code_rows<layout>)
        return !layout::value_type::asymmetric || w.steps() % layout::n == 0;
#endif
    return false;
}

/// y = x W^T for weights and activations that are both whole numbers: x (tokens, in_features), y
/// (tokens, out_features) with either stride 1, then what the epilogue says. Sums of integers are
/// exact, and scales the only floats: the same bits for every executor and thread count, and for
/// weights with one scale a row on every machine. Allocates nothing; about 80 KiB of stack.
/// @return shape_mismatch; invalid_argument for more than 65,536 stored weights to a scale, whose
/// sum 32 bits do not hold; y is then untouched.
template <integer_weights Weights, executor Executor = serial>
status gemm(const Weights& weights, const quantised_tokens& x, matrix_view<float> y,
            Executor&& run = {}, const epilogue& after = {}) noexcept {
    const auto& w = weights.view();
    if (x.cols != w.cols || y.cols() != w.rows || x.tokens != y.rows())
        return error{errc::shape_mismatch, "gemm: x (tokens, in), y (tokens, out) and W disagree"};
    if (!fits(after, w.rows))
        return error{errc::shape_mismatch, "gemm: one bias and one scale per output channel"};
    if (packed::layout_of<Weights>::value_type::group == 0 && w.cols > 65536)
        return error{errc::invalid_argument, "gemm: integer sums hold 65,536 columns to a scale"};
    if (y.empty()) return {};
#if PARE_HAS_SIMD
    if constexpr (requires { detail::integer_products(w, x, y, after, run); })
        if (has_integer_kernel(w)) {
            detail::integer_products(w, x, y, after, run);
            return {};
        }
#endif
    run.parallel_for(w.rows, packed::tile_rows, [&](std::size_t begin, std::size_t end) {
        gemm_ref(w, begin, end, x, y, after);
    });
    return {};
}

/// y = W x for one quantised token.
template <integer_weights Weights, executor Executor = serial>
status gemv(const Weights& weights, const quantised_tokens& x, std::span<float> y,
            Executor&& run = {}, const epilogue& after = {}) noexcept {
    return gemm(weights, x, matrix_view<float>(y.data(), 1, y.size()), run, after);
}

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

namespace pare {
using kernel::gemm;
using kernel::gemv;
using kernel::has_integer_kernel;
}  // namespace pare

#endif  // PARE_KERNEL_INTEGER_PRODUCTS_HPP
