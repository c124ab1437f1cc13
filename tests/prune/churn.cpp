// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/churn.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

using pare::prune::churn;
using pare::testing::bits;

TEST_CASE("churn is the share of the kept weights that are new") {
    bits before(2, 70), after(2, 70);
    CHECK(*churn(before.view(), after.view()) == 0.0);
    for (const std::size_t c : {0u, 1u, 2u, 69u}) after.view().set(1, c, true);
    CHECK(*churn(before.view(), after.view()) == 1.0);
    for (const std::size_t c : {0u, 1u, 69u, 30u, 40u}) before.view().set(1, c, true);
    CHECK(*churn(before.view(), after.view()) == 0.25);
    CHECK(*churn(after.view(), before.view()) == 0.4);
    CHECK(*churn(after.view(), after.view()) == 0.0);
}

TEST_CASE("churn refuses masks of different shapes") {
    bits a(2, 3), b(3, 2);
    CHECK(churn(a.view(), b.view()).error().code == pare::errc::shape_mismatch);
}
