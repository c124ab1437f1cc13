// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_EXAMPLES_NAIVE_NETWORK_HPP
#define PARE_TESTS_EXAMPLES_NAIVE_NETWORK_HPP

#include "model_file.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

// Convolutional networks by their definition, in double, pixel by pixel.

namespace pare::testing {

/// (image, channel, y, x)
struct maps {
    std::size_t n, channels, height, width;
    std::vector<double> values;

    maps(std::size_t images, std::size_t c, std::size_t h, std::size_t w)
        : n(images), channels(c), height(h), width(w), values(images * c * h * w) {}
    double& at(std::size_t i, std::size_t c, std::size_t y, std::size_t x) {
        return values[((i * channels + c) * height + y) * width + x];
    }
    void relu() {
        for (double& v : values) v = std::max(v, 0.0);
    }
    std::vector<float> as_floats() const { return {values.begin(), values.end()}; }
};

/// Where a kernel looks: the extents of what it writes, its step, the zeros in front.
struct sliding {
    std::size_t height = 1, width = 1, stride = 1, top = 0, left = 0;
};

/// Steps of a network over the tensors of a file.
class naive_network {
  public:
    /// @param norms_of_batch  statistics are those of the images rather than the file's
    explicit naive_network(const tensors& t, double eps = 0.0, bool norms_of_batch = false)
        : t_(t), eps_(eps), norms_of_batch_(norms_of_batch) {}

    /// With a bias where there is one. Fully connected weights (out, in) cover the whole input,
    /// weights (channels, 1, height, width) of several maps a channel each.
    maps convolve(maps& x, const std::string& name, const sliding& s = {}) const {
        const auto& shape = t_.at(name + ".weight").shape;
        const std::size_t height = shape.size() == 4 ? shape[2] : x.height,
                          width = shape.size() == 4 ? shape[3] : x.width;
        const bool depthwise = shape.size() == 4 && shape[1] == 1;
        const std::size_t area = height * width, terms = area * (depthwise ? 1 : x.channels);
        maps y(x.n, shape[0], s.height, s.width);
        for (std::size_t i = 0; i < y.n; ++i)
            for (std::size_t c = 0; c < y.channels; ++c)
                for (std::size_t p = 0; p < y.height * y.width; ++p) {
                    double& sum = y.at(i, c, p / y.width, p % y.width);
                    if (t_.contains(name + ".bias")) sum = value(name + ".bias", c);
                    for (std::size_t k = 0; k < terms; ++k) {
                        const std::size_t v = p / y.width * s.stride + k % area / width,
                                          u = p % y.width * s.stride + k % width;
                        if (v < s.top || v >= s.top + x.height || u < s.left ||
                            u >= s.left + x.width)
                            continue;
                        const std::size_t from = depthwise && x.channels > 1 ? c : k / area;
                        sum += value(name + ".weight", c * terms + k) *
                               x.at(i, from, v - s.top, u - s.left);
                    }
                }
        return y;
    }

    void normalise(maps& y, const std::string& norm) const {
        const std::size_t pixels = y.height * y.width;
        for (std::size_t c = 0; c < y.channels; ++c) {
            double mean = value(norm + ".running_mean", c),
                   variance = value(norm + ".running_var", c);
            const auto for_each = [&](auto&& visit) {
                for (std::size_t i = 0; i < y.n * pixels; ++i)
                    visit(y.values[(i / pixels * y.channels + c) * pixels + i % pixels]);
            };
            if (norms_of_batch_) {
                const auto count = static_cast<double>(y.n * pixels);
                mean = variance = 0.0;
                for_each([&](double v) { mean += v / count; });
                for_each([&](double v) { variance += (v - mean) * (v - mean) / count; });
            }
            for_each([&](double& v) {
                v = (v - mean) / std::sqrt(variance + eps_) * value(norm + ".weight", c) +
                    value(norm + ".bias", c);
            });
        }
    }

    /// Of every two by two.
    static maps largest(maps& x) {
        maps y(x.n, x.channels, x.height / 2, x.width / 2);
        for (std::size_t i = 0; i < y.n; ++i)
            for (std::size_t c = 0; c < y.channels; ++c)
                for (std::size_t v = 0; v < y.height; ++v)
                    for (std::size_t u = 0; u < y.width; ++u)
                        y.at(i, c, v, u) = std::max(
                            {x.at(i, c, 2 * v, 2 * u), x.at(i, c, 2 * v, 2 * u + 1),
                             x.at(i, c, 2 * v + 1, 2 * u), x.at(i, c, 2 * v + 1, 2 * u + 1)});
        return y;
    }

    static maps average(const maps& x) {
        maps y(x.n, x.channels, 1, 1);
        const std::size_t pixels = x.height * x.width;
        for (std::size_t i = 0; i < x.values.size(); ++i)
            y.values[i / pixels] += x.values[i] / static_cast<double>(pixels);
        return y;
    }

  private:
    double value(const std::string& name, std::size_t i) const {
        return static_cast<double>(t_.at(name).values[i]);
    }

    const tensors& t_;
    double eps_;
    bool norms_of_batch_;
};

}  // namespace pare::testing

#endif  // PARE_TESTS_EXAMPLES_NAIVE_NETWORK_HPP
