// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/optimum.hpp>

#include "blocks.hpp"

#include <algorithm>

using namespace pare::testing;
using pare::prune::optimum;

TEST_CASE("optimum undoes what a greedy choice could not") {
    auto column = *optimum::column::make(5, 2);
    std::vector<double> gains;
    CHECK(placed(column, {4, 5, 5, 4, 0}, 1, gains) == "01100");
    CHECK(placed(column, {0, 4, 5, 5, 4}, 2, gains) == "01111");
    CHECK(gains == std::vector<double>{10, 8});
}

TEST_CASE("optimum keeps what the best of all blocks keep, for any number of them") {
    for (const std::size_t block_rows : {2u, 3u, 5u})
        for (std::size_t rows = 0; rows <= 14; ++rows) {
            auto column = *optimum::column::make(rows, block_rows);
            for (const column_scores& scores : columns(rows, rows + block_rows))
                for (std::size_t n = 0; n <= rows / block_rows; ++n) {
                    CAPTURE(block_rows, rows, n);
                    std::vector<double> gains;
                    const std::string kept = placed(column, scores, n, gains);
                    CHECK(gains.size() == n);
                    CHECK(whole_blocks(kept, block_rows));
                    CHECK(static_cast<std::size_t>(std::count(kept.begin(), kept.end(), '1')) ==
                          n * block_rows);
                    double sum = 0.0;
                    for (const double gain : gains) sum += gain;
                    const double best = best_of_all(scores, block_rows, n);
                    CHECK(kept_sum(scores, kept) == Approx(best).epsilon(1e-12));
                    CHECK(sum == Approx(best).epsilon(1e-12));
                }
        }
}

TEST_CASE("the gains of optimum never rise") {
    for (const std::size_t block_rows : {2u, 3u, 4u, 8u})
        for (std::size_t seed = 0; seed < 100; ++seed) {
            const std::size_t rows = 40 + seed % 37;
            auto column = *optimum::column::make(rows, block_rows);
            const column_scores scores = columns(rows, seed)[seed % 2];
            std::vector<double> gains;
            placed(column, scores, rows, gains);
            REQUIRE(gains.size() == rows / block_rows);
            for (std::size_t j = 1; j < gains.size(); ++j)
                CHECK(gains[j] <= gains[j - 1] + 1e-12 * static_cast<double>(rows));
        }
}

TEST_CASE("optimum of no rows, or of fewer than a block has, is nothing") {
    for (std::size_t rows = 0; rows < 4; ++rows) {
        auto column = *optimum::column::make(rows, 4);
        std::vector<double> gains;
        CHECK(placed(column, column_scores(rows, 1.0f), 3, gains) == std::string(rows, '0'));
        CHECK(gains.empty());
    }
}
