// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/ada.hpp>

#include <pare/kv/pyramid.hpp>

#include "support/catch.hpp"

TEST_CASE("ada shares out a budget and keeps a part of it safe") {
    const pare::kv::ada<> budget{{50}, 0.25f};
    CHECK(budget.tokens(3, 4) == 50);
    CHECK(budget.floor(3, 4) == 12);
    CHECK(pare::kv::ada<>{{50}, 0.0f}.floor(0, 1) == 0);
    CHECK(pare::kv::ada<>{{50}, 1.0f}.floor(0, 1) == 50);
}

TEST_CASE("ada follows the budget that it shares out") {
    const pare::kv::pyramid inner{100};
    const pare::kv::ada<pare::kv::pyramid> budget{inner, 0.5f};
    for (const std::size_t layer : {0u, 3u, 7u}) {
        CHECK(budget.tokens(layer, 8) == inner.tokens(layer, 8));
        CHECK(budget.floor(layer, 8) == inner.tokens(layer, 8) / 2);
    }
}
