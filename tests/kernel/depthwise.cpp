// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/depthwise.hpp>

#include <pare/core/thread_pool.hpp>

#include "support/catch.hpp"
#include "support/executors.hpp"
#include "support/maps.hpp"
#include "support/matrix.hpp"
#include "support/metrics.hpp"

#include <bit>
#include <cmath>
#include <vector>

using pare::activation, pare::convolve_depthwise, pare::errc, pare::window;
using namespace pare::testing;

namespace {

int wrong_outputs(const sliding& s, std::size_t channels, fence side, map_order order,
                  activation then, auto&& run) {
    const std::size_t taps = s.over.kernel.height * s.over.kernel.width;
    fenced_array<float> filters(matrix::integers(channels, taps, 4, 1).data(), side);
    fenced_maps x({s.images, channels, s.height, s.width}, order, side);
    fenced_maps y({s.images, channels, s.out().height, s.out().width}, order, side);
    x.fill_integers(8, 2);
    const matrix bias = matrix::integers(1, channels, 9, 3);
    const std::vector<float> scale(channels, 0.25f);
    if (!convolve_depthwise({filters.data(), channels, taps}, s.over, x.view(), y.view(), run,
                            {bias.data(), scale, then}))
        return -1;
    int wrong = 0;
    for (std::size_t i = 0; i < s.images; ++i)
        for (std::size_t c = 0; c < channels; ++c)
            for (std::size_t p = 0; p < s.out().height * s.out().width; ++p) {
                const std::size_t row = p / s.out().width, col = p % s.out().width;
                const auto filter = filters.span().subspan(c * taps, taps);
                double expected = 0.25 * naive_sum(s, filter, x.view(), i, c, 1, row, col) +
                                  static_cast<double>(bias(0, c));
                if (then != activation::none && expected < 0.0) expected = 0.0;
                if (then == activation::relu6 && expected > 6.0) expected = 6.0;
                wrong += static_cast<double>(y.view()(i, c, row, col)) != expected;
            }
    return wrong;
}

}  // namespace

TEST_CASE("a depthwise convolution is the sum over what its filter covers") {
    pare::thread_pool two(2);
    int n = 0;
    for (const sliding& s : slidings())
        for (const fence side : {fence::before, fence::after})
            for (const map_order order : {map_order::nchw, map_order::side_by_side}) {
                const auto then = static_cast<activation>(++n % 3);
                CAPTURE(s.images, s.height, s.width, s.over.kernel.height, s.over.kernel.width,
                        s.over.stride.height, static_cast<int>(then));
                CHECK(wrong_outputs(s, 3, side, order, then, two) == 0);
                CHECK(wrong_outputs(s, 1, side, order, then, backwards{}) == 0);
            }
}

TEST_CASE("maps of every width, and those of several blocks of rows or columns") {
    const auto same = [](pare::extent_2d in, pare::extent_2d kernel, pare::extent_2d stride) {
        return sliding{
            1, in.height, in.width, {kernel, stride, pare::padding::same(in, kernel, stride)}};
    };
    for (std::size_t width = 1; width < 70; ++width)
        for (const std::size_t stride : {1u, 2u, 3u}) {
            CAPTURE(width, stride);
            CHECK(wrong_outputs(same({5, width}, {3, 3}, {stride, stride}), 1, fence::after,
                                map_order::nchw, activation::none, pare::serial{}) == 0);
        }
    for (const sliding& s :
         {same({130, 131}, {3, 3}, {1, 1}), same({300, 41}, {5, 5}, {2, 2}),
          same({2, 9000}, {3, 3}, {1, 1}), same({12, 5000}, {3, 7}, {1, 2}),
          same({40, 40}, {16, 16}, {1, 1}),      // as many taps as there is room for
          same({40, 40}, {17, 17}, {1, 1}),      // more than that
          same({20, 3000}, {1, 200}, {1, 3}),    // a wide kernel
          same({100, 90}, {3, 3}, {50, 40})}) {  // a stride that leaves most of the map out
        CAPTURE(s.height, s.width, s.over.kernel.height, s.over.kernel.width);
        CHECK(wrong_outputs(s, 2, fence::after, map_order::nchw, activation::relu,
                            pare::serial{}) == 0);
    }
}

TEST_CASE("a depthwise convolution and its scalar twin round as a sum of its taps may") {
    constexpr window over{.kernel = {3, 3}, .around = {1, 1, 1, 1}};
    const sliding s{1, 20, 21, over};
    const matrix filter = matrix::uniform(1, 9, 1);
    fenced_maps x({1, 1, 20, 21}, map_order::nchw), y({1, 1, 20, 21}, map_order::nchw),
        scalar({1, 1, 20, 21}, map_order::nchw);
    x.fill_uniform(2);
    REQUIRE(convolve_depthwise(filter.view(), over, x.view(), y.view()));
    pare::kernel::depthwise_ref(filter.data().data(), over, x.view()[0][0], scalar.view()[0][0], 0,
                                {});
    for (std::size_t p = 0; p < 420; ++p) {
        const double exact = naive_sum(s, filter.data(), x.view(), 0, 0, 1, p / 21, p % 21);
        const double bound = dot_product_bound(9, 9.0);
        CHECK(std::abs(static_cast<double>(y.span()[p]) - exact) <= bound);
        CHECK(std::abs(static_cast<double>(scalar.span()[p]) - exact) <= bound);
    }
}

TEST_CASE("a depthwise convolution refuses what does not fit and leaves y alone") {
    constexpr window over{.kernel = {3, 3}, .around = {1, 1, 1, 1}};
    fenced_maps x({2, 4, 6, 5}, map_order::nchw), y({2, 4, 6, 5}, map_order::nchw);
    const matrix filters = matrix::uniform(4, 9, 1);
    x.fill_uniform(2);
    const auto code = [&](pare::matrix_view<const float> by, const window& window,
                          const pare::maps<float>& to, const pare::epilogue& after = {}) {
        const auto refused = convolve_depthwise(by, window, x.view(), to, pare::serial{}, after);
        for (const float f : y.span()) REQUIRE(f == 0.0f);
        REQUIRE_FALSE(refused);
        return refused.error().code;
    };
    const auto whole = y.view();
    const std::vector<float> three(3);
    CHECK(code(filters.view().block(0, 0, 3, 9), over, whole) == errc::shape_mismatch);
    CHECK(code(filters.view().block(0, 0, 4, 8), over, whole) == errc::shape_mismatch);
    CHECK(code(filters.view(), over, maps_over(y.span().data(), {2, 3, 6, 5}, map_order::nchw)) ==
          errc::shape_mismatch);
    CHECK(code(filters.view(), over, maps_over(y.span().data(), {2, 4, 6, 4}, map_order::nchw)) ==
          errc::shape_mismatch);
    CHECK(code(filters.view(), over, whole, {.bias = three}) == errc::shape_mismatch);
    CHECK(code(filters.view(), {.kernel = {3, 3}, .stride = {0, 1}}, whole) ==
          errc::invalid_argument);
    CHECK(code(filters.view(), {.kernel = {3, 3}, .around = {1, 3, 1, 1}}, whole) ==
          errc::invalid_argument);
    const matrix turned = matrix::uniform(9, 4, 1);
    CHECK(code(turned.view().transposed(), over, whole) == errc::not_contiguous);
    CHECK(convolve_depthwise(filters.view(), over, pare::maps<const float>(nullptr, {0, 4, 6, 5}),
                             pare::maps<float>(nullptr, {0, 4, 6, 5})));
}
