// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/assignment.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

using namespace pare::testing;
using pare::errc;
using pare::prune::assignment;

namespace {

struct solution {
    double total;
    std::vector<std::uint32_t> columns;
};

double sum_of(const matrix& costs, const std::vector<std::uint32_t>& columns) {
    double sum = 0.0;
    for (std::size_t r = 0; r < columns.size(); ++r)
        sum += static_cast<double>(costs(r, columns[r]));
    return sum;
}

solution solve(const matrix& costs) {
    auto solver = assignment::make(costs.rows(), costs.cols());
    REQUIRE(solver);
    solution found{0.0, std::vector<std::uint32_t>(costs.rows())};
    const auto total = solver->solve(costs.view(), found.columns);
    REQUIRE(total);
    found.total = *total;
    return found;
}

// Every way of giving columns to rows.
double best_by_trying(const matrix& costs) {
    std::vector<std::uint32_t> columns(costs.cols());
    std::iota(columns.begin(), columns.end(), 0u);
    double best = std::numeric_limits<double>::infinity();
    do {
        best = std::min(
            best, sum_of(costs, {columns.begin(),
                                 columns.begin() + static_cast<std::ptrdiff_t>(costs.rows())}));
    } while (std::next_permutation(columns.begin(), columns.end()));
    return best;
}

// Minimum-cost flow by Bellman and Ford, one unit at a time: no prices, no Dijkstra. Integer costs.
long best_by_flow(const matrix& costs) {
    const std::size_t rows = costs.rows(), cols = costs.cols();
    std::vector<int> row_of(cols, -1);
    long total = 0;
    for (std::size_t source = 0; source < rows; ++source) {
        constexpr long far = 1L << 60;
        std::vector<long> to_row(rows, far), to_col(cols, far);
        std::vector<std::size_t> before(cols);
        to_row[source] = 0;
        for (bool changed = true; changed;) {
            changed = false;
            for (std::size_t r = 0; r < rows; ++r)
                for (std::size_t c = 0; c < cols; ++c) {
                    const long d = to_row[r] + static_cast<long>(costs(r, c));
                    if (to_row[r] == far || row_of[c] == static_cast<int>(r) || d >= to_col[c])
                        continue;
                    to_col[c] = d, before[c] = r, changed = true;
                    if (row_of[c] < 0) continue;
                    const auto back = static_cast<std::size_t>(row_of[c]);
                    if (d - static_cast<long>(costs(back, c)) < to_row[back])
                        to_row[back] = d - static_cast<long>(costs(back, c));
                }
        }
        std::size_t end = cols;
        for (std::size_t c = 0; c < cols; ++c)
            if (row_of[c] < 0 && (end == cols || to_col[c] < to_col[end])) end = c;
        total += to_col[end];
        for (std::size_t c = end;;) {
            const std::size_t r = before[c];
            std::size_t previous = cols;
            for (std::size_t o = 0; o < cols; ++o)
                if (row_of[o] == static_cast<int>(r)) previous = o;
            row_of[c] = static_cast<int>(r);
            if (r == source) break;
            row_of[previous] = -1;
            c = previous;
        }
    }
    return total;
}

bool gives_each_row_its_own(const solution& s, std::size_t cols) {
    std::vector<bool> used(cols);
    for (const std::uint32_t c : s.columns) {
        if (c >= cols || used[c]) return false;
        used[c] = true;
    }
    return true;
}

// Largest breach of the conditions that prove a solution least, in units of the largest cost.
double breach_of_optimality(const matrix& costs) {
    auto solver = assignment::make(costs.rows(), costs.cols());
    std::vector<std::uint32_t> columns(costs.rows());
    REQUIRE(solver);
    REQUIRE(solver->solve(costs.view(), columns));
    const auto u = solver->row_prices(), v = solver->column_prices();
    double worst = 0.0, largest = 1e-300;
    std::vector<bool> used(costs.cols());
    for (const std::uint32_t c : columns) used[c] = true;
    for (std::size_t c = 0; c < costs.cols() && costs.rows() < costs.cols(); ++c)
        worst = std::max(worst, used[c] ? v[c] : std::fabs(v[c]));
    for (std::size_t r = 0; r < costs.rows(); ++r)
        for (std::size_t c = 0; c < costs.cols(); ++c) {
            const double cost = static_cast<double>(costs(r, c)), slack = cost - u[r] - v[c];
            largest = std::max(largest, std::fabs(cost));
            worst = std::max(worst, columns[r] == c ? std::fabs(slack) : -slack);
        }
    return worst / largest;
}

matrix scaled_to(matrix costs, float factor) {
    for (float& x : costs.data()) x *= factor;
    return costs;
}

// Each of the rows * cols additions that a price may go through rounds by 2^-53.
double price_error(const matrix& costs) {
    return static_cast<double>(costs.rows() * costs.cols() + 8) * 0x1p-53;
}

}  // namespace

TEST_CASE("an assignment of known costs") {
    const solution s = solve(matrix(3, 3, {4, 1, 3, 2, 0, 5, 3, 2, 2}));
    CHECK(s.total == 5.0);
    CHECK(s.columns == std::vector<std::uint32_t>{1, 0, 2});
}

TEST_CASE("an assignment is the best of all at every small size") {
    for (std::size_t cols = 1; cols <= 7; ++cols)
        for (std::size_t rows = 1; rows <= cols; ++rows)
            for (std::uint64_t seed = 0; seed < 8; ++seed)
                for (const int bound : {1, 3, 1000}) {
                    const matrix costs = matrix::integers(rows, cols, bound, seed);
                    const solution s = solve(costs);
                    CAPTURE(rows, cols, seed, bound);
                    CHECK(gives_each_row_its_own(s, cols));
                    CHECK(s.total == sum_of(costs, s.columns));
                    CHECK(s.total == best_by_trying(costs));
                }
}

TEST_CASE("an assignment agrees with minimum-cost flow") {
    for (const auto& [rows, cols] :
         {std::array<std::size_t, 2>{16, 16}, {17, 40}, {40, 41}, {60, 60}})
        for (const int bound : {2, 50, 100000}) {
            const matrix costs = matrix::integers(rows, cols, bound, rows + cols);
            const solution s = solve(costs);
            CAPTURE(rows, cols, bound);
            CHECK(gives_each_row_its_own(s, cols));
            CHECK(static_cast<long>(s.total) == best_by_flow(costs));
        }
}

TEST_CASE("the prices of an assignment prove that it is least") {
    for (const auto& [rows, cols] :
         {std::array<std::size_t, 2>{1, 1}, {1, 9}, {8, 8}, {31, 33}, {100, 100}, {64, 300}})
        for (const float scale : {1.0f, 1e-30f, 1e38f}) {
            const matrix noise = scaled_to(matrix::uniform(rows, cols, rows * cols), scale);
            const matrix ties = scaled_to(matrix::integers(rows, cols, 2, cols), scale);
            CAPTURE(rows, cols, scale);
            CHECK(breach_of_optimality(noise) <= price_error(noise));
            CHECK(breach_of_optimality(ties) <= price_error(ties));
        }
}

TEST_CASE("an assignment of costs of very different sizes ends and is least") {
    matrix costs(24, 24);
    pare::random random(5);
    for (float& x : costs.data())
        x = std::ldexp(random.symmetric(), static_cast<int>(random.below(250)) - 125);
    CHECK(gives_each_row_its_own(solve(costs), 24));
    CHECK(breach_of_optimality(costs) <= price_error(costs));
}

TEST_CASE("equal costs leave every row where it is first looked for") {
    for (const float cost : {0.0f, 1.0f, 3e38f, -3e38f}) {
        matrix costs(20, 20);
        for (float& x : costs.data()) x = cost;
        CHECK(gives_each_row_its_own(solve(costs), 20));
        CHECK(solve(costs).total == 20.0 * static_cast<double>(cost));
    }
}

TEST_CASE("repeated columns are told apart") {
    // Four clusters of four members: what balanced k-means asks.
    const matrix distances = matrix::uniform(16, 4, 3);
    matrix costs(16, 16);
    for (std::size_t r = 0; r < 16; ++r)
        for (std::size_t c = 0; c < 16; ++c) costs(r, c) = distances(r, c / 4);
    CHECK(gives_each_row_its_own(solve(costs), 16));
    CHECK(breach_of_optimality(costs) <= price_error(costs));
}

TEST_CASE("a solver serves any problem up to its size, one after the other") {
    auto solver = assignment::make(9, 12);
    REQUIRE(solver);
    for (const auto& [rows, cols] : {std::array<std::size_t, 2>{9, 12}, {1, 1}, {5, 12}, {9, 9}}) {
        const matrix costs = matrix::integers(rows, cols, 9, rows);
        std::vector<std::uint32_t> columns(rows);
        const auto total = solver->solve(costs.view(), columns);
        REQUIRE(total);
        CHECK(*total == solve(costs).total);
        CHECK(columns == solve(costs).columns);
    }
}

TEST_CASE("an assignment reads any view") {
    const matrix costs = matrix::integers(6, 6, 20, 1);
    matrix turned(6, 6);
    for (std::size_t r = 0; r < 6; ++r)
        for (std::size_t c = 0; c < 6; ++c) turned(c, r) = costs(r, c);
    auto solver = assignment::make(6, 6);
    std::vector<std::uint32_t> columns(6);
    REQUIRE(solver);
    REQUIRE(solver->solve(turned.view().transposed(), columns));
    CHECK(columns == solve(costs).columns);
}

TEST_CASE("an assignment of no rows costs nothing") {
    auto solver = assignment::make(0, 3);
    REQUIRE(solver);
    const auto total = solver->solve(matrix(0, 3).view(), {});
    REQUIRE(total);
    CHECK(*total == 0.0);
}

TEST_CASE(
    "an assignment refuses NaN, infinity, more rows than columns and what it has no room for") {
    auto solver = assignment::make(3, 3);
    REQUIRE(solver);
    std::vector<std::uint32_t> columns(2), three(3), four(4);
    const auto refusal = [&](const matrix& costs, std::vector<std::uint32_t>& out) {
        const auto total = solver->solve(costs.view(), out);
        REQUIRE_FALSE(total);
        return total.error().code;
    };
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
          -std::numeric_limits<float>::infinity()})
        CHECK(refusal(matrix(2, 2, {1, 2, bad, 3}), columns) == errc::not_a_number);
    CHECK(refusal(matrix(3, 2), three) == errc::shape_mismatch);
    CHECK(refusal(matrix(3, 3), columns) == errc::shape_mismatch);
    CHECK(refusal(matrix(2, 4), columns) == errc::buffer_too_small);
    CHECK(refusal(matrix(4, 4), four) == errc::buffer_too_small);
}
