// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_OCTAVE_RESAMPLE_HPP
#define PARE_OCTAVE_RESAMPLE_HPP

#include "../core/executor.hpp"
#include "../kernel/simd/activation.hpp"
#include "frequencies.hpp"

#include <cstddef>

namespace pare::octave::inline PARE_ARCH_NAMESPACE {
namespace detail {

// to[j] = the mean of columns 2 j and 2 j + 1 of two rows of `width`, the last one repeated.
inline void pool_rows(const float* top, const float* bottom, std::size_t width,
                      float* to) noexcept {
    const std::size_t pairs = width / 2;
    std::size_t j = 0;
#if PARE_HAS_SIMD
    const auto sums = [&](const float* row) {
        return simd::load_even(row + 2 * j) + simd::load_even(row + 2 * j + 1);
    };
    for (; j + simd::lanes < pairs; j += simd::lanes)  // one beyond the odd columns is read
        ((sums(top) + sums(bottom)) * simd::vecf(0.25f)).store_unaligned(to + j);
#endif
    for (; 2 * j < width; ++j) {
        const std::size_t left = 2 * j, right = j < pairs ? left + 1 : left;
        to[j] = ((top[left] + top[right]) + (bottom[left] + bottom[right])) * 0.25f;
    }
}

// to[i] = then(to[i] + from[i / Factor])
template <int Factor>
void add_row(const float* from, std::size_t n, activation then, float* to) noexcept {
    std::size_t i = 0;
#if PARE_HAS_SIMD
    for (; i + simd::lanes <= n; i += simd::lanes) {
        const simd::vecf x =
            Factor == 1 ? simd::load(from + i) : simd::load_twice(from + i / Factor);
        simd::activate(then, simd::load(to + i) + x).store_unaligned(to + i);
    }
#endif
    for (; i < n; ++i) to[i] = kernel::finish({.then = then}, 0, to[i] + from[i / Factor]);
}

/// fn(image, channel), for every map.
template <class T>
void for_each_map(const maps<T>& m, auto& run, auto&& fn) noexcept {
    run.parallel_for(m.extent(0) * m.extent(1), 1, [&](std::size_t begin, std::size_t end) {
        for (; begin < end; ++begin) fn(begin / m.extent(1), begin % m.extent(1));
    });
}

}  // namespace detail

/// y (images, channels, halved rows and columns) = the means of 2 x 2 pixels of x (images,
/// channels, rows, columns). The last row or column of an odd number is repeated, so that what is
/// constant stays so at the border too (our reading). @pre shapes agree, pixels consecutive
template <executor Executor = serial>
void average_pool(maps<const float> x, maps<float> y, Executor&& run = {}) noexcept {
    detail::for_each_map(y, run, [&](std::size_t image, std::size_t c) {
        for (std::size_t r = 0; r < y.extent(2); ++r) {
            const std::size_t below = 2 * r + 1 < x.extent(2) ? 2 * r + 1 : 2 * r;
            detail::pool_rows(&x(image, c, 2 * r, 0), &x(image, c, below, 0), x.extent(3),
                              &y(image, c, r, 0));
        }
    });
}

/// y = then(y + x up-sampled by Factor to the nearest), where x has the extents of y divided by
/// Factor and rounded up: what up-sampling makes beyond y is cut off. @pre pixels consecutive
template <int Factor, executor Executor = serial>
void add(maps<const float> x, maps<float> y, activation then, Executor&& run = {}) noexcept {
    static_assert(Factor == 1 || Factor == 2);
    detail::for_each_map(y, run, [&](std::size_t image, std::size_t c) {
        for (std::size_t r = 0; r < y.extent(2); ++r)
            detail::add_row<Factor>(&x(image, c, r / Factor, 0), y.extent(3), then,
                                    &y(image, c, r, 0));
    });
}

}  // namespace pare::octave::inline PARE_ARCH_NAMESPACE

#endif  // PARE_OCTAVE_RESAMPLE_HPP
