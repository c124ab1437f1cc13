// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_TAP_COLUMNS_HPP
#define PARE_KERNEL_TAP_COLUMNS_HPP

#include "simd/vec.hpp"
#include "window.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {
namespace detail {

/// An address that need not be in the map: masks may leave out its beginning.
inline const float* place(const float* map, std::size_t at) noexcept {
    return reinterpret_cast<const float*>(reinterpret_cast<std::uintptr_t>(map) +
                                          at * sizeof(float));
}

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

}  // namespace detail
}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KERNEL_TAP_COLUMNS_HPP
