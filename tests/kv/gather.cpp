// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/gather.hpp>

#include "support/catch.hpp"
#include "support/kv.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

using pare::errc, pare::kv::element, pare::kv::store;
using pare::testing::kept_token, pare::testing::matrix, pare::testing::pool_memory,
    pare::testing::sorted_tokens_of;

namespace {

constexpr std::size_t dim = 10;

struct gathered {
    explicit gathered(std::size_t n) : keys(n, dim), values(n, dim), positions(n) {}
    pare::status of(const store& s, std::size_t sequence, std::size_t layer, std::size_t head) {
        return pare::kv::gather(s, sequence, layer, head, keys.view(), values.view(), positions);
    }
    bool operator==(const std::vector<kept_token>& tokens) const {
        bool equal = tokens.size() == positions.size();
        for (std::size_t t = 0; equal && t < tokens.size(); ++t)
            for (std::size_t d = 0; d < dim; ++d)
                equal = equal && positions[t] == tokens[t].position &&
                        keys(t, d) == tokens[t].key[d] && values(t, d) == tokens[t].value[d];
        return equal;
    }

    matrix keys, values;
    std::vector<std::uint32_t> positions;
};

}  // namespace

TEST_CASE("gather gives a head's tokens by position, as attention sees them") {
    for (const element e : pare::testing::all_elements) {
        pool_memory memory(8192, 64);
        auto s = *store::make({.layers = 2, .query_heads = 2, .kv_heads = 2, .head_dim = dim},
                              {e, e, dim}, memory.pool());
        const matrix keys = matrix::uniform(200, 2 * dim, 1);
        const matrix values = matrix::uniform(200, 2 * dim, 2);
        REQUIRE(s.append(0, 1, keys.view(), values.view(), 1000));
        pare::random random(3);
        for (const std::size_t n : {200u, 199u, 97u, 64u, 33u, 32u, 2u, 1u, 0u}) {
            pare::testing::remove_down_to(s, 0, 1, 1, n, random);
            gathered g(n);
            REQUIRE(g.of(s, 0, 1, 1));
            CHECK((g == sorted_tokens_of(s.view(0, 1, 1))));
        }
        gathered all(200), none(0);
        REQUIRE(all.of(s, 0, 1, 0));
        CHECK((all == sorted_tokens_of(s.view(0, 1, 0))));
        CHECK(none.of(s, 0, 0, 0));
    }
}

TEST_CASE("gather keeps tokens that share a position apart, in the order they lie") {
    pool_memory memory(8192, 16);
    auto s = *store::make({.layers = 1, .query_heads = 1, .kv_heads = 1, .head_dim = dim},
                          {element::f32, element::f32, dim}, memory.pool());
    const matrix x = matrix::uniform(40, dim, 1);
    std::vector<std::size_t> rows{39};  // in the order of positions
    for (std::size_t t = 0; t < 39; ++t)
        REQUIRE(s.append(0, 0, x.view().block(t, 0, 1, dim), x.view().block(t, 0, 1, dim),
                         t < 30 ? 7 : 5));
    REQUIRE(s.append(0, 0, x.view().block(39, 0, 1, dim), x.view().block(39, 0, 1, dim), 4));
    for (std::size_t t = 30; t < 39; ++t) rows.push_back(t);
    for (std::size_t t = 0; t < 30; ++t) rows.push_back(t);
    gathered g(40);
    REQUIRE(g.of(s, 0, 0, 0));
    int wrong = 0;
    for (std::size_t t = 0; t < 40; ++t)
        for (std::size_t d = 0; d < dim; ++d)
            wrong += g.keys(t, d) != x(rows[t], d) || g.values(t, d) != x(rows[t], d);
    CHECK(wrong == 0);
}

TEST_CASE("gather refuses what does not fit, and writes into rows that lie apart") {
    pool_memory memory(8192, 16);
    auto s = *store::make({.layers = 1, .query_heads = 1, .kv_heads = 1, .head_dim = dim},
                          {element::f32, element::f32, dim}, memory.pool());
    const matrix x = matrix::uniform(20, dim, 1);
    REQUIRE(s.append(0, 0, x.view(), x.view(), 0));
    matrix square(20, 20), other(20, 20);
    std::vector<std::uint32_t> positions(20, 77);
    const auto code = [&](auto keys, auto values, std::size_t n, std::size_t sequence = 0,
                          std::size_t layer = 0, std::size_t head = 0) {
        const auto done =
            pare::kv::gather(s, sequence, layer, head, keys, values, std::span(positions).first(n));
        return done ? errc::not_found : done.error().code;
    };
    const auto k = square.view().block(0, 5, 20, dim), v = other.view().block(0, 0, 20, dim);
    CHECK(code(k, v, 19) == errc::shape_mismatch);
    CHECK(code(k.block(0, 0, 19, dim), v.block(0, 0, 19, dim), 20) == errc::shape_mismatch);
    CHECK(code(k, v.block(0, 0, 19, dim), 20) == errc::shape_mismatch);
    CHECK(code(square.view(), other.view(), 20) == errc::shape_mismatch);
    CHECK(code(square.view().block(0, 0, dim, 20).transposed(), v, 20) == errc::not_contiguous);
    CHECK(code(k, other.view().block(0, 0, dim, 20).transposed(), 20) == errc::not_contiguous);
    CHECK(code(k, v, 20, 1, 0, 0) == errc::invalid_argument);
    CHECK(code(k, v, 20, 0, 1, 0) == errc::invalid_argument);
    CHECK(code(k, v, 20, 0, 0, 1) == errc::invalid_argument);
    CHECK(positions == std::vector<std::uint32_t>(20, 77));
    CHECK(square.data() == std::vector<float>(400));
    CHECK(code(k, v, 20) == errc::not_found);
    CHECK(square(19, 5) == x(19, 0));
    CHECK(other(19, 0) == x(19, 0));
    CHECK(square(19, 4) == 0.0f);
    CHECK(square(19, 5 + dim) == 0.0f);
}
