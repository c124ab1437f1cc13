// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "policies.hpp"

#include <pare/prune/prune.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

using namespace pare::testing;
namespace prune = pare::prune;

namespace {

// Statistics that leave powers of two alone.
struct statistics {
    std::vector<float> norms, diagonal;
    matrix gradients;

    explicit statistics(const matrix& weights) : gradients(weights.rows(), weights.cols()) {
        for (std::size_t c = 0; c < weights.cols(); ++c) {
            norms.push_back(static_cast<float>(1u << c % 3));
            diagonal.push_back(1.0f / static_cast<float>(1u << c % 5));
            for (std::size_t r = 0; r < weights.rows(); ++r)
                gradients(r, c) = (c % 2 == 0 ? 1.0f : -1.0f) / static_cast<float>(1u << c % 7);
        }
    }
    prune::calibration view() const {
        return {.input_norms = norms,
                .inverse_hessian_diagonal = diagonal,
                .gradients = gradients.view()};
    }
};

template <class S>
matrix scored(const S& saliency, const matrix& weights) {
    const statistics inputs(weights);
    matrix scores(weights.rows(), weights.cols());
    for (float& x : scores.data()) x = std::numeric_limits<float>::quiet_NaN();
    saliency.score(weights.view(), inputs.view(), scores.view());
    return scores;
}

template <class S>
pare::result<double> pruned(const S& saliency, const matrix& weights, bits& kept) {
    const statistics inputs(weights);
    matrix scores(weights.rows(), weights.cols());
    return prune::prune(weights.view(), saliency, prune::n_m<2, 4>{}, inputs.view(), scores.view(),
                        kept.view());
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a saliency writes every score, finite and not negative", "", saliencies) {
    for (const matrix& weights : {matrix::uniform(5, 33, 1), matrix(3, 7), matrix(1, 1, {-2.0f})}) {
        const matrix scores = scored(TestType{}, weights);
        for (const float score : scores.data()) {
            CHECK(std::isfinite(score));
            CHECK(score >= 0.0f);
        }
    }
}

TEMPLATE_LIST_TEST_CASE("a saliency gives zero to zero and more to more", "", saliencies) {
    const matrix scores = scored(TestType{}, matrix(4, 2, {0, 0, 0.5f, -0.5f, 1, -1, 2, -2}));
    for (std::size_t c = 0; c < 2; ++c) {
        CHECK(scores(0, c) == 0.0f);
        for (std::size_t r = 1; r < 4; ++r) CHECK(scores(r, c) > scores(r - 1, c));
    }
}

TEMPLATE_LIST_TEST_CASE("a saliency does not see the sign of a weight", "", saliencies) {
    const matrix weights = matrix::uniform(4, 20, 1);
    matrix negated = weights;
    for (float& x : negated.data()) x = -x;
    CHECK(scored(TestType{}, weights).data() == scored(TestType{}, negated).data());
}

TEMPLATE_LIST_TEST_CASE("a saliency scores a row the same wherever it stands", "", saliencies) {
    const matrix weights = matrix::uniform(6, 9, 1), scores = scored(TestType{}, weights);
    for (std::size_t r = 0; r < 6; ++r) {
        matrix row(1, 9);
        for (std::size_t c = 0; c < 9; ++c) row(0, c) = weights(r, c);
        for (std::size_t c = 0; c < 9; ++c) CHECK(scored(TestType{}, row)(0, c) == scores(r, c));
    }
}

TEMPLATE_LIST_TEST_CASE("scaling all weights by 2^k leaves the mask unchanged", "", saliencies) {
    const matrix weights = matrix::uniform(5, 30, 1);
    bits mask(5, 30);
    const auto retained = pruned(TestType{}, weights, mask);
    REQUIRE(retained);
    for (const float factor : {0x1p-10f, 0.5f, 4.0f, 0x1p20f}) {
        matrix larger = weights;
        for (float& x : larger.data()) x *= factor;
        bits other(5, 30);
        const auto other_retained = pruned(TestType{}, larger, other);
        REQUIRE(other_retained);
        CHECK(other.text() == mask.text());
        CHECK(*other_retained == *retained);
    }
}

TEMPLATE_LIST_TEST_CASE("weights that are NaN or infinite are refused", "", saliencies) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
          -std::numeric_limits<float>::infinity()}) {
        matrix weights = matrix::uniform(3, 8, 1);
        weights(1, 7) = bad;
        bits kept(3, 8);
        const auto refused = pruned(TestType{}, weights, kept);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == pare::errc::not_a_number);
        CHECK(kept.view().count() == 0);
    }
}

TEMPLATE_LIST_TEST_CASE("what is retained lies between the share kept and one", "", saliencies) {
    bits kept(8, 64);
    const auto retained = pruned(TestType{}, matrix::uniform(8, 64, 1), kept);
    REQUIRE(retained);
    CHECK(*retained > 0.5);  // the better half of each group
    CHECK(*retained < 1.0);
}

TEMPLATE_LIST_TEST_CASE("all-zero weights are pruned like any others", "", saliencies) {
    bits kept(2, 8);
    const auto retained = pruned(TestType{}, matrix(2, 8), kept);
    REQUIRE(retained);
    CHECK(*retained == 1.0);
    CHECK(kept.text() == "11001100 11001100");
}

TEMPLATE_LIST_TEST_CASE("an empty matrix is pruned to an empty mask", "", saliencies) {
    bits kept(0, 8);
    const auto retained = pruned(TestType{}, matrix(0, 8), kept);
    REQUIRE(retained);
    CHECK(*retained == 1.0);
}
