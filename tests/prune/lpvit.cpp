// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/lpvit.hpp>

#include <pare/prune/block.hpp>
#include <pare/prune/prune.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <limits>
#include <vector>

using pare::errc;
using pare::testing::bits, pare::testing::matrix;
namespace prune = pare::prune;

TEST_CASE("lpvit scores a weight by what its loss distorts") {
    const matrix weights(1, 4, {2, -2, 0, 1}), gradients(1, 4, {1, -3, 5, 0});
    matrix scores(1, 4);
    prune::lpvit{.damping = 0.5f}.score(weights.view(), {.gradients = gradients.view()},
                                        scores.view());
    CHECK(scores.data() == std::vector{4 + 4 * 1.5f / 2, 36 + 4 * 9.5f / 2, 0.0f, 0.25f});
}

TEST_CASE("lpvit keeps a small weight that the loss is sensitive to") {
    const matrix weights(4, 1, {3, 3, 1, 1}), gradients(4, 1, {0.1f, 0.1f, 2, -2});
    matrix scores(4, 1);
    bits kept(4, 1);
    REQUIRE(prune::prune(weights.view(), prune::lpvit{}, prune::block<2>{.sparsity = 0.5f},
                         {.gradients = gradients.view()}, scores.view(), kept.view()));
    CHECK(kept.text() == "0 0 1 1");
}

TEST_CASE("lpvit asks for finite gradients, one per weight, and nothing else") {
    STATIC_REQUIRE(prune::needs_gradients<prune::lpvit>);
    STATIC_REQUIRE(prune::needs_calibration<prune::lpvit>);
    STATIC_REQUIRE(!prune::needs_input_norms<prune::lpvit>);
    const matrix weights = matrix::uniform(4, 3, 1);
    matrix scores(4, 3), gradients = matrix::uniform(4, 3, 2);
    const auto scored = [&](pare::matrix_view<const float> by) {
        return prune::score(weights.view(), prune::lpvit{}, {.gradients = by}, scores.view());
    };
    CHECK(scored(gradients.view()));
    CHECK(scored({}).error().code == errc::missing_calibration);
    CHECK(scored(gradients.view().transposed()).error().code == errc::missing_calibration);
    gradients(2, 1) = std::numeric_limits<float>::quiet_NaN();
    CHECK(scored(gradients.view()).error().code == errc::not_a_number);
}
