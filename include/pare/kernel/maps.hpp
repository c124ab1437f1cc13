// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_MAPS_HPP
#define PARE_KERNEL_MAPS_HPP

#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "window.hpp"

#include <cstddef>

namespace pare::kernel {

/// The maps of images (images, channels, height, width), the pixels of a map consecutive. NCHW
/// memory is maps(data, {n, c, h, w}); where the images of a channel lie side by side the strides
/// of the first two extents are exchanged.
template <class T>
using maps = tensor_view<T, 4>;

inline namespace PARE_ARCH_NAMESPACE {
namespace detail {

template <class T>
extent_2d map_of(const maps<T>& m) noexcept {
    return {m.extent(2), m.extent(3)};
}

inline std::size_t area(extent_2d e) noexcept { return e.height * e.width; }

template <class T>
bool has_whole_maps(const maps<T>& m) noexcept {
    return m.stride(3) == 1 && m.stride(2) == m.extent(3);
}

/// The pixels of all images are consecutive within a channel.
template <class T>
bool is_side_by_side(const maps<T>& m) noexcept {
    return m.extent(0) == 1 || m.stride(0) == area(map_of(m));
}

/// (channels, images * pixels) @pre is_side_by_side()
template <class T>
matrix_view<T> as_matrix(const maps<T>& m) noexcept {
    return {m.data_handle(), m.extent(1), m.extent(0) * area(map_of(m)), m.stride(1)};
}

/// n of the images, or of the channels.
template <class T>
maps<T> part(const maps<T>& m, std::size_t dimension, std::size_t first, std::size_t n) noexcept {
    auto extents = m.extents();
    extents[dimension] = n;
    return {m.data_handle() + first * m.stride(dimension), extents, m.strides()};
}

/// What every convolution wants: x, y, and weights whose rows are patches of some channels of x.
inline status check_maps(const window& over, const maps<const float>& x, const maps<float>& y,
                         std::size_t channels, std::size_t patch) noexcept {
    const auto& [kernel, stride, around] = over;
    if (kernel.height == 0 || kernel.width == 0 || stride.height == 0 || stride.width == 0)
        return error{errc::invalid_argument, "convolution: an empty kernel, or no stride"};
    if (channels == 0 || patch % channels != 0 || patch / channels % kernel.height != 0 ||
        patch / channels / kernel.height != kernel.width)
        return error{errc::shape_mismatch, "convolution: W is not (out, channels * kernel)"};
    if (around.top >= kernel.height || around.bottom >= kernel.height ||
        around.left >= kernel.width || around.right >= kernel.width)
        return error{errc::invalid_argument, "convolution: a kernel that sees nothing but zeros"};
    if (x.extent(0) != y.extent(0) || over.outputs(map_of(x)) != map_of(y))
        return error{errc::shape_mismatch, "convolution: y is not what the window makes of x"};
    if (!has_whole_maps(x) || !has_whole_maps(y))
        return error{errc::not_contiguous, "convolution: the pixels of a map are consecutive"};
    return {};
}

}  // namespace detail
}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::kernel

namespace pare {
using kernel::maps;
}  // namespace pare

#endif  // PARE_KERNEL_MAPS_HPP
