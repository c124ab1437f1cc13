// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/h2o.hpp>

#include "support/catch.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

using pare::kv::h2o;

TEST_CASE("h2o sums all attention with weight 1") {
    for (const std::size_t n : {1u, 2u, 100u}) {
        CHECK(h2o{}.carry(n) == 1.0f);
        CHECK(h2o{}.weight(0, n) == 1.0f);
        CHECK(h2o{}.weight(n - 1, n) == 1.0f);
    }
}

TEST_CASE("h2o scores a token by its sum, or by its mean over the queries that could see it") {
    const std::vector<float> sums{6.0f, 6.0f, 1.0f};
    const std::vector<std::uint32_t> positions{0, 8, 11};
    std::vector<float> scores(3);
    h2o{}.score({sums, positions, 12}, scores);
    CHECK(scores == sums);
    h2o{.mean_per_query = true}.score({sums, positions, 12}, scores);
    CHECK(scores == std::vector{0.5f, 1.5f, 1.0f});  // 12, 4 and 1 queries
}
