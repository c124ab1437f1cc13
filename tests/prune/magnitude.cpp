// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/magnitude.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <cmath>
#include <vector>

using pare::testing::matrix;

TEST_CASE("magnitude scores a weight by its absolute value") {
    const matrix weights(2, 3, {1.0f, -2.0f, 0.0f, -0.0f, 0x1p-149f, -0x1.fffffep127f});
    matrix scores(2, 3);
    pare::prune::magnitude{}.score(weights.view(), {}, scores.view());
    CHECK(scores.data() == std::vector{1.0f, 2.0f, 0.0f, 0.0f, 0x1p-149f, 0x1.fffffep127f});
}

TEST_CASE("magnitude reads and writes strided matrices") {
    const matrix weights = matrix::uniform(4, 5, 1);
    matrix scores(5, 4);
    pare::prune::magnitude{}.score(weights.view(), {}, scores.view().transposed());
    for (std::size_t r = 0; r < 4; ++r)
        for (std::size_t c = 0; c < 5; ++c) CHECK(scores(c, r) == std::fabs(weights(r, c)));
}

TEST_CASE("magnitude needs no calibration") {
    STATIC_REQUIRE(!pare::prune::needs_calibration<pare::prune::magnitude>);
}
