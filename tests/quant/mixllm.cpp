// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/quant/mixllm.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

using pare::errc, pare::quant::mixllm;
using pare::testing::bits, pare::testing::matrix;

namespace {

std::vector<float> salience(const matrix& weights, const matrix& rounded, const matrix& gradients) {
    std::vector<float> made(weights.rows());
    REQUIRE(mixllm::score(weights.view(), rounded.view(), gradients.view(), made));
    return made;
}

std::string chosen(const mixllm& by, const std::vector<float>& channels) {
    bits high(1, channels.size());
    REQUIRE(by.select(channels, high.view()));
    return high.text();
}

}  // namespace

TEST_CASE("the salience of two channels is worked out by hand, second order and sign included") {
    // D = 1 and -1, g = 1, 2 and 0.5; g D = 1, -1, 2, -2 cost 1.5, 0.5, 4, 0.
    const matrix weights(2, 3, {0, 1, 3, 5, 7, 2}), rounded(2, 3, {1, 0, 3, 6, 6, 1});
    const matrix gradients(2, 3, {1, 1, 9, 2, 2, 0.5f});
    CHECK(salience(weights, rounded, gradients) == std::vector<float>{2.0f, 4.0f + 0.375f});
}

TEST_CASE("channels of all layers are ranked together") {
    // The second layer's gradients are a hundred times those of the first.
    std::vector<float> all;
    for (const float loudness : {0.01f, 1.0f}) {
        const matrix weights = matrix::uniform(30, 16, 1);
        matrix rounded = weights, gradients = matrix::uniform(30, 16, 2);
        for (float& x : rounded.data()) x = 0.25f * static_cast<float>(static_cast<int>(4.0f * x));
        for (float& g : gradients.data()) g *= loudness;
        const auto layer = salience(weights, rounded, gradients);
        all.insert(all.end(), layer.begin(), layer.end());
    }
    const std::string high = chosen({.share = 0.1f}, all);
    std::vector<std::size_t> order(60);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return all[a] > all[b]; });
    std::string expected(60, '0');
    for (std::size_t i = 0; i < 6; ++i) expected[order[i]] = '1';
    CHECK(high == expected);
    CHECK(high.substr(0, 30) == std::string(30, '0'));
    CHECK(chosen({.share = 1.0f}, all) == std::string(60, '1'));
    CHECK(chosen({.share = 0.5f}, {1, 3, 3, 3}) == "0110");  // of equal ones the first
}

TEST_CASE("saliences that are not finite, shapes that disagree and shares of nothing are refused") {
    const float nan = std::numeric_limits<float>::quiet_NaN(),
                infinity = std::numeric_limits<float>::infinity();
    const matrix weights = matrix::uniform(2, 3, 1), wide(2, 4);
    const auto code = [](const pare::status& refused) {
        REQUIRE_FALSE(refused);
        return refused.error().code;
    };
    std::vector<float> two(2), three(3);
    CHECK(code(mixllm::score(weights.view(), wide.view(), weights.view(), two)) ==
          errc::shape_mismatch);
    CHECK(code(mixllm::score(weights.view(), weights.view(), wide.view(), two)) ==
          errc::shape_mismatch);
    CHECK(code(mixllm::score(weights.view(), weights.view(), weights.view(), three)) ==
          errc::shape_mismatch);
    bits high(1, 2), tall(2, 2);
    for (const float bad : {nan, infinity}) {
        matrix gradients(2, 3);
        gradients(1, 1) = bad;
        const auto refused =
            mixllm::score(weights.view(), matrix(2, 3).view(), gradients.view(), two);
        CHECK(code(refused) == errc::not_a_number);
        CHECK(refused.error().where == 1);
        CHECK(code(mixllm{}.select(std::vector<float>{0, bad}, high.view())) == errc::not_a_number);
        CHECK(code(mixllm{.share = bad}.check()) == errc::invalid_argument);
    }
    CHECK(code(mixllm{.share = 0.0f}.check()) == errc::invalid_argument);
    CHECK(code(mixllm{.share = 1.5f}.check()) == errc::invalid_argument);
    CHECK(code(mixllm{}.select(three, high.view())) == errc::shape_mismatch);
    CHECK(code(mixllm{}.select(two, tall.view())) == errc::shape_mismatch);
}
