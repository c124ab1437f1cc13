// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_TRANSPOSE_HPP
#define PARE_KERNEL_TRANSPOSE_HPP

#include "../core/executor.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "simd/vec.hpp"

#include <cstddef>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {

namespace detail {

// Tokens [begin, end).
inline void transpose_tokens(matrix_view<const float> x, matrix_view<float> y, std::size_t begin,
                             std::size_t end) noexcept {
    std::size_t t = begin;
#if PARE_HAS_SIMD
    for (; t + simd::lanes <= end; t += simd::lanes) {
        std::size_t c = 0;
        for (; c + 4 <= x.cols(); c += 4) {
            const auto columns = simd::load_transposed(&x(t, c), x.row_stride());
            for (std::size_t i = 0; i < 4; ++i) columns[i].store_unaligned(&y(t, c + i));
        }
        for (; c < x.cols(); ++c)
            for (std::size_t i = 0; i < simd::lanes; ++i) y(t + i, c) = x(t + i, c);
    }
#endif
    for (; t < end; ++t)
        for (std::size_t c = 0; c < x.cols(); ++c) y(t, c) = x(t, c);
}

}  // namespace detail

/// Copies token-major activations x (tokens, features) feature by feature: y, of the same shape, is
/// the transposed view of memory (features, tokens). What gemm of hinm weights wants of many
/// tokens; layers that share an input share the copy. x and y must not overlap.
/// @return shape_mismatch; not_contiguous when x is not token-major or y not feature-major.
template <executor Executor = serial>
status transpose(matrix_view<const float> x, matrix_view<float> y, Executor&& run = {}) noexcept {
    if (x.extents() != y.extents())
        return error{errc::shape_mismatch, "transpose: x and y differ in shape"};
    if (x.col_stride() != 1 || y.row_stride() != 1)
        return error{errc::not_contiguous, "transpose: x is token-major and y feature-major"};
    constexpr std::size_t grain = 64;
    run.parallel_for((x.rows() + grain - 1) / grain, 1, [&](std::size_t begin, std::size_t end) {
        const std::size_t stop = end * grain < x.rows() ? end * grain : x.rows();
        detail::transpose_tokens(x, y, begin * grain, stop);
    });
    return {};
}

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

namespace pare {
using kernel::transpose;
}  // namespace pare

#endif  // PARE_KERNEL_TRANSPOSE_HPP
