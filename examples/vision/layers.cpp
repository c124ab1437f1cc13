// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "layers.hpp"

#include "common/math.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace vision {

namespace {

// visit(channel) for each, side by side.
void for_each_channel(std::size_t channels, pare::thread_pool& run, auto&& visit) {
    run.parallel_for(channels, 1, [&](std::size_t begin, std::size_t end) {
        for (; begin < end; ++begin) visit(begin);
    });
}

// One row of an output map reads one row of an input map, `shift` columns to the right.
void gather_row(const float* from, std::ptrdiff_t width, std::ptrdiff_t shift, std::size_t stride,
                std::span<float> to) {
    const auto step = static_cast<std::ptrdiff_t>(stride), n = std::ssize(to);
    const auto first_at_least = [&](std::ptrdiff_t column) {  // place that reads it or one beyond
        return std::clamp<std::ptrdiff_t>((column - shift + step - 1) / step, 0, n);
    };
    const std::ptrdiff_t begin = shift >= 0 ? 0 : first_at_least(0);
    const std::ptrdiff_t end = shift >= width ? 0 : first_at_least(width);
    std::fill_n(to.data(), begin, 0.0f);
    if (step == 1) std::copy(from + begin + shift, from + end + shift, to.data() + begin);
    else
        for (std::ptrdiff_t i = begin; i < end; ++i) to.data()[i] = from[i * step + shift];
    std::fill(to.data() + end, to.data() + n, 0.0f);
}

}  // namespace

void gather_patches(const pare::window& over, const extents& in, const extents& out,
                    const_activations x, activations patches, pare::thread_pool& run) {
    const std::size_t n_images = x.cols() / in.pixels();
    for_each_channel(patches.rows(), run, [&](std::size_t r) {
        const std::size_t ky = r % taps(over) / over.kernel.width, kx = r % over.kernel.width;
        const auto shift =
            static_cast<std::ptrdiff_t>(kx) - static_cast<std::ptrdiff_t>(over.around.left);
        for (std::size_t i = 0; i < n_images; ++i)
            for (std::size_t y = 0; y < out.height; ++y) {
                const auto to =
                    patches.row_span(r).subspan(i * out.pixels() + y * out.width, out.width);
                const std::size_t row = y * over.stride.height + ky;  // counted from the zeros on
                if (row < over.around.top || row >= over.around.top + in.height) {
                    std::fill(to.begin(), to.end(), 0.0f);
                    continue;
                }
                const float* const from =
                    &x(r / taps(over), i * in.pixels() + (row - over.around.top) * in.width);
                gather_row(from, static_cast<std::ptrdiff_t>(in.width), shift, over.stride.width,
                           to);
            }
    });
}

namespace {

// y(channel, image, row, column) = start, then visit(y, x, tap) for each tap within the map.
void slide(const pare::window& over, const extents& in, const extents& out, const_activations x,
           activations y, pare::thread_pool& run, float start, auto&& visit) {
    for_each_channel(y.rows(), run, [&](std::size_t c) {
        for (std::size_t p = 0; p < y.cols(); ++p) {
            const std::size_t pixel = p % out.pixels(), image = p / out.pixels();
            const std::size_t top = pixel / out.width * over.stride.height,
                              left = pixel % out.width * over.stride.width;
            y(c, p) = start;
            for (std::size_t k = 0; k < taps(over); ++k) {
                const std::size_t v = top + k / over.kernel.width - over.around.top,
                                  u = left + k % over.kernel.width - over.around.left;
                if (v < in.height && u < in.width)
                    visit(y(c, p), x(c, image * in.pixels() + v * in.width + u), c, k);
            }
        }
    });
}

}  // namespace

void convolve_depthwise(const pare::window& over, const extents& in, const extents& out,
                        const_activations x, std::span<const float> filters, activations y,
                        pare::thread_pool& run) {
    slide(over, in, out, x, y, run, 0.0f, [&](float& sum, float v, std::size_t c, std::size_t k) {
        sum += filters[c * taps(over) + k] * v;
    });
}

void pool_largest(const pare::window& over, const extents& in, const extents& out,
                  const_activations x, activations y, pare::thread_pool& run) {
    slide(over, in, out, x, y, run, -INFINITY,
          [](float& most, float v, std::size_t, std::size_t) { most = std::max(most, v); });
}

void scale_and_shift(activations x, std::span<const float> scale, std::span<const float> shift,
                     bool relu, pare::thread_pool& run) {
    const float least = relu ? 0.0f : -INFINITY;
    for_each_channel(x.rows(), run, [&](std::size_t c) {
        for (float& value : x.row_span(c)) value = std::max(value * scale[c] + shift[c], least);
    });
}

void add_shortcut(const extents& in, const extents& out, const_activations x, activations y,
                  pare::thread_pool& run) {
    const std::size_t stride = in.height / out.height, before = (out.channels - in.channels) / 2;
    const std::size_t n_images = y.cols() / out.pixels();
    for_each_channel(in.channels, run, [&](std::size_t c) {
        for (std::size_t i = 0; i < n_images; ++i)
            for (std::size_t row = 0; row < out.height; ++row) {
                const float* from = &x(c, i * in.pixels() + row * stride * in.width);
                float* to = &y(before + c, i * out.pixels() + row * out.width);
                for (std::size_t w = 0; w < out.width; ++w) to[w] += from[w * stride];
            }
    });
    for_each_channel(out.channels, run, [&](std::size_t c) {
        for (float& value : y.row_span(c)) value = std::max(value, 0.0f);
    });
}

void pool_average(std::size_t pixels, const_activations x, activations y, pare::thread_pool& run) {
    for_each_channel(x.rows(), run, [&](std::size_t c) {
        for (std::size_t i = 0; i < y.cols(); ++i)
            y(c, i) = tools::sum_of(x.row_span(c).subspan(i * pixels, pixels)) /
                      static_cast<float>(pixels);
    });
}

}  // namespace vision
