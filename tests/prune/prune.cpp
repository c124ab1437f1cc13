// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/prune.hpp>

#include <pare/prune/dense.hpp>
#include <pare/prune/magnitude.hpp>
#include <pare/prune/n_m.hpp>
#include <pare/prune/optimal_brain.hpp>
#include <pare/prune/unstructured.hpp>
#include <pare/prune/wanda.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <limits>
#include <utility>
#include <vector>

using pare::errc;
using pare::testing::bits, pare::testing::matrix;
namespace prune = pare::prune;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

// Prunes a copy of the scratch and expects a refusal that left the mask alone.
template <class Saliency, class Pattern>
errc refusal(const matrix& weights, const Saliency& saliency, const Pattern& pattern,
             const prune::calibration& inputs = {}) {
    matrix scores(weights.rows(), weights.cols());
    bits kept(weights.rows(), weights.cols());
    const auto result =
        prune::prune(weights.view(), saliency, pattern, inputs, scores.view(), kept.view());
    REQUIRE_FALSE(result);
    CHECK(kept.view().count() == 0);
    return result.error().code;
}

}  // namespace

TEST_CASE("prune gives scores, mask and the retained fraction of the saliency") {
    const matrix weights(2, 4, {1, -2, 3, -4, 0, 5, 0, -5});
    matrix scores(2, 4);
    bits kept(2, 4);
    const auto retained = prune::prune(weights.view(), prune::magnitude{}, prune::n_m<2, 4>{}, {},
                                       scores.view(), kept.view());
    REQUIRE(retained);
    CHECK(kept.text() == "0011 0101");
    CHECK(scores.data() == std::vector<float>{1, 2, 3, 4, 0, 5, 0, 5});
    CHECK(*retained == 17.0 / 20.0);
}

TEST_CASE("score gives the saliency of every weight, and retained the share that a mask keeps") {
    const matrix weights(2, 4, {1, -2, 3, -4, 0, 5, 0, -5});
    const std::vector<float> norms{1, 1, 2, 0};
    matrix scores(2, 4);
    REQUIRE(prune::score(weights.view(), prune::wanda{}, {.input_norms = norms}, scores.view()));
    CHECK(scores.data() == std::vector<float>{1, 2, 6, 0, 0, 5, 0, 0});
    bits kept(2, 4);
    CHECK(prune::retained(scores.view(), kept.view()) == 0.0);
    kept.view().set(0, 2, true);
    kept.view().set(1, 1, true);
    CHECK(prune::retained(scores.view(), kept.view()) == 11.0 / 14.0);
    CHECK(prune::retained(scores.view(), bits(2, 4, true).view()) == 1.0);
    CHECK(prune::retained(matrix(2, 4).view(), kept.view()) == 1.0);
}

TEST_CASE("retained adds in doubles") {
    constexpr std::size_t cols = 1 << 12;
    matrix scores(2, cols);
    bits kept(2, cols);
    for (std::size_t c = 0; c < cols; ++c) {
        scores(0, c) = 0x1p24f;
        scores(1, c) = 1.0f;
        kept.view().set(1, c, true);
    }
    CHECK(prune::retained(scores.view(), kept.view()) == 1.0 / (0x1p24 + 1.0));
}

TEST_CASE("score refuses what prune refuses, and tells before a mask is at hand") {
    matrix weights = matrix::uniform(3, 4, 1), scores(3, 4), other(4, 3);
    const auto refusal = [&](const auto& saliency, matrix& to, const prune::calibration& inputs) {
        const auto refused = prune::score(weights.view(), saliency, inputs, to.view());
        REQUIRE_FALSE(refused);
        return refused.error();
    };
    const std::vector<float> large(4, 3e38f);
    CHECK(refusal(prune::magnitude{}, other, {}).code == errc::shape_mismatch);
    CHECK(refusal(prune::wanda{}, scores, {}).code == errc::missing_calibration);
    weights(1, 2) = 3e38f;
    const auto overflow = refusal(prune::wanda{}, scores, {.input_norms = large});
    CHECK(overflow.code == errc::not_a_number);
    CHECK(overflow.where == 1);
    weights(2, 3) = not_a_number;
    CHECK(refusal(prune::magnitude{}, scores, {}).where == 2);
}

TEST_CASE("prune overwrites whatever the mask held") {
    const matrix weights = matrix::uniform(3, 10, 1);
    matrix scores(3, 10);
    bits fresh(3, 10), used(3, 10, true);
    for (bits* kept : {&fresh, &used})
        REQUIRE(prune::prune(weights.view(), prune::magnitude{}, prune::n_m<1, 4>{}, {},
                             scores.view(), kept->view()));
    CHECK(fresh.text() == used.text());
}

TEST_CASE("prune takes its statistics from the calibration") {
    const matrix weights(1, 4, {4, 3, 2, 1});
    matrix scores(1, 4);
    bits kept(1, 4);
    const std::vector<float> norms{0, 1, 10, 100};
    const auto retained = prune::prune(weights.view(), prune::wanda{}, prune::n_m<1, 4>{},
                                       {.input_norms = norms}, scores.view(), kept.view());
    REQUIRE(retained);
    CHECK(kept.text() == "0001");
    CHECK(*retained == 100.0 / 123.0);
}

TEST_CASE("nothing is lost of a saliency that is zero everywhere") {
    matrix scores(2, 4);
    bits kept(2, 4);
    const auto retained = prune::prune(matrix(2, 4).view(), prune::magnitude{}, prune::n_m<2, 4>{},
                                       {}, scores.view(), kept.view());
    REQUIRE(retained);
    CHECK(*retained == 1.0);
}

TEST_CASE("prune refuses weights that are NaN or infinite and names the row") {
    for (const float bad : {not_a_number, -not_a_number, infinity, -infinity}) {
        matrix weights = matrix::uniform(5, 7, 1), scores(5, 7);
        weights(3, 6) = bad;
        bits kept(5, 7);
        const auto result = prune::prune(weights.view(), prune::magnitude{}, prune::dense{}, {},
                                         scores.view(), kept.view());
        REQUIRE_FALSE(result);
        CHECK(result.error().code == errc::not_a_number);
        CHECK(result.error().where == 3);
        CHECK(kept.view().count() == 0);
    }
}

TEST_CASE("prune refuses scores that overflow") {
    const std::vector<float> norms{1e30f};
    CHECK(refusal(matrix(1, 1, {1e30f}), prune::wanda{}, prune::dense{}, {.input_norms = norms}) ==
          errc::not_a_number);
    const std::vector<float> zero{0.0f};
    CHECK(refusal(matrix(1, 1, {0.0f}), prune::optimal_brain{}, prune::dense{},
                  {.inverse_hessian_diagonal = zero}) == errc::not_a_number);
}

TEST_CASE("prune refuses a calibration that lacks what the saliency needs") {
    const std::vector<float> two{1, 2}, four{1, 2, 3, 4};
    const matrix weights(1, 3, {1, 2, 3});
    for (const prune::calibration& inputs :
         {prune::calibration{}, prune::calibration{.input_norms = two},
          prune::calibration{.input_norms = four},
          prune::calibration{.inverse_hessian_diagonal = four}})
        CHECK(refusal(weights, prune::wanda{}, prune::dense{}, inputs) ==
              errc::missing_calibration);
    for (const prune::calibration& inputs :
         {prune::calibration{}, prune::calibration{.inverse_hessian_diagonal = two},
          prune::calibration{.input_norms = four}})
        CHECK(refusal(weights, prune::optimal_brain{}, prune::dense{}, inputs) ==
              errc::missing_calibration);
}

TEST_CASE("prune refuses a calibration value that is negative or not finite") {
    for (const float bad : {-1.0f, not_a_number, infinity}) {
        const std::vector<float> norms{1.0f, bad};
        CHECK(refusal(matrix(1, 2, {1, 2}), prune::wanda{}, prune::dense{},
                      {.input_norms = norms}) == errc::invalid_argument);
        CHECK(refusal(matrix(1, 2, {1, 2}), prune::optimal_brain{}, prune::dense{},
                      {.inverse_hessian_diagonal = norms}) == errc::invalid_argument);
    }
}

TEST_CASE("prune refuses hyper-parameters outside their range") {
    CHECK(refusal(matrix(1, 2, {1, 2}), prune::magnitude{},
                  prune::unstructured{.sparsity = 1.0f}) == errc::invalid_argument);
}

TEST_CASE("prune refuses weights, scores and a mask of different shapes") {
    const matrix weights(2, 3);
    for (const auto& [rows, cols] : {std::pair{2u, 4u}, {3u, 3u}, {3u, 2u}}) {
        matrix scores(2, 3), other_scores(rows, cols);
        bits kept(2, 3), other_kept(rows, cols);
        const auto a = prune::prune(weights.view(), prune::magnitude{}, prune::dense{}, {},
                                    other_scores.view(), kept.view());
        const auto b = prune::prune(weights.view(), prune::magnitude{}, prune::dense{}, {},
                                    scores.view(), other_kept.view());
        REQUIRE_FALSE(a);
        REQUIRE_FALSE(b);
        CHECK(a.error().code == errc::shape_mismatch);
        CHECK(b.error().code == errc::shape_mismatch);
    }
}
