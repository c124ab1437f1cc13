// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_LAYERS_HPP
#define PARE_EXAMPLES_VISION_LAYERS_HPP

#include <pare/core/thread_pool.hpp>
#include <pare/kernel/maps.hpp>

// What is no convolution.

namespace vision {

/// See `residual`.
void add_shortcut(std::size_t front, pare::maps<const float> x, pare::maps<float> y,
                  pare::thread_pool& run);

/// See `max_pool`.
void pool_largest(const pare::window& over, pare::maps<const float> x, pare::maps<float> y,
                  pare::thread_pool& run);

/// See `average_pool`. y (images, channels, 1, 1).
void pool_average(pare::maps<const float> x, pare::maps<float> y, pare::thread_pool& run);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_LAYERS_HPP
