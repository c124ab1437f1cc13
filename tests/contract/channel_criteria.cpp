// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "policies.hpp"

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

using namespace pare::testing;
namespace prune = pare::prune;

namespace {

// A layer and all that may be known of it; integers, so that sums are exact in any order.
struct observed {
    observed(std::size_t channels, std::size_t n_weights, std::uint64_t seed)
        : weights(matrix::integers(channels, n_weights, 9, seed)),
          gradients(matrix::integers(channels, n_weights, 9, seed + 1)),
          gains(matrix::integers(1, channels, 9, seed + 2).data()), activations(gains) {
        for (float& x : activations) x = std::fabs(x);
    }
    void exchange(std::size_t a, std::size_t b) {
        for (matrix* m : {&weights, &gradients})
            for (std::size_t i = 0; i < m->cols(); ++i) std::swap((*m)(a, i), (*m)(b, i));
        for (std::vector<float>* v : {&gains, &activations}) std::swap((*v)[a], (*v)[b]);
    }
    void scale(float by) {
        for (std::vector<float>* v : {&weights.data(), &gains, &activations})
            for (float& x : *v) x *= by;
    }
    std::vector<float> scored(const auto& criterion) const {
        std::vector<float> scores(weights.rows(), std::numeric_limits<float>::quiet_NaN());
        criterion.score({.weights = weights.view(),
                         .gradients = gradients.view(),
                         .gains = gains,
                         .activations = activations},
                        scores);
        return scores;
    }

    matrix weights, gradients;
    std::vector<float> gains, activations;
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("a criterion scores every channel, finite and not negative", "",
                        channel_criteria) {
    for (const auto& [channels, n_weights] : {std::pair{0, 4}, {1, 9}, {17, 1}, {8, 0}, {5, 27}}) {
        const observed layer(static_cast<std::size_t>(channels),
                             static_cast<std::size_t>(n_weights), 1);
        for (const float score : layer.scored(TestType{})) CHECK((score >= 0.0f && score < 1e9f));
    }
}

TEMPLATE_LIST_TEST_CASE("a criterion does not see where a channel stands, so equals tie", "",
                        channel_criteria) {
    observed layer(6, 9, 2);
    std::vector<float> expected = layer.scored(TestType{});
    layer.exchange(1, 4);
    std::swap(expected[1], expected[4]);
    const std::vector<float> scores = layer.scored(TestType{});
    // Sums of distances, in another order, are rounded to floats.
    for (std::size_t c = 0; c < 6; ++c)
        CHECK(std::fabs(scores[c] - expected[c]) <= 0x1p-23f * expected[c]);
}

TEMPLATE_LIST_TEST_CASE("a criterion of a layer twice as large is twice as large", "",
                        channel_criteria) {
    observed layer(7, 5, 3);
    std::vector<float> expected = layer.scored(TestType{});
    layer.scale(2.0f);
    for (float& x : expected) x *= 2.0f;
    CHECK(layer.scored(TestType{}) == expected);
    layer.scale(-1.0f);
    for (float& x : layer.activations) x = -x;
    CHECK(layer.scored(TestType{}) == expected);
}
