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

// Short rows are the rule: four floats at a time, for which no function is called.
inline void copy_floats(const float* from, std::size_t n, float* to) noexcept {
    constexpr std::size_t four = 4 * sizeof(float);
    if (n > 64) {
        std::memcpy(to, from, n * sizeof(float));
    } else if (n >= 4) {
        for (std::size_t i = 0; i + 4 < n; i += 4) std::memcpy(to + i, from + i, four);
        std::memcpy(to + n - 4, from + n - 4, four);
    } else {
        if (n > 0) to[0] = from[0];
        if (n > 1) to[1] = from[1];
        if (n > 2) to[2] = from[2];
    }
}

inline void fill_zeros(float* to, std::size_t n) noexcept {
    constexpr float four[4]{};
    for (; n >= 4; n -= 4, to += 4) std::memcpy(to, four, sizeof(four));
    copy_floats(four, n, to);
}

inline void copy_every(std::size_t stride, const float* from, std::size_t n, float* to) noexcept {
    if (stride == 1) return copy_floats(from, n, to);
    std::size_t i = 0;
#if PARE_HAS_SIMD
    if (stride == 2)  // a vector reads one beyond the last that it takes
        for (; i + simd::lanes < n; i += simd::lanes)
            simd::load_even(from + 2 * i).store_unaligned(to + i);
#endif
    for (; i < n; ++i) to[i] = from[i * stride];
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

    /// Output columns next to each other: the first see zeros, those from begin to end the row, the
    /// others zeros.
    struct piece {
        std::size_t begin, end, n;
        std::size_t at;  // what `begin` sees
    };
    piece of(std::size_t first, std::size_t n) const noexcept {
        const auto place = [&](std::size_t column) {
            return column < first ? 0 : column - first < n ? column - first : n;
        };
        const std::size_t begin = place(begin_), end = place(end_);
        return {begin, end, n, at_begin_ + (first + begin - begin_) * stride_};
    }

    /// to[i] = what output column first + i of the piece sees of the row.
    void copy(const float* row, const piece& p, float* to) const noexcept {
        if (p.begin > 0) fill_zeros(to, p.begin);
        copy_seen(row, p, to);
        if (p.end < p.n) fill_zeros(to + p.end, p.n - p.end);
    }
    /// The same without the zeros.
    void copy_seen(const float* row, const piece& p, float* to) const noexcept {
        if (p.begin < p.end) copy_every(stride_, row + p.at, p.end - p.begin, to + p.begin);
    }

  private:
    std::size_t stride_;
    std::size_t begin_, end_;  // output columns that see the row
    std::size_t at_begin_;     // what begin_ sees
};

// Below, to[i] = what a tap sees of a map at output pixel first + i.

inline void gather_rows(const window& over, extent_2d in, const float* map, extent_2d tap,
                        std::size_t first, std::size_t n, float* to) noexcept {
    const std::size_t width = over.outputs(in).width;
    const tap_columns columns(tap.width, over, in.width);
    const tap_columns::piece whole = columns.of(0, width);
    std::size_t row = first / width, col = first % width;
    for (; n > 0; ++row, col = 0) {
        const std::size_t piece = width - col < n ? width - col : n;
        const std::size_t y = row * over.stride.height + tap.height;  // from the zeros on
        if (y < over.around.top || y >= over.around.top + in.height) fill_zeros(to, piece);
        else
            columns.copy(map + (y - over.around.top) * in.width,
                         piece == width ? whole : columns.of(col, piece), to);
        to += piece, n -= piece;
    }
}

/// For stride 1 and outputs as wide as the map: a pixel sees the one `shift` further on, but for
/// those whose row ends before.
inline void gather_shifted(const window& over, extent_2d in, const float* map, extent_2d tap,
                           std::size_t first, std::size_t n, float* to) noexcept {
    const auto place = [](std::size_t i) { return static_cast<std::ptrdiff_t>(i); };
    const std::ptrdiff_t right = place(tap.width) - place(over.around.left);
    const std::ptrdiff_t shift =
        (place(tap.height) - place(over.around.top)) * place(in.width) + right;
    const auto within = [&](std::ptrdiff_t pixel) {  // counted in `to`
        const std::ptrdiff_t i = pixel - place(first);
        return i < 0 ? 0 : static_cast<std::size_t>(i) < n ? static_cast<std::size_t>(i) : n;
    };
    const std::size_t begin = within(-shift), end = within(place(area(in)) - shift);
    fill_zeros(to, begin);
    if (begin < end) copy_floats(map + place(first + begin) + shift, end - begin, to + begin);
    fill_zeros(to + end, n - end);
    const std::ptrdiff_t ends = right < 0 ? 0 : place(in.width) - right;  // columns beyond a row
    const std::ptrdiff_t n_ends = right < 0 ? -right : right;
    if (n_ends == 0) return;
    for (std::size_t row = first - first % in.width; row < first + n; row += in.width) {
        const std::size_t at = within(place(row) + ends);
        fill_zeros(to + at, within(place(row) + ends + n_ends) - at);
    }
}

/// For maps of one output pixel, that of a fully connected layer: to[i] is seen of image first + i.
inline void gather_images(const window& over, const maps<const float>& x, std::size_t channel,
                          extent_2d tap, std::size_t first, std::size_t n, float* to) noexcept {
    const std::size_t row = tap.height - over.around.top, col = tap.width - over.around.left;
    if (row >= x.extent(2) || col >= x.extent(3)) return fill_zeros(to, n);  // above, left: huge
    const float* const from = &x(first, channel, row, col);
    for (std::size_t i = 0; i < n; ++i) to[i] = from[i * x.stride(0)];
}

/// The pixels of all images one after the other.
inline void gather_tap(const window& over, const maps<const float>& x, std::size_t channel,
                       extent_2d tap, std::size_t first, std::size_t n, float* to) noexcept {
    const extent_2d in = map_of(x), out = over.outputs(in);
    if (area(out) == 1) return gather_images(over, x, channel, tap, first, n, to);
    const auto gather =
        area(over.stride) == 1 && out.width == in.width ? gather_shifted : gather_rows;
    for (std::size_t p = first, end = first + n; p < end;) {
        const std::size_t image = p / area(out), at = p % area(out);
        const std::size_t left = area(out) - at, piece = left < end - p ? left : end - p;
        gather(over, in, &x(image, channel, 0, 0), tap, at, piece, to + (p - first));
        p += piece;
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
