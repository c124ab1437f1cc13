// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "metrics.hpp"

#include "catch.hpp"

#include <array>
#include <cmath>
#include <limits>

using namespace pare::testing;

namespace {
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float huge = std::numeric_limits<float>::infinity();
}  // namespace

TEST_CASE("max_abs_error is the largest difference") {
    CHECK(max_abs_error(std::array{1.0f, -2.0f, 3.0f}, std::array{1.5f, 2.0f, 3.0f}) == 4.0);
    CHECK(max_abs_error(std::array{huge}, std::array{huge}) == 0.0);
}

TEST_CASE("relative_l2_error is the norm of the error over the norm of the reference") {
    CHECK(relative_l2_error(std::array{3.0f, 4.0f}, std::array{3.0f, 4.0f}) == 0.0);
    CHECK(relative_l2_error(std::array{0.0f, 0.0f}, std::array{3.0f, 4.0f}) == 1.0);
    CHECK(relative_l2_error(std::array{3.0f, 9.0f}, std::array{3.0f, 4.0f}) == 1.0);
}

TEST_CASE("no metric lets a NaN, a missing element or an infinity pass") {
    const auto one = std::array{1.0f}, bad = std::array{not_a_number}, endless = std::array{huge};
    const auto two = std::array{1.0f, 1.0f};
    for (const auto metric : {max_abs_error, relative_l2_error}) {
        CHECK(std::isinf(metric(one, bad)));
        CHECK(std::isinf(metric(bad, one)));
        CHECK(std::isinf(metric(endless, one)));
        CHECK(std::isinf(metric(one, two)));
    }
    CHECK(std::isinf(max_abs_error(std::array{not_a_number, 1.0f}, std::array{0.0f, 0.0f})));
    CHECK(std::isinf(relative_l2_error(one, std::array{0.0f})));
}

TEST_CASE("ulp_distance counts floats, across zero too") {
    CHECK(ulp_distance(1.0f, 1.0f) == 0);
    CHECK(ulp_distance(0.0f, -0.0f) == 0);
    CHECK(ulp_distance(1.0f, std::nextafter(1.0f, 2.0f)) == 1);
    CHECK(ulp_distance(-1.0f, std::nextafter(-1.0f, -2.0f)) == 1);
    CHECK(ulp_distance(0x1p-149f, -0x1p-149f) == 2);
    CHECK(ulp_distance(1.0f, 2.0f) == 1u << 23);
    CHECK(ulp_distance(not_a_number, not_a_number) == std::numeric_limits<std::uint32_t>::max());
}

TEST_CASE("dot_product_bound holds for a sum in the worst order and is not far above it") {
    // 1 + n * 2^-24 in float: every small term is rounded away, an error of n half ulps of 1.
    constexpr std::size_t n = 1000;
    float sum = 1.0f;
    for (std::size_t i = 0; i < n; ++i) sum += 0x1p-24f;
    const double exact = 1.0 + n * 0x1p-24;
    const double error = std::abs(static_cast<double>(sum) - exact);
    const double bound = dot_product_bound(n + 1, exact);
    CHECK(error <= bound);
    CHECK(error > 0.99 * bound);
}
