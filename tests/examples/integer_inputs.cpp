// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "common/integer_inputs.hpp"

#include "common/error.hpp"
#include "common/linear.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

// Layers of the tools whose inputs become whole numbers of 8 bits.

namespace {

using pare::testing::matrix;
using tools::activation_kind;

std::unique_ptr<tools::linear> layer_of(const matrix& weights, const std::string& recipe,
                                        pare::thread_pool& run) {
    const tools::recipe r = tools::parse_recipe(recipe);
    const auto codec = r.codec == tools::codec_kind::stored ? tools::codec_kind::f32 : r.codec;
    return tools::make_linear(weights.view(), r, codec, {}, run);
}

/// The nearest of 255 numbers up to the largest of its row.
matrix rounded(matrix x) {
    for (std::size_t t = 0; t < x.rows(); ++t) {
        double most = 0.0;
        for (std::size_t c = 0; c < x.cols(); ++c)
            most = std::max(most, std::abs(static_cast<double>(x(t, c))));
        for (std::size_t c = 0; c < x.cols(); ++c)
            x(t, c) = static_cast<float>(
                std::nearbyint(static_cast<double>(x(t, c)) / most * 127.0) * most / 127.0);
    }
    return x;
}

double largest_difference(const matrix& a, const matrix& b) {
    double most = 0.0;
    for (std::size_t i = 0; i < a.data().size(); ++i)
        most = std::max(most, std::abs(static_cast<double>(a.data()[i] - b.data()[i])));
    return most;
}

// Sums of a hundred products of numbers below 1; rounding to 8 bits changes them by 1e-2.
constexpr double rounding = 2e-5;

}  // namespace

TEST_CASE("layers of whole numbers multiply inputs of 8 bits, bias and all") {
    pare::thread_pool run(2);
    const std::string recipe = GENERATE("i8", "i4:g32:a", "nm:2:4+i8", "nm:1:4+i4:g32",
                                        "hinm:2:4:v16:0.25+gyro+i4:g64", "i2:g32");
    const std::size_t tokens = GENERATE(std::size_t{1}, std::size_t{13});
    CAPTURE(recipe, tokens);
    const auto layer = layer_of(matrix::uniform(40, 128, 1), recipe, run);
    REQUIRE(layer->multiplies_integers());
    const matrix x = matrix::uniform(tokens, 128, 2), bias = matrix::uniform(1, 40, 3);
    matrix y(tokens, 40), expected(tokens, 40), exact(tokens, 40);
    layer->apply(x.view(), y.view(), bias.data(), run, activation_kind::i8);
    layer->apply(rounded(x).view(), expected.view(), bias.data(), run);
    layer->apply(x.view(), exact.view(), bias.data(), run);
    CHECK(largest_difference(y, expected) < rounding);
    CHECK(largest_difference(y, exact) > 10 * rounding);
}

TEST_CASE("layers without a product of whole numbers run with floats") {
    pare::thread_pool run(1);
    const std::string recipe = GENERATE("dense", "f16", "nf4:g32", "e4m3", "nm:2:4", "nm:4:8+i8",
                                        "ubp:8:0.5+i8", "block:4x2:0.5+i4:g32");
    CAPTURE(recipe);
    const auto layer = layer_of(matrix::uniform(40, 128, 1), recipe, run);
    CHECK_FALSE(layer->multiplies_integers());
    const matrix x = matrix::uniform(5, 128, 2);
    matrix y(5, 40), expected(5, 40);
    layer->apply(x.view(), y.view(), {}, run, activation_kind::i8);
    layer->apply(x.view(), expected.view(), {}, run);
    CHECK(y.data() == expected.data());
}

// More pixels than a tile of them has.
TEST_CASE("what an output pixel sees is a token of a convolution") {
    constexpr std::size_t images = 2, channels = 4, height = 15, width = 13, outputs = 20;
    pare::thread_pool run(2);
    const auto [kernel, stride] = GENERATE(std::pair<std::size_t, std::size_t>{3, 1},
                                           std::pair<std::size_t, std::size_t>{1, 1},
                                           std::pair<std::size_t, std::size_t>{3, 2});
    const std::string recipe = GENERATE("i8", "nm:2:4+i4:g32");
    CAPTURE(recipe, kernel, stride);
    const std::size_t patch = channels * kernel * kernel;
    pare::window over{.kernel = {kernel, kernel}, .stride = {stride, stride}};
    over.around = pare::padding::same({height, width}, over.kernel, over.stride);
    const pare::extent_2d out = over.outputs({height, width});
    const std::size_t pixels = images * out.height * out.width;

    // Images side by side within a channel.
    const matrix x = matrix::uniform(channels, images * height * width, 1);
    const pare::maps<const float> in(x.data().data(), {images, channels, height, width},
                                     {height * width, images * height * width, width, 1});
    matrix y(outputs, pixels);
    const pare::maps<float> to(
        y.data().data(), {images, outputs, out.height, out.width},
        {out.height * out.width, images * out.height * out.width, out.width, 1});
    const matrix bias = matrix::uniform(1, outputs, 3);
    const auto layer = layer_of(matrix::uniform(outputs, patch, 2), recipe, run);
    REQUIRE(layer->multiplies_integers());
    layer->convolve(over, in, to, {}, run, {.bias = bias.data(), .then = pare::activation::relu},
                    activation_kind::i8);

    matrix seen(pixels, patch), sums(pixels, outputs);
    for (std::size_t p = 0; p < pixels; ++p)
        for (std::size_t c = 0; c < patch; ++c) {
            const std::size_t at = p % (out.height * out.width), tap = c % (kernel * kernel);
            const std::size_t v = at / out.width * stride + tap / kernel - over.around.top,
                              u = at % out.width * stride + tap % kernel - over.around.left;
            if (v < height && u < width)  // before the first wraps round
                seen(p, c) = in(p / (out.height * out.width), c / (kernel * kernel), v, u);
        }
    layer->apply(rounded(seen).view(), sums.view(), bias.data(), run);
    matrix expected(outputs, pixels);
    for (std::size_t o = 0; o < outputs; ++o)
        for (std::size_t p = 0; p < pixels; ++p) expected(o, p) = std::max(sums(p, o), 0.0f);
    CHECK(largest_difference(y, expected) < rounding);
}
