// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/given_order.hpp>

#include <pare/compress.hpp>
#include <pare/prune/gyro.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <cmath>

using pare::errc;
using pare::testing::matrix;
namespace prune = pare::prune;

namespace {

constexpr prune::hinm<2, 4, 16> half{.vector_sparsity = 0.5f};

auto compressed(const matrix& weights, const auto& permutation) {
    return pare::compress(weights.view(), pare::recipe{prune::magnitude{}, half,
                                                       pare::quant::cast<float>{}, permutation});
}

}  // namespace

TEST_CASE("a search goes on from a packed layer, and what it finds is packed") {
    const matrix weights = matrix::uniform(40, 96, 1);
    matrix scores = weights;
    for (float& x : scores.data()) x = std::fabs(x);
    const auto first = compressed(weights, prune::gyro{});
    REQUIRE(first);
    const auto saved = pare::packed::order_of(first->view());
    REQUIRE(saved);
    const auto again = compressed(weights, prune::given_order{&*saved});
    REQUIRE(again);
    CHECK(*pare::packed::order_of(again->view()) == *saved);
    CHECK(again->report().retained == Approx(first->report().retained));

    const auto further = prune::gyro{.rounds = 3}.search(scores.view(), half, pare::serial{},
                                                         prune::unobserved{}, &*saved);
    REQUIRE(further);
    const auto second = compressed(weights, prune::given_order{&further->order});
    REQUIRE(second);
    CHECK(second->report().retained > first->report().retained);
    CHECK(second->report().retained == Approx(further->report.retained).epsilon(1e-5));
    CHECK(*pare::packed::order_of(second->view()) == further->order);
}

TEST_CASE("an order that was found for another shape or pattern is refused") {
    const auto other = prune::hinm_order::make(40, 96, 16, 24);
    REQUIRE(other);
    const auto refused = compressed(matrix::uniform(40, 96, 1), prune::given_order{&*other});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::shape_mismatch);
}
