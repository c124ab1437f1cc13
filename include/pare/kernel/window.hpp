// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_WINDOW_HPP
#define PARE_KERNEL_WINDOW_HPP

#include "../core/config.hpp"

#include <cstddef>

namespace pare::kernel {

/// Rows and columns: of a map, of what slides over it, of a step.
struct extent_2d {
    std::size_t height = 1, width = 1;

    PARE_ALWAYS_INLINE friend constexpr bool operator==(extent_2d, extent_2d) noexcept = default;
};

/// Rows and columns of zeros around a map.
struct padding {
    std::size_t top = 0, left = 0, bottom = 0, right = 0;

    /// None: the kernel stays within the map.
    PARE_ALWAYS_INLINE static constexpr padding valid() noexcept { return {}; }

    /// As TensorFlow pads for ceil(in / stride) outputs: an odd row or column goes behind.
    /// @pre stride > 0
    PARE_ALWAYS_INLINE static constexpr padding same(extent_2d in, extent_2d kernel,
                                                     extent_2d stride) noexcept {
        const std::size_t rows = missing(in.height, kernel.height, stride.height);
        const std::size_t cols = missing(in.width, kernel.width, stride.width);
        return {rows / 2, cols / 2, rows - rows / 2, cols - cols / 2};
    }

  private:
    PARE_ALWAYS_INLINE static constexpr std::size_t missing(std::size_t in, std::size_t kernel,
                                                            std::size_t stride) noexcept {
        const std::size_t needed = in == 0 ? 0 : (in - 1) / stride * stride + kernel;
        return needed > in ? needed - in : 0;
    }
};

/// What an output of a convolution or a pool sees of the map below it.
struct window {
    extent_2d kernel{}, stride{};
    padding around{};

    /// Outputs over a map of this extent, none where the kernel is larger than it with its zeros.
    /// @pre stride > 0
    PARE_ALWAYS_INLINE constexpr extent_2d outputs(extent_2d in) const noexcept {
        return {along(in.height + around.top + around.bottom, kernel.height, stride.height),
                along(in.width + around.left + around.right, kernel.width, stride.width)};
    }

  private:
    PARE_ALWAYS_INLINE static constexpr std::size_t along(std::size_t in, std::size_t kernel,
                                                          std::size_t stride) noexcept {
        return in < kernel ? 0 : (in - kernel) / stride + 1;
    }
};

}  // namespace pare::kernel

namespace pare {
using kernel::extent_2d;
using kernel::padding;
using kernel::window;
}  // namespace pare

#endif  // PARE_KERNEL_WINDOW_HPP
