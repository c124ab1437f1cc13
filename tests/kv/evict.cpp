// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/evict.hpp>

#include <pare/kv/a2sf.hpp>
#include <pare/kv/ada.hpp>
#include <pare/kv/h2o.hpp>
#include <pare/kv/key_norm.hpp>
#include <pare/kv/random_tokens.hpp>
#include <pare/kv/snapkv.hpp>
#include <pare/kv/tova.hpp>
#include <pare/kv/window.hpp>

#include "support/catch.hpp"
#include "support/kv.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

using pare::errc, pare::kv::element, pare::kv::eviction_scratch, pare::kv::policy, pare::kv::store,
    pare::kv::uniform;
using pare::testing::kept_token, pare::testing::matrix, pare::testing::pool_memory,
    pare::testing::positions_of, pare::testing::tokens_of;

namespace {

using positions = std::vector<std::uint32_t>;
constexpr std::size_t dim = 4, kv_heads = 3;

/// Ten lines of a user: values that are loud stay.
struct loudest_value {
    static constexpr bool needs_vectors = true;
    void score(const pare::kv::head_observation& head, std::span<float> scores) const noexcept {
        for (std::size_t t = 0; t < scores.size(); ++t) {
            scores[t] = 0.0f;
            for (const float v : head.value(t)) scores[t] = (std::max)(scores[t], v < 0 ? -v : v);
        }
    }
};
static_assert(pare::kv::vector_scorer<loudest_value>);
static_assert(!pare::kv::attention_scorer<loudest_value>);

/// What the test wrote to the ledger.
struct as_written {
    void score(const pare::kv::head_observation& head, std::span<float> scores) const noexcept {
        std::copy(head.attention.begin(), head.attention.end(), scores.begin());
    }
};

/// Layer 1 of 2, sequence 1 of 2: three heads, `n` tokens each.
struct one_layer {
    explicit one_layer(std::size_t n, std::uint64_t seed = 1)
        : memory(8192, 64), tokens(*store::make({2, 6, kv_heads, dim, 2},
                                                {element::f32, element::f32, dim}, memory.pool())),
          scratch(*eviction_scratch::make(tokens.shape(), n + 8)) {
        append(n, seed);
    }

    void append(std::size_t n, std::uint64_t seed) {
        const matrix keys = matrix::integers(n, kv_heads * dim, 2, seed);
        const matrix values = matrix::integers(n, kv_heads * dim, 3, seed + 1);
        if (!tokens.append(1, 1, keys.view(), values.view(), now)) std::abort();
        now += n;
    }
    void write_sums(auto&& sum) {  // sum(head, position)
        for (std::size_t h = 0; h < kv_heads; ++h)
            for (auto* row = tokens.rows(1, 1, h); row != nullptr; row = row->next)
                for (std::size_t t = 0; t < row->size; ++t)
                    row->attention[t] = sum(h, row->positions[t]);
    }
    pare::status evict(const auto& p) { return pare::kv::evict(tokens, 1, 1, now, p, scratch); }
    positions kept(std::size_t head) const { return positions_of(tokens.view(1, 1, head)); }

    // The scores that a scorer gives to a head, in the order the tokens lie.
    std::vector<float> scores(const auto& scorer, std::size_t head) {
        const auto gathered = tokens_of(tokens.view(1, 1, head));
        std::vector<float> attention, scores(gathered.size()), decoded(2 * dim);
        std::vector<std::uint32_t> where;
        for (const kept_token& t : gathered) {
            attention.push_back(t.attention);
            where.push_back(t.position);
        }
        std::vector<const std::byte*> blocks;
        for (const auto* row = tokens.view(1, 1, head).first; row != nullptr; row = row->next)
            blocks.push_back(row->block);
        scorer.score(
            pare::kv::head_observation(attention, where, now, blocks, &tokens.layout(1), decoded),
            scores);
        return scores;
    }

    std::size_t now = 0;
    pool_memory memory;
    store tokens;
    eviction_scratch scratch;
};

// What stays of (score, position) pairs, by sorting everything.
template <class Policy>
positions by_sorting(const Policy& p, std::size_t budget, std::size_t now,
                     std::vector<std::pair<float, std::uint32_t>> tokens) {
    const std::size_t recent =
        std::max(p.recent, static_cast<std::size_t>(p.recent_share * static_cast<float>(budget)));
    const auto stays = [&](std::uint32_t at) {
        bool inside = at < p.sinks || at + recent >= now;
        for (const auto r : p.keep) inside = inside || (r.first <= at && at < r.end);
        return inside;
    };
    std::sort(tokens.begin(), tokens.end(), [&](const auto& a, const auto& b) {
        return std::make_tuple(stays(a.second), a.first, a.second) >
               std::make_tuple(stays(b.second), b.first, b.second);
    });
    positions kept;
    for (std::size_t i = 0; i < tokens.size() && i < budget; ++i) kept.push_back(tokens[i].second);
    std::sort(kept.begin(), kept.end());
    return kept;
}

template <class Scorer>
void check_against_sorting(const Scorer& scorer) {
    pare::random random(1);
    int wrong = 0, n_protected = 0;
    for (int draw = 0; draw < 200; ++draw) {
        const std::size_t n = 1 + random.below(120);
        one_layer layer(n, random.next());
        const auto levels = 1 + random.below(40);  // ties
        const auto write = [&](std::size_t, std::uint32_t) {
            return static_cast<float>(random.below(levels)) / 8.0f;
        };
        policy<Scorer> p{scorer};
        p.budget.tokens_per_head = 8 + random.below(100);
        p.sinks = random.below(4);
        p.recent = random.below(4);
        p.recent_share = static_cast<float>(random.below(3)) / 8.0f;
        const std::size_t first = random.below(n);
        const std::vector<pare::kv::position_range> ranges{{first, first + random.below(2)}};
        p.keep = ranges;
        REQUIRE(pare::kv::check(p, 2));
        layer.write_sums(write);
        for (int round = 0; round < 3; ++round) {
            std::vector<positions> expected;
            std::vector<std::vector<float>> scores;
            for (std::size_t h = 0; h < kv_heads; ++h) scores.push_back(layer.scores(scorer, h));
            if constexpr (pare::kv::layer_wide_scorer<Scorer>)
                for (std::size_t t = 0; t < scores[0].size(); ++t)
                    scores[0][t] = scores[1][t] = scores[2][t] =
                        scores[0][t] + scores[1][t] + scores[2][t];
            for (std::size_t h = 0; h < kv_heads; ++h) {
                const auto gathered = tokens_of(layer.tokens.view(1, 1, h));
                std::vector<std::pair<float, std::uint32_t>> pairs;
                for (std::size_t t = 0; t < gathered.size(); ++t)
                    pairs.emplace_back(scores[h][t], gathered[t].position);
                expected.push_back(
                    by_sorting(p, p.budget.tokens_per_head, layer.now, std::move(pairs)));
            }
            REQUIRE(layer.evict(p));
            for (std::size_t h = 0; h < kv_heads; ++h) wrong += layer.kept(h) != expected[h];
            n_protected += static_cast<int>(p.sinks + p.recent);
            const std::size_t more = 1 + random.below(7);
            if (layer.now + more > n + 8) break;
            layer.append(more, random.next());
            layer.write_sums(write);
        }
        wrong += layer.tokens.view(0, 1, 0).size != 0 || layer.tokens.view(1, 0, 0).size != 0;
    }
    CHECK(wrong == 0);
    CHECK(n_protected > 0);
}

}  // namespace

TEST_CASE("what stays is what sorting all tokens says, for every scorer") {
    check_against_sorting(pare::kv::a2sf{});
    check_against_sorting(pare::kv::h2o{});
    check_against_sorting(pare::kv::h2o{.mean_per_query = true});
    check_against_sorting(pare::kv::key_norm{});
    check_against_sorting(pare::kv::random_tokens{});
    check_against_sorting(pare::kv::snapkv{.observed = 4});
    check_against_sorting(pare::kv::tova{});
    check_against_sorting(pare::kv::window{});
    check_against_sorting(loudest_value{});
}

TEST_CASE("chunks of positions leave whole, the lowest mean first") {
    const std::size_t granularity = GENERATE(2u, 5u, 16u);
    pare::random random(granularity);
    int wrong = 0;
    for (int draw = 0; draw < 100; ++draw) {
        const std::size_t n = 20 + random.below(100), budget = 10 + random.below(n - 10);
        one_layer layer(n, random.next());
        layer.write_sums(
            [&](std::size_t, std::uint32_t) { return static_cast<float>(random.below(1000)); });
        const policy<as_written> p{
            .budget = {budget}, .sinks = 1, .recent = 3, .granularity = granularity};
        std::vector<positions> expected(kv_heads);
        for (std::size_t h = 0; h < kv_heads; ++h) {
            const auto tokens = tokens_of(layer.tokens.view(1, 1, h));
            std::map<std::size_t, std::vector<float>> chunks;
            for (const kept_token& t : tokens)
                chunks[t.position / granularity].push_back(t.attention);
            std::vector<std::pair<double, std::size_t>> by_mean;
            for (const auto& [chunk, scores] : chunks) {
                float sum = 0.0f;
                for (const float x : scores) sum += x;
                by_mean.emplace_back(sum / static_cast<float>(scores.size()), chunk);
            }
            std::sort(by_mean.begin(), by_mean.end());
            std::set<std::uint32_t> stays;
            for (const kept_token& t : tokens) stays.insert(t.position);
            for (const auto& [mean, chunk] : by_mean) {
                if (stays.size() <= budget) break;
                for (const kept_token& t : tokens)
                    if (t.position / granularity == chunk && t.position >= 1 && t.position + 3 < n)
                        stays.erase(t.position);
            }
            expected[h].assign(stays.begin(), stays.end());
        }
        REQUIRE(layer.evict(p));
        for (std::size_t h = 0; h < kv_heads; ++h) wrong += layer.kept(h) != expected[h];
    }
    CHECK(wrong == 0);
}

TEST_CASE("tokens go from tier to tier, and what leaves is what one tier would let go") {
    using pare::kv::block_layout;
    const block_layout layout{element::f32, element::f32, dim};
    const std::vector<block_layout> same(3, layout);
    const policy<as_written> p{.budget = {40},
                               .sinks = 2,
                               .recent = 3,
                               .every = GENERATE(1u, 5u),
                               .tier_shares = {0.25f, 0.4f}};
    REQUIRE(pare::kv::check(p, 1, 3));
    pool_memory memory(8192, 100), other(8192, 100);
    const pare::kv::shape one{.layers = 1, .query_heads = 3, .kv_heads = 3, .head_dim = dim};
    pare::kv::shape three = one;
    three.tiers = 3;
    store single = *store::make(one, layout, memory.pool());
    store ladder = *store::make(three, same, other.pool());
    auto scratch = *eviction_scratch::make(one, 200);
    pare::random random(7);
    // Two tiers let go in their own time when several leave at once: compared when all have.
    policy<as_written> now_all = p;
    int wrong = 0;
    for (std::size_t now = 0; now < 300;) {
        const std::size_t n = 1 + random.below(9);
        const matrix x = matrix::uniform(n, kv_heads * dim, random.next());
        REQUIRE(single.append(0, 0, x.view(), x.view(), now));
        REQUIRE(ladder.append(0, 0, x.view(), x.view(), now));
        now += n;
        const auto score = [&](std::size_t h, std::uint32_t at) {
            pare::random of_token(at * 3 + h);
            return static_cast<float>(of_token.below(1000) + now % 7 * (at % 5));
        };
        for (std::size_t h = 0; h < kv_heads; ++h)
            for (std::size_t tier = 0; tier < 3; ++tier)
                for (store* s : {&single, &ladder})
                    for (auto* row = s == &ladder ? s->rows(0, 0, h, tier) : s->rows(0, 0, h);
                         row != nullptr; row = row->next)
                        for (std::size_t t = 0; t < row->size; ++t)
                            row->attention[t] = score(h, row->positions[t]);
        now_all.every = now % 2 == 0 ? 1 : p.every;
        REQUIRE(evict(single, 0, 0, now, now_all, scratch));
        REQUIRE(evict(ladder, 0, 0, now, now_all, scratch));
        for (std::size_t h = 0; h < kv_heads; ++h) {
            positions all;
            for (std::size_t tier = 0; tier < 3; ++tier)
                for (const std::uint32_t at : positions_of(ladder.view(0, 0, h, tier)))
                    all.push_back(at);
            std::sort(all.begin(), all.end());
            if (now_all.every != 1) continue;
            if (p.every == 1) wrong += all != positions_of(single.view(0, 0, h));
            wrong += all.size() != std::min<std::size_t>(now, 40);
            if (now < 60) continue;
            wrong += ladder.view(0, 0, h, 0).size != 10 || ladder.view(0, 0, h, 1).size != 16;
            // Sinks and the newest are of full precision.
            const positions first = positions_of(ladder.view(0, 0, h, 0));
            wrong += first[0] != 0 || first[1] != 1 || first[7] != now - 3 || first[9] != now - 1;
            const auto tokens = pare::testing::tokens_of(ladder.view(0, 0, h, 1));
            for (const kept_token& t : tokens) wrong += t.attention != score(h, t.position);
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("demoted by age the first tier holds the newest, and the last lets go by score") {
    const std::vector<pare::kv::block_layout> types{{element::f16, element::f16, dim},
                                                    {element::i4, element::i8, dim}};
    pare::kv::shape two{.layers = 1, .query_heads = 3, .kv_heads = 3, .head_dim = dim};
    two.tiers = 2;
    pool_memory memory(8192, 100);
    store s = *store::make(two, types, memory.pool());
    auto scratch = *eviction_scratch::make(two, 200);
    const policy<as_written> p{
        .budget = {20}, .sinks = 1, .tier_shares = {0.5f}, .demote_oldest = true};
    for (std::size_t now = 0; now < 100;) {
        const matrix x = matrix::uniform(1, kv_heads * dim, now + 1);
        REQUIRE(s.append(0, 0, x.view(), x.view(), now++));
        for (std::size_t h = 0; h < kv_heads; ++h)
            for (std::size_t tier = 0; tier < 2; ++tier)
                for (auto* row = s.rows(0, 0, h, tier); row != nullptr; row = row->next)
                    for (std::size_t t = 0; t < row->size; ++t)  // multiples of 8 are dear
                        row->attention[t] = row->positions[t] % 8 == 0 ? 1.0f : 0.0f;
        REQUIRE(evict(s, 0, 0, now, p, scratch));
    }
    for (std::size_t h = 0; h < kv_heads; ++h) {
        CHECK(positions_of(s.view(0, 0, h, 0)) == positions{0, 91, 92, 93, 94, 95, 96, 97, 98, 99});
        // The ten dearest of the older: of 8, 16, ... 88, which are eleven, the later ones.
        CHECK(positions_of(s.view(0, 0, h, 1)) ==
              positions{16, 24, 32, 40, 48, 56, 64, 72, 80, 88});
    }
}

TEST_CASE("of equal scores the later position stays, and -0 equals 0") {
    for (const std::size_t budget : {9u, 4u, 1u}) {  // one leaves, or several
        one_layer layer(10);
        layer.write_sums([](std::size_t, std::uint32_t at) { return at % 2 == 0 ? 0.0f : -0.0f; });
        REQUIRE(layer.evict(policy<as_written>{.budget = {budget}}));
        positions last(budget);
        for (std::size_t i = 0; i < budget; ++i)
            last[i] = static_cast<std::uint32_t>(10 - budget + i);
        for (std::size_t h = 0; h < kv_heads; ++h) CHECK(layer.kept(h) == last);
    }
}

TEST_CASE("sinks, recent tokens and ranges stay, whatever their scores") {
    one_layer layer(40);
    layer.write_sums([](std::size_t h, std::uint32_t at) {
        return 10 <= at && at < 30 ? static_cast<float>(h + at) : -1e30f;
    });
    const std::vector<pare::kv::position_range> ranges{{7, 9}, {3, 3}};
    policy<as_written> p{.budget = {12}, .sinks = 2, .recent = 3, .keep = ranges};
    REQUIRE(layer.evict(p));
    for (std::size_t h = 0; h < kv_heads; ++h)
        CHECK(layer.kept(h) == positions{0, 1, 7, 8, 25, 26, 27, 28, 29, 37, 38, 39});
    p.recent_share = 0.5f;  // more than `recent`
    REQUIRE(layer.evict(p));
    CHECK(layer.kept(0) == positions{0, 1, 7, 8, 25, 26, 27, 28, 29, 37, 38, 39});
    layer.append(4, 1);
    layer.write_sums([](std::size_t, std::uint32_t at) { return at < 30 ? 1.0f : 0.0f; });
    REQUIRE(layer.evict(p));  // the newest six, of which 37 left is none
    CHECK(layer.kept(0) == positions{0, 1, 7, 8, 28, 29, 38, 39, 40, 41, 42, 43});
}

TEST_CASE("nothing leaves a head within its budget, or less than `every` tokens over it") {
    one_layer layer(20);
    for (const std::size_t budget : {20u, 21u, 1000u}) {
        REQUIRE(layer.evict(policy<pare::kv::window>{.budget = {budget}}));
        CHECK(layer.kept(0).size() == 20);
    }
    const policy<pare::kv::window> p{.budget = {16}, .every = 5};
    REQUIRE(layer.evict(p));
    CHECK(layer.kept(2).size() == 20);
    layer.append(1, 1);
    REQUIRE(layer.evict(p));
    CHECK(layer.kept(2).size() == 16);
    for (std::size_t extra = 1; extra <= 4; ++extra) {
        layer.append(1, 1);
        REQUIRE(layer.evict(p));
        CHECK(layer.kept(2).size() == 16 + extra);
    }
}

TEST_CASE("NaN and infinite scores evict some tokens and keep the rest of the rules") {
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    constexpr float inf = std::numeric_limits<float>::infinity();
    for (const std::size_t budget : {19u, 9u, 5u}) {
        one_layer layer(20);
        layer.write_sums([](std::size_t h, std::uint32_t at) {
            const float odd[]{nan, -nan, inf, -inf, 0.0f, std::bit_cast<float>(0x7fffffffu)};
            return odd[(h + at) % 6];
        });
        REQUIRE(layer.evict(policy<as_written>{.budget = {budget}, .sinks = 2, .recent = 2}));
        for (std::size_t h = 0; h < kv_heads; ++h) {
            const positions kept = layer.kept(h);
            CHECK(kept.size() == budget);
            CHECK((kept[0] == 0 && kept[1] == 1));
            CHECK((kept[budget - 2] == 18 && kept[budget - 1] == 19));
        }
        layer.write_sums(
            [](std::size_t, std::uint32_t) { return std::bit_cast<float>(0x7fffffffu); });
        REQUIRE(layer.evict(policy<pare::kv::tova>{.budget = {3}}));
        CHECK(layer.kept(0) == positions{17, 18, 19});
        REQUIRE(layer.evict(policy<as_written, pare::kv::ada<>>{.budget = {{2}}}));
    }
}

TEST_CASE("ada divides the layer's budget by score and keeps every head's floor") {
    pare::random random(1);
    int wrong = 0, uneven = 0;
    for (int draw = 0; draw < 200; ++draw) {
        const std::size_t n = 30 + random.below(60);
        one_layer layer(n, random.next());
        policy<as_written, pare::kv::ada<>> p;
        p.budget.per_head.tokens_per_head = 5 + random.below(20);
        p.budget.safeguard = static_cast<float>(random.below(5)) / 4.0f;
        p.sinks = random.below(3), p.recent = random.below(3);
        const std::size_t budget = p.budget.tokens(1, 2), floor = p.budget.floor(1, 2);
        // Different scores, and heads of different loudness.
        std::vector<std::vector<float>> sums(kv_heads, std::vector<float>(n));
        for (std::size_t h = 0; h < kv_heads; ++h)
            for (std::size_t t = 0; t < n; ++t)
                sums[h][t] = (random.symmetric() + 1.0f) * static_cast<float>(h + 1) +
                             static_cast<float>(t + n * h) * 1e-5f;
        layer.write_sums([&](std::size_t h, std::uint32_t at) { return sums[h][at]; });
        REQUIRE(layer.evict(p));

        // The best of each head up to its floor, then the best of the rest of the layer.
        std::vector<positions> expected(kv_heads);
        std::vector<std::tuple<float, std::size_t, std::uint32_t>> rest;
        std::size_t n_kept = 0;
        for (std::size_t h = 0; h < kv_heads; ++h) {
            std::vector<std::pair<float, std::uint32_t>> mine;
            for (std::uint32_t t = 0; t < n; ++t)
                mine.emplace_back(t < p.sinks || t + p.recent >= n ? 1e9f : sums[h][t], t);
            std::sort(mine.rbegin(), mine.rend());
            for (std::size_t i = 0; i < n; ++i)
                if (i < floor || mine[i].first == 1e9f) {
                    expected[h].push_back(mine[i].second);
                    ++n_kept;
                } else {
                    rest.emplace_back(mine[i].first, h, mine[i].second);
                }
        }
        std::sort(rest.rbegin(), rest.rend());
        for (std::size_t i = 0; n_kept < kv_heads * budget; ++i, ++n_kept)
            expected[std::get<1>(rest[i])].push_back(std::get<2>(rest[i]));
        std::size_t total = 0;
        for (std::size_t h = 0; h < kv_heads; ++h) {
            std::sort(expected[h].begin(), expected[h].end());
            wrong += layer.kept(h) != expected[h] || layer.kept(h).size() < floor;
            total += layer.kept(h).size();
        }
        wrong += total != kv_heads * budget;
        uneven += layer.kept(0).size() != budget;
    }
    CHECK(wrong == 0);
    CHECK(uneven > 50);
}

TEST_CASE("evict refuses what does not fit and leaves the tokens") {
    one_layer layer(40);
    const policy<pare::kv::window> p{.budget = {8}};
    const auto code = [&](std::size_t sequence, std::size_t l, eviction_scratch& memory) {
        const auto done = pare::kv::evict(layer.tokens, sequence, l, layer.now, p, memory);
        return done ? errc::not_found : done.error().code;
    };
    auto small = eviction_scratch::make(layer.tokens.shape(), 39);
    auto of_small_heads = eviction_scratch::make({2, 6, kv_heads, dim - 2, 2}, 40);
    auto exact = eviction_scratch::make(layer.tokens.shape(), 40);
    REQUIRE((small && of_small_heads && exact));
    CHECK(code(1, 1, *small) == errc::buffer_too_small);
    CHECK(code(1, 1, *of_small_heads) == errc::buffer_too_small);
    CHECK(code(2, 1, *exact) == errc::invalid_argument);
    CHECK(code(1, 2, *exact) == errc::invalid_argument);
    const std::uint32_t some = 3;
    REQUIRE(layer.tokens.remove(1, 1, 0, {&some, 1}));
    const auto uneven = layer.evict(policy<pare::kv::tova>{.budget = {8}});
    REQUIRE(!uneven);
    CHECK(uneven.error().code == errc::shape_mismatch);
    CHECK(layer.kept(0).size() == 39);
    CHECK(layer.kept(1).size() == 40);
    CHECK(code(1, 1, *exact) == errc::not_found);
    CHECK(layer.kept(1).size() == 8);
}

TEST_CASE("evictions of a fork leave what it was forked from") {
    one_layer layer(100);
    layer.write_sums(
        [](std::size_t h, std::uint32_t at) { return static_cast<float>((at * 37 + h) % 100); });
    std::vector<std::vector<kept_token>> before;
    for (std::size_t h = 0; h < kv_heads; ++h)
        before.push_back(tokens_of(layer.tokens.view(1, 1, h)));
    REQUIRE(layer.tokens.fork(1, 0));
    REQUIRE(layer.evict(policy<as_written>{.budget = {30}}));
    for (std::size_t h = 0; h < kv_heads; ++h) {
        CHECK(layer.kept(h).size() == 30);
        CHECK((tokens_of(layer.tokens.view(0, 1, h)) == before[h]));
    }
}
