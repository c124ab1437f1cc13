// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_OCTAVE_FREQUENCIES_HPP
#define PARE_OCTAVE_FREQUENCIES_HPP

#include "../kernel/epilogue.hpp"
#include "../kernel/maps.hpp"
#include "../packed/concepts.hpp"

#include <array>
#include <cstddef>
#include <span>
#include <type_traits>

namespace pare::octave::inline PARE_ARCH_NAMESPACE {

/// Rows and columns of the low-frequency maps: half as many, rounded up.
constexpr extent_2d halved(extent_2d high) noexcept {
    return {(high.height + 1) / 2, (high.width + 1) / 2};
}

/// Maps of the same images in two resolutions, low.extent(2) and (3) being halved() those of high.
/// alpha is the share of the channels that low has; a part without channels is not there, and its
/// other extents do not matter. Chen et al., "Drop an Octave", arXiv:1904.05049.
template <class T>
struct frequencies {
    maps<T> high{}, low{};

    operator frequencies<const T>() const noexcept requires(!std::is_const_v<T>) {
        return {high, low};
    }
};

namespace detail {

using extents = std::array<std::size_t, 4>;

/// Without std::array's ==, of which units with different flags would share a copy.
inline bool are_equal(const extents& a, const extents& b) noexcept {
    return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

inline std::size_t product(const extents& e) noexcept { return e[0] * e[1] * e[2] * e[3]; }

constexpr std::size_t larger(std::size_t a, std::size_t b) noexcept { return a < b ? b : a; }

/// What a window makes of maps: that many channels. None of it where it has no stride.
inline extents outputs(const window& over, const extents& x, std::size_t channels) noexcept {
    if (kernel::detail::area(over.stride) == 0) return {};
    const extent_2d out = over.outputs({x[2], x[3]});
    return {x[0], channels, out.height, out.width};
}

/// Maps at the beginning of memory, the images of a channel side by side; memory is then the rest.
inline maps<float> take(std::span<float>& memory, const extents& e) noexcept {
    const std::size_t pixels = e[2] * e[3];
    const maps<float> taken(memory.data(), e, {pixels, e[0] * pixels, e[3], 1});
    memory = memory.subspan(product(e));
    return taken;
}

/// Whether weights (out, in * kernel) and epilogue make y of x, either of which may be missing.
inline status check_path(const packed::layout auto& w, const window& over,
                         const maps<const float>& x, const maps<float>& y,
                         const epilogue& after) noexcept {
    if (w.rows != (x.extent(1) == 0 ? 0 : y.extent(1)))
        return error{errc::shape_mismatch, "octave: weights for channels that are not there"};
    if (w.rows == 0) return {};
    if (!fits(after, w.rows))
        return error{errc::shape_mismatch, "octave: one bias and one scale per output channel"};
    return kernel::detail::check_maps(over, x, y, x.extent(1), w.cols);
}

inline constexpr error no_workspace{errc::buffer_too_small,
                                    "octave: less memory than workspace_floats()"};

}  // namespace detail
}  // namespace pare::octave::inline PARE_ARCH_NAMESPACE

#endif  // PARE_OCTAVE_FREQUENCIES_HPP
