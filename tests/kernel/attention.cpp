// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/attention.hpp>

#include <pare/core/thread_pool.hpp>

#include "support/attention.hpp"
#include "support/catch.hpp"
#include "support/executors.hpp"
#include "support/kv.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

using pare::errc, pare::score_tap, pare::attention_scratch, pare::kv::element,
    pare::kv::block_layout, pare::kv::reduction, pare::kv::shape, pare::kv::store;
using pare::testing::all_elements, pare::testing::dense_attention, pare::testing::guarded_buffer,
    pare::testing::kept_token, pare::testing::matrix, pare::testing::pool_memory,
    pare::testing::tokens_of;

namespace {

constexpr std::size_t kv_heads = 3;

// A layer whose three heads lost tokens at random: the first keeps `length`, the second fewer, the
// third none.
struct ragged_store {
    ragged_store(const block_layout& layout, std::size_t group_size, std::size_t length,
                 std::uint64_t seed, float loudness = 1.0f)
        : memory(page_bytes(layout), 512),
          tokens(*store::make({1, kv_heads * group_size, kv_heads, layout.head_dim}, layout,
                              memory.pool())) {
        pare::random random(seed);
        n_positions = length + random.below(40);
        matrix keys = matrix::uniform(n_positions, kv_heads * layout.head_dim, random.next());
        for (float& x : keys.data()) x *= loudness;
        const matrix values = matrix::uniform(n_positions, kv_heads * layout.head_dim, seed);
        if (!tokens.append(0, 0, keys.view(), values.view(), first_position)) std::abort();
        pare::testing::remove_down_to(tokens, 0, 0, 0, length, random);
        pare::testing::remove_down_to(tokens, 0, 0, 1, random.below(length + 1), random);
        pare::testing::remove_down_to(tokens, 0, 0, 2, 0, random);
        for (std::size_t h = 0; h < kv_heads; ++h)
            for (auto* row = tokens.rows(0, 0, h); row != nullptr; row = row->next)
                for (float& sum : row->attention) sum = random.symmetric() + 1.0f;
    }

    static std::size_t page_bytes(const block_layout& layout) {
        return pare::kv::pool::page_bytes_for(store::stored_bytes(layout), 2);
    }
    std::vector<std::vector<kept_token>> heads() const {
        std::vector<std::vector<kept_token>> all;
        for (std::size_t h = 0; h < kv_heads; ++h) all.push_back(tokens_of(tokens.view(0, 0, h)));
        return all;
    }

    static constexpr std::size_t first_position = 1000;
    std::size_t n_positions = 0;
    pool_memory memory;
    store tokens;
};

struct call {
    block_layout layout;
    std::size_t group_size, length, n_queries;
    reduction across;
};

// One call against the book: outputs, and the sums of the ledger. @return how many are wrong, and
// in `n_zero` how many rows had nothing to see.
int n_wrong(const call& c, std::uint64_t seed, auto&& run) {
    pare::random random(seed);
    ragged_store s(c.layout, c.group_size, c.length, random.next());
    const std::size_t dim = c.layout.head_dim, cols = kv_heads * c.group_size * dim;
    matrix queries = matrix::uniform(c.n_queries, cols + 3, random.next());
    for (float& x : queries.data()) x *= 6.0f;
    const auto q = queries.view().block(0, 2, c.n_queries, cols);
    guarded_buffer<float> memory(c.n_queries * (cols + 5));
    const pare::matrix_view<float> out(memory.data(), c.n_queries, cols, cols + 5);
    std::vector<float> weights(c.n_queries);
    for (float& w : weights) w = random.symmetric() + 1.0f;
    const score_tap tap{.carry = random.symmetric(), .weights = weights, .across = c.across};
    const std::size_t position =
        ragged_store::first_position + random.below(s.n_positions + 1) - random.below(4);

    const auto before = s.heads();
    std::array<double, kv_heads> reach{};
    for (std::size_t h = 0; h < kv_heads; ++h)
        reach[h] = pare::testing::channel_reach(s.tokens.view(0, 0, h));
    auto scratch = attention_scratch::make(s.tokens.shape(), c.length);
    if (!scratch || !pare::attention(s.tokens, 0, 0, q, out, position, *scratch, run, tap))
        return -1;
    const auto after = s.heads();

    int wrong = !memory.intact() + !s.memory.intact();
    for (std::size_t i = 0; i + 1 < c.n_queries; ++i)
        for (std::size_t d = 0; d < 5; ++d) wrong += memory[i * (cols + 5) + cols + d] != 0.0f;
    for (std::size_t h = 0; h < kv_heads; ++h) {
        const std::size_t n = before[h].size();
        std::vector<double> sums(n), allowed(n);
        for (std::size_t t = 0; t < n; ++t) {
            sums[t] = static_cast<double>(tap.carry) * static_cast<double>(before[h][t].attention);
            allowed[t] = std::fabs(sums[t]);
        }
        for (std::size_t i = 0; i < c.n_queries; ++i) {
            std::vector<double> reduced(n), error(n);
            for (std::size_t g = 0; g < c.group_size; ++g) {
                const std::size_t column = (h * c.group_size + g) * dim;
                const dense_attention dense(before[h], q.row_span(i).subspan(column, dim),
                                            position + i, c.layout, reach[h]);
                wrong += !dense.agrees_with(out.row_span(i).subspan(column, dim));
                for (std::size_t t = 0; t < n; ++t) {
                    const double e = dense.p[t] * dense.p_relative + dense.p_absolute;
                    if (c.across == reduction::max) {
                        reduced[t] = std::max(reduced[t], dense.p[t]);
                        error[t] = std::max(error[t], e);
                    } else {
                        const double share =
                            c.across == reduction::mean ? static_cast<double>(c.group_size) : 1.0;
                        reduced[t] += dense.p[t] / share;
                        error[t] += e / share;
                    }
                }
            }
            for (std::size_t t = 0; t < n; ++t) {
                const double w = static_cast<double>(weights[i]);
                sums[t] += w * reduced[t];
                allowed[t] += w * reduced[t];
                // Roundings of the sum come below; a factor and a product here.
                allowed[t] += w * error[t] / 0x1p-24;
            }
        }
        const double n_terms = static_cast<double>(c.n_queries * c.group_size + 8);
        for (std::size_t t = 0; t < n; ++t) {
            const double error = std::fabs(static_cast<double>(after[h][t].attention) - sums[t]);
            wrong += !(error <= n_terms * 0x1p-24 * allowed[t]);
            wrong += after[h][t].position != before[h][t].position;
        }
    }
    return wrong;
}

constexpr std::array<std::size_t, 8> head_dims{2, 8, 16, 48, 64, 80, 128, 256};
constexpr std::array<std::size_t, 6> group_sizes{1, 2, 3, 4, 8, 20};
constexpr std::array<std::size_t, 11> lengths{0, 1, 31, 32, 33, 63, 64, 127, 128, 129, 300};
constexpr std::array<std::size_t, 3> query_counts{1, 3, 17};
constexpr std::array<reduction, 3> reductions{reduction::mean, reduction::max, reduction::sum};

std::vector<std::uint32_t> bits_of(const std::vector<float>& floats) {
    std::vector<std::uint32_t> bits;
    for (const float x : floats) bits.push_back(std::bit_cast<std::uint32_t>(x));
    return bits;
}

}  // namespace

TEST_CASE("attention is attention over the kept tokens, whatever they are stored as") {
    pare::random random(1);
    const auto any = [&](const auto& of) { return of[random.below(of.size())]; };
    const auto check = [&](std::size_t dim, std::size_t group_size, std::size_t length,
                           std::size_t n_queries, element keys, element values) {
        const block_layout layout{keys, values, dim, random.below(3) == 0, random.below(3) == 0};
        // The book takes a double and 5 loads per multiplication.
        if (dim * group_size * length * n_queries > 400'000) n_queries = 1;
        const call c{layout, group_size, length, n_queries, any(reductions)};
        const int wrong = n_wrong(c, random.next(), pare::serial{});
        if (wrong == 0) return;
        CAPTURE(dim, group_size, length, n_queries, static_cast<int>(keys),
                static_cast<int>(values), layout.keys_per_channel, layout.hadamard,
                static_cast<int>(c.across));
        FAIL_CHECK(wrong << " wrong");
    };
    for (const element keys : all_elements)
        for (const element values : all_elements) {
            for (const std::size_t dim : head_dims)
                check(dim, any(group_sizes), any(lengths), any(query_counts), keys, values);
            for (const std::size_t group_size : group_sizes)
                check(any(head_dims), group_size, any(lengths), any(query_counts), keys, values);
            for (const std::size_t length : lengths)
                check(any(head_dims), any(group_sizes), length, any(query_counts), keys, values);
        }
    for (const std::size_t length : lengths)
        for (const std::size_t n_queries : query_counts)
            for (const std::size_t group_size : group_sizes)
                check(16, group_size, length, n_queries, any(all_elements), any(all_elements));
    SUCCEED();
}

TEST_CASE("attention and its scalar twin agree to what both may be off by") {
    for (const element e : all_elements)
        for (const int option : {0, 1, 2}) {
            const block_layout layout{e, e, 24, option == 1, option == 2};
            ragged_store fast(layout, 2, 200, 7), slow(layout, 2, 200, 7);
            matrix queries = matrix::uniform(6, 6 * 24, 3), out(6, 6 * 24), expected(6, 6 * 24);
            for (float& x : queries.data()) x *= 3.0f;
            auto scratch = attention_scratch::make(fast.tokens.shape(), 200);
            const std::size_t position = fast.first_position + 100;
            REQUIRE(scratch);
            REQUIRE(
                pare::attention(fast.tokens, 0, 0, queries.view(), out.view(), position, *scratch));
            int wrong = 0;
            for (std::size_t h = 0; h < kv_heads; ++h) {
                std::vector<double> p(2 * 200 + 24);
                std::vector<float> decoded(24);
                const pare::kv::tier_rows rows{slow.tokens.rows(0, 0, h), &layout};
                pare::kernel::attention_ref({&rows, 1}, 24, 2 * h, 2, queries.view(),
                                            expected.view(), position, {}, p, decoded);
                const auto tokens = tokens_of(slow.tokens.view(0, 0, h));
                const double reach = pare::testing::channel_reach(slow.tokens.view(0, 0, h));
                for (std::size_t i = 0; i < 6; ++i)
                    for (std::size_t column = h * 48; column < h * 48 + 48; column += 24) {
                        const dense_attention dense(tokens,
                                                    queries.view().row_span(i).subspan(column, 24),
                                                    position + i, layout, reach);
                        for (std::size_t d = 0; d < 24; ++d)
                            wrong += !(std::fabs(static_cast<double>(out(i, column + d)) -
                                                 static_cast<double>(expected(i, column + d))) <=
                                       dense.allowed[d]);
                    }
            }
            CAPTURE(static_cast<int>(e));
            CHECK(wrong == 0);
        }
}

TEST_CASE("the bound of these tests notices a token that is left out") {
    const auto layout = GENERATE(block_layout{element::i4, element::i4, 64},
                                 block_layout{element::i8, element::i8, 64, true},
                                 block_layout{element::f16, element::i8, 64, false, true});
    ragged_store s(layout, 1, 300, 5);
    const matrix queries = matrix::uniform(1, 3 * 64, 3);
    matrix out(1, 3 * 64);
    auto scratch = attention_scratch::make(s.tokens.shape(), 300);
    REQUIRE(scratch);
    REQUIRE(pare::attention(s.tokens, 0, 0, queries.view(), out.view(), 5000, *scratch));
    const double reach = pare::testing::channel_reach(s.tokens.view(0, 0, 0));
    auto tokens = tokens_of(s.tokens.view(0, 0, 0));
    const auto query = queries.view().row_span(0).first(64);
    CHECK(dense_attention(tokens, query, 5000, layout, reach)
              .agrees_with(out.view().row_span(0).first(64)));
    tokens.pop_back();
    CHECK(!dense_attention(tokens, query, 5000, layout, reach)
               .agrees_with(out.view().row_span(0).first(64)));
}

TEST_CASE("a logit that dwarfs the others takes all the attention, of either sign") {
    // Token t has the key t e_0, a query +-1000 e_0: logits 0 to +-1000 * n / sqrt(2) at distances
    // of 707.
    for (const element keys : {element::f32, element::f16, element::bf16, element::i8})
        for (const std::size_t n : {1u, 5u, 130u, 256u})
            for (const float sign : {1.0f, -1.0f}) {
                const block_layout layout{keys, element::f32, 2};
                pool_memory memory(1 << 14, 16);
                auto made = store::make({1, 1, 1, 2}, layout, memory.pool());
                REQUIRE(made);
                matrix k(n, 2), v(n, 2), out(1, 2);
                for (std::size_t t = 0; t < n; ++t) {
                    k(t, 0) = static_cast<float>(t * 7 % n);
                    v(t, 0) = static_cast<float>(t) + 0.125f, v(t, 1) = -v(t, 0);
                }
                REQUIRE(made->append(0, 0, k.view(), v.view(), 0));
                const std::vector<float> weights{0.5f};
                auto scratch = attention_scratch::make(made->shape(), n);
                REQUIRE(pare::attention(*made, 0, 0, matrix(1, 2, {sign * 1000, 0}).view(),
                                        out.view(), n - 1, *scratch, pare::serial{},
                                        {.weights = weights}));
                const std::size_t winner_key = sign > 0.0f ? n - 1 : 0;
                std::size_t winner = 0;
                while (winner * 7 % n != winner_key) ++winner;
                CAPTURE(static_cast<int>(keys), n, sign);
                // 0.125 off the integers: a division by the sum of one rounds once.
                CHECK(out(0, 0) == Approx(v(winner, 0)).epsilon(2 * 0x1p-24));
                CHECK(out(0, 1) == Approx(v(winner, 1)).epsilon(2 * 0x1p-24));
                CHECK(tokens_of(made->view(0, 0, 0))[winner].attention ==
                      Approx(0.5).epsilon(2 * 0x1p-24));
            }
}

TEST_CASE("a query that sees no token gets zeros and adds nothing") {
    for (const element e : all_elements) {
        const block_layout layout{e, e, 16};
        ragged_store s(layout, 2, 140, 3);
        const matrix queries = matrix::uniform(4, 6 * 16, 3);
        matrix out = matrix::uniform(4, 6 * 16, 4);
        const std::vector<float> weights(4, 1.0f);
        const auto before = s.heads();
        auto scratch = attention_scratch::make(s.tokens.shape(), 140);
        REQUIRE(scratch);
        REQUIRE(pare::attention(s.tokens, 0, 0, queries.view(), out.view(), 0, *scratch,
                                pare::serial{}, {.weights = weights}));
        CAPTURE(static_cast<int>(e));
        CHECK(std::count(out.data().begin(), out.data().end(), 0.0f) == 4 * 6 * 16);
        CHECK(s.heads() == before);
    }
}

TEST_CASE("what one query adds to the ledger is its weight, and group_size times that as a sum") {
    for (const element e : all_elements)
        for (const std::size_t group_size : {1u, 3u, 8u})
            for (const std::size_t length : {1u, 40u, 300u}) {
                const block_layout layout{e, e, 16};
                for (const reduction across : {reduction::mean, reduction::sum}) {
                    ragged_store s(layout, group_size, length, length);
                    const std::size_t cols = kv_heads * group_size * 16;
                    const matrix queries = matrix::uniform(1, cols, 3);
                    matrix out(1, cols);
                    const std::vector<float> weights{0.75f};
                    auto scratch = attention_scratch::make(s.tokens.shape(), length);
                    REQUIRE(pare::attention(s.tokens, 0, 0, queries.view(), out.view(), 5000,
                                            *scratch, pare::serial{},
                                            {.carry = 0.0f, .weights = weights, .across = across}));
                    double sum = 0.0;
                    for (const kept_token& t : tokens_of(s.tokens.view(0, 0, 0)))
                        sum += static_cast<double>(t.attention);
                    const double expected =
                        across == reduction::sum ? 0.75 * static_cast<double>(group_size) : 0.75;
                    const auto n = static_cast<double>(length + 8 * group_size);
                    CHECK(sum == Approx(expected).epsilon(n * 0x1p-24));
                }
            }
}

TEST_CASE("without weights the ledger keeps its sums to the bit") {
    const block_layout layout{element::f16, element::i8, 48};
    ragged_store s(layout, 4, 129, 1);
    const matrix queries = matrix::uniform(3, 12 * 48, 3);
    matrix out(3, 12 * 48);
    const auto before = s.heads();
    auto scratch = attention_scratch::make(s.tokens.shape(), 129);
    REQUIRE(scratch);
    REQUIRE(pare::attention(s.tokens, 0, 0, queries.view(), out.view(), 5000, *scratch,
                            pare::serial{}, {.carry = 0.5f}));
    CHECK(s.heads() == before);
}

TEST_CASE("queries together or one by one give the same bits") {
    for (const element e : all_elements)
        for (const std::size_t group_size : {1u, 3u, 20u}) {
            const block_layout layout{e, e, 16, group_size == 3, group_size != 1};
            const std::size_t cols = kv_heads * group_size * 16;
            ragged_store s(layout, group_size, 129, 1);
            const matrix queries = matrix::uniform(19, cols, 3);
            matrix together(19, cols), single(19, cols);
            auto scratch = attention_scratch::make(s.tokens.shape(), 129);
            const std::size_t position = s.first_position + 60;
            REQUIRE(pare::attention(s.tokens, 0, 0, queries.view(), together.view(), position,
                                    *scratch));
            for (std::size_t i = 0; i < 19; ++i)
                REQUIRE(pare::attention(s.tokens, 0, 0, queries.view().block(i, 0, 1, cols),
                                        single.view().block(i, 0, 1, cols), position + i,
                                        *scratch));
            CHECK(bits_of(together.data()) == bits_of(single.data()));
        }
}

TEST_CASE("attention gives the same bits on every executor") {
    pare::thread_pool two(2), three(3);
    for (const element e : all_elements) {
        const block_layout layout{e, e, 80};
        const auto bits = [&](auto&& run) {
            ragged_store s(layout, 4, 140, 9);
            const matrix queries = matrix::uniform(9, 12 * 80, 3);
            matrix out(9, 12 * 80);
            const std::vector<float> weights(9, 0.5f);
            auto scratch = attention_scratch::make(s.tokens.shape(), 140);
            REQUIRE(pare::attention(s.tokens, 0, 0, queries.view(), out.view(),
                                    s.first_position + 100, *scratch, run, {.weights = weights}));
            std::vector<float> all = out.data();
            for (const auto& head : s.heads())
                for (const kept_token& t : head) all.push_back(t.attention);
            return bits_of(all);
        };
        const auto expected = bits(pare::serial{});
        CHECK(bits(pare::testing::backwards{}) == expected);
        CHECK(bits(two) == expected);
        CHECK(bits(three) == expected);
    }
}

TEST_CASE("attention refuses what does not fit and leaves its output") {
    const block_layout layout{element::f32, element::f32, 16};
    ragged_store s(layout, 2, 40, 1);
    const matrix queries = matrix::uniform(96, 96, 3), original = matrix::uniform(96, 96, 4);
    matrix out = original;
    auto scratch = attention_scratch::make(s.tokens.shape(), 40);
    auto short_of_one = attention_scratch::make(s.tokens.shape(), 39);
    REQUIRE((scratch && short_of_one));
    const auto before = s.heads();
    const std::vector<float> weights(3, 1.0f);
    const auto code = [&](auto q, auto o, attention_scratch& memory, std::size_t sequence = 0,
                          std::size_t layer = 0) {
        const auto done = pare::attention(s.tokens, sequence, layer, q, o, 2000, memory,
                                          pare::serial{}, {.weights = weights});
        return done ? errc::not_found : done.error().code;
    };
    const auto q = queries.view().block(0, 0, 3, 96);
    const auto o = out.view().block(0, 0, 3, 96);
    CHECK(code(q, out.view().block(0, 0, 2, 96), *scratch) == errc::shape_mismatch);
    CHECK(code(q.block(0, 0, 3, 95), o.block(0, 0, 3, 95), *scratch) == errc::shape_mismatch);
    CHECK(code(q.block(0, 0, 2, 96), o.block(0, 0, 2, 96), *scratch) == errc::shape_mismatch);
    CHECK(code(queries.view().transposed().block(0, 0, 3, 96), o, *scratch) ==
          errc::not_contiguous);
    CHECK(code(q, out.view().transposed().block(0, 0, 3, 96), *scratch) == errc::not_contiguous);
    CHECK(code(q, o, *scratch, 1, 0) == errc::invalid_argument);
    CHECK(code(q, o, *scratch, 0, 1) == errc::invalid_argument);
    CHECK(code(q, o, *short_of_one) == errc::buffer_too_small);
    for (const shape& other : {shape{1, 6, 3, 8}, shape{1, 3, 3, 16}, shape{1, 2, 1, 16}}) {
        auto of_another = attention_scratch::make(other, 40);
        REQUIRE(of_another);
        CHECK(code(q, o, *of_another) == errc::buffer_too_small);
    }
    CHECK(out.data() == original.data());
    CHECK(s.heads() == before);
    CHECK(code(q, o, *scratch) == errc::not_found);
}

TEST_CASE("attention works for as many query heads per KV head as it says, and refuses more") {
    for (const std::size_t group_size : {17u, 255u, 256u}) {
        const call c{{element::i8, element::f16, 8}, group_size, 65, 3, reduction::mean};
        CAPTURE(group_size);
        CHECK(n_wrong(c, group_size, pare::serial{}) == 0);
    }
    CHECK(attention_scratch::make({1, 257, 1, 8}, 10).error().code == errc::invalid_argument);
    CHECK(attention_scratch::make({1, 8, 0, 8}, 10).error().code == errc::invalid_argument);
}
