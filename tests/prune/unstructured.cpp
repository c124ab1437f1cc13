// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/unstructured.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

using pare::prune::unstructured;
using pare::testing::bits, pare::testing::matrix, pare::testing::selected;

namespace {

std::string by_sorting(const matrix& scores, std::size_t n_kept) {
    std::vector<std::size_t> order(scores.data().size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return scores.data()[a] > scores.data()[b];
    });
    bits kept(scores.rows(), scores.cols());
    for (std::size_t i = 0; i < n_kept; ++i)
        kept.view().set(order[i] / scores.cols(), order[i] % scores.cols(), true);
    return kept.text();
}

}  // namespace

TEST_CASE("unstructured keeps the best of the whole matrix") {
    const matrix scores(2, 4, {1, 2, 3, 4, 8, 7, 6, 5});
    CHECK(selected(unstructured{.sparsity = 0.5f}, scores) == "0000 1111");
    CHECK(selected(unstructured{.sparsity = 0.75f}, scores) == "0000 1100");
    CHECK(selected(unstructured{.sparsity = 0.125f}, scores) == "0111 1111");
    CHECK(selected(unstructured{.sparsity = 0.0f}, scores) == "1111 1111");
}

TEST_CASE("unstructured prunes the nearest number of weights and keeps at least one") {
    for (const std::size_t cols : {1u, 2u, 3u, 7u, 10u, 33u})
        for (const float sparsity : {0.0f, 0.25f, 0.5f, 0.9f, 0.99f, 0.999f}) {
            const std::string mask = selected(unstructured{sparsity}, matrix::uniform(3, cols, 1));
            const long size = 3 * static_cast<long>(cols);
            const long nearest =
                std::lround(static_cast<double>(sparsity) * static_cast<double>(size));
            CHECK(std::count(mask.begin(), mask.end(), '0') == std::min(nearest, size - 1));
        }
}

TEST_CASE("unstructured keeps the first of equal scores, row by row") {
    CHECK(selected(unstructured{.sparsity = 0.5f}, matrix(2, 3)) == "111 000");
    CHECK(selected(unstructured{.sparsity = 0.5f}, matrix(2, 3, {1, 1, 2, 1, 1, 2})) == "101 001");
    CHECK(selected(unstructured{.sparsity = 0.5f}, matrix(1, 4, {-0.0f, 0.0f, -0.0f, 0.0f})) ==
          "1100");
}

TEST_CASE("unstructured orders every finite score as floats do") {
    constexpr float least = 0x1p-149f, largest = std::numeric_limits<float>::max();
    const matrix scores(1, 8, {largest, 1.0f, least, 0.0f, -least, -1.0f, -largest, 0.5f});
    CHECK(selected(unstructured{.sparsity = 0.5f}, scores) == "11100001");
    CHECK(selected(unstructured{.sparsity = 0.25f}, scores) == "11111001");
}

TEST_CASE("unstructured selects what a stable sort of all weights selects") {
    for (const std::size_t cols : {1u, 5u, 64u, 65u, 200u})
        for (const float sparsity : {0.0f, 0.5f, 0.75f, 0.9f}) {
            const std::size_t size = 7 * cols;
            const auto n_kept =
                size - static_cast<std::size_t>(
                           std::lround(static_cast<double>(sparsity) * static_cast<double>(size)));
            for (const matrix& scores :
                 {matrix::uniform(7, cols, cols), matrix::integers(7, cols, 2, cols)})
                CHECK(selected(unstructured{sparsity}, scores) == by_sorting(scores, n_kept));
        }
}

TEST_CASE("unstructured refuses a sparsity that is negative, 1 or more") {
    CHECK(unstructured{.sparsity = 0.0f}.check());
    CHECK(unstructured{.sparsity = 0x1.fffffep-1f}.check());
    for (const float sparsity : {1.0f, -0.1f, 2.0f, std::numeric_limits<float>::infinity(),
                                 std::numeric_limits<float>::quiet_NaN()}) {
        const auto refused = unstructured{sparsity}.check();
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == pare::errc::invalid_argument);
    }
}
