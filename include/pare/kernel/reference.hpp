// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_REFERENCE_HPP
#define PARE_KERNEL_REFERENCE_HPP

#include "../core/dtype.hpp"
#include "../core/tensor_view.hpp"
#include "../packed/concepts.hpp"
#include "epilogue.hpp"

#include <cstddef>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {

/// The scalar twin of every gemm and gemv, and the definition of their answer: y = x W^T for the
/// output channels output(i), i in [first, end), each the sum over the stored weights of its
/// row in the layout's order, in float. x (tokens, in_features), y (tokens,
/// out_features), any strides. @pre shapes agree
template <packed::layout Layout>
void gemm_ref(const Layout& weights, std::size_t first, std::size_t end, matrix_view<const float> x,
              matrix_view<float> y, const epilogue& after = {}) noexcept {
    for (std::size_t t = 0; t < x.rows(); ++t)
        for (std::size_t i = first; i < end; ++i) {
            const std::size_t r = weights.output(i);
            float sum = 0.0f;
            weights.for_each_weight(
                i, [&](std::size_t c, auto weight) { sum += to_float(weight) * x(t, c); });
            y(t, r) = finish(after, r, sum);
        }
}

template <packed::layout Layout>
void gemm_ref(const Layout& weights, matrix_view<const float> x, matrix_view<float> y,
              const epilogue& after = {}) noexcept {
    gemm_ref(weights, 0, weights.rows, x, y, after);
}

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KERNEL_REFERENCE_HPP
