// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/v_n_m.hpp>

#include <pare/prune/n_m.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

using namespace pare::testing;
using pare::errc;
namespace prune = pare::prune;

namespace {

// The N best of a row's columns, by sorting; of equal ones the first.
std::vector<std::size_t> best_of(const matrix& scores, std::size_t row,
                                 std::vector<std::size_t> columns, std::size_t n) {
    std::stable_sort(columns.begin(), columns.end(),
                     [&](std::size_t a, std::size_t b) { return scores(row, a) > scores(row, b); });
    return {columns.begin(),
            columns.begin() + static_cast<std::ptrdiff_t>(std::min(n, columns.size()))};
}

// By the book: every set of four columns of every block, what its rows keep, the first of the best.
template <int V, int N, int M>
std::string by_trying_all(const matrix& scores) {
    bits kept(scores.rows(), scores.cols());
    for (std::size_t row = 0; row < scores.rows(); row += V)
        for (std::size_t first = 0; first < scores.cols(); first += M) {
            const std::size_t last_row = std::min(row + V, scores.rows());
            const std::size_t n = std::min<std::size_t>(M, scores.cols() - first);
            double most = -1e300;
            std::vector<std::size_t> best;
            std::vector<bool> chosen(n, false);
            std::fill_n(chosen.begin(), std::min<std::size_t>(4, n), true);
            do {  // in the order of the sets
                std::vector<std::size_t> set;
                for (std::size_t c = 0; c < n; ++c)
                    if (chosen[c]) set.push_back(first + c);
                double sum = 0.0;
                for (std::size_t r = row; r < last_row; ++r)
                    for (const std::size_t c : best_of(scores, r, set, N))
                        sum += static_cast<double>(scores(r, c));
                if (sum > most) most = sum, best = set;
            } while (std::prev_permutation(chosen.begin(), chosen.end()));
            for (std::size_t r = row; r < last_row; ++r)
                for (const std::size_t c : best_of(scores, r, best, N)) kept.view().set(r, c, true);
        }
    return kept.text();
}

template <int V, int N, int M>
void check_against_all_sets() {
    for (const auto& [rows, cols] : {std::array<std::size_t, 2>{1, 1},
                                     {V, M},
                                     {V + 1, 2 * M},
                                     {2 * V - 1, M + 3},
                                     {V, M + 4},
                                     {2, 2 * M + 5},
                                     {3, 3},
                                     {0, M},
                                     {V, 0}}) {
        CAPTURE(V, N, M, rows, cols);
        // Sums of integers are exact and full of ties; those of noise have none.
        for (const matrix& scores : {matrix::integers(rows, cols, 2, rows + cols),
                                     matrix::uniform(rows, cols, rows + cols)})
            CHECK(selected(prune::v_n_m<V, N, M>{}, scores) == by_trying_all<V, N, M>(scores));
    }
}

}  // namespace

TEST_CASE("v_n_m of one block") {
    // Columns 1, 2, 5 and 6 hold the most; 0 has the largest sum, and half of it would be lost.
    const matrix scores(2, 8,
                        {6, 9, 1, 0, 0, 1, 9, 0,  //
                         6, 1, 9, 0, 0, 9, 1, 0});
    CHECK(selected(prune::v_n_m<2, 2, 8>{}, scores) == "01000010 00100100");
}

TEST_CASE("v_n_m finds the best columns of every block, for any shape") {
    check_against_all_sets<1, 2, 8>();
    check_against_all_sets<4, 2, 8>();
    check_against_all_sets<9, 1, 6>();
    check_against_all_sets<16, 3, 10>();
    check_against_all_sets<3, 4, 9>();
    check_against_all_sets<8, 2, 5>();
    check_against_all_sets<2, 2, 16>();
}

TEST_CASE("v_n_m of four columns is n_m") {
    for (const auto& [rows, cols] : {std::array<std::size_t, 2>{4, 16}, {5, 18}, {1, 3}, {9, 4}}) {
        const matrix scores = matrix::integers(rows, cols, 3, cols);
        CHECK(selected(prune::v_n_m<4, 2, 4>{}, scores) == selected(prune::n_m<2, 4>{}, scores));
        CHECK(selected(prune::v_n_m<8, 1, 4>{}, scores) == selected(prune::n_m<1, 4>{}, scores));
    }
}

TEST_CASE("v_n_m keeps N of every M weights, and of what is left over what there is") {
    const auto kept = [](const auto& pattern, std::size_t rows, std::size_t cols) {
        bits mask(rows, cols);
        pattern.select(matrix::uniform(rows, cols, 1).view(), mask.view());
        return mask.view().count();
    };
    CHECK(kept(prune::v_n_m<64, 2, 8>{}, 130, 64) == 130 * 16);
    CHECK(kept(prune::v_n_m<64, 2, 32>{}, 64, 64) == 64 * 4);
    CHECK(kept(prune::v_n_m<16, 1, 16>{}, 20, 64) == 20 * 4);
    CHECK(kept(prune::v_n_m<16, 2, 16>{}, 20, 33) == 20 * 5);  // a block of one column
    CHECK(kept(prune::v_n_m<16, 2, 16>{}, 20, 43) == 20 * 6);  // one of eleven: four of them
    using pattern = prune::v_n_m<64, 2, 16>;
    CHECK(pattern::kept_columns(64) == 16);
    CHECK(pattern::kept_columns(66) == 18);
    CHECK(pattern::kept_columns(79) == 20);
    CHECK(pattern::kept_columns(0) == 0);
}

TEST_CASE("the order of v_n_m selects what v_n_m selects, four ascending columns of each block") {
    const prune::v_n_m<4, 2, 8> pattern;
    for (const auto& [rows, cols] :
         {std::array<std::size_t, 2>{8, 32}, {7, 33}, {1, 5}, {4, 2}, {0, 8}, {8, 0}, {6, 14}}) {
        const matrix scores = matrix::integers(rows, cols, 4, rows + cols);
        const auto order = pattern.make_order(scores.view());
        REQUIRE(order);
        CHECK(pattern.check(*order, rows, cols));
        CHECK(order->dense() == 0);
        for (std::size_t t = 0; t < order->n_tiles(); ++t) {
            const auto columns = order->columns(t);
            CHECK(std::is_sorted(columns.begin(), columns.end(), std::less_equal<>{}));
            for (std::size_t i = 0; i < columns.size(); ++i) CHECK(columns[i] / 8 == i / 4);
        }
        bits kept(rows, cols, true);
        pattern.select(scores.view(), *order, kept.view());
        CHECK(kept.text() == selected(pattern, scores));
    }
}

TEST_CASE("v_n_m refuses the order of another shape or pattern") {
    const auto order = prune::hinm_order::make(8, 32, 4, 16);
    REQUIRE(order);
    CHECK(prune::v_n_m<4, 2, 8>{}.check(*order, 8, 32));
    const auto refused = [](const pare::status& checked) {
        return !checked && checked.error().code == errc::shape_mismatch;
    };
    CHECK(refused(prune::v_n_m<4, 2, 8>{}.check(*order, 9, 32)));
    CHECK(refused(prune::v_n_m<4, 2, 8>{}.check(*order, 8, 40)));
    CHECK(refused(prune::v_n_m<8, 2, 8>{}.check(*order, 8, 32)));
    CHECK(refused(prune::v_n_m<4, 2, 16>{}.check(*order, 8, 32)));
    const auto dense = prune::hinm_order::make(8, 32, 4, 16, 4);
    REQUIRE(dense);
    CHECK(refused(prune::v_n_m<4, 2, 8>{}.check(*dense, 8, 32)));
}
