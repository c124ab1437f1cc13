// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/attention_error.hpp>

#include <pare/cache.hpp>
#include <pare/kernel/attention.hpp>
#include <pare/kv/h2o.hpp>

#include "support/attention.hpp"
#include "support/catch.hpp"
#include "support/kv.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

using pare::attention_error, pare::errc, pare::kv::element, pare::kv::shape, pare::kv::store;
using pare::testing::dense_attention, pare::testing::matrix, pare::testing::pool_memory,
    pare::testing::tokens_of;

namespace {

constexpr std::size_t dim = 24, n_queries = 5, position = 160;
constexpr shape gqa{.layers = 2, .query_heads = 6, .kv_heads = 2, .head_dim = dim, .sequences = 2};

// Ragged heads in layer 1, and what attention() made of the newest queries.
struct attended {
    explicit attended(element e)
        : memory(1 << 15, 64), tokens(*store::make(gqa, {e, e, dim}, memory.pool())),
          queries(matrix::uniform(n_queries, gqa.query_heads * dim, 3)),
          out(n_queries, gqa.query_heads * dim) {
        const std::size_t n = position + n_queries;
        const matrix keys = matrix::uniform(n, gqa.kv_heads * dim, 1);
        const matrix values = matrix::uniform(n, gqa.kv_heads * dim, 2);
        REQUIRE(tokens.append(1, 1, keys.view(), values.view(), 0));
        pare::random random(4);
        for (float& x : queries.data()) x *= 4.0f;
        pare::testing::remove_down_to(tokens, 1, 1, 0, 120, random);
        pare::testing::remove_down_to(tokens, 1, 1, 1, 41, random);
        auto scratch = pare::attention_scratch::make(gqa, n);
        REQUIRE(scratch);
        REQUIRE(pare::attention(tokens, 1, 1, queries.view(), out.view(), position, *scratch));
    }
    float error() const {
        const auto e = attention_error(tokens, 1, 1, queries.view(), out.view(), position);
        return e ? *e : -1.0f;
    }
    // The derived error of attention in floats, the largest of all outputs.
    double allowed() const {
        double most = 0.0;
        for (std::size_t i = 0; i < n_queries; ++i)
            for (std::size_t h = 0; h < gqa.query_heads; ++h) {
                const dense_attention dense(tokens_of(tokens.view(1, 1, h / gqa.group_size())),
                                            queries.view().row_span(i).subspan(h * dim, dim),
                                            position + i, tokens.layout(1));
                most =
                    std::max(most, *std::max_element(dense.allowed.begin(), dense.allowed.end()));
            }
        return most;
    }
    // The kept token at place t of a head.
    void change(std::size_t head, std::size_t t, auto&& what) {
        auto* row = tokens.rows(1, 1, head);
        for (; t >= row->size; row = row->next) t -= row->size;
        what(*row, t);
    }

    pool_memory memory;
    store tokens;
    matrix queries, out;
};

}  // namespace

TEST_CASE("attention_error of attention is what rounding explains, for every storage type") {
    for (const element e : pare::testing::all_elements) {
        const attended a(e);
        CHECK(a.error() >= 0.0f);
        CHECK(static_cast<double>(a.error()) <= a.allowed());
        CHECK(a.allowed() < 1e-2);
    }
}

TEST_CASE("attention_error is the largest difference, and infinite where there is no number") {
    attended a(element::f32);
    const float before = a.error();
    a.out(3, 5 * dim + 7) += 0.25f;
    CHECK(std::fabs(a.error() - 0.25f) <= 2 * before + 1e-6f);
    a.out(4, 2) -= 4.0f;
    CHECK(std::fabs(a.error() - 4.0f) <= 2 * before + 1e-6f);
    a.out(0, 0) = std::numeric_limits<float>::quiet_NaN();
    CHECK(a.error() == std::numeric_limits<float>::infinity());
    a.out(0, 0) = std::numeric_limits<float>::infinity();
    CHECK(a.error() == std::numeric_limits<float>::infinity());

    attended b(element::f32);
    b.change(1, 3, [](auto& row, std::size_t t) {
        std::vector<float> key(dim, std::numeric_limits<float>::quiet_NaN());
        pare::kv::write_key({element::f32, element::f32, dim}, row.block, t, key);
    });
    CHECK(b.error() == std::numeric_limits<float>::infinity());
}

TEST_CASE("attention_error sees a token whose position, key or value is not what was attended") {
    for (const element e : {element::f32, element::f16, element::i8}) {
        const std::size_t head = GENERATE(0u, 1u), place = GENERATE(0u, 31u, 40u);
        const pare::kv::block_layout layout{e, e, dim};
        const auto bites = [&](auto&& what) {
            attended a(e);
            const auto allowed = static_cast<float>(a.allowed());
            a.change(head, place, what);
            return a.error() > 5 * allowed;
        };
        // Hidden from the older queries, or from all.
        CHECK(bites([](auto& row, std::size_t t) { row.positions[t] = position + n_queries; }));
        CHECK(bites([&](auto& row, std::size_t t) {  // as if it stood two positions further on
            std::vector<float> key(dim);
            pare::kv::read_key(layout, row.block, t, key);
            const float c = std::cos(2.0f), s = std::sin(2.0f);
            for (std::size_t i = 0; i < dim; i += 2) {
                const float x = key[i], y = key[i + 1];
                key[i] = x * c - y * s, key[i + 1] = x * s + y * c;
            }
            pare::kv::write_key(layout, row.block, t, key);
        }));
        CHECK(bites([&](auto& row, std::size_t t) {
            std::vector<float> key(dim), value(dim);
            pare::kv::read_key(layout, row.block, t, key);
            pare::kv::read_value(layout, row.block, t, value);
            for (float& x : value) x = 1.0f - x;
            pare::kv::write_token(layout, row.block, t, key, value);
        }));
    }
}

TEST_CASE("attention_error knows queries that see nothing, and empty heads") {
    attended a(element::f32);
    const std::size_t before_all = 0;
    pare::testing::matrix zeros(1, gqa.query_heads * dim);
    const auto one = a.queries.view().block(0, 0, 1, gqa.query_heads * dim);
    const auto none = attention_error(a.tokens, 0, 0, one, zeros.view(), before_all);
    REQUIRE(none);
    CHECK(*none == 0.0f);
    for (std::size_t t = 0; t < 41; ++t)
        a.change(1, t, [](auto& row, std::size_t i) { row.positions[i] = row.newest = 1000; });
    for (std::size_t t = 0; t < 120; ++t)
        a.change(0, t, [](auto& row, std::size_t i) { row.positions[i] = row.newest = 1000; });
    const auto hidden = attention_error(a.tokens, 1, 1, one, zeros.view(), 999);
    REQUIRE(hidden);
    CHECK(*hidden == 0.0f);
}

TEST_CASE("attention_error refuses what does not fit") {
    const attended a(element::f32);
    const std::size_t cols = gqa.query_heads * dim;
    matrix square(cols, cols);
    const auto code = [&](auto queries, auto out, std::size_t sequence, std::size_t layer) {
        const auto e = attention_error(a.tokens, sequence, layer, queries, out, position);
        return e ? errc::not_found : e.error().code;
    };
    const auto q = a.queries.view(), out = a.out.view();
    CHECK(code(q, out, 1, 1) == errc::not_found);
    CHECK(code(q, out, 2, 1) == errc::invalid_argument);
    CHECK(code(q, out, 1, 2) == errc::invalid_argument);
    CHECK(code(q.block(0, 0, 4, cols), out, 1, 1) == errc::shape_mismatch);
    CHECK(code(q.block(0, 0, 5, dim), out.block(0, 0, 5, dim), 1, 1) == errc::shape_mismatch);
    CHECK(code(square.view().transposed(), square.view(), 1, 1) == errc::not_contiguous);
    CHECK(code(square.view(), square.view().transposed(), 1, 1) == errc::not_contiguous);
}

TEST_CASE("a cache, which evicts at once, is checked with a fork made before") {
    using h2o_policy = pare::kv::policy<pare::kv::h2o>;
    pool_memory memory(1 << 15, 64);
    auto cache = *pare::kv::cache<h2o_policy>::make(
        gqa, {element::f32, element::f32, dim}, {.budget = {40}, .recent = 4}, 3, memory.pool());
    const matrix keys = matrix::uniform(120, gqa.kv_heads * dim, 1);
    const matrix queries = matrix::uniform(120, gqa.query_heads * dim, 2);
    matrix out(3, gqa.query_heads * dim);
    float worst = 0.0f;
    for (std::size_t t = 0; t < 120; t += 3) {
        const auto x = keys.view().block(t, 0, 3, keys.cols());
        const auto q = queries.view().block(t, 0, 3, queries.cols());
        REQUIRE(cache.append(0, x, x));
        REQUIRE(cache.fork(0, 1));
        REQUIRE(cache.attend(0, q, out.view()));
        const auto e = attention_error(cache.tokens(), 1, 0, q, out.view(), t);
        REQUIRE(e);
        worst = std::max(worst, *e);
    }
    CHECK(worst > 0.0f);
    CHECK(worst < 1e-5f);
}
