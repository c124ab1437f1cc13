// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/eigen/inverse_hessian.hpp>

#include <pare/prune/observer.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

using pare::errc, pare::eigen::inverse_hessian_diagonal, pare::eigen::inverse_hessian_factor;
using pare::testing::matrix;

namespace {

// Diagonal of the inverse by Gauss-Jordan elimination with pivoting, in long double.
std::vector<double> slow_diagonal(const matrix& gram, float damping) {
    const std::size_t n = gram.rows();
    long double mean = 0.0L;
    for (std::size_t i = 0; i < n; ++i) mean += static_cast<long double>(gram(i, i));
    mean /= static_cast<long double>(n);
    std::vector<std::vector<long double>> a(n, std::vector<long double>(2 * n));
    for (std::size_t r = 0; r < n; ++r) {
        for (std::size_t c = 0; c < n; ++c) a[r][c] = static_cast<long double>(gram(r, c));
        a[r][r] += static_cast<long double>(damping) * mean;
        a[r][n + r] = 1.0L;
    }
    for (std::size_t k = 0; k < n; ++k) {
        std::size_t pivot = k;
        for (std::size_t r = k + 1; r < n; ++r)
            if (std::fabs(a[r][k]) > std::fabs(a[pivot][k])) pivot = r;
        std::swap(a[k], a[pivot]);
        for (std::size_t r = 0; r < n; ++r) {
            if (r == k) continue;
            const long double factor = a[r][k] / a[k][k];
            for (std::size_t c = k; c < 2 * n; ++c) a[r][c] -= factor * a[k][c];
        }
    }
    std::vector<double> diagonal(n);
    for (std::size_t i = 0; i < n; ++i) diagonal[i] = static_cast<double>(a[i][n + i] / a[i][i]);
    return diagonal;
}

matrix gram_of(const matrix& x) {
    auto observer = pare::prune::input_observer::make(x.cols(), true);
    REQUIRE(observer);
    REQUIRE(observer->add(x.view()));
    matrix gram(x.cols(), x.cols());
    const float* const sums = observer->sums().gram.data_handle();
    gram.data().assign(sums, sums + gram.data().size());
    return gram;
}

errc refusal(const matrix& gram, float damping, std::size_t size) {
    std::vector<float> out(size, -7.0f);
    const auto refused = inverse_hessian_diagonal(gram.view(), damping, out);
    REQUIRE_FALSE(refused);
    CHECK(out == std::vector<float>(size, -7.0f));
    return refused.error().code;
}

}  // namespace

TEST_CASE("the inverse of two features is worked out by hand") {
    const matrix gram(2, 2, {3, 1, 1, 2});
    std::vector<float> diagonal(2);
    REQUIRE(inverse_hessian_diagonal(gram.view(), 0.0f, diagonal));
    CHECK(diagonal[0] == Approx(2.0 / 5.0));
    CHECK(diagonal[1] == Approx(3.0 / 5.0));
    // Damping 0.4 of the mean 2.5 adds 1: [4 1; 1 3], determinant 11.
    REQUIRE(inverse_hessian_diagonal(gram.view(), 0.4f, diagonal));
    CHECK(diagonal[0] == Approx(3.0 / 11.0));
    CHECK(diagonal[1] == Approx(4.0 / 11.0));
}

TEST_CASE("the inverse agrees with Gauss-Jordan elimination around the panels of columns") {
    for (const std::size_t n : {1u, 2u, 3u, 63u, 64u, 65u, 128u, 130u}) {
        const matrix gram = gram_of(matrix::uniform(3 * n, n, n));
        const std::vector<double> expected = slow_diagonal(gram, 0.01f);
        std::vector<float> diagonal(n);
        REQUIRE(inverse_hessian_diagonal(gram.view(), 0.01f, diagonal));
        // The condition number is at most trace / least eigenvalue <= n / 0.01, so double leaves
        // the rounding to float, and as much again to spare.
        for (std::size_t i = 0; i < n; ++i)
            CHECK(std::fabs(static_cast<double>(diagonal[i]) / expected[i] - 1.0) <= 0x1p-23);
    }
}

TEST_CASE("only the lower triangle of the Gram matrix is read") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> diagonal(2);
    REQUIRE(inverse_hessian_diagonal(matrix(2, 2, {3, nan, 1, 2}).view(), 0.0f, diagonal));
    CHECK(diagonal[0] == Approx(2.0 / 5.0));
}

TEST_CASE("a feature that never fires gets the inverse of the damping alone") {
    const matrix gram(3, 3, {4, 0, 0, 0, 0, 0, 0, 0, 2});
    std::vector<float> diagonal(3);
    REQUIRE(inverse_hessian_diagonal(gram.view(), 0.25f, diagonal));
    CHECK(diagonal[0] == Approx(1.0 / 4.5));
    CHECK(diagonal[1] == Approx(2.0));
    CHECK(diagonal[2] == Approx(1.0 / 2.5));
}

TEST_CASE("more features than tokens are no obstacle with damping") {
    const matrix gram = gram_of(matrix::uniform(5, 40, 1));
    const std::vector<double> expected = slow_diagonal(gram, 0.01f);
    std::vector<float> diagonal(40);
    REQUIRE(inverse_hessian_diagonal(gram.view(), 0.01f, diagonal));
    for (std::size_t i = 0; i < 40; ++i)
        CHECK(std::fabs(static_cast<double>(diagonal[i]) / expected[i] - 1.0) <= 0x1p-23);
}

TEST_CASE("what is not positive definite is refused") {
    CHECK(refusal(matrix(2, 2, {1, 2, 2, 1}), 0.01f, 2) == errc::invalid_argument);
    CHECK(refusal(matrix(2, 2, {1, 0, 0, 0}), 0.0f, 2) == errc::invalid_argument);
    CHECK(refusal(matrix(2, 2, {3, 0, 0, -1}), 0.01f, 2) == errc::invalid_argument);
}

TEST_CASE("a Gram matrix without any activation is refused") {
    CHECK(refusal(matrix(3, 3), 0.01f, 3) == errc::invalid_argument);
}

TEST_CASE("a damping that is negative or not finite is refused") {
    const matrix gram(1, 1, {1.0f});
    for (const float damping :
         {-0.01f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
        CHECK(refusal(gram, damping, 1) == errc::invalid_argument);
}

TEST_CASE("a Gram matrix that is NaN or infinite is refused") {
    for (const float bad :
         {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
        CHECK(refusal(matrix(2, 2, {1, 0, bad, 1}), 0.01f, 2) == errc::not_a_number);
}

TEST_CASE("shapes that disagree are refused") {
    CHECK(refusal(matrix(2, 3), 0.01f, 2) == errc::shape_mismatch);
    CHECK(refusal(matrix(2, 2), 0.01f, 3) == errc::shape_mismatch);
    CHECK(refusal(matrix(2, 2), 0.01f, 1) == errc::shape_mismatch);
}

TEST_CASE("no features have no diagonal") { CHECK(inverse_hessian_diagonal({}, 0.01f, {})); }

TEST_CASE("the factor's square is the inverse of the damped Gram matrix") {
    const std::size_t n = 37;
    const matrix gram = gram_of(matrix::uniform(50, n, 3));
    matrix factor(n, n), upper = gram;
    for (std::size_t r = 0; r < n; ++r)  // only the lower triangle is read
        for (std::size_t c = r + 1; c < n; ++c) upper(r, c) = 1e9f;
    REQUIRE(inverse_hessian_factor(upper.view(), 0.01f, factor.view()));
    double mean = 0.0, worst = 0.0;
    for (std::size_t i = 0; i < n; ++i) mean += static_cast<double>(gram(i, i)) / n;
    for (std::size_t r = 0; r < n; ++r)
        for (std::size_t c = 0; c < n; ++c) {
            if (c < r) CHECK(factor(r, c) == 0.0f);
            double product = 0.0;  // of H and U^T U
            for (std::size_t k = 0; k < n; ++k) {
                double inverse = 0.0;
                for (std::size_t i = 0; i < n; ++i)
                    inverse +=
                        static_cast<double>(factor(i, k)) * static_cast<double>(factor(i, c));
                product +=
                    (static_cast<double>(gram(r, k)) + (r == k ? 0.01 * mean : 0.0)) * inverse;
            }
            worst = std::max(worst, std::fabs(product - (r == c ? 1.0 : 0.0)));
        }
    CHECK(worst < 1e-4);
}

TEST_CASE("the factor is refused where the diagonal is") {
    matrix factor(2, 2);
    const auto code = [&](const matrix& gram, float damping) {
        return inverse_hessian_factor(gram.view(), damping, factor.view()).error().code;
    };
    CHECK(code(matrix(2, 3), 0.01f) == errc::shape_mismatch);
    CHECK(code(matrix(3, 3), 0.01f) == errc::shape_mismatch);
    CHECK(code(matrix(2, 2), 0.01f) == errc::invalid_argument);
    CHECK(code(matrix(2, 2, {1, 2, 2, 1}), 0.0f) == errc::invalid_argument);
    CHECK(code(matrix(2, 2, {1, 0, 0, 1}), -1.0f) == errc::invalid_argument);
    CHECK(code(matrix(2, 2, {1, 0, std::numeric_limits<float>::quiet_NaN(), 1}), 0.01f) ==
          errc::not_a_number);
    CHECK(inverse_hessian_factor({}, 0.01f, {}));
}
