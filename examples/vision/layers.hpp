// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_LAYERS_HPP
#define PARE_EXAMPLES_VISION_LAYERS_HPP

#include "architecture.hpp"

#include <pare/core/tensor_view.hpp>
#include <pare/core/thread_pool.hpp>

#include <span>

// What is no matrix product. Activations of a batch are (channels, images * pixels): the pixels of
// all images side by side are the tokens of a product.

namespace vision {

using activations = pare::matrix_view<float>;
using const_activations = pare::matrix_view<const float>;

inline std::size_t taps(const pare::window& over) { return over.kernel.height * over.kernel.width; }

/// The inputs of each output pixel: patches (channels * taps, images * out.pixels()), rows in the
/// order of the weights. x (in.channels, images * in.pixels()).
void gather_patches(const pare::window& over, const extents& in, const extents& out,
                    const_activations x, activations patches, pare::thread_pool& run);

/// Every channel with the filter of its own (channels, taps).
void convolve_depthwise(const pare::window& over, const extents& in, const extents& out,
                        const_activations x, std::span<const float> filters, activations y,
                        pare::thread_pool& run);

/// x = x * scale + shift per channel, then perhaps ReLU.
void scale_and_shift(activations x, std::span<const float> scale, std::span<const float> shift,
                     bool relu, pare::thread_pool& run);

/// See `residual`.
void add_shortcut(const extents& in, const extents& out, const_activations x, activations y,
                  pare::thread_pool& run);

/// See `max_pool`.
void pool_largest(const pare::window& over, const extents& in, const extents& out,
                  const_activations x, activations y, pare::thread_pool& run);

/// See `average_pool`. y (channels, images).
void pool_average(std::size_t pixels, const_activations x, activations y, pare::thread_pool& run);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_LAYERS_HPP
