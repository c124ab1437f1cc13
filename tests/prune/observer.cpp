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
using pare::prune::accumulate_input_statistics;
using pare::testing::matrix;

TEST_CASE("the statistics of two tokens are those worked out by hand") {
    const matrix x(2, 3, {1, 2, 0, 3, -1, 0});
    std::vector<double> squares(3);
    matrix gram(3, 3);
    REQUIRE(accumulate_input_statistics(x.view(), squares, gram.view()));
    CHECK(squares == std::vector<double>{10, 5, 0});
    CHECK(gram.data() == std::vector<float>{10, -1, 0, -1, 5, 0, 0, 0, 0});
}

TEST_CASE("the Gram matrix is X^T X at every width around the runs of the loop") {
    for (const std::size_t features : {1u, 2u, 63u, 64u, 65u, 127u, 128u, 129u, 200u}) {
        const matrix x = matrix::integers(5, features, 9, features);
        std::vector<double> squares(features);
        matrix gram(features, features);
        REQUIRE(accumulate_input_statistics(x.view(), squares, gram.view()));
        int wrong = 0;
        for (std::size_t a = 0; a < features; ++a)
            for (std::size_t b = 0; b < features; ++b) {
                float sum = 0.0f;
                for (std::size_t t = 0; t < 5; ++t) sum += x(t, a) * x(t, b);
                wrong += gram(a, b) != sum;
                wrong += a == b && squares[a] != static_cast<double>(sum);
            }
        CHECK(wrong == 0);
    }
}

TEST_CASE("calls add up, whatever the order of the activations in memory") {
    const matrix x = matrix::integers(10, 70, 9, 1);
    matrix features_first(70, 10);
    for (std::size_t t = 0; t < 10; ++t)
        for (std::size_t c = 0; c < 70; ++c) features_first(c, t) = x(t, c);
    std::vector<double> whole(70), parts(70);
    matrix whole_gram(70, 70), parts_gram(70, 70);
    REQUIRE(accumulate_input_statistics(x.view(), whole, whole_gram.view()));
    const auto other = std::as_const(features_first).view().transposed();
    REQUIRE(accumulate_input_statistics(other.block(0, 0, 3, 70), parts, parts_gram.view()));
    REQUIRE(accumulate_input_statistics(other.block(3, 0, 7, 70), parts, parts_gram.view()));
    CHECK(whole == parts);
    CHECK(whole_gram.data() == parts_gram.data());
}

TEST_CASE("the Gram matrix may be left out") {
    const matrix x(1, 2, {3, 4});
    std::vector<double> squares(2);
    REQUIRE(accumulate_input_statistics(x.view(), squares));
    CHECK(squares == std::vector<double>{9, 16});
}

TEST_CASE("no tokens add nothing") {
    std::vector<double> squares{1, 2};
    matrix gram(2, 2, {1, 2, 2, 4});
    REQUIRE(accumulate_input_statistics(matrix(0, 2).view(), squares, gram.view()));
    CHECK(squares == std::vector<double>{1, 2});
    CHECK(gram.data() == std::vector<float>{1, 2, 2, 4});
}

TEST_CASE("a NaN among the activations shows in the statistics") {
    const matrix x(1, 2, {std::numeric_limits<float>::quiet_NaN(), 1});
    std::vector<double> squares(2);
    matrix gram(2, 2);
    REQUIRE(accumulate_input_statistics(x.view(), squares, gram.view()));
    CHECK(pare::is_nan(static_cast<float>(squares[0])));
    CHECK(pare::is_nan(gram(0, 1)));
    CHECK(gram(1, 1) == 1.0f);
}

TEST_CASE("statistics of other shapes are refused and left alone") {
    const matrix x = matrix::uniform(2, 3, 1);
    std::vector<double> two(2), three(3);
    matrix gram(3, 3), wide(3, 4), tall(4, 3);
    const auto code = [&](auto& squares, matrix& into) {
        const auto refused = accumulate_input_statistics(x.view(), squares, into.view());
        REQUIRE_FALSE(refused);
        return refused.error().code;
    };
    CHECK(code(two, gram) == errc::shape_mismatch);
    CHECK(code(three, wide) == errc::shape_mismatch);
    CHECK(code(three, tall) == errc::shape_mismatch);
    CHECK(three == std::vector<double>(3));
    CHECK(gram.data() == std::vector<float>(9));
}

TEST_CASE("input norms are the roots of the squares") {
    std::vector<float> norms(3);
    REQUIRE(pare::prune::input_norms(std::vector<double>{0, 9, 2}, norms));
    CHECK(norms == std::vector<float>{0, 3, static_cast<float>(std::sqrt(2.0))});
    const auto refused = pare::prune::input_norms(std::vector<double>{1}, norms);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::shape_mismatch);
}
