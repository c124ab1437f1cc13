// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/query_driven.hpp>

#include <pare/prune/observer.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <cstddef>
#include <vector>

using pare::prune::query_driven;
using pare::testing::matrix;

// That the cache chooses the same channels is in tests/kv/think.cpp.

TEST_CASE("query_driven scores a channel by its queries and keys together, or by keys alone") {
    const std::vector<float> queries{100, 1, 0}, keys{2, 8, 18};
    std::vector<float> scores(3);
    query_driven::score(queries, keys, scores);
    CHECK(scores == std::vector<float>{200, 8, 0});
    query_driven::score({}, keys, scores);
    CHECK(scores == keys);
}

TEST_CASE("energies of weights are those of their outputs on calibration, over the heads") {
    const matrix x = matrix::integers(9, 4, 3, 1), weights = matrix::integers(6, 4, 3, 2);
    auto seen = *pare::prune::input_observer::make(4, true);
    REQUIRE(seen.add(x.view()));
    std::vector<float> energies(3), expected(3);
    query_driven::energies(weights.view(), seen.sums().gram, energies);
    for (std::size_t t = 0; t < 9; ++t)
        for (std::size_t r = 0; r < 6; ++r) {
            float output = 0.0f;
            for (std::size_t i = 0; i < 4; ++i) output += weights(r, i) * x(t, i);
            expected[r % 3] += output * output;
        }
    CHECK(energies == expected);
}
