// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/greedy.hpp>

#include "blocks.hpp"

#include <algorithm>

using namespace pare::testing;
using pare::prune::greedy;

namespace {

/// The best block that fits between those taken, again and again.
std::string by_the_book(const column_scores& scores, std::size_t block_rows, std::size_t n) {
    std::string kept(scores.size(), '0');
    for (; n > 0; --n) {
        double best = -1.0;
        std::size_t where = 0;
        for (std::size_t r = 0; r + block_rows <= scores.size(); ++r) {
            if (kept.substr(r, block_rows).find('1') != std::string::npos) continue;
            double sum = 0.0;
            for (std::size_t i = r; i < r + block_rows; ++i) sum += static_cast<double>(scores[i]);
            if (sum > best) best = sum, where = r;
        }
        if (best >= 0.0) kept.replace(where, block_rows, block_rows, '1');
    }
    return kept;
}

}  // namespace

TEST_CASE("greedy does not reach over what it has taken") {
    auto column = *greedy::column::make(6, 2);
    std::vector<double> gains;
    CHECK(placed(column, {1, 5, 6, 2, 0, 3}, 3, gains) == "011011");
    CHECK(gains == std::vector<double>{11, 3});
}

TEST_CASE("greedy takes the best block that is left, the uppermost of equals") {
    for (const std::size_t block_rows : {2u, 3u, 4u, 8u})
        for (std::size_t rows = 0; rows < 60; rows += 7) {
            auto column = *greedy::column::make(rows, block_rows);
            for (const column_scores& scores : columns(rows, rows))
                for (std::size_t n = 0; n <= rows / block_rows; ++n) {
                    CAPTURE(block_rows, rows, n);
                    std::vector<double> gains;
                    const std::string kept = placed(column, scores, n, gains);
                    CHECK(kept == by_the_book(scores, block_rows, n));
                    CHECK(static_cast<std::size_t>(std::count(kept.begin(), kept.end(), '1')) ==
                          gains.size() * block_rows);
                }
        }
}
