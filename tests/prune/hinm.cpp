// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/hinm.hpp>
#include <pare/prune/n_m.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>
#include <vector>

using namespace pare::testing;
using pare::errc;
namespace prune = pare::prune;

namespace {

// By the book: sort the columns of each tile by their sums, then the weights of each group.
template <int N, int M, int V>
std::string by_sorting(const matrix& scores, std::size_t n_kept) {
    bits kept(scores.rows(), scores.cols());
    for (std::size_t begin = 0; begin < scores.rows(); begin += V) {
        const std::size_t end = std::min(begin + V, scores.rows());
        std::vector<std::size_t> columns(scores.cols());
        std::iota(columns.begin(), columns.end(), std::size_t{0});
        std::vector<double> sums(scores.cols());
        for (std::size_t c = 0; c < scores.cols(); ++c)
            for (std::size_t r = begin; r < end; ++r) sums[c] += static_cast<double>(scores(r, c));
        std::stable_sort(columns.begin(), columns.end(),
                         [&](std::size_t a, std::size_t b) { return sums[a] > sums[b]; });
        columns.resize(n_kept);
        std::sort(columns.begin(), columns.end());
        for (std::size_t r = begin; r < end; ++r)
            for (std::size_t g = 0; g < n_kept; g += M) {
                std::vector<std::size_t> group(
                    columns.begin() + static_cast<std::ptrdiff_t>(g),
                    columns.begin() + static_cast<std::ptrdiff_t>(std::min(g + M, n_kept)));
                std::stable_sort(group.begin(), group.end(), [&](std::size_t a, std::size_t b) {
                    return scores(r, a) > scores(r, b);
                });
                for (std::size_t i = 0; i < group.size() && i < N; ++i)
                    kept.view().set(r, group[i], true);
            }
    }
    return kept.text();
}

template <int N, int M, int V>
void check_against_sorting(const prune::hinm<N, M, V>& pattern) {
    for (const auto& [rows, cols] : {std::array<std::size_t, 2>{1, 1},
                                     {V, 4 * M},
                                     {V + 1, 5 * M},
                                     {2 * V - 1, 7 * M + 1},
                                     {3 * V, 64},
                                     {2 * V, 65},
                                     {V, M - 1},
                                     {2, 131}}) {
        const matrix noise = matrix::uniform(rows, cols, rows * cols);
        const matrix ties = matrix::integers(rows, cols, 2, rows * cols);
        CAPTURE(N, M, V, rows, cols, pattern.vector_sparsity);
        const std::size_t n_kept = pattern.kept_columns(cols);
        CHECK(selected(pattern, noise) == by_sorting<N, M, V>(noise, n_kept));
        CHECK(selected(pattern, ties) == by_sorting<N, M, V>(ties, n_kept));
    }
}

std::string selected_by(const prune::hinm_order& order, const matrix& scores) {
    bits kept(scores.rows(), scores.cols(), true);
    prune::hinm<2, 4, 4>::select(scores.view(), order, kept.view());
    return kept.text();
}

}  // namespace

TEST_CASE("hinm of two tiles") {
    // Columns 0, 1, 4, 5 carry the first tile, 2, 3, 6, 7 the second.
    const matrix scores(4, 8, {9, 8, 0, 1, 7, 6, 1, 0,  //
                               6, 7, 1, 0, 8, 9, 0, 1,  //
                               0, 1, 9, 8, 1, 0, 7, 6,  //
                               1, 0, 6, 7, 0, 1, 8, 9});
    CHECK(selected(prune::hinm<2, 4, 2>{.vector_sparsity = 0.5f}, scores) ==
          "11000000 00001100 00110000 00000011");
}

TEST_CASE("hinm does what sorting does, for any shape and vector sparsity") {
    for (const float sparsity : {0.0f, 0.25f, 0.5f, 0.75f, 0.875f}) {
        check_against_sorting(prune::hinm<2, 4, 4>{sparsity});
        check_against_sorting(prune::hinm<2, 4, 32>{sparsity});
        check_against_sorting(prune::hinm<1, 2, 8>{sparsity});
        check_against_sorting(prune::hinm<3, 7, 5>{sparsity});
        check_against_sorting(prune::hinm<4, 8, 1>{sparsity});
        check_against_sorting(prune::hinm<1, 1, 3>{sparsity});
    }
}

TEST_CASE("hinm without vector sparsity is n_m") {
    for (const auto& [rows, cols] : {std::array<std::size_t, 2>{4, 16}, {5, 18}, {1, 3}, {9, 4}}) {
        const matrix scores = matrix::integers(rows, cols, 3, cols);
        CHECK(selected(prune::hinm<2, 4, 4>{0.0f}, scores) == selected(prune::n_m<2, 4>{}, scores));
        CHECK(selected(prune::hinm<1, 8, 4>{0.0f}, scores) == selected(prune::n_m<1, 8>{}, scores));
    }
}

TEST_CASE("hinm keeps whole groups of columns, at least one") {
    const auto kept = [](float sparsity, std::size_t cols) {
        return prune::hinm<2, 4, 32>{sparsity}.kept_columns(cols);
    };
    CHECK(kept(0.0f, 288) == 288);
    CHECK(kept(0.25f, 288) == 216);
    CHECK(kept(0.5f, 288) == 144);
    CHECK(kept(0.75f, 288) == 72);
    CHECK(kept(0.875f, 288) == 36);
    CHECK(kept(0.5f, 27) == 12);   // 13.5
    CHECK(kept(0.875f, 27) == 4);  // 3.4: one group stays
    CHECK(kept(0.0f, 27) == 27);   // the last group has three
    CHECK(kept(0.5f, 3) == 3);     // no whole group: none is dropped
    CHECK(kept(0.5f, 0) == 0);
    CHECK(kept(0.9f, 4000) == 400);  // 0.9f is not 0.9
    CHECK(kept(0.3f, 4000) == 2800);
    CHECK(kept(0.6f, 1000) == 400);
}

TEST_CASE("hinm refuses a vector sparsity outside its range") {
    for (const float bad : {-0.1f, 1.0f, 2.0f}) {
        const auto checked = prune::hinm<2, 4, 32>{bad}.check();
        REQUIRE_FALSE(checked);
        CHECK(checked.error().code == errc::invalid_argument);
    }
}

TEST_CASE("the order of hinm selects what hinm selects") {
    for (const auto& [rows, cols] :
         {std::array<std::size_t, 2>{8, 32}, {7, 33}, {1, 5}, {4, 2}, {0, 8}, {8, 0}}) {
        const matrix scores = matrix::integers(rows, cols, 4, rows + cols);
        const prune::hinm<2, 4, 4> pattern{.vector_sparsity = 0.25f};
        const auto order = pattern.make_order(scores.view());
        REQUIRE(order);
        CHECK(pattern.check(*order, rows, cols));
        CHECK(order->n_tiles() == (rows + 3) / 4);
        CHECK(selected_by(*order, scores) == selected(pattern, scores));
    }
}

TEST_CASE("an order moves rows between tiles and columns between groups") {
    const matrix scores(5, 8, {9, 0, 8, 0, 0, 0, 0, 0,  //
                               0, 9, 0, 8, 0, 0, 0, 0,  //
                               7, 0, 6, 0, 0, 0, 0, 1,  //
                               0, 7, 0, 6, 0, 0, 1, 0,  //
                               1, 2, 3, 4, 5, 6, 7, 8});
    auto order = prune::hinm_order::make(5, 8, 4, 4);
    REQUIRE(order);
    const std::array<std::uint32_t, 5> outputs{4, 3, 2, 1, 0};
    const std::array<std::uint32_t, 4> first{7, 0, 1, 3}, second{6, 2, 4, 0};
    std::copy(outputs.begin(), outputs.end(), order->outputs().begin());
    std::copy(first.begin(), first.end(), order->columns(0).begin());
    std::copy(second.begin(), second.end(), order->columns(1).begin());
    CHECK(selected_by(*order, scores) == "10100000 01010000 10000001 01010000 00010001");
}

TEST_CASE("a copy of an order is equal to it until one changes") {
    auto order = prune::hinm_order::make(6, 16, 4, 8);
    REQUIRE(order);
    auto copy = order->copy();
    REQUIRE(copy);
    CHECK(*copy == *order);
    std::swap(copy->outputs()[0], copy->outputs()[5]);
    CHECK_FALSE(*copy == *order);
    std::swap(copy->outputs()[0], copy->outputs()[5]);
    copy->columns(1)[0] = 15;
    CHECK_FALSE(*copy == *order);
}

TEST_CASE("an order from outside is checked") {
    const prune::hinm<2, 4, 4> pattern{.vector_sparsity = 0.5f};
    const auto refusal = [&](auto&& spoil, std::size_t rows = 6, std::size_t cols = 16) {
        auto order = prune::hinm_order::make(6, 16, 4, 8);
        REQUIRE(order);
        spoil(*order);
        const auto checked = pattern.check(*order, rows, cols);
        REQUIRE_FALSE(checked);
        return checked.error().code;
    };
    const auto intact = [](auto&) {};
    CHECK(refusal(intact, 7) == errc::shape_mismatch);
    CHECK(refusal(intact, 6, 20) == errc::shape_mismatch);
    CHECK(refusal([](auto& o) { o.outputs()[1] = 0; }) == errc::invalid_argument);
    CHECK(refusal([](auto& o) { o.outputs()[1] = 6; }) == errc::invalid_argument);
    CHECK(refusal([](auto& o) { o.columns(1)[7] = 3; }) == errc::invalid_argument);
    CHECK(refusal([](auto& o) { o.columns(0)[0] = 16; }) == errc::invalid_argument);
    CHECK(refusal([](auto& o) { o = *prune::hinm_order::make(6, 16, 2, 8); }) ==
          errc::shape_mismatch);
    CHECK(refusal([](auto& o) { o = *prune::hinm_order::make(6, 16, 4, 4); }) ==
          errc::shape_mismatch);
}

TEST_CASE("the first columns of a tile may be dense") {
    const matrix scores(3, 8, {9, 0, 8, 0, 1, 2, 3, 4,  //
                               0, 9, 0, 8, 4, 3, 2, 1,  //
                               1, 1, 1, 1, 1, 1, 1, 1});
    auto order = *prune::hinm_order::make(3, 8, 2, 6, 2);
    CHECK(order.dense() == 2);
    const std::array<std::uint32_t, 6> first{3, 1, 0, 2, 4, 6}, second{5, 0, 7, 6, 4, 3};
    std::copy(first.begin(), first.end(), order.columns(0).begin());
    std::copy(second.begin(), second.end(), order.columns(1).begin());
    CHECK(order.check());
    CHECK(selected_by(order, scores) == "11110000 01011010 10000111");
    const auto copy = order.copy();
    REQUIRE(copy);
    CHECK(*copy == order);
    CHECK_FALSE(*prune::hinm_order::make(3, 8, 2, 6, 2) == *prune::hinm_order::make(3, 8, 2, 6));
    // hinm itself has none.
    const prune::hinm<2, 4, 2> pattern{.vector_sparsity = 0.5f};
    CHECK(pattern.check(*prune::hinm_order::make(3, 8, 2, 4), 3, 8));
    CHECK(pattern.check(*prune::hinm_order::make(3, 8, 2, 4, 4), 3, 8).error().code ==
          errc::shape_mismatch);
    CHECK(prune::hinm_order::make(3, 8, 2, 4, 5).error().code == errc::invalid_argument);
}

TEST_CASE("an order that keeps more columns than there are is refused") {
    for (const auto& [tile_rows, kept] : {std::array<std::size_t, 2>{4, 9}, {0, 4}}) {
        const auto made = prune::hinm_order::make(4, 8, tile_rows, kept);
        REQUIRE_FALSE(made);
        CHECK(made.error().code == errc::invalid_argument);
    }
}
