// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/by_value.hpp>

#include <pare/kv/a2sf.hpp>
#include <pare/kv/tova.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

using pare::kv::a2sf, pare::kv::by_value, pare::kv::head_observation, pare::kv::tova;

TEST_CASE("by_value multiplies a sum by the mean of what its token would add") {
    pare::testing::matrix keys(3, 2), values(3, 2);
    values(0, 0) = -4.0f;
    values(1, 0) = values(1, 1) = 1.0f;
    const std::vector<float> sums{1.0f, 3.0f, 8.0f};
    const std::vector<std::uint32_t> positions{0, 1, 2};
    const pare::kv::head_vectors own{keys.view(), values.view()};
    std::vector<float> scores(3);
    const by_value<a2sf> scorer{{0.5f}};
    scorer.score(head_observation(sums, positions, 3, own), scores);
    CHECK(scores == std::vector<float>{2.0f, 3.0f, 0.0f});
    CHECK(scorer.carry(2) == 0.25f);
    CHECK(scorer.weight(0, 3) == 0.25f);
    CHECK(scorer.check());
    CHECK(!by_value<a2sf>{{1.5f}}.check());
    static_assert(pare::kv::attention_scorer<by_value<a2sf>>);
    static_assert(pare::kv::vector_scorer<by_value<a2sf>>);
    static_assert(!pare::kv::pointwise_scorer<by_value<a2sf>>);
    static_assert(pare::kv::layer_wide_scorer<by_value<tova>>);
    static_assert(!pare::kv::layer_wide_scorer<by_value<a2sf>>);
}
