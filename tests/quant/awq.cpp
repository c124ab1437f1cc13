// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/quant/awq.hpp>

#include <pare/quant/scaled.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

using pare::errc, pare::quant::awq;
using pare::testing::matrix;
namespace quant = pare::quant;

TEST_CASE("awq gives loud features finer steps, and tells how much it gains") {
    const quant::int4<quant::per_group<32>> codec;
    const matrix weights = matrix::uniform(24, 64, 1);
    std::vector<float> norms(64, 1.0f), scales(64);
    for (std::size_t c = 0; c < 64; c += 16) norms[c] = 40.0f;
    const auto gain = awq{}.search(weights.view(), codec, norms, scales);
    REQUIRE(gain);
    CHECK(*gain < 0.7);
    CHECK(scales[0] > 1.5f * scales[1]);
    const auto [least, most] = std::minmax_element(scales.begin(), scales.end());
    CHECK(std::fabs(*least * *most - 1.0f) < 1e-4f);

    // What it says is what happens.
    using T = decltype(codec)::value_type;
    const auto loss = [&](const std::vector<float>& s) {
        double sum = 0.0;
        std::vector<float> scaled(32);
        for (std::size_t r = 0; r < 24; ++r)
            for (std::size_t begin = 0; begin < 64; begin += 32) {
                for (std::size_t i = 0; i < 32; ++i)
                    scaled[i] = weights(r, begin + i) * s[begin + i];
                const auto grid = codec.fit(scaled);
                for (std::size_t i = 0; i < 32; ++i) {
                    const float stored = T::weight(T::encode(scaled[i], grid), grid);
                    const auto lost = static_cast<double>(
                        (stored / s[begin + i] - weights(r, begin + i)) * norms[begin + i]);
                    sum += lost * lost;
                }
            }
        return sum;
    };
    CHECK(std::fabs(loss(scales) / loss(std::vector<float>(64, 1.0f)) - *gain) < 1e-4);
}

TEST_CASE("features that are equally loud are not scaled") {
    const matrix weights = matrix::uniform(8, 32, 1);
    std::vector<float> scales(32);
    const auto gain =
        awq{}.search(weights.view(), quant::int4<>{}, std::vector<float>(32, 3.0f), scales);
    REQUIRE(gain);
    CHECK(std::fabs(*gain - 1.0) < 1e-6);
    for (const float s : scales) CHECK(std::fabs(s - 1.0f) < 1e-6f);
}

TEST_CASE("awq refuses norms, shapes and weights that are none") {
    matrix weights = matrix::uniform(4, 8, 1);
    std::vector<float> norms(8, 1.0f), scales(8), few(7);
    const auto code = [&](const std::vector<float>& of, std::vector<float>& to) {
        return awq{}.search(weights.view(), quant::int8<>{}, of, to).error().code;
    };
    CHECK(code(few, scales) == errc::shape_mismatch);
    CHECK(code(norms, few) == errc::shape_mismatch);
    norms[3] = -1.0f;
    CHECK(code(norms, scales) == errc::invalid_argument);
    norms[3] = std::numeric_limits<float>::quiet_NaN();
    CHECK(code(norms, scales) == errc::invalid_argument);
    norms[3] = 1.0f;
    weights(1, 2) = std::numeric_limits<float>::quiet_NaN();
    CHECK(code(norms, scales) == errc::not_a_number);
}
