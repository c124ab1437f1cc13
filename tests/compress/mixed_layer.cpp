// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/core/thread_pool.hpp>
#include <pare/mixed_layer.hpp>
#include <pare/quant/mixllm.hpp>
#include <pare/quant/scaled.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <vector>

namespace quant = pare::quant;
using pare::errc, pare::testing::bits, pare::testing::matrix;

namespace {

constexpr std::size_t rows = 70, cols = 40, tokens = 3;
const pare::recipe of_high{pare::prune::magnitude{}, pare::prune::dense{}, quant::int8<>{}};
const pare::recipe of_low{pare::prune::magnitude{}, pare::prune::n_m<2, 4>{},
                          quant::uint4<quant::per_group<128>>{}};

// What a row gives when it is a layer of its own.
template <class Recipe>
float alone(const matrix& weights, std::size_t r, const Recipe& recipe, const matrix& x,
            std::size_t t) {
    const auto layer = pare::compress(weights.view().block(r, 0, 1, cols), recipe);
    REQUIRE(layer);
    float y = 0.0f;
    REQUIRE(pare::gemv(*layer, x.view().row_span(t), {&y, 1}));
    return y;
}

}  // namespace

TEST_CASE("every channel of a mixed layer is stored as its bit says, wherever it is") {
    const matrix weights = matrix::uniform(rows, cols, 1), x = matrix::uniform(tokens, cols, 2);
    const float bias = 0.5f;
    for (const float share : {0.01f, 0.3f, 1.0f}) {
        std::vector<float> salience(rows);
        for (std::size_t r = 0; r < rows; ++r) salience[r] = static_cast<float>(r * 29 % rows);
        bits high(1, rows);
        REQUIRE(quant::mixllm{share}.select(salience, high.view()));
        const auto layer = pare::compress_mixed(weights.view(), high.view(), of_high, of_low);
        REQUIRE(layer);
        const std::vector<float> biases(rows, bias);
        std::vector<float> scratch(layer->scratch_floats(tokens));
        matrix y(tokens, rows);
        pare::thread_pool run(2);
        REQUIRE(pare::gemm(*layer, x.view(), y.view(), scratch, run, {.bias = biases}));
        int wrong = 0;
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t t = 0; t < tokens; ++t) {
                const float expected = high.view()(0, r) ? alone(weights, r, of_high, x, t)
                                                         : alone(weights, r, of_low, x, t);
                const float error = y.view()(t, r) - (expected + bias);
                wrong += !(error < 1e-5f && error > -1e-5f);
            }
        CHECK(wrong == 0);
    }
}

TEST_CASE("the report of a mixed layer is of all its bytes") {
    const matrix weights = matrix::uniform(64, 128, 1);
    bits high(1, 64);
    for (std::size_t r = 0; r < 32; ++r) high.view().set(0, 2 * r, true);
    const auto layer = pare::compress_mixed(weights.view(), high.view(), of_high, of_low);
    REQUIRE(layer);
    const auto report = layer->report();
    CHECK(report.bytes == layer->high->report().bytes + layer->low->report().bytes + 64 * 4);
    CHECK(report.bits_per_weight == static_cast<double>(report.bytes) / (64 * 128 / 8));
    CHECK(report.sparsity == 0.25);
}

TEST_CASE("a mixed layer retains what saliency its parts keep, of all that they have") {
    matrix weights(2, 4);
    for (std::size_t c = 0; c < 4; ++c) {
        weights(0, c) = static_cast<float>(1 + c);  // 3 + 4 of 10 stay
        weights(1, c) = 10.0f;                      // 40 of 40
    }
    bits high(1, 2);
    high.view().set(0, 1, true);
    const auto layer = pare::compress_mixed(weights.view(), high.view(), of_high, of_low);
    REQUIRE(layer);
    CHECK(layer->report().saliency == 50.0);
    CHECK(layer->report().retained == Approx(47.0 / 50.0).epsilon(1e-12));
    for (float& w : weights.data()) w = 0.0f;
    const auto empty = pare::compress_mixed(weights.view(), high.view(), of_high, of_low);
    REQUIRE(empty);
    CHECK(empty->report().retained == 1.0);
}

TEST_CASE("a mixed layer refuses what does not fit, and leaves y alone") {
    const matrix weights = matrix::uniform(rows, cols, 1), x = matrix::uniform(tokens, cols, 2);
    bits high(1, rows - 1);
    const auto refused = pare::compress_mixed(weights.view(), high.view(), of_high, of_low);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::shape_mismatch);
    bits none(1, rows);
    const auto layer = pare::compress_mixed(weights.view(), none.view(), of_high, of_low);
    REQUIRE(layer);
    CHECK_FALSE(layer->high);
    matrix y(tokens, rows);
    std::vector<float> scratch(layer->scratch_floats(tokens) - 1);
    CHECK(pare::gemm(*layer, x.view(), y.view(), scratch).error().code == errc::buffer_too_small);
    CHECK(y.data() == std::vector<float>(tokens * rows));
}
