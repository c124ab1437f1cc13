// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/reference.hpp>

#include "support/catch.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"

#include <vector>

using pare::kernel::gemm_ref;
using pare::testing::matrix, pare::testing::packed_matrix;

TEST_CASE("the scalar twin computes a product worked out by hand") {
    // Row 0 stores 2 and 3 in columns 0 and 2, row 1 stores 5 and 7 in columns 1 and 3.
    std::vector<float> values(2 * 16);
    std::vector<std::uint32_t> indices(16);
    values[0] = 2, values[16] = 3, values[1] = 5, values[17] = 7;
    indices[0] = 0b10'00, indices[1] = 0b11'01;
    const pare::packed::n_m<2, 4> weights{2, 4, values.data(), indices.data()};
    const matrix x(2, 4, {1, 10, 100, 1000, 0, 1, 2, 3});
    matrix y(2, 2);
    gemm_ref(weights, x.view(), y.view());
    CHECK(y.data() == std::vector<float>{302, 7050, 6, 26});
    const std::vector<float> bias{0.5f, -1.0f};
    gemm_ref(weights, x.view(), y.view(), {.bias = bias});
    CHECK(y.data() == std::vector<float>{302.5f, 7049, 6.5f, 25});
}

TEST_CASE("the scalar twin takes any strides") {
    const packed_matrix<1, 1, float> weights(matrix::integers(5, 7, 4, 1), 2);
    const matrix x = matrix::integers(6, 21, 8, 3);
    matrix y(10, 12), expected(2, 5);
    const pare::matrix_view<const float> in(x.data().data(), {2, 7}, {63, 3});
    const pare::matrix_view<float> out(y.data().data(), {2, 5}, {2, 24});
    gemm_ref(weights.view(), in, out);
    for (std::size_t t = 0; t < 2; ++t)
        for (std::size_t r = 0; r < 5; ++r) {
            float sum = 0.0f;
            for (std::size_t c = 0; c < 7; ++c) sum += weights.dense()(r, c) * x(3 * t, 3 * c);
            CHECK(out(t, r) == sum);
        }
}

TEST_CASE("the scalar twin computes a range of output channels and leaves the others") {
    const packed_matrix<2, 4, float> weights(matrix::integers(20, 8, 4, 1), 2);
    const matrix x = matrix::integers(1, 8, 8, 3);
    matrix whole(1, 20), part(1, 20);
    gemm_ref(weights.view(), x.view(), whole.view());
    gemm_ref(weights.view(), 3, 18, x.view(), part.view());
    for (std::size_t r = 0; r < 20; ++r)
        CHECK(part(0, r) == (3 <= r && r < 18 ? whole(0, r) : 0.0f));
}

TEST_CASE("the scalar twin sums in ascending column order") {
    // (2^24 + 1) + 1 is 2^24 in float, 2^24 + (1 + 1) is not.
    const packed_matrix<1, 1, float> weights(matrix(1, 3, {1, 1, 1}), 2);
    matrix y(1, 1);
    gemm_ref(weights.view(), matrix(1, 3, {0x1p24f, 1, 1}).view(), y.view());
    CHECK(y(0, 0) == 0x1p24f);
    gemm_ref(weights.view(), matrix(1, 3, {1, 1, 0x1p24f}).view(), y.view());
    CHECK(y(0, 0) == 0x1p24f + 2.0f);
}
