// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/bed.hpp>

#include "blocks.hpp"

#include <algorithm>

using namespace pare::testing;
using pare::prune::bed;

namespace {

/// Rows that are left, the ends of each cut glued.
std::vector<std::size_t> left_of(const std::string& kept) {
    std::vector<std::size_t> rows;
    for (std::size_t r = 0; r < kept.size(); ++r)
        if (kept[r] == '0') rows.push_back(r);
    return rows;
}

/// The sum of every block of the glued rows, by where it begins.
std::vector<double> glued_sums(const column_scores& scores, const std::string& kept,
                               std::size_t block_rows) {
    const std::vector<std::size_t> rows = left_of(kept);
    std::vector<double> sums(scores.size(), -1.0);
    for (std::size_t i = 0; i + block_rows <= rows.size(); ++i)
        sums[rows[i]] = sum_of(scores, rows, i, block_rows);
    return sums;
}

}  // namespace

TEST_CASE("bed reaches over what it has taken, and divides the run anew") {
    const column_scores scores{1, 5, 6, 2, 0, 3};
    auto column = *bed::column::make(6, 2);
    std::vector<double> gains;
    CHECK(placed(column, scores, 1, gains) == "011000");
    CHECK(column.window(0) == 3.0);  // rows 0 and 3
    CHECK(column.window(3) == 2.0);
    CHECK(column.window(4) == 3.0);
    CHECK(column.window(5) < 0.0);
    CHECK(placed(column, scores, 2, gains) == "111100");
    CHECK(placed(column, scores, 3, gains) == "111111");
    CHECK(gains == std::vector<double>{11, 3, 3});
}

TEST_CASE("after every block of bed each sum is that of the glued column") {
    for (const std::size_t block_rows : {2u, 3u, 4u, 8u, 32u})
        for (std::size_t seed = 0; seed < 100; ++seed) {
            const std::size_t rows = seed * 7 % 97;
            auto column = *bed::column::make(rows, block_rows);
            for (const column_scores& scores : columns(rows, seed)) {
                std::string before(rows, '0');
                std::vector<double> gains;
                for (std::size_t n = 1; n <= rows / block_rows; ++n) {
                    CAPTURE(block_rows, seed, n);
                    const std::vector<double> sums = glued_sums(scores, before, block_rows);
                    const std::string kept = placed(column, scores, n, gains);
                    REQUIRE(gains.size() == n);
                    // It took the best, and just that.
                    const double best = *std::max_element(sums.begin(), sums.end());
                    REQUIRE(gains.back() == Approx(best).epsilon(1e-12));
                    REQUIRE(whole_blocks(kept, block_rows));
                    REQUIRE(left_of(kept).size() + n * block_rows == rows);
                    REQUIRE(kept_sum(scores, kept) - kept_sum(scores, before) ==
                            Approx(best).epsilon(1e-12).margin(1e-12 * kept_sum(scores, kept)));
                    const std::vector<double> expected = glued_sums(scores, kept, block_rows);
                    bool equal = true;
                    for (std::size_t r = 0; r < rows; ++r)
                        equal = equal &&
                                (expected[r] < 0.0 ? column.window(r) < 0.0
                                                   : std::fabs(column.window(r) - expected[r]) <=
                                                         1e-6 * expected[r]);
                    REQUIRE(equal);
                    before = kept;
                }
            }
        }
}

TEST_CASE("bed finds room for rows / block rows blocks and no more") {
    for (std::size_t rows = 0; rows <= 20; ++rows) {
        auto column = *bed::column::make(rows, 4);
        for (const column_scores& scores : columns(rows, rows)) {
            std::vector<double> gains;
            const std::string kept = placed(column, scores, 20, gains);
            CHECK(gains.size() == rows / 4);
            CHECK(static_cast<std::size_t>(std::count(kept.begin(), kept.end(), '1')) ==
                  rows / 4 * 4);
            CHECK(std::is_sorted(gains.rbegin(), gains.rend()));
        }
    }
}

TEST_CASE("of equal blocks bed takes the uppermost") {
    auto column = *bed::column::make(8, 2);
    std::vector<double> gains;
    CHECK(placed(column, column_scores(8, 1.0f), 1, gains) == "11000000");
    CHECK(placed(column, column_scores(8, 1.0f), 3, gains) == "11111100");
    CHECK(placed(column, column_scores(8, 0.0f), 2, gains) == "11110000");
    CHECK(placed(column, {0, 0, 1, 1, 0, 1, 1, 0}, 1, gains) == "00110000");
}
