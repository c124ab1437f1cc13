// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/tova.hpp>

#include <pare/kv/evict.hpp>

#include "support/catch.hpp"
#include "support/kv.hpp"

#include <cstdint>
#include <vector>

using pare::kv::element, pare::kv::store, pare::kv::tova;
using pare::testing::matrix, pare::testing::pool_memory, pare::testing::positions_of;

TEST_CASE("tova counts the newest query alone") {
    for (const std::size_t n : {1u, 2u, 5u}) {
        CHECK(tova{}.carry(n) == 0.0f);
        for (std::size_t i = 0; i < n; ++i)
            CHECK(tova{}.weight(i, n) == (i == n - 1 ? 1.0f : 0.0f));
    }
}

TEST_CASE("tova keeps the same positions in all heads: those of the largest mean") {
    pool_memory memory(4096, 4);
    auto s = store::make({1, 2, 2, 2}, {element::f32, element::f32, 2}, memory.pool());
    auto scratch = pare::kv::eviction_scratch::make(s->shape(), 5);
    REQUIRE((s && scratch));
    const matrix rows(5, 4);
    REQUIRE(s->append(0, 0, rows.view(), rows.view(), 0));
    const float sums[2][5]{{0.5f, 0.0f, 0.25f, 0.125f, 0.125f},
                           {0.0f, 0.625f, 0.25f, 0.0625f, 0.0625f}};
    for (std::size_t h = 0; h < 2; ++h)
        for (std::size_t t = 0; t < 5; ++t) s->rows(0, 0, h)->attention[t] = sums[h][t];
    // Sums over heads: 0.5, 0.625, 0.5, 0.1875, 0.1875.
    REQUIRE(pare::kv::evict(*s, 0, 0, 5, pare::kv::policy<tova>{.budget = {4}}, *scratch));
    CHECK(positions_of(s->view(0, 0, 0)) == std::vector<std::uint32_t>{0, 1, 2, 4});
    REQUIRE(pare::kv::evict(*s, 0, 0, 5, pare::kv::policy<tova>{.budget = {2}}, *scratch));
    CHECK(positions_of(s->view(0, 0, 0)) == std::vector<std::uint32_t>{1, 2});
    CHECK(positions_of(s->view(0, 0, 1)) == std::vector<std::uint32_t>{1, 2});
}
