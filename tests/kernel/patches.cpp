// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/patches.hpp>

#include "support/catch.hpp"
#include "support/executors.hpp"
#include "support/maps.hpp"

using pare::matrix_view;
using namespace pare::testing;

TEST_CASE("patches are what the kernel covers, zeros where it leaves the map") {
    constexpr std::size_t channels = 3;
    for (const sliding& s : slidings())
        for (const map_order order : {map_order::nchw, map_order::side_by_side})
            for (const fence side : {fence::before, fence::after}) {
                fenced_maps x({s.images, channels, s.height, s.width}, order, side);
                for (std::size_t i = 0; i < x.span().size(); ++i)
                    x.span()[i] = static_cast<float>(i + 1);
                const auto [kernel_height, kernel_width] = s.over.kernel;
                const std::size_t taps = kernel_height * kernel_width;
                const std::size_t area = s.out().height * s.out().width, all = s.images * area;
                for (const std::size_t first : {std::size_t{0}, all / 3, all - 1}) {
                    const std::size_t n = all - first < 2 * area ? all - first : 2 * area;
                    fenced_array<float> memory(std::vector<float>(channels * taps * n, -1.0f),
                                               side);
                    const matrix_view<float> found(memory.data(), channels * taps, n);
                    pare::kernel::gather_patches(s.over, x.view(), first, found, backwards{});
                    int wrong = 0;
                    for (std::size_t r = 0; r < found.rows(); ++r)
                        for (std::size_t p = 0; p < n; ++p) {
                            std::vector<float> tap(taps);
                            tap[r % taps] = 1.0f;
                            const std::size_t at = first + p;
                            wrong += static_cast<double>(found(r, p)) !=
                                     naive_sum(s, tap, x.view(), at / area, r / taps, 1,
                                               at % area / s.out().width, at % s.out().width);
                        }
                    CAPTURE(s.height, s.width, kernel_height, kernel_width, first, n);
                    CHECK(wrong == 0);
                }
            }
}
