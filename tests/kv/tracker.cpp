// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/tracker.hpp>

#include <pare/kv/a2sf.hpp>
#include <pare/kv/ada.hpp>
#include <pare/kv/h2o.hpp>
#include <pare/kv/key_norm.hpp>
#include <pare/kv/tova.hpp>
#include <pare/kv/window.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

using pare::errc, pare::kv::policy, pare::kv::reduction, pare::kv::shape, pare::kv::tracker;
using pare::testing::matrix;

namespace {

constexpr shape two_heads{.layers = 2, .query_heads = 4, .kv_heads = 2, .head_dim = 64};

// An engine with a cache of its own, of which only the positions matter here, and the sums by
// position. Probabilities are eighths: sums are exact.
struct engine {
    std::vector<std::uint32_t> tokens;
    std::map<std::uint32_t, float> sums;

    matrix attend(std::size_t n, std::size_t n_queries, std::size_t now, pare::random& random,
                  const auto& scorer, reduction across) {
        for (std::size_t i = 0; i < n; ++i) tokens.push_back(static_cast<std::uint32_t>(now + i));
        matrix p(2 * n_queries, tokens.size());
        for (float& x : p.data()) x = static_cast<float>(random.below(9)) / 8.0f;
        for (std::size_t t = 0; t < tokens.size(); ++t) {
            float& sum = sums[tokens[t]];
            sum *= scorer.carry(n_queries);
            for (std::size_t i = 0; i < n_queries; ++i) {
                const float a = p(2 * i, t), b = p(2 * i + 1, t);
                sum += scorer.weight(i, n_queries) * (across == reduction::mean  ? (a + b) / 2
                                                      : across == reduction::sum ? a + b
                                                                                 : std::max(a, b));
            }
        }
        return p;
    }
    void carry_out(std::span<const pare::kv::move> moves, std::size_t size) {
        for (const pare::kv::move m : moves) tokens[m.to] = tokens[m.from];
        tokens.resize(size);
    }
    // The best `budget` by score, of equal ones the later, behind the newest `recent`.
    std::vector<std::uint32_t> best(std::size_t budget, std::size_t recent, std::size_t now,
                                    const auto& score) const {
        std::vector<std::pair<float, std::uint32_t>> all;
        for (const std::uint32_t t : tokens)
            all.emplace_back(t + recent >= now ? 1e30f : score(t), t);
        std::sort(all.rbegin(), all.rend());
        std::vector<std::uint32_t> kept;
        for (std::size_t i = 0; i < all.size() && i < budget; ++i) kept.push_back(all[i].second);
        std::sort(kept.begin(), kept.end());
        return kept;
    }
};

template <class Scorer>
int n_wrong(const Scorer& scorer, reduction across, std::size_t every) {
    constexpr std::size_t budget = 20, recent = 3;
    using kept_by = policy<Scorer>;
    const kept_by p{
        .scorer = scorer, .budget = {budget}, .recent = recent, .every = every, .across = across};
    auto made = tracker<kept_by>::make(two_heads, p, budget + every - 1 + 9);
    REQUIRE(made);
    pare::random random(1);
    std::vector<engine> engines(2);
    int wrong = 0;
    std::size_t now = 0;
    for (int step = 0; step < 150; ++step) {
        const std::size_t n = 1 + random.below(9), n_queries = 1 + random.below(n);
        REQUIRE(made->append(1, n));
        for (std::size_t h = 0; h < 2; ++h)
            REQUIRE(made->observe(
                1, h, engines[h].attend(n, n_queries, now, random, scorer, across).view()));
        now += n;
        const bool leaves = engines[0].tokens.size() >= budget + every;
        std::vector<std::vector<std::uint32_t>> expected;
        for (std::size_t h = 0; h < 2; ++h)
            expected.push_back(
                engines[h].best(leaves ? budget : 1000, recent, now, [&](std::uint32_t t) {
                    return pare::kv::layer_wide_scorer<Scorer>
                               ? engines[0].sums[t] + engines[1].sums[t]
                               : engines[h].sums[t];
                }));
        REQUIRE(made->plan(1));
        for (std::size_t h = 0; h < 2; ++h) {
            std::vector<std::uint32_t>& tokens = engines[h].tokens;
            engines[h].carry_out(made->moves(h), made->size(1, h));
            const auto named = made->positions(1, h);
            wrong += !std::equal(tokens.begin(), tokens.end(), named.begin(), named.end());
            auto kept = tokens;
            std::sort(kept.begin(), kept.end());
            wrong += kept != expected[h];
        }
        wrong += made->size(0, 0) != 0;
    }
    return wrong;
}

}  // namespace

TEST_CASE("an engine that carries out the moves of a tracker keeps what the policy says") {
    for (const reduction across : {reduction::mean, reduction::max, reduction::sum})
        for (const std::size_t every : {1u, 6u}) {
            CAPTURE(static_cast<int>(across), every);
            CHECK(n_wrong(pare::kv::h2o{}, across, every) == 0);
            CHECK(n_wrong(pare::kv::a2sf{.forgetting = 0.0f}, across, every) == 0);
            CHECK(n_wrong(pare::kv::tova{}, across, every) == 0);
        }
}

TEST_CASE("a tracker shares out the budget of a layer") {
    using shared = policy<pare::kv::h2o, pare::kv::ada<>>;
    auto made = tracker<shared>::make(two_heads, {.budget = {{10}, 0.2f}}, 20);
    REQUIRE(made);
    REQUIRE(made->append(0, 20));
    matrix loud(2, 20), quiet(2, 20);
    for (std::size_t t = 0; t < 20; ++t) {
        loud(0, t) = loud(1, t) = 0.5f;
        quiet(0, t) = quiet(1, t) = 0.25f;
    }
    REQUIRE(made->observe(0, 0, quiet.view()));
    REQUIRE(made->observe(0, 1, loud.view()));
    REQUIRE(made->plan(0));
    CHECK(made->size(0, 0) == 2);
    CHECK(made->size(0, 1) == 18);
    CHECK(made->moves(0).size() <= 18);
}

TEST_CASE("a tracker shows a scorer the keys in the engine's memory") {
    using by_key = policy<pare::kv::key_norm>;
    constexpr shape s{.layers = 1, .query_heads = 2, .kv_heads = 2, .head_dim = 3};
    constexpr std::size_t budget = 5;
    auto made = tracker<by_key>::make(s, {.budget = {budget}, .sinks = 1}, budget + 1);
    REQUIRE(made);
    // Keys of both heads side by side, as the engine has them; the values do not matter.
    matrix keys(budget + 1, 2 * 3);
    std::vector<std::size_t> length(2);
    std::vector<std::vector<float>> expected(2);  // norms, behind the sink
    pare::random random(5);
    for (int step = 0; step < 40; ++step) {
        REQUIRE(made->append(0, 1));
        for (std::size_t h = 0; h < 2; ++h) {
            const float norm = random.symmetric() + 2.0f;
            keys(length[h]++, 3 * h + 1) = norm;
            if (step > 0) expected[h].push_back(norm);
            if (length[h] > budget)
                expected[h].erase(std::max_element(expected[h].begin(), expected[h].end()));
            const auto own = keys.view().block(0, 3 * h, length[h], 3);
            REQUIRE(made->show(0, h, {own, own}));
        }
        REQUIRE(made->plan(0));
        for (std::size_t h = 0; h < 2; ++h) {
            for (const pare::kv::move m : made->moves(h))
                keys(m.to, 3 * h + 1) = keys(m.from, 3 * h + 1);
            length[h] = made->size(0, h);
            std::vector<float> kept;
            for (std::size_t t = 0; t < length[h]; ++t)
                if (made->positions(0, h)[t] != 0) kept.push_back(keys(t, 3 * h + 1));
            std::sort(kept.begin(), kept.end());
            std::sort(expected[h].begin(), expected[h].end());
            CHECK(kept == expected[h]);
        }
    }
    const auto own = keys.view().block(0, 0, budget, 3);
    CHECK(made->plan(0).error().code == errc::shape_mismatch);  // what was shown is stale
    CHECK(made->show(0, 2, {own, own}).error().code == errc::invalid_argument);
    CHECK(made->show(0, 0, {own.block(0, 0, 4, 3), own}).error().code == errc::shape_mismatch);
    const matrix across(3, budget);
    CHECK(made->show(0, 0, {across.view().transposed(), own}).error().code == errc::not_contiguous);
}

TEST_CASE("a tracker scores a layer by its own keys only") {
    constexpr shape s{.layers = 2, .query_heads = 2, .kv_heads = 2, .head_dim = 3};
    auto made = tracker<policy<pare::kv::key_norm>>::make(s, {.budget = {2}}, 3);
    REQUIRE(made);
    matrix first(3, 3), second(3, 3);
    for (std::size_t t = 0; t < 3; ++t) {
        first(t, 0) = static_cast<float>(1 + t);  // the last token leaves
        second(t, 0) = static_cast<float>(3 - t);
    }
    const auto show = [&](std::size_t layer, std::size_t head,
                          pare::matrix_view<const float> keys) {
        REQUIRE(made->show(layer, head, {keys, keys}));
    };
    const auto code = [&](std::size_t layer) { return made->plan(layer).error().code; };
    for (const std::size_t layer : {0u, 1u}) REQUIRE(made->append(layer, 3));
    for (const std::size_t head : {0u, 1u}) show(0, head, first.view());
    show(1, 0, second.view());
    CHECK(code(0) == errc::shape_mismatch);
    CHECK(code(1) == errc::shape_mismatch);  // the second head's
    show(1, 1, second.view());
    CHECK(code(0) == errc::shape_mismatch);
    REQUIRE(made->plan(1));
    CHECK(made->positions(1, 0)[0] == 2);
    CHECK(made->size(0, 0) == 3);
    for (const std::size_t head : {0u, 1u}) show(0, head, first.view());
    REQUIRE(made->plan(0));
    CHECK(made->positions(0, 1)[0] == 0);
    CHECK(made->positions(0, 1)[1] == 1);

    for (const std::size_t head : {0u, 1u}) show(0, head, first.view().block(0, 0, 2, 3));
    made->clear();
    REQUIRE(made->append(0, 2));
    CHECK(code(0) == errc::shape_mismatch);
}

TEST_CASE("a tracker starts anew after clear") {
    using windowed = policy<pare::kv::window>;
    auto made = tracker<windowed>::make(two_heads, {.budget = {4}, .sinks = 1}, 8);
    REQUIRE(made);
    for (int round = 0; round < 2; ++round) {
        REQUIRE(made->append(0, 8));
        REQUIRE(made->plan(0));
        std::vector<std::uint32_t> kept(made->positions(0, 1).begin(), made->positions(0, 1).end());
        std::sort(kept.begin(), kept.end());
        CHECK(kept == std::vector<std::uint32_t>{0, 5, 6, 7});
        REQUIRE(made->plan(0));
        CHECK(made->moves(0).empty());
        made->clear();
        CHECK(made->size(0, 0) == 0);
    }
}

TEST_CASE("a tracker refuses what does not fit") {
    using summed = policy<pare::kv::h2o>;
    auto made = tracker<summed>::make(two_heads, {.budget = {4}}, 8);
    REQUIRE(made);
    REQUIRE(made->append(0, 5));
    CHECK(made->append(0, 4).error().code == errc::buffer_too_small);
    CHECK(made->size(0, 0) == 5);
    CHECK(made->observe(0, 0, matrix(2, 4).view()).error().code == errc::shape_mismatch);
    CHECK(made->observe(0, 0, matrix(3, 5).view()).error().code == errc::shape_mismatch);
    CHECK(made->observe(0, 0, matrix(4, 5).view()));
    CHECK(tracker<summed>::make(two_heads, {.budget = {0}}, 8).error().code ==
          errc::invalid_argument);
}
