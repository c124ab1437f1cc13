// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/n_m.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

using pare::prune::n_m;
using pare::testing::bits, pare::testing::matrix, pare::testing::selected;

namespace {

// By definition: sort each group, best first and equals by place, and keep the first N.
template <int N, int M>
std::string by_sorting(const matrix& scores) {
    bits kept(scores.rows(), scores.cols());
    for (std::size_t r = 0; r < scores.rows(); ++r)
        for (std::size_t begin = 0; begin < scores.cols(); begin += M) {
            std::vector<std::size_t> order(std::min<std::size_t>(M, scores.cols() - begin));
            std::iota(order.begin(), order.end(), begin);
            std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
                return scores(r, a) != scores(r, b) ? scores(r, a) > scores(r, b) : a < b;
            });
            for (std::size_t i = 0; i < order.size() && i < N; ++i)
                kept.view().set(r, order[i], true);
        }
    return kept.text();
}

template <int N, int M>
void check_against_sorting() {
    for (const std::size_t cols : {1u, 2u, 5u, 31u, 32u, 33u, 64u, 100u}) {
        CHECK(selected(n_m<N, M>{}, matrix::uniform(3, cols, cols)) ==
              by_sorting<N, M>(matrix::uniform(3, cols, cols)));
        CHECK(selected(n_m<N, M>{}, matrix::integers(3, cols, 1, cols)) ==
              by_sorting<N, M>(matrix::integers(3, cols, 1, cols)));
    }
}

}  // namespace

TEST_CASE("2:4 keeps each of the six pairs when it is best") {
    for (const std::string pair : {"1100", "1010", "1001", "0110", "0101", "0011"}) {
        matrix scores(1, 4, {0.1f, 0.2f, 0.3f, 0.4f});
        for (std::size_t c = 0; c < 4; ++c) scores(0, c) += pair[c] == '1' ? 1.0f : 0.0f;
        CHECK(selected(n_m<2, 4>{}, scores) == pair);
    }
}

TEST_CASE("n_m treats every group and row by itself") {
    const matrix scores(2, 8,
                        {9, 8, 7, 6, 1, 2, 3, 4,  //
                         0, 5, 0, 6, 90, 0, 0, 80});
    CHECK(selected(n_m<2, 4>{}, scores) == "11000011 01011001");
    CHECK(selected(n_m<1, 4>{}, scores) == "10000001 00011000");
    CHECK(selected(n_m<3, 8>{}, scores) == "11100000 00011001");
}

TEST_CASE("equal scores keep the lowest columns") {
    CHECK(selected(n_m<2, 4>{}, matrix(1, 8, {5, 5, 5, 5, 1, 2, 2, 2})) == "11000110");
    CHECK(selected(n_m<1, 4>{}, matrix(1, 4, {0.0f, -0.0f, 0.0f, 0.0f})) == "1000");
    CHECK(selected(n_m<2, 4>{}, matrix(1, 4, {1, 3, 1, 3})) == "0101");
}

TEST_CASE("a short last group keeps as many of its weights as a full one, if it has them") {
    CHECK(selected(n_m<2, 4>{}, matrix(1, 5, {1, 2, 3, 4, 0})) == "00111");
    CHECK(selected(n_m<2, 4>{}, matrix(1, 7, {1, 2, 3, 4, 7, 6, 8})) == "0011101");
    CHECK(selected(n_m<1, 8>{}, matrix(1, 3, {1, 2, 2})) == "010");
    CHECK(selected(n_m<5, 32>{}, matrix(1, 3, {1, 2, 2})) == "111");
}

TEST_CASE("M:M keeps everything") {
    CHECK(selected(n_m<4, 4>{}, matrix(1, 6, {1, 2, 3, 4, 5, 6})) == "111111");
    CHECK(selected(n_m<1, 1>{}, matrix(1, 3, {0, 0, 0})) == "111");
}

TEST_CASE("n_m selects what a stable sort of each group selects") {
    check_against_sorting<1, 2>();
    check_against_sorting<2, 4>();
    check_against_sorting<1, 4>();
    check_against_sorting<3, 4>();
    check_against_sorting<2, 8>();
    check_against_sorting<3, 7>();
    check_against_sorting<8, 16>();
    check_against_sorting<5, 32>();
    check_against_sorting<31, 32>();
    check_against_sorting<32, 32>();
}

TEST_CASE("n_m has nothing to refuse") { CHECK(n_m<2, 4>{}.check()); }
