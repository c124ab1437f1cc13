// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/block.hpp>

#include <pare/prune/unstructured.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace pare::testing;
using pare::prune::block, pare::prune::unstructured;

namespace {

/// Blocks sorted by their means, taken as long as half of the next still fits.
template <int R, int C>
std::string by_sorting(const matrix& scores, float sparsity) {
    struct place {
        std::size_t row, col, size;
        double mean;
    };
    std::vector<place> all;
    for (std::size_t row = 0; row < scores.rows(); row += R)
        for (std::size_t col = 0; col < scores.cols(); col += C) {
            place p{row, col, 0, 0.0};
            for (std::size_t r = row; r < std::min(row + R, scores.rows()); ++r)
                for (std::size_t c = col; c < std::min(col + C, scores.cols()); ++c, ++p.size)
                    p.mean += static_cast<double>(scores(r, c));
            p.mean /= static_cast<double>(p.size);
            all.push_back(p);
        }
    std::stable_sort(all.begin(), all.end(),
                     [](const place& a, const place& b) { return a.mean > b.mean; });
    const double wanted =
        (1.0 - static_cast<double>(sparsity)) * static_cast<double>(scores.data().size());
    double taken = 0.0;
    bits kept(scores.rows(), scores.cols());
    for (const place& p : all) {
        if (taken > 0.0 && taken + static_cast<double>(p.size) / 2.0 > wanted) break;
        taken += static_cast<double>(p.size);
        for (std::size_t r = p.row; r < std::min(p.row + R, scores.rows()); ++r)
            for (std::size_t c = p.col; c < std::min(p.col + C, scores.cols()); ++c)
                kept.view().set(r, c, true);
    }
    return kept.text();
}

template <int R, int C>
void check_sorting() {
    for (const auto& [rows, cols] :
         {std::array<std::size_t, 2>{1, 1}, {4 * R, 3 * C}, {3 * R + 1, 65 * C}, {2, 100}, {33, 7}})
        for (const float sparsity : {0.0f, 0.3f, 0.5f, 0.75f}) {
            matrix scores = matrix::uniform(rows, cols, rows + cols);
            for (float& x : scores.data()) x = std::fabs(x);
            CAPTURE(R, C, rows, cols, sparsity);
            CHECK(selected(block<R, C>{sparsity}, scores) == by_sorting<R, C>(scores, sparsity));
        }
}

}  // namespace

TEST_CASE("block keeps the best aligned blocks") {
    const matrix scores(4, 4,
                        {1, 9, 0, 0,  //
                         9, 1, 0, 3,  //
                         9, 0, 8, 0,  //
                         0, 0, 8, 8});
    CHECK(selected(block<2>{.sparsity = 0.5f}, scores) == "1100 1100 1010 1010");
    CHECK(selected(block<2, 2>{.sparsity = 0.5f}, scores) == "1100 1100 0011 0011");
    CHECK(selected(block<1, 2>{.sparsity = 0.5f}, scores) == "1100 1100 1100 0011");
    CHECK(selected(block<4>{.sparsity = 0.75f}, scores) == "1000 1000 1000 1000");
}

TEST_CASE("smaller blocks at the edges compete by their means") {
    // Of two rows the last block has one: its mean is 5, those of the others are 4 and 1.
    CHECK(selected(block<2>{.sparsity = 0.5f}, matrix(5, 1, {4, 4, 1, 1, 5})) == "1 1 0 0 1");
    CHECK(selected(block<2>{.sparsity = 0.8f}, matrix(5, 1, {4, 4, 1, 1, 5})) == "0 0 0 0 1");
    CHECK(selected(block<1, 2>{.sparsity = 0.5f}, matrix(1, 5, {4, 4, 1, 1, 5})) == "11001");
    CHECK(selected(block<2>{.sparsity = 0.8f}, matrix(5, 1, {4, 4, 1, 1, 3})) == "1 1 0 0 0");
}

TEST_CASE("block does what sorting does, at any shape and sparsity") {
    check_sorting<1, 1>();
    check_sorting<4, 1>();
    check_sorting<4, 2>();
    check_sorting<1, 4>();
    check_sorting<8, 1>();
    check_sorting<3, 5>();
}

TEST_CASE("a block of one weight is unstructured") {
    for (const float sparsity : {0.0f, 0.3f, 0.5f, 0.75f, 0.99f}) {
        const matrix scores = matrix::integers(10, 20, 3, 1);
        CHECK(selected(block<1>{sparsity}, scores) == selected(unstructured{sparsity}, scores));
    }
}

TEST_CASE("of equal blocks the first in row-major order stays, and one always") {
    CHECK(selected(block<2>{.sparsity = 0.5f}, matrix(4, 2)) == "11 11 00 00");
    CHECK(selected(block<2>{.sparsity = 0.75f}, matrix(4, 2)) == "10 10 00 00");
    CHECK(selected(block<2>{.sparsity = 0.99f}, matrix(4, 2)) == "10 10 00 00");
}

TEST_CASE("block refuses a sparsity outside its range") {
    CHECK(block<8>{.sparsity = 0.0f}.check());
    for (const float sparsity : {1.0f, -0.1f, std::numeric_limits<float>::infinity(),
                                 std::numeric_limits<float>::quiet_NaN()}) {
        const auto refused = block<8>{sparsity}.check();
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == pare::errc::invalid_argument);
    }
}
