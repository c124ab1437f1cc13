// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/selective_attention.hpp>

#include <pare/cache.hpp>
#include <pare/kernel/attention_error.hpp>
#include <pare/kernel/lserve.hpp>
#include <pare/kernel/token_select.hpp>
#include <pare/kv/window.hpp>

#include "support/attention.hpp"
#include "support/catch.hpp"
#include "support/kv.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

using pare::errc, pare::lserve, pare::token_select, pare::attention_scratch,
    pare::selective_attention;
using pare::kv::block_layout, pare::kv::element, pare::kv::selection, pare::kv::shape,
    pare::kv::store;
using pare::testing::dense_attention, pare::testing::kept_token, pare::testing::matrix,
    pare::testing::pool_memory, pare::testing::tokens_of;

namespace {

constexpr std::size_t kv_heads = 2, group_size = 3;

// One layer of tokens, of which heads have lost some.
struct layer {
    layer(std::size_t n, const block_layout& layout, std::uint64_t seed = 1, std::size_t tiers = 1)
        : memory(1 << 16, 64), s{1, kv_heads * group_size, kv_heads, layout.head_dim, 1, tiers},
          tokens(*store::make(s, std::vector<block_layout>(tiers, layout), memory.pool())),
          scratch(*attention_scratch::make(s, n + 64)) {
        const matrix k = matrix::uniform(n, kv_heads * layout.head_dim, seed);
        const matrix v = matrix::uniform(n, kv_heads * layout.head_dim, seed + 1);
        if (!tokens.append(0, 0, k.view(), v.view(), 0)) std::abort();
    }
    void append(std::size_t n, std::size_t position) {
        const matrix x = matrix::uniform(n, kv_heads * s.head_dim, position);
        if (!tokens.append(0, 0, x.view(), x.view(), position)) std::abort();
    }
    pool_memory memory;
    shape s;
    store tokens;
    attention_scratch scratch;
};

std::vector<kept_token> read_of(const store& s, std::size_t head, const selection& chosen) {
    std::vector<kept_token> read;
    for (std::size_t tier = 0; tier < s.shape().tiers; ++tier) {
        const auto all = tokens_of(s.view(0, 0, head, tier));
        for (std::size_t i = 0; i < all.size(); ++i)
            if ((chosen.rows(head, tier)[i / 32] >> i % 32 & 1) != 0) read.push_back(all[i]);
    }
    return read;
}

}  // namespace

TEST_CASE("attention over a selection is attention over what it names, and rows can be skipped") {
    pare::random random(1);
    int wrong = 0;
    for (int draw = 0; draw < 60; ++draw) {
        const auto type = static_cast<element>(random.below(5));
        const std::size_t n = 1 + random.below(400), dim = 2 + 2 * random.below(20);
        layer l(n, {type, type, dim}, random.next(), 1 + random.below(2));
        if (l.s.tiers == 2) {  // some of them in the second tier
            std::vector<std::uint32_t> places;
            for (std::uint32_t i = 0; i < n; ++i)
                if (random.below(2) == 0) places.push_back(i);
            std::vector<float> decoded(2 * dim);
            REQUIRE(l.tokens.demote(0, 0, 1, places, 0, decoded));
        }
        std::vector<std::uint32_t> words(selection::n_words(l.s, n));
        for (std::uint32_t& word : words) {
            const auto kind = random.below(3);
            word = kind == 0 ? 0 : kind == 1 ? ~0u : static_cast<std::uint32_t>(random.next());
        }
        const selection chosen(l.s, n, words);
        const std::size_t n_queries = 1 + random.below(3);
        const matrix queries =
            matrix::uniform(n_queries, kv_heads * group_size * dim, random.next());
        matrix out(n_queries, queries.cols());
        const std::vector<float> weights(n_queries, 0.5f);
        for (std::size_t h = 0; h < kv_heads; ++h)
            for (std::size_t t = 0; t < l.s.tiers; ++t)
                for (auto* row = l.tokens.rows(0, 0, h, t); row != nullptr; row = row->next)
                    row->attention.fill(2.0f);
        std::vector<std::vector<kept_token>> read;
        for (std::size_t h = 0; h < kv_heads; ++h) read.push_back(read_of(l.tokens, h, chosen));
        REQUIRE(pare::attention(l.tokens, 0, 0, queries.view(), out.view(), n - 1, l.scratch,
                                pare::serial{}, {0.25f, weights}, &chosen));
        for (std::size_t h = 0; h < kv_heads; ++h) {
            double given = 0.0, expected = 0.0;
            for (std::size_t i = 0; i < n_queries; ++i)
                for (std::size_t g = 0; g < group_size; ++g) {
                    const std::size_t column = (h * group_size + g) * dim;
                    const dense_attention dense(read[h],
                                                queries.view().row_span(i).subspan(column, dim),
                                                n - 1 + i, {type, type, dim});
                    wrong += !dense.agrees_with(out.view().row_span(i).subspan(column, dim));
                    if (!read[h].empty()) expected += 0.5 / group_size;
                }
            for (std::size_t t = 0; t < l.s.tiers; ++t)
                for (const kept_token& x : tokens_of(l.tokens.view(0, 0, h, t)))
                    given += static_cast<double>(x.attention) - 0.5;
            wrong += !(std::fabs(given - expected) < 1e-4);
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("tiers of any types, in any order, are one head") {
    int wrong = 0;
    pare::random random(3);
    for (const element upper : {element::i8, element::i4, element::f32})
        for (const element lower : {element::f32, element::f16, element::i8, element::i4})
            for (const bool by_channel : {false, true}) {
                constexpr std::size_t dim = 20, n = 300;
                const shape s{1, kv_heads * group_size, kv_heads, dim, 1, 2};
                const std::vector<block_layout> layouts{{upper, upper, dim},
                                                        {lower, lower, dim, by_channel}};
                pool_memory memory(1 << 14, 64);
                store tokens = *store::make(s, layouts, memory.pool());
                auto scratch = *attention_scratch::make(s, n);
                matrix x = matrix::uniform(n, kv_heads * dim, random.next());
                REQUIRE(tokens.append(0, 0, x.view(), x.view(), 0));
                std::vector<std::uint32_t> places;
                for (std::uint32_t i = 0; i < n; ++i)
                    if (random.below(2) == 0) places.push_back(i);
                std::vector<float> decoded(2 * dim * 32);
                for (std::size_t h = 0; h < kv_heads; ++h)
                    REQUIRE(tokens.demote(0, 0, h, places, 0, decoded));
                matrix queries = matrix::uniform(1, kv_heads * group_size * dim, random.next());
                for (float& q : queries.data()) q *= 20.0f;  // the largest logit comes late
                matrix out(1, queries.cols());
                REQUIRE(pare::attention(tokens, 0, 0, queries.view(), out.view(), n, scratch));
                const auto off = pare::attention_error(tokens, 0, 0, queries.view(), out.view(), n);
                wrong += !off || *off > 5e-4f;
                std::vector<float> wrong_queries(queries.data().begin(), queries.data().end());
                for (float& q : wrong_queries) q = -q;
                const auto other = pare::attention_error(
                    tokens, 0, 0, {wrong_queries.data(), 1, wrong_queries.size()}, out.view(), n);
                wrong += !other || *other < 5e-2f;
            }
    CHECK(wrong == 0);
}

TEST_CASE("a selection that is too small is refused") {
    layer l(100, {element::f32, element::f32, 4});
    std::vector<std::uint32_t> words(selection::n_words(l.s, 96));
    const selection chosen(l.s, 96, words);
    const matrix queries = matrix::uniform(1, kv_heads * group_size * 4, 3);
    matrix out(1, queries.cols());
    const auto done = pare::attention(l.tokens, 0, 0, queries.view(), out.view(), 99, l.scratch,
                                      pare::serial{}, {}, &chosen);
    REQUIRE(!done);
    CHECK(done.error().code == errc::buffer_too_small);
}

TEST_CASE("lserve reads the pages whose bound is highest, the first and the last") {
    const element type = GENERATE(element::f32, element::f16, element::i8);
    const std::size_t dim = GENERATE(8u, 18u);
    layer l(500, {.keys = type, .values = type, .head_dim = dim, .key_ranges = true}, 7);
    auto memory = *pare::kernel::selector_scratch::make(l.s, 600);
    std::vector<std::uint32_t> words(selection::n_words(l.s, 600));
    selection chosen(l.s, 600, words);
    const matrix queries = matrix::uniform(1, group_size * dim, 5);
    const lserve how{.tokens = 192};
    for (std::size_t h = 0; h < kv_heads; ++h)
        how.choose(l.tokens, 0, 0, h, queries.view().row_span(0), 499, chosen, memory, l.scratch);
    for (std::size_t h = 0; h < kv_heads; ++h) {
        // The bound of every page, from the keys themselves, as they came or rounded.
        const auto tokens = tokens_of(l.tokens.view(0, 0, h));
        std::vector<std::pair<float, std::size_t>> bounds;
        for (std::size_t page = 1; page < 15; ++page) {
            float most = -1e30f;
            for (std::size_t tile = 2 * page; tile < 2 * page + 2; ++tile)
                for (std::size_t g = 0; g < group_size; ++g) {
                    float sum = 0.0f;
                    for (std::size_t d = 0; d < dim; ++d) {
                        float best = -1e30f;
                        for (std::size_t t = 16 * tile; t < 16 * tile + 16 && t < 500; ++t)
                            best = std::max(best, queries(0, g * dim + d) * tokens[t].key[d]);
                        sum += best;
                    }
                    most = std::max(most, sum);
                }
            bounds.emplace_back(most, page);
        }
        std::sort(bounds.rbegin(), bounds.rend());
        std::set<std::size_t> expected{0, 15}, read;
        for (std::size_t i = 0; i < 4; ++i) expected.insert(bounds[i].second);
        const auto rows = chosen.rows(h, 0);
        for (std::size_t page = 0; page < 16; ++page)
            if (rows[page] != 0) read.insert(page);
        if (bounds[3].first - bounds[4].first > 0.05f) CHECK((read == expected));
        CHECK(read.size() == 6);
        for (std::size_t i = 16; i < rows.size(); ++i) CHECK(rows[i] == selection::everything);
    }
}

TEST_CASE("token_select reads the tokens with most votes, and those at both ends") {
    layer l(300, {element::f32, element::f32, 16}, 11, 2);
    std::vector<std::uint32_t> places;
    for (std::uint32_t i = 0; i < 300; i += 3) places.push_back(i);
    std::vector<float> decoded(32);
    REQUIRE(l.tokens.demote(0, 0, 1, places, 0, decoded));
    auto memory = *pare::kernel::selector_scratch::make(l.s, 364);
    std::vector<std::uint32_t> words(selection::n_words(l.s, 364));
    selection chosen(l.s, 364, words);
    matrix queries = matrix::uniform(1, group_size * 16, 5);
    for (float& x : queries.data()) x *= 8.0f;
    const token_select how{.tokens = 20, .first = 4, .recent = 10};
    for (std::size_t h = 0; h < kv_heads; ++h) {
        how.choose(l.tokens, 0, 0, h, queries.view().row_span(0), 299, chosen, memory, l.scratch);
        std::vector<kept_token> all = tokens_of(l.tokens.view(0, 0, h, 0));
        for (const kept_token& t : tokens_of(l.tokens.view(0, 0, h, 1))) all.push_back(t);
        std::vector<double> votes(all.size());
        for (std::size_t g = 0; g < group_size; ++g) {
            const dense_attention dense(all, queries.view().row_span(0).subspan(g * 16, 16), 299,
                                        l.tokens.layout(0));
            for (std::size_t i = 0; i < all.size(); ++i) votes[i] += dense.p[i];
        }
        std::vector<std::pair<double, std::uint32_t>> others;
        std::set<std::uint32_t> expected, read;
        for (std::size_t i = 0; i < all.size(); ++i)
            if (all[i].position < 4 || all[i].position > 289) expected.insert(all[i].position);
            else others.emplace_back(votes[i], all[i].position);
        std::sort(others.rbegin(), others.rend());
        for (std::size_t i = 0; i < 20; ++i) expected.insert(others[i].second);
        for (const kept_token& t : read_of(l.tokens, h, chosen)) read.insert(t.position);
        CHECK((read == expected));
    }
}

TEST_CASE("a choice serves on until it is stale, and never over moved places") {
    const block_layout layout{.head_dim = 8, .key_ranges = true};
    layer l(400, layout, 5);
    auto reading = *selective_attention<lserve>::make(l.s, {.tokens = 96, .every = 3}, 460);
    matrix queries = matrix::uniform(1, kv_heads * group_size * 8, 1), out(1, queries.cols());
    std::vector<matrix> outs;
    std::size_t now = 400;
    const auto attend = [&](float sign) {
        matrix q = queries;
        for (float& x : q.data()) x *= sign;
        REQUIRE(reading.attend(l.tokens, 0, 0, q.view(), out.view(), now - 1, l.scratch));
        return out;
    };
    // The third query of the other sign would choose other pages, but the choice serves three.
    const matrix a = attend(1.0f);
    const matrix reused = attend(-1.0f);
    reading.forget(0);
    const matrix chosen = attend(-1.0f);
    CHECK(reused.data() != chosen.data());
    CHECK(attend(-1.0f).data() == chosen.data());
    CHECK(attend(-1.0f).data() == chosen.data());
    // Appended tokens are seen at once; an eviction makes the choice void.
    l.append(1, now++);
    const matrix grown = attend(-1.0f);
    CHECK(grown.data() != chosen.data());
    const std::uint32_t place = 40;
    REQUIRE(l.tokens.remove(0, 0, 0, {&place, 1}));
    l.append(1, now++);
    const matrix after = attend(1.0f);
    reading.forget(0);
    CHECK(attend(1.0f).data() == after.data());
    // A chunk reads everything.
    matrix chunk(2, queries.cols()), chunk_out(2, queries.cols()), full(2, queries.cols());
    REQUIRE(reading.attend(l.tokens, 0, 0, chunk.view(), chunk_out.view(), now - 2, l.scratch));
    REQUIRE(pare::attention(l.tokens, 0, 0, chunk.view(), full.view(), now - 2, l.scratch));
    CHECK(chunk_out.data() == full.data());
    static_cast<void>(a);
}

TEST_CASE("a cache with a selector keeps all and reads a part, as good as the whole where it is") {
    constexpr shape s{.layers = 2, .query_heads = 6, .kv_heads = 2, .head_dim = 16, .sequences = 2};
    using policy = pare::kv::policy<pare::kv::window>;
    const policy all{.budget = {1000}};
    const block_layout layout{.head_dim = 16, .key_ranges = true};
    const auto run = [&](const auto& how) {
        pool_memory memory(1 << 14, 300);
        auto cache = *pare::kv::cache<policy, std::remove_cvref_t<decltype(how)>>::make(
            s, layout, all, 40, memory.pool(), how);
        std::vector<float> outs;
        for (std::size_t t = 0; t < 500;) {
            const std::size_t n = t < 320 ? 40 : 1;
            for (std::size_t l = 0; l < 2; ++l) {
                const matrix k = matrix::uniform(n, 32, t + l);
                matrix q = matrix::uniform(n, 96, t + 1), out(n, 96);
                for (float& x : q.data()) x *= 8.0f;  // attention to few
                REQUIRE(cache.append(l, k.view(), k.view()));
                REQUIRE(cache.attend(l, q.view(), out.view()));
                outs.insert(outs.end(), out.data().begin(), out.data().end());
            }
            t += n;
        }
        REQUIRE(cache.fork(0, 1));
        REQUIRE(cache.truncate(480, 1));
        cache.clear(0), cache.clear(1);
        CHECK(cache.bytes_in_use() == 0);
        return outs;
    };
    const auto full = run(pare::read_all{});
    CHECK(run(lserve{.tokens = 512}) == full);
    CHECK(run(token_select{.tokens = 1000}) == full);
    const auto far = [&](const std::vector<float>& some) {
        double off = 0.0, total = 0.0;
        for (std::size_t i = full.size() - 96 * 2 * 180; i < full.size(); ++i) {
            const double d = static_cast<double>(some[i]) - static_cast<double>(full[i]);
            off += d * d, total += static_cast<double>(full[i]) * static_cast<double>(full[i]);
        }
        return std::sqrt(off / total);
    };
    const double selected =
        far(run(token_select{.tokens = 200, .first = 0, .recent = 1, .similarity = 1.0f}));
    CHECK(selected > 0.0);
    CHECK(selected < 0.5);
    CHECK(far(run(lserve{.tokens = 256, .every = 1})) < 1.0);
}
