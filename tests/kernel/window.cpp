// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/window.hpp>

#include "support/catch.hpp"

using pare::extent_2d, pare::padding, pare::window;

namespace {

// Of one direction, with the other left alone.
padding same(std::size_t in, std::size_t kernel, std::size_t stride) {
    return padding::same({in, 1}, {kernel, 1}, {stride, 1});
}

}  // namespace

TEST_CASE("padding as TensorFlow's: known layers") {
    const padding ds_cnn = padding::same({49, 10}, {10, 4}, {2, 2});
    CHECK(ds_cnn.top == 4);
    CHECK(ds_cnn.bottom == 5);
    CHECK(ds_cnn.left == 1);
    CHECK(ds_cnn.right == 1);
    const padding halving = padding::same({32, 32}, {3, 3}, {2, 2});
    CHECK(halving.top == 0);
    CHECK(halving.bottom == 1);
    const padding pointwise = padding::same({32, 31}, {1, 1}, {2, 2});
    CHECK(pointwise.top + pointwise.bottom + pointwise.left + pointwise.right == 0);
}

TEST_CASE("padding as TensorFlow's gives ceil(in / stride) outputs and no zero too many") {
    int wrong = 0;
    for (std::size_t in = 1; in < 30; ++in)
        for (std::size_t kernel = 1; kernel < 12; ++kernel)
            for (std::size_t stride = 1; stride < 8; ++stride) {
                const padding p = same(in, kernel, stride);
                const auto outputs = [&](std::size_t zeros) {
                    return window{{kernel, 1}, {stride, 1}, {zeros, 0, 0, 0}}
                        .outputs({in, 1})
                        .height;
                };
                const std::size_t zeros = p.top + p.bottom;
                wrong += outputs(zeros) != (in + stride - 1) / stride;
                wrong += zeros > 0 && outputs(zeros - 1) == outputs(zeros);
                wrong += p.bottom != p.top && p.bottom != p.top + 1;
                wrong += p.left + p.right != 0;
            }
    CHECK(wrong == 0);
}

TEST_CASE("outputs are the places at which the kernel fits") {
    int wrong = 0;
    for (std::size_t in = 0; in < 12; ++in)
        for (std::size_t kernel = 1; kernel < 8; ++kernel)
            for (std::size_t stride = 1; stride < 5; ++stride)
                for (std::size_t zeros = 0; zeros < 5; ++zeros) {
                    std::size_t places = 0;
                    for (std::size_t at = 0; at + kernel <= in + zeros; at += stride) ++places;
                    const window over{
                        {1, kernel}, {1, stride}, {0, zeros / 2, 0, zeros - zeros / 2}};
                    wrong += over.outputs({1, in}) != extent_2d{1, places};
                }
    CHECK(wrong == 0);
    CHECK(window{.kernel = {3, 3}, .around = padding::valid()}.outputs({5, 9}) == extent_2d{3, 7});
}
