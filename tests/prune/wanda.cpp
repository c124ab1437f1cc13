// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/wanda.hpp>

#include <pare/prune/n_m.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <vector>

using pare::testing::matrix, pare::testing::selected;

TEST_CASE("wanda scores a weight by its magnitude times the norm of its input") {
    const matrix weights(2, 3, {1.0f, -2.0f, 3.0f, -4.0f, 0.5f, 0.0f});
    const std::vector<float> norms{2.0f, 0.0f, 10.0f};
    matrix scores(2, 3);
    pare::prune::wanda{}.score(weights.view(), {.input_norms = norms}, scores.view());
    CHECK(scores.data() == std::vector{2.0f, 0.0f, 30.0f, 8.0f, 0.0f, 0.0f});
}

TEST_CASE("wanda prefers a small weight on a loud input, as in Figure 1 of its paper") {
    const matrix weights(3, 4, {4, 0, 1, -1, 3, -2, -1, -3, -3, 1, 0, 2});
    const std::vector<float> norms{1, 2, 8, 3};
    matrix scores(3, 4);
    pare::prune::wanda{}.score(weights.view(), {.input_norms = norms}, scores.view());
    CHECK(scores.data() == std::vector<float>{4, 0, 8, 3, 3, 4, 8, 9, 3, 2, 0, 6});
    CHECK(selected(pare::prune::n_m<2, 4>{}, scores) == "1010 0011 1001");
}

TEST_CASE("wanda asks for input norms and nothing else") {
    STATIC_REQUIRE(pare::prune::needs_input_norms<pare::prune::wanda>);
    STATIC_REQUIRE(!pare::prune::needs_inverse_hessian<pare::prune::wanda>);
}
