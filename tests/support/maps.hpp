// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_SUPPORT_MAPS_HPP
#define PARE_TESTS_SUPPORT_MAPS_HPP

#include "fenced_array.hpp"

#include <pare/core/random.hpp>
#include <pare/kernel/epilogue.hpp>
#include <pare/kernel/maps.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pare::testing {

/// How the maps of several images lie.
enum class map_order { nchw, side_by_side };

inline pare::maps<float> maps_over(float* data, const std::array<std::size_t, 4>& extents,
                                   map_order order) {
    if (order == map_order::nchw) return {data, extents};
    const auto [images, channels, height, width] = extents;
    const std::size_t pixels = height * width;
    return {data, extents, {pixels, images * pixels, width, 1}};
}

/// Maps whose memory begins or ends at a page that may not be touched.
class fenced_maps {
  public:
    fenced_maps(const std::array<std::size_t, 4>& extents, map_order order,
                fence side = fence::after)
        : extents_(extents), order_(order),
          memory_(std::vector<float>(extents[0] * extents[1] * extents[2] * extents[3]), side) {}

    pare::maps<float> view() { return maps_over(memory_.data(), extents_, order_); }
    std::span<float> span() { return memory_.span(); }

    /// Integers in [-bound, bound].
    void fill_integers(int bound, std::uint64_t seed) {
        pare::random random(seed);
        const auto n_values = static_cast<std::uint64_t>(2 * bound + 1);
        for (float& x : span())
            x = static_cast<float>(static_cast<int>(random.below(n_values)) - bound);
    }
    void fill_uniform(std::uint64_t seed) {
        pare::random random(seed);
        for (float& x : span()) x = random.symmetric();
    }

  private:
    std::array<std::size_t, 4> extents_;
    map_order order_;
    fenced_array<float> memory_;
};

/// A convolution's shape, but for its channels.
struct sliding {
    std::size_t images, height, width;
    pare::window over;

    pare::extent_2d in() const { return {height, width}; }
    pare::extent_2d out() const { return over.outputs(in()); }
};

/// Kernels 1x1 to 10x4, strides 1 to 3, odd sizes, every kind of padding.
inline const std::vector<sliding>& slidings() {
    const auto same = [](std::size_t images, extent_2d in, extent_2d kernel, extent_2d stride) {
        return sliding{
            images, in.height, in.width, {kernel, stride, padding::same(in, kernel, stride)}};
    };
    static const std::vector<sliding> all{
        {1, 4, 5, {}},
        {3, 4, 5, {}},
        {3, 5, 4, {.stride = {2, 2}}},
        {1, 7, 6, {.kernel = {3, 3}, .stride = {1, 1}, .around = {1, 1, 1, 1}}},
        {3, 7, 6, {.kernel = {3, 3}, .stride = {2, 2}, .around = {1, 1, 1, 1}}},
        {3, 8, 8, {.kernel = {3, 3}}},
        {1, 3, 3, {.kernel = {3, 3}}},
        {2, 9, 11, {.kernel = {5, 5}, .stride = {3, 3}, .around = {0, 4, 3, 1}}},
        {2, 6, 70, {.kernel = {1, 3}, .stride = {1, 2}, .around = {0, 2, 0, 0}}},
        {1, 5, 80, {.kernel = {3, 3}, .stride = {2, 2}, .around = {1, 0, 0, 2}}},
        {2, 1, 1, {.kernel = {3, 3}, .around = {1, 1, 1, 1}}},
        {3, 2, 3, {.kernel = {5, 5}, .around = {4, 4, 4, 4}}},
        {2, 5, 7, {.kernel = {2, 3}, .stride = {4, 5}}},
        same(1, {49, 10}, {10, 4}, {2, 2}),
        same(3, {25, 5}, {3, 3}, {1, 1}),
        same(2, {16, 15}, {3, 3}, {2, 2}),
        same(1, {20, 33}, {5, 5}, {1, 1}),
        same(1, {33, 34}, {1, 3}, {3, 1}),
        same(2, {3, 2}, {7, 9}, {1, 1}),
        same(3, {6, 9}, {3, 4}, {1, 1}),
    };
    return all;
}

/// The sum of what output (row, col) sees of `channels` channels of x from `first` on, by the
/// definition.
inline double naive_sum(const sliding& s, std::span<const float> weights, maps<const float> x,
                        std::size_t image, std::size_t first, std::size_t channels, std::size_t row,
                        std::size_t col) {
    double sum = 0.0;
    const auto [height, width] = s.over.kernel;
    for (std::size_t c = 0; c < channels; ++c)
        for (std::size_t ky = 0; ky < height; ++ky)
            for (std::size_t kx = 0; kx < width; ++kx) {
                const std::size_t v = row * s.over.stride.height + ky,
                                  u = col * s.over.stride.width + kx;
                if (v < s.over.around.top || v >= s.over.around.top + s.height ||
                    u < s.over.around.left || u >= s.over.around.left + s.width)
                    continue;
                sum += static_cast<double>(weights[(c * height + ky) * width + kx]) *
                       static_cast<double>(
                           x(image, first + c, v - s.over.around.top, u - s.over.around.left));
            }
    return sum;
}

}  // namespace pare::testing

#endif  // PARE_TESTS_SUPPORT_MAPS_HPP
