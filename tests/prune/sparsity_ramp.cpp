// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/sparsity_ramp.hpp>

#include "support/catch.hpp"

#include <limits>

using pare::prune::sparsity_ramp;

TEST_CASE("sparsity rises by the cubic schedule of Zhu and Gupta") {
    const sparsity_ramp ramp{.from = 0.25f, .to = 0.75f, .begin = 100, .end = 300};
    REQUIRE(ramp.check());
    CHECK(ramp.at(0) == 0.25f);
    CHECK(ramp.at(100) == 0.25f);
    CHECK(ramp.at(150) == 0.75f - 0.5f * 27 / 64);
    CHECK(ramp.at(200) == 0.75f - 0.5f / 8);
    CHECK(ramp.at(300) == 0.75f);
    CHECK(ramp.at(1000) == 0.75f);
    for (std::size_t t = 1; t < 320; ++t) CHECK(ramp.at(t) >= ramp.at(t - 1));
}

TEST_CASE("sparsity changes only at steps where a mask is due") {
    const sparsity_ramp ramp{.from = 0.0f, .to = 0.9f, .begin = 5, .end = 38, .every = 10};
    std::size_t n_due = 0;
    for (std::size_t t = 1; t < 60; ++t) {
        CAPTURE(t);
        n_due += ramp.renews_at(t);
        if (!ramp.renews_at(t)) CHECK(ramp.at(t) == ramp.at(t - 1));
    }
    CHECK(n_due == 5);  // 5, 15, 25, 35 and 38
    CHECK(ramp.at(15) > 0.0f);
    CHECK(ramp.at(37) < 0.9f);
    CHECK(ramp.at(38) == 0.9f);
}

TEST_CASE("a ramp that falls, never ends or prunes all is refused") {
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    CHECK(sparsity_ramp{}.check());
    for (const sparsity_ramp& bad :
         {sparsity_ramp{.from = 0.6f, .to = 0.5f}, sparsity_ramp{.to = 1.0f},
          sparsity_ramp{.from = -0.1f}, sparsity_ramp{.from = nan}, sparsity_ramp{.to = nan},
          sparsity_ramp{.begin = 5, .end = 5}, sparsity_ramp{.every = 0}}) {
        const auto refused = bad.check();
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == pare::errc::invalid_argument);
    }
}
