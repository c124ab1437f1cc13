// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/uniform.hpp>

#include "support/catch.hpp"

TEST_CASE("uniform gives every layer the same") {
    const pare::kv::uniform budget{7};
    for (const std::size_t layer : {0u, 1u, 9u}) CHECK(budget.tokens(layer, 10) == 7);
    STATIC_REQUIRE(!pare::kv::shared_budget<pare::kv::uniform>);
}
