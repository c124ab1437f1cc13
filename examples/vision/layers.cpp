// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "layers.hpp"

#include "common/math.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace vision {

namespace {

// visit(image, channel) for each of m's, side by side.
void for_each_map(const pare::maps<float>& m, pare::thread_pool& run, auto&& visit) {
    run.parallel_for(m.extent(0) * m.extent(1), 1, [&](std::size_t begin, std::size_t end) {
        for (; begin < end; ++begin) visit(begin / m.extent(1), begin % m.extent(1));
    });
}

}  // namespace

void add_shortcut(std::size_t front, pare::maps<const float> x, pare::maps<float> y,
                  pare::thread_pool& run) {
    const std::size_t stride = x.extent(2) / y.extent(2);
    for_each_map(y, run, [&](std::size_t i, std::size_t c) {
        const bool lacks = c < front || c >= front + x.extent(1);
        for (std::size_t r = 0; r < y.extent(2); ++r) {
            float* const to = &y(i, c, r, 0);
            if (!lacks) {
                const float* const from = &x(i, c - front, r * stride, 0);
                for (std::size_t p = 0; p < y.extent(3); ++p) to[p] += from[p * stride];
            }
            for (std::size_t p = 0; p < y.extent(3); ++p) to[p] = std::max(to[p], 0.0f);
        }
    });
}

void pool_largest(const pare::window& over, pare::maps<const float> x, pare::maps<float> y,
                  pare::thread_pool& run) {
    for_each_map(y, run, [&](std::size_t i, std::size_t c) {
        const std::size_t width = x.extent(3);
        std::vector<float> columns(width);  // the largest of each
        for (std::size_t r = 0; r < y.extent(2); ++r) {
            std::fill(columns.begin(), columns.end(), -INFINITY);
            for (std::size_t v = 0; v < over.kernel.height; ++v) {
                const float* const from = &x(i, c, r * over.stride.height + v, 0);
                for (std::size_t u = 0; u < width; ++u) columns[u] = std::max(columns[u], from[u]);
            }
            for (std::size_t p = 0; p < y.extent(3); ++p) {
                const float* const from = &columns[p * over.stride.width];
                y(i, c, r, p) = *std::max_element(from, from + over.kernel.width);
            }
        }
    });
}

void pool_average(pare::maps<const float> x, pare::maps<float> y, pare::thread_pool& run) {
    const std::size_t pixels = x.extent(2) * x.extent(3);
    for_each_map(y, run, [&](std::size_t i, std::size_t c) {
        y(i, c, 0, 0) = tools::sum_of({&x(i, c, 0, 0), pixels}) / static_cast<float>(pixels);
    });
}

}  // namespace vision
