// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/observer.hpp>

#include <pare/core/dtype.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

using pare::errc;
using pare::prune::input_observer, pare::prune::input_sums;
using pare::testing::matrix;

namespace {

input_observer seen(pare::matrix_view<const float> x, bool with_gram) {
    auto made = input_observer::make(x.cols(), with_gram);
    REQUIRE(made);
    REQUIRE(made->add(x));
    return *std::move(made);
}

std::vector<float> gram_of(const input_sums& s) {
    return {s.gram.data_handle(), s.gram.data_handle() + s.gram.size()};
}
std::vector<double> squares_of(const input_sums& s) { return {s.squares.begin(), s.squares.end()}; }
std::vector<float> largest_of(const input_sums& s) { return {s.largest.begin(), s.largest.end()}; }

void check_equal(const input_sums& a, const input_sums& b) {
    CHECK(a.tokens == b.tokens);
    CHECK(squares_of(a) == squares_of(b));
    CHECK(largest_of(a) == largest_of(b));
    CHECK(gram_of(a) == gram_of(b));
}

}  // namespace

TEST_CASE("the statistics of two tokens are those worked out by hand") {
    const input_observer observer = seen(matrix(2, 3, {1, 2, 0, -3, 1, 0}).view(), true);
    const input_sums sums = observer.sums();
    CHECK(sums.tokens == 2);
    CHECK(squares_of(sums) == std::vector<double>{10, 5, 0});
    CHECK(largest_of(sums) == std::vector<float>{3, 2, 0});
    CHECK(gram_of(sums) == std::vector<float>{10, -1, 0, -1, 5, 0, 0, 0, 0});
}

TEST_CASE("the Gram matrix is X^T X at every width around the runs of the loop") {
    for (const std::size_t features : {1u, 2u, 63u, 64u, 65u, 127u, 128u, 129u, 200u}) {
        const matrix x = matrix::integers(5, features, 9, features);
        const input_observer observer = seen(x.view(), true);
        const input_sums sums = observer.sums();
        int wrong = 0;
        for (std::size_t a = 0; a < features; ++a)
            for (std::size_t b = 0; b < features; ++b) {
                float sum = 0.0f;
                for (std::size_t t = 0; t < 5; ++t) sum += x(t, a) * x(t, b);
                wrong += sums.gram(a, b) != sum;
                wrong += a == b && sums.squares[a] != static_cast<double>(sum);
            }
        CHECK(wrong == 0);
    }
}

TEST_CASE("calls add up, and so do observers, whatever the order of the activations in memory") {
    const matrix x = matrix::integers(10, 70, 9, 1);
    matrix features_first(70, 10);
    for (std::size_t t = 0; t < 10; ++t)
        for (std::size_t c = 0; c < 70; ++c) features_first(c, t) = x(t, c);
    const auto other = std::as_const(features_first).view().transposed();
    for (const bool with_gram : {true, false}) {
        const input_observer whole = seen(x.view(), with_gram);
        input_observer parts = seen(other.block(0, 0, 3, 70), with_gram);
        const input_observer rest = seen(other.block(3, 0, 7, 70), with_gram);
        input_observer merged = seen(other.block(0, 0, 3, 70), with_gram);
        REQUIRE(parts.add(other.block(3, 0, 7, 70)));
        REQUIRE(merged.merge(rest.sums()));
        check_equal(parts.sums(), whole.sums());
        check_equal(merged.sums(), whole.sums());
        CHECK(whole.sums().gram.size() == (with_gram ? 4900 : 0));
    }
}

TEST_CASE("no tokens add nothing") {
    const matrix x(2, 2, {1, 2, 3, 4});
    input_observer observer = seen(x.view(), true);
    REQUIRE(observer.add(matrix(0, 2).view()));
    REQUIRE(observer.merge(seen(matrix(0, 2).view(), true).sums()));
    check_equal(observer.sums(), seen(x.view(), true).sums());
}

TEST_CASE("a NaN among the activations shows in the statistics, whatever else is seen") {
    const matrix x(2, 2, {std::numeric_limits<float>::quiet_NaN(), 1, 7, 1});
    input_observer observer = seen(matrix(1, 2, {5, 5}).view(), true);
    REQUIRE(observer.merge(seen(x.view(), true).sums()));
    const input_sums sums = observer.sums();
    CHECK(pare::is_nan(static_cast<float>(sums.squares[0])));
    CHECK(pare::is_nan(sums.largest[0]));
    CHECK(pare::is_nan(sums.gram(0, 1)));
    CHECK(sums.gram(1, 1) == 27.0f);
}

TEST_CASE("statistics of other shapes are refused and left alone") {
    const matrix x(1, 2, {1, 2}), wide(1, 3);
    input_observer observer = seen(x.view(), true);
    const auto code = [](const pare::status& refused) {
        REQUIRE_FALSE(refused);
        return refused.error().code;
    };
    CHECK(code(observer.add(wide.view())) == errc::shape_mismatch);
    CHECK(code(observer.merge(seen(wide.view(), true).sums())) == errc::shape_mismatch);
    CHECK(code(observer.merge(seen(x.view(), false).sums())) == errc::shape_mismatch);
    check_equal(observer.sums(), seen(x.view(), true).sums());
}

TEST_CASE("input norms are the roots of the squares") {
    std::vector<float> norms(3);
    REQUIRE(pare::prune::input_norms(std::vector<double>{0, 9, 2}, norms));
    CHECK(norms == std::vector<float>{0, 3, static_cast<float>(std::sqrt(2.0))});
    const auto refused = pare::prune::input_norms(std::vector<double>{1}, norms);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::shape_mismatch);
}
