// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_OCTAVE_VOLUME_HPP
#define PARE_TESTS_OCTAVE_VOLUME_HPP

#include "support/catch.hpp"
#include "support/layouts.hpp"
#include "support/maps.hpp"
#include "support/matrix.hpp"

#include <pare/octave/frequencies.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <vector>

namespace pare::testing {

/// The maps of one image in double, and what the blocks of octave/ do to them, by the definition.
struct volume {
    std::size_t channels, height, width;
    std::vector<double> data = std::vector<double>(channels * height * width);

    double& operator()(std::size_t c, std::size_t y, std::size_t x) {
        return data[(c * height + y) * width + x];
    }
    double operator()(std::size_t c, std::size_t y, std::size_t x) const {
        return data[(c * height + y) * width + x];
    }
    extent_2d size() const { return {height, width}; }
};

inline volume made(std::size_t channels, extent_2d size,
                   const std::function<double(std::size_t, std::size_t, std::size_t)>& value) {
    volume v{channels, size.height, size.width};
    for (std::size_t c = 0; c < channels; ++c)
        for (std::size_t y = 0; y < size.height; ++y)
            for (std::size_t x = 0; x < size.width; ++x) v(c, y, x) = value(c, y, x);
    return v;
}

inline volume image_of(const maps<const float>& m, std::size_t image) {
    return made(m.extent(1), {m.extent(2), m.extent(3)},
                [&](auto c, auto y, auto x) { return static_cast<double>(m(image, c, y, x)); });
}

inline volume convolved(const volume& v, const matrix& weights, const window& over,
                        bool depthwise = false) {
    const std::size_t taps = over.kernel.height * over.kernel.width;
    return made(weights.rows(), over.outputs(v.size()), [&](auto o, auto y, auto x) {
        double sum = 0.0;
        for (std::size_t i = 0; i < weights.cols(); ++i) {
            const std::size_t tap = i % taps, c = depthwise ? o : i / taps;
            const std::size_t row =
                y * over.stride.height + tap / over.kernel.width - over.around.top;
            const std::size_t col =
                x * over.stride.width + tap % over.kernel.width - over.around.left;
            if (row < v.height && col < v.width)
                sum += static_cast<double>(weights(o, i)) * v(c, row, col);
        }
        return sum;
    });
}

/// The last row and column of an odd number count twice.
inline volume pooled(const volume& v) {
    return made(v.channels, {(v.height + 1) / 2, (v.width + 1) / 2}, [&](auto c, auto y, auto x) {
        const std::size_t below = std::min(2 * y + 1, v.height - 1),
                          right = std::min(2 * x + 1, v.width - 1);
        return (v(c, 2 * y, 2 * x) + v(c, 2 * y, right) + v(c, below, 2 * x) + v(c, below, right)) *
               0.25;
    });
}

inline volume upsampled(const volume& v, extent_2d to) {
    return made(v.channels, to, [&](auto c, auto y, auto x) { return v(c, y / 2, x / 2); });
}

/// One without channels adds nothing.
inline volume sum(const volume& a, const volume& b) {
    if (a.channels == 0) return b;
    if (b.channels == 0) return a;
    return made(a.channels, a.size(),
                [&](auto c, auto y, auto x) { return a(c, y, x) + b(c, y, x); });
}

inline volume side_by_side(volume a, const volume& b) {
    a.channels += b.channels;
    a.data.insert(a.data.end(), b.data.begin(), b.data.end());
    return a;
}

inline volume finished(volume v, const epilogue& after) {
    return made(v.channels, v.size(), [&](auto c, auto y, auto x) {
        double value = v(c, y, x);
        if (!after.scale.empty()) value *= static_cast<double>(after.scale[c]);
        if (!after.bias.empty()) value += static_cast<double>(after.bias[c]);
        if (after.then != activation::none) value = std::max(value, 0.0);
        return after.then == activation::relu6 ? std::min(value, 6.0) : value;
    });
}

/// Values of an image that are not those expected, to the bit.
inline int n_wrong(const maps<const float>& m, std::size_t image, const volume& expected) {
    int wrong = 0;
    for (std::size_t c = 0; c < expected.channels; ++c)
        for (std::size_t y = 0; y < expected.height; ++y)
            for (std::size_t x = 0; x < expected.width; ++x)
                wrong += static_cast<double>(m(image, c, y, x)) != expected(c, y, x);
    return wrong;
}

/// Small whole biases and scales of 1/2, 1 or 2 that keep sums exact.
struct exact_epilogue {
    exact_epilogue(std::size_t n, std::uint64_t seed, activation a = activation::relu6)
        : bias(matrix::integers(1, n, 4, seed)), scale(matrix::integers(1, n, 1, seed + 1)),
          then(a) {
        for (float& s : scale.data()) s = s < 0.0f ? 0.5f : s + 1.0f;
    }
    operator epilogue() const { return {bias.data(), scale.data(), then}; }

    matrix bias, scale;
    activation then;
};

/// Every other packed matrix of tests is pruned 2:4; what is not there has no rows.
using pruned = packed_matrix<2, 4, float>;

inline pruned any_weights(std::size_t rows, std::size_t cols, std::uint64_t seed) {
    return {matrix::integers(rows, cols, 2, seed), seed};
}

inline constexpr window same_3x3{.kernel = {3, 3}, .around = {1, 1, 1, 1}};

}  // namespace pare::testing

#endif  // PARE_TESTS_OCTAVE_VOLUME_HPP
