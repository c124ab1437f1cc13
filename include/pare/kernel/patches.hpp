// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_PATCHES_HPP
#define PARE_KERNEL_PATCHES_HPP

#include "../core/executor.hpp"
#include "maps.hpp"
#include "simd/vec.hpp"

#include <cstddef>
#include <cstring>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {
namespace detail {

inline void copy_every(std::size_t stride, const float* from, std::size_t n, float* to) noexcept {
    if (stride == 1) {
        if (n != 0) std::memcpy(to, from, n * sizeof(float));
        return;
    }
    std::size_t i = 0;
#if PARE_HAS_SIMD
    if (stride == 2)  // a vector reads one beyond the last that it takes
        for (; i + simd::lanes < n; i += simd::lanes)
            simd::load_even(from + 2 * i).store_unaligned(to + i);
#endif
    for (; i < n; ++i) to[i] = from[i * stride];
}

inline void fill_zeros(float* to, std::size_t n) noexcept {
    for (std::size_t i = 0; i < n; ++i) to[i] = 0.0f;
}

/// What a tap of a kernel sees along a row of a map: output column j sees j * stride + tap - left.
class tap_columns {
  public:
    tap_columns(std::size_t tap, const window& over, std::size_t width) noexcept
        : stride_(over.stride.width) {
        const std::size_t left = over.around.left;
        const auto steps = [&](std::size_t to) { return (to + stride_ - 1) / stride_; };
        begin_ = tap < left ? steps(left - tap) : 0;
        end_ = tap < left + width ? steps(left + width - tap) : 0;
        if (end_ < begin_) end_ = begin_;
        at_begin_ = begin_ * stride_ + tap - left;
    }

    /// to[i] = what output column first + i sees of the row, zero beyond it.
    void copy(const float* row, std::size_t first, std::size_t n, float* to) const noexcept {
        const auto place = [&](std::size_t column) {  // of an output column in `to`
            return column < first ? 0 : column - first < n ? column - first : n;
        };
        const std::size_t begin = place(begin_), end = place(end_);
        fill_zeros(to, begin);
        if (begin < end)
            copy_every(stride_, row + at_begin_ + (first + begin - begin_) * stride_, end - begin,
                       to + begin);
        fill_zeros(to + end, n - end);
    }

  private:
    std::size_t stride_;
    std::size_t begin_, end_;  // output columns that see the row
    std::size_t at_begin_;     // what begin_ sees
};

/// to[i] = what a tap sees of a channel at output pixel first + i of all images.
inline void gather_tap(const window& over, const maps<const float>& x, std::size_t channel,
                       extent_2d tap, std::size_t first, std::size_t n, float* to) noexcept {
    const extent_2d out = over.outputs(map_of(x));
    const tap_columns columns(tap.width, over, x.extent(3));
    std::size_t image = first / area(out), row = first % area(out) / out.width;
    for (std::size_t col = first % out.width; n > 0; col = 0) {
        const std::size_t left = out.width - col, piece = left < n ? left : n;
        const std::size_t y = row * over.stride.height + tap.height;  // from the zeros on
        if (y < over.around.top || y >= over.around.top + x.extent(2)) fill_zeros(to, piece);
        else columns.copy(&x(image, channel, y - over.around.top, 0), col, piece, to);
        to += piece, n -= piece;
        if (++row == out.height) row = 0, ++image;
    }
}

}  // namespace detail

/// What output pixels see, so that a convolution is a product with them: patches (channels *
/// kernel.height * kernel.width, pixels) for the pixels [first, first + patches.cols()), counted
/// through all images, rows in the order of the weights. @pre shapes agree, pixels consecutive
template <executor Executor = serial>
void gather_patches(const window& over, maps<const float> x, std::size_t first,
                    matrix_view<float> patches, Executor&& run = {}) noexcept {
    const std::size_t taps = detail::area(over.kernel);
    run.parallel_for(patches.rows(), 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) {
            const extent_2d tap{r % taps / over.kernel.width, r % over.kernel.width};
            detail::gather_tap(over, x, r / taps, tap, first, patches.cols(), &patches(r, 0));
        }
    });
}

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KERNEL_PATCHES_HPP
