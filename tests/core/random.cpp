// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/core/random.hpp>

#include "support/catch.hpp"

#include <array>
#include <cmath>

TEST_CASE("random is splitmix64: the published stream of seed 1234567") {
    pare::random random(1234567);
    for (const std::uint64_t expected :
         {6457827717110365317u, 3203168211198807973u, 9817491932198370423u, 4593380528125082431u,
          16408922859458223821u})
        CHECK(random.next() == expected);
}

TEST_CASE("below reaches every value below its bound and no other") {
    pare::random random(3);
    std::array<int, 10> seen{};
    for (int i = 0; i < 10000; ++i) {
        const auto value = random.below(10);
        REQUIRE(value < 10);
        ++seen[value];
    }
    // 1000 each, within 5 standard deviations sqrt(10000 * 0.1 * 0.9) = 30.
    for (const int n : seen) CHECK(std::abs(n - 1000) < 150);
    for (int i = 0; i < 100; ++i) CHECK(random.below(1) == 0);
}

TEST_CASE("symmetric is uniform from -1 up to 1 on its grid") {
    pare::random random(4);
    double sum = 0.0, squares = 0.0;
    constexpr int n = 100000;
    for (int i = 0; i < n; ++i) {
        const float x = random.symmetric();
        REQUIRE((-1.0f <= x && x < 1.0f));
        REQUIRE(std::ldexp(x, 23) == std::trunc(std::ldexp(x, 23)));
        sum += static_cast<double>(x);
        squares += static_cast<double>(x) * static_cast<double>(x);
    }
    // Mean 0 and variance 1/3, each within 5 standard errors of n draws.
    const double root = std::sqrt(double{n});
    CHECK(std::fabs(sum / n) < 5.0 * std::sqrt(1.0 / 3.0) / root);
    CHECK(std::fabs(squares / n - 1.0 / 3.0) < 5.0 * std::sqrt(1.0 / 5.0 - 1.0 / 9.0) / root);
}

TEST_CASE("random works at compile time") {
    STATIC_REQUIRE([] {
        pare::random random(1234567);
        return random.next();
    }() == 6457827717110365317u);
}
