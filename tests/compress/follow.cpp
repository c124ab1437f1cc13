// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/compress.hpp>
#include <pare/kernel/gemm.hpp>
#include <pare/prune/gyro.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

using pare::testing::matrix;
using hinm_layer = pare::layer<pare::packed::hinm<2, 4>>;

namespace {

constexpr std::size_t width = 48, hidden = 80, tokens = 21;

hinm_layer gyro_layer(const matrix& weights) {
    const pare::recipe recipe{pare::prune::magnitude{},
                              pare::prune::hinm<2, 4, 16>{.vector_sparsity = 0.25f},
                              pare::quant::cast<float>{}, pare::prune::gyro{}};
    auto made = pare::compress(weights.view(), recipe);
    REQUIRE(made);
    return *std::move(made);
}

matrix rectified(matrix x) {
    for (float& f : x.data()) f = f > 0.0f ? f : 0.0f;
    return x;
}

// x + down(relu(up(x) + bias)), activations by feature.
matrix residual(const hinm_layer& up, const hinm_layer& down, const matrix& x,
                const std::vector<float>& bias) {
    matrix middle(hidden, tokens), y(width, tokens);
    REQUIRE(pare::gemm(up, x.view().transposed(), middle.view().transposed(), pare::serial{},
                       {.bias = bias}));
    middle = rectified(std::move(middle));
    REQUIRE(pare::gemm(down, std::as_const(middle).view().transposed(), y.view().transposed()));
    for (std::size_t i = 0; i < y.data().size(); ++i) y.data()[i] += x.data()[i];
    return y;
}

}  // namespace

TEST_CASE("layers that follow a plan compute what they do without one, and scatter less") {
    hinm_layer up = gyro_layer(matrix::uniform(hidden, width, 1));
    hinm_layer down = gyro_layer(matrix::uniform(width, hidden, 2));
    const matrix x = matrix::uniform(width, tokens, 3), bias = matrix::uniform(1, hidden, 4);
    const matrix expected = residual(up, down, x, bias.data());
    REQUIRE_FALSE(up.view().in_place);

    const auto order_up = pare::packed::order_of(up.view());
    const auto order_down = pare::packed::order_of(down.view());
    REQUIRE((order_up && order_down));
    using pare::prune::activation;
    const std::array activations{activation{}, activation{.block = activation::all}};
    const std::array<pare::prune::planned_layer, 2> layers{
        {{&*order_up, 0, 1}, {&*order_down, 1, 0}}};
    const auto plan = pare::prune::permutation_plan::make(activations, layers);
    REQUIRE(plan);
    CHECK(plan->stays(0));
    CHECK_FALSE(plan->stays(1));
    up.follow(*plan, 0);
    down.follow(*plan, 1);
    CHECK(up.view().in_place);
    CHECK_FALSE(down.view().in_place);
    CHECK(pare::packed::check(up.view()));
    CHECK(pare::packed::check(down.view()));

    std::vector<float> moved(hidden);
    plan->permute<float>(1, bias.data(), moved);
    const matrix planned = residual(up, down, x, moved);
    // The same products in the same order: the same bits.
    CHECK(planned.data() == expected.data());
    CHECK(residual(up, down, x, bias.data()).data() != expected.data());
}
