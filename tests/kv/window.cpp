// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/window.hpp>

#include "support/catch.hpp"

#include <cstdint>
#include <vector>

TEST_CASE("window prefers the newer token, even where positions exceed a float") {
    const std::vector<float> sums(4);
    const std::vector<std::uint32_t> positions{0xfffffff0u, 5, 0xfffffff1u, 0xfffffff2u};
    std::vector<float> scores(4);
    pare::kv::window{}.score({sums, positions, 0xfffffff3u}, scores);
    CHECK(scores[1] < scores[0]);
    CHECK(scores[0] < scores[2]);
    CHECK(scores[2] < scores[3]);
    STATIC_REQUIRE(!pare::kv::attention_scorer<pare::kv::window>);
}
