// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_GEMM_HPP
#define PARE_KERNEL_GEMM_HPP

#include "../core/executor.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "../packed/concepts.hpp"
#include "block_products.hpp"
#include "epilogue.hpp"
#include "few_tokens.hpp"
#include "reference.hpp"
#include "token_panels.hpp"

#include <cstddef>
#include <span>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {

/// y = x W^T for packed weights W (out_features, in_features), x (tokens, in_features) and y
/// (tokens, out_features), then what the epilogue says; each token-major (columns consecutive) or
/// feature-major (rows consecutive: pass `view.transposed()`), independently; hinm weights want
/// more than 12 tokens feature-major (transpose() makes them so), and take them by twelve
/// otherwise. y must overlap neither x nor the bias: what it then holds is undefined. Allocates
/// nothing; uses about 180 KiB of stack, with codes up to 310. The same bits for every executor and
/// thread count.
/// @return shape_mismatch, or not_contiguous for a view with neither stride 1; y is then untouched.
template <packed::known_weights Weights, executor Executor = serial>
status gemm(const Weights& weights, matrix_view<const float> x, matrix_view<float> y,
            Executor&& run = {}, const epilogue& after = {}) noexcept {
    const auto& w = weights.view();
    if (x.cols() != w.cols || y.cols() != w.rows || x.rows() != y.rows())
        return error{errc::shape_mismatch, "gemm: x (tokens, in), y (tokens, out) and W disagree"};
    if (!fits(after, w.rows))
        return error{errc::shape_mismatch, "gemm: one bias and one scale per output channel"};
    if ((x.col_stride() != 1 && x.row_stride() != 1) ||
        (y.col_stride() != 1 && y.row_stride() != 1))
        return error{errc::not_contiguous, "gemm: x and y need consecutive rows or columns"};
    if (y.empty()) return {};
#if PARE_HAS_SIMD
    if (x.rows() <= detail::few_tokens) detail::gemm_few_tokens(w, x, y, after, run);
    else if (!packed::hinm_weights<Weights> || x.row_stride() == 1)
        detail::gemm_panels(w, x, y, after, run);
    else
        for (std::size_t t = 0; t < x.rows(); t += detail::few_tokens) {
            const std::size_t left = x.rows() - t;
            const std::size_t n = left < detail::few_tokens ? left : detail::few_tokens;
            detail::gemm_few_tokens(w, x.block(t, 0, n, x.cols()), y.block(t, 0, n, y.cols()),
                                    after, run);
        }
#else
    run.parallel_for(w.rows, packed::tile_rows, [&](std::size_t begin, std::size_t end) {
        gemm_ref(w, begin, end, x, y, after);
    });
#endif
    return {};
}

/// y = W x for one token, x (in_features), y (out_features).
template <packed::known_weights Weights, executor Executor = serial>
status gemv(const Weights& weights, std::span<const float> x, std::span<float> y,
            Executor&& run = {}, const epilogue& after = {}) noexcept {
    return gemm(weights, matrix_view<const float>(x.data(), 1, x.size()),
                matrix_view<float>(y.data(), 1, y.size()), run, after);
}

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

namespace pare {
using kernel::gemm;
using kernel::gemv;
}  // namespace pare

#endif  // PARE_KERNEL_GEMM_HPP
