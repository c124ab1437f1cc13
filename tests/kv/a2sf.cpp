// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/a2sf.hpp>

#include <pare/kernel/attention.hpp>

#include "support/attention.hpp"
#include "support/catch.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

using pare::kv::a2sf, pare::kv::element, pare::kv::store;
using pare::testing::dense_attention, pare::testing::matrix, pare::testing::pool_memory,
    pare::testing::tokens_of;

TEST_CASE("a2sf carries and weighs by powers of its forgetting factor") {
    const a2sf half{.forgetting = 0.5f};
    CHECK(half.carry(0) == 1.0f);
    CHECK(half.carry(3) == 0.125f);
    CHECK(half.weight(0, 3) == 0.25f);
    CHECK(half.weight(2, 3) == 1.0f);
    for (std::size_t n = 1; n < 9; ++n) {
        CHECK(a2sf{.forgetting = 1.0f}.carry(n) == 1.0f);
        CHECK(a2sf{.forgetting = 1.0f}.weight(0, n) == 1.0f);
        CHECK(a2sf{.forgetting = 0.0f}.carry(n) == 0.0f);
        CHECK(a2sf{.forgetting = 0.0f}.weight(n - 1, n) == 1.0f);
        CHECK(a2sf{.forgetting = 0.0f}.weight(0, n + 1) == 0.0f);
    }
}

TEST_CASE("a2sf sums attention by its closed form, in chunks as step by step") {
    constexpr std::size_t dim = 8, n = 50, group = 2;
    const matrix keys = matrix::uniform(n, dim, 1), values = matrix::uniform(n, dim, 2);
    matrix queries = matrix::uniform(n, group * dim, 3);
    for (float& x : queries.data()) x *= 5.0f;
    for (const float forgetting : {0.0f, 0.1f, 0.5f, 0.9f, 1.0f})
        for (const std::size_t chunk : {1u, 7u, 50u}) {
            pool_memory memory(8192, 8);
            auto s =
                store::make({1, group, 1, dim}, {element::f32, element::f32, dim}, memory.pool());
            auto scratch = pare::attention_scratch::make(s->shape(), n);
            REQUIRE((s && scratch));
            const a2sf scorer{forgetting};
            // S_t = sum over i <= t of forgetting^(t - i) A_i
            std::vector<double> closed(n), allowed(n);
            for (std::size_t first = 0; first < n; first += chunk) {
                const std::size_t rows = std::min(chunk, n - first);
                matrix out(rows, group * dim);
                REQUIRE(s->append(0, 0, keys.view().block(first, 0, rows, dim),
                                  values.view().block(first, 0, rows, dim), first));
                std::vector<float> weights;
                for (std::size_t i = 0; i < rows; ++i) weights.push_back(scorer.weight(i, rows));
                REQUIRE(pare::attention(*s, 0, 0, queries.view().block(first, 0, rows, group * dim),
                                        out.view(), first, *scratch, pare::serial{},
                                        {.carry = scorer.carry(rows), .weights = weights}));
            }
            const auto tokens = tokens_of(s->view(0, 0, 0));
            for (std::size_t i = 0; i < n; ++i)
                for (std::size_t g = 0; g < group; ++g) {
                    const dense_attention dense(
                        tokens, queries.view().row_span(i).subspan(g * dim, dim), i, s->layout(0));
                    const double w =
                        std::pow(static_cast<double>(forgetting), static_cast<double>(n - 1 - i)) /
                        group;
                    for (std::size_t t = 0; t < n; ++t) {
                        closed[t] += w * dense.p[t];
                        allowed[t] += w * (dense.p[t] * dense.p_relative + dense.p_absolute);
                    }
                }
            int wrong = 0;
            for (std::size_t t = 0; t < n; ++t) {
                // A power is off by a rounding for each factor; so is a sum that goes through n
                // steps.
                allowed[t] += pare::testing::dot_product_bound(3 * n + 2 * group, closed[t]);
                const auto sum = static_cast<double>(tokens[t].attention);
                wrong += !(std::fabs(sum - closed[t]) <= allowed[t]);
            }
            CAPTURE(forgetting, chunk);
            CHECK(wrong == 0);
        }
}

TEST_CASE("a2sf scores a token by its sum") {
    const std::vector<float> sums{0.5f, 0.0f, 2.0f};
    const std::vector<std::uint32_t> positions{7, 2, 9};
    std::vector<float> scores(3);
    a2sf{}.score({sums, positions, 10}, scores);
    CHECK(scores == sums);
}
