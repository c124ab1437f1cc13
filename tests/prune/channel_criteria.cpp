// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/bn_gamma.hpp>
#include <pare/prune/filter_norm.hpp>
#include <pare/prune/geometric_median.hpp>
#include <pare/prune/mean_activation.hpp>
#include <pare/prune/taylor.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <vector>

using namespace pare::prune;
using pare::testing::matrix;

namespace {

using scores = std::vector<float>;

scores scored(const auto& criterion, const channel_observation& layer) {
    scores made(layer.weights.rows(), -1.0f);
    criterion.score(layer, made);
    return made;
}

}  // namespace

TEST_CASE("filters are scored by their norms") {
    const matrix filters(3, 2, {3, -4, 0, 5, -6, -8});
    CHECK(scored(l1_norm{}, {filters.view()}) == scores{7, 5, 14});
    CHECK(scored(l2_norm{}, {filters.view()}) == scores{5, 5, 10});
}

TEST_CASE("channels are scored by the size of their gamma, and by their mean activation") {
    const matrix filters(3, 1);
    const scores numbers{-2, 0.5f, 1};
    CHECK(scored(bn_gamma{}, {.weights = filters.view(), .gains = numbers}) == scores{2, 0.5f, 1});
    const scores means{2, 0, 1};
    CHECK(scored(mean_activation{}, {.weights = filters.view(), .activations = means}) == means);
}

TEST_CASE("taylor is the change of a linear loss when a filter goes") {
    // Contributions within a filter cancel; its own sign does not count.
    const matrix filters(3, 2, {1, 2, 3, 4, -5, 0}), gradients(3, 2, {6, -3, 0, -2, -2, 9});
    CHECK(scored(taylor{}, {.weights = filters.view(), .gradients = gradients.view()}) ==
          scores{0, 8, 10});
}

TEST_CASE("geometric_median lets the filter go that the others surround, not the smallest") {
    const matrix filters(5, 2, {0, 0, 10, 3, 10, -3, 14, 0, 11, 0});
    const scores made = scored(geometric_median{}, {filters.view()});
    for (const std::size_t other : {0u, 1u, 2u, 3u}) CHECK(made[4] < made[other]);
    const matrix line(3, 1, {0, 1, 5});
    CHECK(scored(geometric_median{}, {line.view()}) == scores{6, 5, 9});
    const matrix twins(2, 2, {1, 7, 1, 7});
    CHECK(scored(geometric_median{}, {twins.view()}) == scores{0, 0});
}

TEST_CASE("criteria ask for what they read and nothing else") {
    STATIC_REQUIRE(needs_channel_gradients<taylor> && !needs_norm<taylor>);
    STATIC_REQUIRE(needs_norm<bn_gamma> && !needs_activations<bn_gamma>);
    STATIC_REQUIRE(needs_activations<mean_activation>);
    STATIC_REQUIRE(!needs_channel_gradients<geometric_median> && !needs_norm<l1_norm>);
}
