// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/epilogue.hpp>

#include <pare/kernel/simd/activation.hpp>

#include "support/catch.hpp"

#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

using pare::activation, pare::epilogue;
using pare::kernel::finish, pare::kernel::fits, pare::kernel::part_of;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
const std::vector<float> sums{-infinity, -7.0f, -1e-40f, 0.0f, 1e-40f, 5.5f, 6.0f, 6.5f, infinity};

// By the bits, which -ffast-math leaves alone.
bool is_nan(float x) { return (std::bit_cast<std::uint32_t>(x) & 0x7fffffffu) > 0x7f800000u; }
const float nan_of_ours = std::bit_cast<float>(0x7fc0deadu);

}  // namespace

TEST_CASE("a sum is scaled, then given its bias, then goes through the activation") {
    const std::vector<float> bias{1.0f, -2.0f, 10.0f}, scale{2.0f, 0.5f, -1.0f};
    CHECK(finish({}, 0, -3.0f) == -3.0f);
    CHECK(finish({.bias = bias}, 1, -3.0f) == -5.0f);
    CHECK(finish({.scale = scale}, 1, -3.0f) == -1.5f);
    CHECK(finish({bias, scale}, 0, -3.0f) == -5.0f);
    CHECK(finish({bias, scale, activation::relu}, 0, -3.0f) == 0.0f);
    CHECK(finish({bias, scale, activation::relu}, 2, -3.0f) == 13.0f);
    CHECK(finish({bias, scale, activation::relu6}, 2, -3.0f) == 6.0f);
    CHECK(finish({bias, scale, activation::relu6}, 2, 7.0f) == 3.0f);
    for (const float x : sums) {
        CHECK(finish({}, 0, x) == x);
        CHECK(finish({.then = activation::relu}, 0, x) == (x > 0.0f ? x : 0.0f));
        CHECK(finish({.then = activation::relu6}, 0, x) == (x > 6.0f ? 6.0f : x > 0.0f ? x : 0.0f));
    }
}

TEST_CASE("NaN stays NaN") {
    for (const activation then : {activation::none, activation::relu, activation::relu6})
        CHECK(is_nan(finish({.then = then}, 0, nan_of_ours)));
}

TEST_CASE("an epilogue of some output channels") {
    const std::vector<float> bias{1, 2, 3, 4}, scale{5, 6, 7, 8};
    const epilogue part = part_of({bias, scale, activation::relu6}, 1, 2);
    CHECK(std::vector(part.bias.begin(), part.bias.end()) == std::vector<float>{2, 3});
    CHECK(std::vector(part.scale.begin(), part.scale.end()) == std::vector<float>{6, 7});
    CHECK(part.then == activation::relu6);
    CHECK(part_of({}, 7, 9).bias.empty());
    CHECK(fits({}, 9));
    CHECK(fits({bias, scale}, 4));
    CHECK_FALSE(fits({.bias = bias}, 3));
    CHECK_FALSE(fits({.scale = scale}, 5));
}

#if PARE_HAS_SIMD
TEST_CASE("activations of vectors are those of their elements") {
    std::vector<float> all = sums;
    all.push_back(nan_of_ours);
    for (const activation by : {activation::none, activation::relu, activation::relu6})
        for (const float x : all) {
            std::vector<float> found(pare::simd::lanes);
            pare::simd::activate(by, pare::simd::vecf(x)).store_unaligned(found.data());
            const float expected = finish({.then = by}, 0, x);
            for (const float f : found) CHECK((is_nan(x) ? is_nan(f) : f == expected));
        }
}
#endif
