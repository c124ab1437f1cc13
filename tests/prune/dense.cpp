// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/dense.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

using pare::testing::matrix, pare::testing::selected;

TEST_CASE("dense keeps every weight") {
    CHECK(selected(pare::prune::dense{}, matrix(2, 3)) == "111 111");
    pare::testing::bits kept(2, 70);
    pare::prune::dense{}.select(matrix(2, 70).view(), kept.view());
    CHECK(kept.view().count() == 140);
    CHECK(pare::prune::dense{}.check());
}
