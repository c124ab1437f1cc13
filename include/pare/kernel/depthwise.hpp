// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_DEPTHWISE_HPP
#define PARE_KERNEL_DEPTHWISE_HPP

#include "../core/executor.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "epilogue.hpp"
#include "maps.hpp"
#include "simd/depthwise.hpp"

#include <cstddef>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {

/// The scalar twin, and the definition, for one map: each output is the sum over the taps that lie
/// within x, row by row. filter (kernel.height * kernel.width).
inline void depthwise_ref(const float* filter, const window& over, matrix_view<const float> x,
                          matrix_view<float> y, std::size_t channel,
                          const epilogue& after) noexcept {
    for (std::size_t r = 0; r < y.rows(); ++r)
        for (std::size_t c = 0; c < y.cols(); ++c) {
            float sum = 0.0f;
            for (std::size_t ky = 0; ky < over.kernel.height; ++ky)
                for (std::size_t kx = 0; kx < over.kernel.width; ++kx) {
                    const std::size_t v = r * over.stride.height + ky - over.around.top;
                    const std::size_t u = c * over.stride.width + kx - over.around.left;
                    if (v < x.rows() && u < x.cols())  // else above or left of it, that is huge
                        sum += filter[ky * over.kernel.width + kx] * x(v, u);
                }
            y(r, c) = finish(after, channel, sum);
        }
}

/// y (images, channels, height, width) = every channel of x (images, channels, height, width) under
/// a filter of its own: filters (channels, kernel.height * kernel.width), rows consecutive, dense,
/// for there are no columns to choose from. Finished by the epilogue; y must overlap nothing else.
/// Allocates nothing; uses about 70 KiB of stack. The same bits for every executor and thread
/// count.
/// @return invalid_argument, shape_mismatch, not_contiguous; y is then untouched
template <executor Executor = serial>
status convolve_depthwise(matrix_view<const float> filters, const window& over, maps<const float> x,
                          maps<float> y, Executor&& run = {}, const epilogue& after = {}) noexcept {
    if (const status fit = detail::check_maps(over, x, y, 1, filters.cols()); !fit) return fit;
    if (filters.rows() != y.extent(1) || x.extent(1) != y.extent(1) || !fits(after, y.extent(1)))
        return error{errc::shape_mismatch,
                     "convolve_depthwise: one filter, bias and scale per channel of x and y"};
    if (filters.col_stride() != 1)
        return error{errc::not_contiguous, "convolve_depthwise: filters need consecutive rows"};
    const std::size_t channels = y.extent(1);
    run.parallel_for(x.extent(0) * channels, 1, [&](std::size_t begin, std::size_t end) {
#if PARE_HAS_SIMD
        simd::depthwise many(over, detail::map_of(y));
#endif
        for (; begin < end; ++begin) {
            const std::size_t image = begin / channels, c = begin % channels;
            const float* const filter = &filters(c, 0);
#if PARE_HAS_SIMD
            if (many.fits()) {
                many.run(filter, x[image][c], y[image][c], c, after);
                continue;
            }
#endif
            depthwise_ref(filter, over, x[image][c], y[image][c], c, after);
        }
    });
    return {};
}

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

namespace pare {
using kernel::convolve_depthwise;
}  // namespace pare

#endif  // PARE_KERNEL_DEPTHWISE_HPP
