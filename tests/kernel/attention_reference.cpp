// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/attention_reference.hpp>

#include "support/attention.hpp"
#include "support/catch.hpp"
#include "support/kv.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

using pare::kernel::score_tap, pare::kv::element, pare::kv::reduction, pare::kv::store;
using pare::testing::dense_attention, pare::testing::matrix, pare::testing::pool_memory,
    pare::testing::tokens_of;

namespace {

// One layer, one sequence.
struct small_store {
    small_store(std::size_t query_heads, std::size_t kv_heads, std::size_t head_dim)
        : memory(1 << 15, 32),
          tokens(*store::make({1, query_heads, kv_heads, head_dim},
                              {element::f32, element::f32, head_dim}, memory.pool())) {}

    matrix attend(std::size_t head, const matrix& queries, std::size_t position,
                  const score_tap& tap = {}) {
        const auto& s = tokens.shape();
        const std::size_t n = tokens.view(0, 0, head).size;
        matrix out(queries.rows(), queries.cols());
        std::vector<double> p(s.group_size() * n + s.head_dim);
        std::vector<float> decoded(s.head_dim);
        const pare::kv::tier_rows rows{tokens.rows(0, 0, head), &tokens.layout(0)};
        pare::kernel::attention_ref({&rows, 1}, s.head_dim, head * s.group_size(), s.group_size(),
                                    queries.view(), out.view(), position, tap, p, decoded);
        return out;
    }
    float sum(std::size_t head, std::size_t token) const {
        return tokens_of(tokens.view(0, 0, head))[token].attention;
    }

    pool_memory memory;
    store tokens;
};

// q . k / sqrt(2) of the first two is ln 3.
const float log3_root2 = static_cast<float>(std::log(3.0) * std::sqrt(2.0));

}  // namespace

TEST_CASE("attention_ref of two tokens by hand") {
    small_store s(1, 1, 2);
    const matrix keys(2, 2, {1, 0, 0, 5}), values(2, 2, {8, 1, 4, -3});
    REQUIRE(s.tokens.append(0, 0, keys.view(), values.view(), 0));
    // Logits ln 3 and 0: probabilities 3/4 and 1/4. Float inputs and outputs round.
    const auto rounded = [](double x) { return Approx(x).epsilon(4 * 0x1p-24); };
    const matrix out = s.attend(0, matrix(1, 2, {log3_root2, 0}), 1);
    CHECK(out(0, 0) == rounded(7.0));
    CHECK(out(0, 1) == rounded(0.0).margin(4 * 0x1p-24));
    CHECK(s.sum(0, 0) == 0.0f);
}

TEST_CASE("attention_ref hides what comes after a query, and gives zeros where all does") {
    small_store s(1, 1, 2);
    const matrix keys(2, 2, {1, 0, 0, 5}), values(2, 2, {8, 1, 4, -3});
    REQUIRE(s.tokens.append(0, 0, keys.view(), values.view(), 6));
    const matrix out = s.attend(0, matrix(3, 2, {3, 1, 3, 1, 3, 1}), 5);
    CHECK(out(0, 0) == 0.0f);
    CHECK(out(0, 1) == 0.0f);
    CHECK(out(1, 0) == 8.0f);  // itself alone
    CHECK(out(1, 1) == 1.0f);
    CHECK(out(2, 1) < 1.0f);
    CHECK(s.attend(0, matrix(1, 2, {3, 1}), 7).data() == std::vector{out(2, 0), out(2, 1)});
}

TEST_CASE("attention_ref adds weighted probabilities to the ledger by each reduction") {
    // Two query heads: probabilities 3/4, 1/4 and 1/2, 1/2.
    const matrix keys(2, 2, {1, 0, 0, 5}), values(2, 2, {8, 1, 4, -3});
    const matrix queries(1, 4, {log3_root2, 0, 0, 0});
    const std::vector<float> weights{2.0f};
    const auto sums = [&](reduction across) {
        small_store s(2, 1, 2);
        REQUIRE(s.tokens.append(0, 0, keys.view(), values.view(), 0));
        for (const int first : {1, 0}) {
            static_cast<void>(first);
            s.attend(0, queries, 1, {.carry = 0.5f, .weights = weights, .across = across});
        }
        return std::vector{s.sum(0, 0), s.sum(0, 1)};
    };
    const auto expected = [](double a, double b) {  // the second pass halves the first
        return std::vector{Approx(1.5 * 2 * a).epsilon(8 * 0x1p-24),
                           Approx(1.5 * 2 * b).epsilon(8 * 0x1p-24)};
    };
    CHECK(sums(reduction::mean)[0] == expected(0.625, 0.375)[0]);
    CHECK(sums(reduction::mean)[1] == expected(0.625, 0.375)[1]);
    CHECK(sums(reduction::sum)[0] == expected(1.25, 0.75)[0]);
    CHECK(sums(reduction::sum)[1] == expected(1.25, 0.75)[1]);
    CHECK(sums(reduction::max)[0] == expected(0.75, 0.5)[0]);
    CHECK(sums(reduction::max)[1] == expected(0.75, 0.5)[1]);
}

TEST_CASE("attention_ref is attention over the gathered tokens to the rounding of its output") {
    constexpr std::size_t dim = 10, group = 3;
    small_store s(2 * group, 2, dim);
    pare::random random(1);
    const matrix keys = matrix::uniform(150, 2 * dim, 1), values = matrix::uniform(150, 2 * dim, 2);
    REQUIRE(s.tokens.append(0, 0, keys.view(), values.view(), 10));
    pare::testing::remove_down_to(s.tokens, 0, 0, 0, 70, random);
    pare::testing::remove_down_to(s.tokens, 0, 0, 1, 33, random);
    matrix queries = matrix::uniform(5, 2 * group * dim, 3);
    for (float& x : queries.data()) x *= 4.0f;
    const std::vector<float> weights{0.25f, 0.5f, 1.0f, 2.0f, 4.0f};
    for (std::size_t h = 0; h < 2; ++h) {
        const auto tokens = tokens_of(s.tokens.view(0, 0, h));
        const matrix out = s.attend(h, queries, 120, {.carry = 0.0f, .weights = weights});
        std::vector<double> sums(tokens.size());
        int wrong = 0;
        for (std::size_t i = 0; i < queries.rows(); ++i)
            for (std::size_t head = 0; head < 2 * group; ++head) {
                const auto mine = out.view().row_span(i).subspan(head * dim, dim);
                if (head / group != h) {  // another KV head's: not touched
                    for (const float x : mine) wrong += x != 0.0f;
                    continue;
                }
                const dense_attention dense(tokens,
                                            queries.view().row_span(i).subspan(head * dim, dim),
                                            120 + i, s.tokens.layout(0));
                for (std::size_t d = 0; d < dim; ++d)
                    wrong += !(std::fabs(static_cast<double>(mine[d]) - dense.out[d]) <=
                               0x1p-24 * std::fabs(dense.out[d]) + 0x1p-45);
                for (std::size_t t = 0; t < tokens.size(); ++t)
                    sums[t] += static_cast<double>(weights[i]) * dense.p[t] / group;
            }
        for (std::size_t t = 0; t < tokens.size(); ++t)
            wrong += !(std::fabs(static_cast<double>(s.sum(h, t)) - sums[t]) <=
                       pare::testing::dot_product_bound(weights.size() + 1, sums[t]));
        CHECK(wrong == 0);
    }
}
