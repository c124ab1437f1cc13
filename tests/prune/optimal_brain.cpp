// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/optimal_brain.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"
#include "support/metrics.hpp"

#include <cmath>
#include <vector>

using pare::testing::matrix;

TEST_CASE("optimal_brain scores by the squared weight over twice the inverse Hessian's diagonal") {
    const matrix weights(2, 3, {1.0f, -2.0f, 3.0f, -4.0f, 0.5f, 0.0f});
    const std::vector<float> diagonal{0.5f, 2.0f, 0.25f};
    matrix scores(2, 3);
    pare::prune::optimal_brain{}.score(weights.view(), {.inverse_hessian_diagonal = diagonal},
                                       scores.view());
    const std::vector expected{1.0f, 1.0f, 18.0f, 16.0f, 0.0625f, 0.0f};
    // Exact, but for -ffast-math, which multiplies by a rounded reciprocal.
    CHECK(pare::testing::max_abs_error(scores.data(), expected) <= 18.0 * 0x1p-22);
}

TEST_CASE("optimal_brain's score is the loss of removing one weight and adapting the other") {
    // H = [a b; b d] and w = (u, v). Without u, v moves by e to minimise the error
    // (-u, e) H (-u, e)^T / 2, at e = u b / d: an error of u^2 (a - b^2 / d) / 2.
    const double a = 3.0, b = 1.0, d = 2.0, u = 1.5;
    const double e = u * b / d;
    const double loss = (a * u * u - 2.0 * b * u * e + d * e * e) / 2.0;
    const std::vector<float> diagonal{static_cast<float>(d / (a * d - b * b)),
                                      static_cast<float>(a / (a * d - b * b))};
    const matrix weights(1, 2, {static_cast<float>(u), 7.0f});
    matrix scores(1, 2);
    pare::prune::optimal_brain{}.score(weights.view(), {.inverse_hessian_diagonal = diagonal},
                                       scores.view());
    // Rounding: the diagonal, the square, the product by 2 (exact) and the quotient.
    CHECK(std::fabs(static_cast<double>(scores(0, 0)) - loss) <= 3.0 * 0x1p-24 * loss * 1.001);
}

TEST_CASE("optimal_brain asks for the inverse Hessian and nothing else") {
    STATIC_REQUIRE(pare::prune::needs_inverse_hessian<pare::prune::optimal_brain>);
    STATIC_REQUIRE(!pare::prune::needs_input_norms<pare::prune::optimal_brain>);
}
