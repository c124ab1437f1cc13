// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/pyramid.hpp>

#include "support/catch.hpp"

#include <cmath>
#include <cstddef>

using pare::kv::pyramid;

TEST_CASE("pyramid falls from twice the mean to the mean's part of beta") {
    const pyramid budget{.tokens_per_head = 120, .observed = 20, .beta = 20.0f};
    CHECK(budget.tokens(0, 5) == 20 + 195);  // least 5, most 195
    CHECK(budget.tokens(1, 5) == 20 + 148);  // 147.5
    CHECK(budget.tokens(2, 5) == 20 + 100);
    CHECK(budget.tokens(4, 5) == 20 + 5);
}

TEST_CASE("pyramid takes the mean of its layers, to half a token each, and never rises") {
    for (const std::size_t mean : {1u, 17u, 128u, 4096u})
        for (const std::size_t observed : {0u, 8u, 64u})
            for (const std::size_t n_layers : {1u, 2u, 5u, 32u, 80u}) {
                const pyramid budget{mean, observed};
                double total = 0.0;
                std::size_t before = static_cast<std::size_t>(-1), rises = 0;
                for (std::size_t l = 0; l < n_layers; ++l) {
                    const std::size_t tokens = budget.tokens(l, n_layers);
                    rises += tokens > before;
                    before = tokens;
                    total += static_cast<double>(tokens);
                }
                const auto n = static_cast<double>(n_layers);
                CAPTURE(mean, observed, n_layers);
                CHECK(rises == 0);
                CHECK(std::fabs(total - n * static_cast<double>(mean)) <= 0.5 * n);
            }
}
