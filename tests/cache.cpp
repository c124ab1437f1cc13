// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/cache.hpp>

#include <pare/kernel/attention_error.hpp>
#include <pare/kernel/lserve.hpp>
#include <pare/kv/a2sf.hpp>
#include <pare/kv/ada.hpp>
#include <pare/kv/cache_bytes.hpp>
#include <pare/kv/h2o.hpp>
#include <pare/kv/key_norm.hpp>
#include <pare/kv/pyramid.hpp>
#include <pare/kv/random_tokens.hpp>
#include <pare/kv/snapkv.hpp>
#include <pare/kv/tova.hpp>
#include <pare/kv/window.hpp>

#include "support/attention.hpp"
#include "support/catch.hpp"
#include "support/kv.hpp"
#include "support/rotary.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

using pare::errc, pare::kv::element, pare::kv::policy, pare::kv::shape;
using pare::testing::dense_attention, pare::testing::kept_token, pare::testing::matrix,
    pare::testing::pool_memory, pare::testing::positions_of, pare::testing::tokens_of;

namespace {

using positions = std::vector<std::uint32_t>;
constexpr std::size_t dim = 8;
constexpr shape gqa{.layers = 2, .query_heads = 4, .kv_heads = 2, .head_dim = dim, .sequences = 3};

// A text: keys, values and queries of every position. The first channel of a key and value is the
// position itself, so that a token that is confused with another is found out.
struct text {
    text(std::size_t n, std::uint64_t seed, const shape& s = gqa)
        : keys(matrix::uniform(n, s.kv_heads * s.head_dim, seed)),
          values(matrix::uniform(n, s.kv_heads * s.head_dim, seed + 1)),
          queries(matrix::uniform(n, s.query_heads * s.head_dim, seed + 2)) {
        for (float& x : queries.data()) x *= 3.0f;
        for (std::size_t t = 0; t < n; ++t) {
            for (std::size_t h = 0; h < s.kv_heads; ++h)
                keys(t, h * s.head_dim) = values(t, h * s.head_dim) = static_cast<float>(t);
            for (std::size_t h = 0; h < s.query_heads; ++h) queries(t, h * s.head_dim) = 0.0f;
        }
    }

    // The next n tokens of a layer through a cache; their outputs.
    template <class Cache>
    matrix feed(Cache& cache, std::size_t layer, std::size_t n, std::size_t sequence = 0) const {
        const std::size_t first = cache.length(layer, sequence);
        matrix out(n, queries.cols());
        if (!cache.append(layer, keys.view().block(first, 0, n, keys.cols()),
                          values.view().block(first, 0, n, values.cols()), sequence) ||
            !cache.attend(layer, queries.view().block(first, 0, n, queries.cols()), out.view(),
                          pare::serial{}, sequence))
            FAIL("a cache refused a token");
        return out;
    }

    matrix keys, values, queries;
};

template <class Policy>
class pooled_cache {
  public:
    explicit pooled_cache(const Policy& p, std::size_t max_chunk = 1, element e = element::f32,
                          const shape& s = gqa)
        : memory_(8192, 300), cache_(*pare::kv::cache<Policy>::make(s, {e, e, s.head_dim}, p,
                                                                    max_chunk, memory_.pool())) {}

    pare::kv::cache<Policy>& operator*() { return cache_; }
    pare::kv::cache<Policy>* operator->() { return &cache_; }
    pool_memory& memory() { return memory_; }
    pare::kv::head_view view(std::size_t layer, std::size_t head, std::size_t sequence = 0) const {
        return cache_.tokens().view(sequence, layer, head);
    }
    // Everything a sequence keeps.
    std::vector<std::vector<kept_token>> all(std::size_t sequence = 0) const {
        std::vector<std::vector<kept_token>> heads;
        for (std::size_t l = 0; l < cache_.tokens().shape().layers; ++l)
            for (std::size_t h = 0; h < cache_.tokens().shape().kv_heads; ++h)
                heads.push_back(pare::testing::sorted_tokens_of(view(l, h, sequence)));
        return heads;
    }

  private:
    pool_memory memory_;
    pare::kv::cache<Policy> cache_;
};

// A2SF as its authors' code has it, on the whole text: what query t sees of each KV head. H2O is
// forgetting 1.
class paper {
  public:
    paper(const text& t, float forgetting, std::size_t heavy, std::size_t recent)
        : text_(t), forgetting_(forgetting), heavy_(heavy), recent_(recent), sums_(gqa.kv_heads),
          visible_(gqa.kv_heads) {}

    const positions& step(std::size_t t, std::size_t head) {
        std::map<std::uint32_t, double>& sums = sums_[head];
        positions& visible = visible_[head];
        if (t >= heavy_ + recent_) {  // the best of those before the recent ones, and these
            const std::size_t first_recent = t - recent_;
            positions older, kept;
            for (const std::uint32_t j : visible) (j < first_recent ? older : kept).push_back(j);
            std::sort(older.begin(), older.end(),
                      [&](std::uint32_t a, std::uint32_t b) { return sums[a] > sums[b]; });
            older.resize(std::min(older.size(), heavy_));
            kept.insert(kept.end(), older.begin(), older.end());
            std::sort(kept.begin(), kept.end());
            visible = kept;
        }
        visible.push_back(static_cast<std::uint32_t>(t));
        std::vector<kept_token> tokens;
        for (const std::uint32_t j : visible) tokens.push_back(token(j, head));
        const std::size_t group = gqa.group_size();
        for (auto& [j, sum] : sums) sum *= static_cast<double>(forgetting_);
        for (std::size_t g = 0; g < group; ++g) {
            const dense_attention dense(
                tokens, text_.queries.view().row_span(t).subspan((head * group + g) * dim, dim), t,
                {element::f32, element::f32, dim});
            for (std::size_t i = 0; i < visible.size(); ++i)
                sums[visible[i]] += dense.p[i] / static_cast<double>(group);
        }
        return visible;
    }

  private:
    kept_token token(std::uint32_t j, std::size_t head) const {
        const auto key = text_.keys.view().row_span(j).subspan(head * dim, dim);
        const auto value = text_.values.view().row_span(j).subspan(head * dim, dim);
        return {j, 0.0f, {key.begin(), key.end()}, {value.begin(), value.end()}};
    }

    const text& text_;
    float forgetting_;
    std::size_t heavy_, recent_;
    std::vector<std::map<std::uint32_t, double>> sums_;
    std::vector<positions> visible_;
};

// How often what a query sees differs from the paper, step by step.
template <class Policy>
int n_unlike_the_paper(const Policy& p, float forgetting, std::size_t heavy, std::size_t recent) {
    const text words(150, 11);
    pooled_cache<Policy> cache(p);
    paper model(words, forgetting, heavy, recent);
    int wrong = 0;
    for (std::size_t t = 0; t < 150; ++t) {
        REQUIRE(cache->append(0, words.keys.view().block(t, 0, 1, words.keys.cols()),
                              words.values.view().block(t, 0, 1, words.values.cols())));
        for (std::size_t h = 0; h < gqa.kv_heads; ++h) {
            const positions seen = positions_of(cache.view(0, h));
            wrong += seen != model.step(t, h);
            wrong += seen.size() != std::min(t, heavy + recent) + 1;
        }
        matrix out(1, words.queries.cols());
        REQUIRE(cache->attend(0, words.queries.view().block(t, 0, 1, words.queries.cols()),
                              out.view()));
    }
    return wrong;
}

std::vector<std::uint32_t> bits_of(const matrix& m) {
    std::vector<std::uint32_t> bits;
    for (const float x : m.data()) bits.push_back(std::bit_cast<std::uint32_t>(x));
    return bits;
}

// Any policy, chunks of any size, layers out of step: what is kept is what was written at its
// position, and what attention gives is attention over it.
template <class Policy>
void check_long_run(const Policy& p, element e, const shape& s = gqa) {
    constexpr std::size_t max_chunk = 9, n_tokens = 260;
    pare::random random(7);
    pooled_cache<Policy> cache(p, max_chunk, e, s);
    int wrong = 0;
    for (std::size_t layer = 0; layer < s.layers; ++layer) {
        const text words(n_tokens, layer, s);
        while (cache->length(layer) + max_chunk <= n_tokens) {
            const std::size_t first = cache->length(layer), n = 1 + random.below(max_chunk);
            REQUIRE(cache->append(layer, words.keys.view().block(first, 0, n, words.keys.cols()),
                                  words.values.view().block(first, 0, n, words.values.cols())));
            std::vector<std::vector<kept_token>> seen;
            for (std::size_t h = 0; h < s.kv_heads; ++h)
                seen.push_back(tokens_of(cache.view(layer, h)));
            matrix out(n, words.queries.cols());
            const auto queries = words.queries.view().block(first, 0, n, words.queries.cols());
            REQUIRE(cache->attend(layer, queries, out.view()));
            wrong += cache->length(layer) != first + n;
            for (std::size_t h = 0; h < s.query_heads; ++h)
                for (std::size_t i = 0; i < n; ++i) {
                    const dense_attention dense(
                        seen[h / s.group_size()],
                        queries.row_span(i).subspan(h * s.head_dim, s.head_dim), first + i,
                        {e, e, s.head_dim});
                    wrong += !dense.agrees_with(
                        out.view().row_span(i).subspan(h * s.head_dim, s.head_dim));
                }
            for (std::size_t h = 0; h < s.kv_heads; ++h)
                for (const kept_token& t : tokens_of(cache.view(layer, h))) {
                    // i8 and i4 round the position to half a step of its range.
                    const float half_step = e == element::f32 ? 0.0f : 0.5f * n_tokens / 15;
                    wrong += !(std::fabs(t.key[0] - static_cast<float>(t.position)) <= half_step);
                    wrong += !(std::fabs(t.value[0] - static_cast<float>(t.position)) <= half_step);
                    wrong += t.position >= first + n;
                }
        }
        std::size_t total = 0;
        for (std::size_t h = 0; h < s.kv_heads; ++h) {
            const positions kept = positions_of(cache.view(layer, h));
            wrong += std::adjacent_find(kept.begin(), kept.end()) != kept.end();
            total += kept.size();
        }
        wrong += total >= s.kv_heads * (p.budget.tokens(layer, s.layers) + p.every);
        wrong += total < s.kv_heads * p.budget.tokens(layer, s.layers);
    }
    CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("a cache attends to what it keeps and knows its positions, whatever the policy") {
    namespace kv = pare::kv;
    check_long_run(policy<kv::window>{.budget = {40}, .sinks = 4}, element::f32);
    check_long_run(policy<kv::a2sf>{.budget = {32}}, element::f32);
    check_long_run(policy<kv::a2sf>{.budget = {33}, .recent_share = 0.5f}, element::i4);
    check_long_run(policy<kv::h2o>{.budget = {64}, .recent_share = 0.5f, .every = 7}, element::i8);
    check_long_run(policy<kv::snapkv>{.scorer = {8, 3}, .budget = {50}, .recent = 8}, element::f32);
    check_long_run(policy<kv::tova>{.budget = {31}, .every = 3}, element::i4);
    check_long_run(policy<kv::key_norm>{.budget = {20}}, element::f32);
    check_long_run(policy<kv::random_tokens>{.budget = {1}}, element::f32);
    check_long_run(policy<kv::a2sf, kv::pyramid>{.budget = {40, 8}, .recent = 2}, element::f32);
    check_long_run(policy<kv::h2o, kv::ada<>>{.budget = {{40}}, .every = 5}, element::f32);
    check_long_run(policy<kv::a2sf, kv::ada<kv::pyramid>>{.budget = {{40}, 0.0f}}, element::i8);
    constexpr shape wide{.layers = 1, .query_heads = 20, .kv_heads = 1, .head_dim = 18};
    check_long_run(policy<kv::a2sf>{.budget = {40}, .across = kv::reduction::max}, element::f32,
                   wide);
}

TEST_CASE("a head may take all that ada has to give") {
    // Keys of head 1 are loud: key_norm gives all of the budget to head 0, down to the floor.
    for (const float safeguard : {0.0f, 0.25f}) {
        const policy<pare::kv::key_norm, pare::kv::ada<>> p{.budget = {{20}, safeguard},
                                                            .every = 4};
        pooled_cache<decltype(p)> unused(p);
        pooled_cache<policy<pare::kv::key_norm, pare::kv::ada<>>> cache(p, 5);
        text words(400, 3);
        for (std::size_t t = 0; t < 400; ++t)
            for (std::size_t d = 0; d < dim; ++d) words.keys(t, dim + d) += 1000.0f;
        for (int i = 0; i < 80; ++i) static_cast<void>(words.feed(*cache, 0, 5));
        const std::size_t floor = p.budget.floor(0, 2);
        CHECK(cache.view(0, 0).size == 40 - floor);
        CHECK(cache.view(0, 1).size == floor);
    }
}

TEST_CASE("decoding with a2sf sees what the paper's code sees at every step: heavy + recent + 1") {
    for (const float forgetting : {0.1f, 0.5f, 0.9f})
        for (const std::size_t recent : {0u, 5u, 10u}) {
            CAPTURE(forgetting, recent);
            const policy<pare::kv::a2sf> p{
                .scorer = {forgetting}, .budget = {20}, .recent = recent};
            CHECK(n_unlike_the_paper(p, forgetting, 20 - recent, recent) == 0);
        }
}

TEST_CASE("forgetting 1 with heavy and recent halves is h2o") {
    const policy<pare::kv::a2sf> a{.scorer = {1.0f}, .budget = {20}, .recent_share = 0.5f};
    const policy<pare::kv::h2o> b{.budget = {20}, .recent_share = 0.5f};
    CHECK(n_unlike_the_paper(a, 1.0f, 10, 10) == 0);
    CHECK(n_unlike_the_paper(b, 1.0f, 10, 10) == 0);
    // The comparison bites: another factor keeps other tokens.
    CHECK(n_unlike_the_paper(b, 0.9f, 10, 10) > 0);
}

TEST_CASE("forgetting 0 keeps what the last query looked at most, and so does tova") {
    const policy<pare::kv::a2sf> p{.scorer = {0.0f}, .budget = {12}};
    const policy<pare::kv::tova> q{.budget = {12}};
    const text words(60, 5);
    pooled_cache<policy<pare::kv::a2sf>> cache(p);
    pooled_cache<policy<pare::kv::tova>> layer_wide(q);
    int wrong = 0;
    for (std::size_t t = 0; t < 60; ++t) {
        static_cast<void>(words.feed(*layer_wide, 0, 1));
        wrong += positions_of(layer_wide.view(0, 0)) != positions_of(layer_wide.view(0, 1));
        REQUIRE(cache->append(0, words.keys.view().block(t, 0, 1, 2 * dim),
                              words.values.view().block(t, 0, 1, 2 * dim)));
        std::vector<positions> expected;
        for (std::size_t h = 0; h < 2; ++h) {
            const auto tokens = tokens_of(cache.view(0, h));
            std::vector<std::pair<double, std::uint32_t>> seen;
            for (const kept_token& x : tokens) seen.emplace_back(0.0, x.position);
            for (std::size_t g = 0; g < 2; ++g) {
                const dense_attention dense(
                    tokens, words.queries.view().row_span(t).subspan((2 * h + g) * dim, dim), t,
                    {element::f32, element::f32, dim});
                for (std::size_t i = 0; i < seen.size(); ++i) seen[i].first += dense.p[i];
            }
            std::sort(seen.rbegin(), seen.rend());
            expected.emplace_back();
            for (std::size_t i = 0; i < seen.size() && i < 12; ++i)
                expected[h].push_back(seen[i].second);
            std::sort(expected[h].begin(), expected[h].end());
        }
        matrix out(1, 4 * dim);
        REQUIRE(cache->attend(0, words.queries.view().block(t, 0, 1, 4 * dim), out.view()));
        for (std::size_t h = 0; h < 2; ++h) wrong += positions_of(cache.view(0, h)) != expected[h];
    }
    CHECK(wrong == 0);
}

TEST_CASE(
    "a prompt in one chunk attends to all of itself, then is cut by the sums of its queries") {
    constexpr std::size_t n = 70, budget = 20, recent = 6;
    const float forgetting = 0.8f;
    const text words(n, 9);
    pooled_cache<policy<pare::kv::a2sf>> cache(
        {.scorer = {forgetting}, .budget = {budget}, .recent = recent}, n);
    static_cast<void>(words.feed(*cache, 0, n));  // check_long_run looks at the outputs
    int wrong = 0;
    for (std::size_t h = 0; h < 2; ++h) {
        std::vector<kept_token> tokens;
        for (std::uint32_t t = 0; t < n; ++t) {
            const auto key = words.keys.view().row_span(t).subspan(h * dim, dim);
            tokens.push_back({t, 0.0f, {key.begin(), key.end()}, std::vector<float>(dim)});
        }
        std::vector<std::pair<double, std::uint32_t>> older;
        for (std::uint32_t t = 0; t < n - recent; ++t) older.emplace_back(0.0, t);
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t g = 0; g < 2; ++g) {
                const dense_attention dense(
                    tokens, words.queries.view().row_span(i).subspan((2 * h + g) * dim, dim), i,
                    {element::f32, element::f32, dim});
                for (auto& [sum, t] : older)
                    sum +=
                        std::pow(static_cast<double>(forgetting), static_cast<double>(n - 1 - i)) *
                        dense.p[t];
            }
        std::sort(older.rbegin(), older.rend());
        positions expected;
        for (std::size_t i = 0; i < budget - recent; ++i) expected.push_back(older[i].second);
        for (std::uint32_t t = n - recent; t < n; ++t) expected.push_back(t);
        std::sort(expected.begin(), expected.end());
        wrong += positions_of(cache.view(0, h)) != expected;
    }
    CHECK(wrong == 0);
}

TEST_CASE("a rejected draft leaves no trace, not even where it evicted") {
    for (const element e : {element::f32, element::i4}) {
        const policy<pare::kv::a2sf> p{.scorer = {0.9f}, .budget = {24}, .recent = 4, .every = 3};
        pooled_cache<policy<pare::kv::a2sf>> plain(p, 8, e), drafted(p, 8, e);
        const text words(200, 1), draft(200, 100);
        pare::random random(3);
        int wrong = 0;
        while (plain->length(0) < 190) {
            const std::size_t before = drafted->length(1);
            REQUIRE(drafted->fork(0, 2));
            for (std::uint64_t i = random.below(6); i-- > 0 && drafted->length(0) < 190;)
                for (const std::size_t layer : {0u, 1u})
                    static_cast<void>(draft.feed(*drafted, layer, 1 + i));
            REQUIRE(drafted->fork(2, 0));
            wrong += drafted->length(1) != before;
            const std::size_t n = 1 + random.below(4);
            for (const std::size_t layer : {0u, 1u})
                wrong += bits_of(words.feed(*plain, layer, n)) !=
                         bits_of(words.feed(*drafted, layer, n));
            wrong += plain.all() != drafted.all();
        }
        CHECK(wrong == 0);
        drafted->clear(0), drafted->clear(2);
        CHECK(drafted->bytes_in_use() == 0);
    }
}

TEST_CASE("beams that share tokens go their own ways") {
    const policy<pare::kv::h2o> p{.budget = {40}, .recent = 4};
    pooled_cache<policy<pare::kv::h2o>> beams(p, 8), first(p, 8), second(p, 8);
    const text common(50, 1), a(150, 2), b(150, 3);
    int wrong = 0;
    const auto feed = [](auto& cache, const text& words, std::size_t n, std::size_t sequence) {
        return bits_of(words.feed(*cache, 0, n, sequence));
    };
    for (int i = 0; i < 5; ++i)
        for (auto* cache : {&beams, &first, &second}) feed(*cache, common, 8, 0);
    REQUIRE(beams->fork(0, 1));
    for (int i = 0; i < 100; ++i) {
        wrong += feed(beams, a, 1, 0) != feed(first, a, 1, 0);
        wrong += feed(beams, b, 1, 1) != feed(second, b, 1, 0);
    }
    wrong += beams.all(0) != first.all(0) || beams.all(1) != second.all(0);
    wrong += beams->length(0, 0) != 140 || beams->length(0, 1) != 140 || beams->length(0, 2) != 0;
    CHECK(wrong == 0);
}

TEST_CASE("a fork onto itself changes nothing, not even what is read next") {
    const pare::kv::block_layout layout{
        .keys = element::f32, .values = element::f32, .head_dim = dim, .key_ranges = true};
    using full = policy<pare::kv::window>;
    pool_memory memory(8192, 300);
    const text words(320, 5);
    const auto outputs = [&](bool forks) {
        auto cache = *pare::kv::cache<full, pare::lserve>::make(
            gqa, layout, {.budget = {400}}, 300, memory.pool(), {.tokens = 96, .every = 8});
        words.feed(cache, 0, 300);
        std::vector<std::uint32_t> bits;
        for (int i = 0; i < 20; ++i) {
            if (forks) CHECK(cache.fork(0, 0));
            for (const std::uint32_t x : bits_of(words.feed(cache, 0, 1))) bits.push_back(x);
            if (forks) CHECK(cache.swap(0, 0));
        }
        CHECK(cache.length(0) == 320);
        return bits;
    };
    CHECK(outputs(true) == outputs(false));
}

TEST_CASE("where a fork finds no memory the other sequence is as if it were cleared") {
    shape s = gqa;
    s.layers = 1;
    s.tiers = 2;
    const std::vector<pare::kv::block_layout> types{
        {element::f32, element::f32, dim},
        {.keys = element::f32, .values = element::f32, .head_dim = dim, .key_channels = 2}};
    using demoting = policy<pare::kv::window>;
    const demoting p{.budget = {120}, .tier_shares = {0.5f}};
    // The channels that a head's demoted keys keep say what is remembered of the queries.
    const auto channels_after = [&](bool forked) {
        pool_memory memory(4096, 30);
        auto cache = *pare::kv::cache<demoting>::make(s, types, p, 90, memory.pool());
        text loud(90, 1, s), words(90, 4, s);
        for (std::size_t t = 0; t < 90; ++t)
            for (std::size_t h = 0; h < 4; ++h) loud.queries(t, h * dim + 5) = 1e6f;
        loud.feed(cache, 0, 90);
        if (forked) {
            loud.feed(cache, 0, 30, 1);
            REQUIRE(cache.truncate(0, 1));
            std::vector<void*> taken;  // all that is left
            while (void* const block = memory.pool().allocate(sizeof(pare::kv::ledger_row)))
                taken.push_back(block);
            REQUIRE(cache.fork(0, 1).error().code == errc::out_of_memory);
            for (void* const block : taken) memory.pool().release(block);
            CHECK(cache.length(0, 1) == 0);
            CHECK(cache.tokens().size(1, 0, 0) == 0);
        }
        for (int i = 0; i < 70; ++i) words.feed(cache, 0, 1, 1);
        std::set<std::size_t> kept;
        for (const kept_token& t : tokens_of(cache.tokens().view(1, 0, 0, 1)))
            for (std::size_t c = 0; c < dim; ++c)
                if (t.key[c] != 0.0f) kept.insert(c);
        CHECK(kept.size() == 2);
        return kept;
    };
    CHECK(channels_after(true) == channels_after(false));
}

TEST_CASE("truncate forgets the newest tokens, exactly while none was evicted") {
    const policy<pare::kv::window> p{.budget = {100}};
    pooled_cache<policy<pare::kv::window>> cut(p, 60), plain(p, 60);
    const text words(100, 1), draft(100, 9);
    for (const std::size_t layer : {0u, 1u}) {
        static_cast<void>(words.feed(*cut, layer, 40));
        static_cast<void>(draft.feed(*cut, layer, 20 + layer));
    }
    REQUIRE(cut->truncate(40));
    for (const std::size_t layer : {0u, 1u}) {
        CHECK(cut->length(layer) == 40);
        static_cast<void>(words.feed(*cut, layer, 30));
        static_cast<void>(words.feed(*plain, layer, 40));
        static_cast<void>(words.feed(*plain, layer, 30));
    }
    CHECK((cut.all() == plain.all()));
    REQUIRE(cut->truncate(1000));
    CHECK(cut->length(0) == 70);
}

TEST_CASE("after clear a cache is as new") {
    const policy<pare::kv::h2o> p{.budget = {30}, .recent = 4, .every = 2};
    pooled_cache<policy<pare::kv::h2o>> used(p, 8), fresh(p, 8);
    const text before(200, 1), words(100, 5);
    for (int i = 0; i < 25; ++i)
        for (const std::size_t layer : {0u, 1u})
            for (const std::size_t sequence : {0u, 1u})
                static_cast<void>(before.feed(*used, layer, 8, sequence));
    const auto other = used.all(1);
    used->clear(0);
    CHECK(used->length(0) == 0);
    CHECK(used->length(1) == 0);
    CHECK(used->length(1, 1) == 200);
    int wrong = 0;
    for (int i = 0; i < 50; ++i)
        for (const std::size_t layer : {0u, 1u})
            wrong += bits_of(words.feed(*used, layer, 2)) != bits_of(words.feed(*fresh, layer, 2));
    CHECK(wrong == 0);
    CHECK((used.all(0) == fresh.all(0)));
    CHECK((used.all(1) == other));
    used->clear(0), used->clear(1);
    CHECK(used->bytes_in_use() == 0);
}

TEST_CASE("a cache of three tiers attends to all of them, within the bytes it was promised") {
    shape s = gqa;
    s.tiers = 3;
    std::vector<pare::kv::block_layout> types{{element::f32, element::f32, dim},
                                              {element::f16, element::i8, dim},
                                              {element::i4, element::i4, dim}};
    const bool fewer_channels = GENERATE(false, true);
    if (fewer_channels) types[1].key_channels = 6, types[2].key_channels = 5;
    using demoting = policy<pare::kv::a2sf>;
    const demoting p{.scorer = {0.9f},
                     .budget = {200},
                     .sinks = 4,
                     .recent = 8,
                     .every = GENERATE(1u, 20u),
                     .tier_shares = {0.25f, 0.35f},
                     .demote_oldest = GENERATE(false, true)};
    constexpr std::size_t chunk = 30, page = 8192;
    pool_memory memory(page, 300);
    auto cache = *pare::kv::cache<demoting>::make(s, types, p, chunk, memory.pool());
    const text words(701, 3);
    int wrong = 0;
    std::size_t in_last = 0;
    const auto all_of = [&](std::size_t layer, std::size_t head) {
        std::vector<kept_token> all;
        for (std::size_t tier = 0; tier < 3; ++tier)
            for (const kept_token& t : tokens_of(cache.tokens().view(0, layer, head, tier)))
                all.push_back(t);
        return all;
    };
    for (std::size_t now = 0; now < 700;) {
        const std::size_t n = now < 300 ? chunk : 1;
        const auto rows = [&](const matrix& m) { return m.view().block(now, 0, n, m.cols()); };
        for (std::size_t l = 0; l < 2; ++l) {
            REQUIRE(cache.append(l, rows(words.keys), rows(words.values)));
            std::vector<std::vector<kept_token>> seen;
            for (std::size_t h = 0; h < 2; ++h) seen.push_back(all_of(l, h));
            matrix out(n, words.queries.cols());
            REQUIRE(cache.attend(l, rows(words.queries), out.view()));
            for (std::size_t q = 0; q < 4; ++q) {  // the newest query
                const dense_attention dense(
                    seen[q / 2], words.queries.view().row_span(now + n - 1).subspan(q * dim, dim),
                    now + n - 1, types[2]);
                wrong += !dense.agrees_with(out.view().row_span(n - 1).subspan(q * dim, dim));
            }
        }
        now += n;
        in_last = cache.tokens().view(0, 1, 1, 2).size;
    }
    CHECK(wrong == 0);
    CHECK(in_last >= 80);
    const std::size_t most = pare::kv::cache_bytes(s, types, page, p, chunk);
    CHECK(memory.pool().peak_bytes() <= most);
    CHECK(memory.pool().peak_bytes() * 10 >= most * 6);
    // A fork is exact in all tiers.
    REQUIRE(cache.fork(0, 1));
    CHECK((pare::testing::tokens_of(cache.tokens().view(1, 1, 0, 2)) ==
           pare::testing::tokens_of(cache.tokens().view(0, 1, 0, 2))));
    // The debug check of an engine knows the tiers,
    const auto last = [&](const matrix& m) { return m.view().block(700, 0, 1, m.cols()); };
    for (std::size_t l = 0; l < 2; ++l) {
        REQUIRE(cache.append(l, last(words.keys), last(words.values)));
        REQUIRE(cache.fork(0, 2));
        matrix out(1, words.queries.cols());
        REQUIRE(cache.attend(l, last(words.queries), out.view()));
        const auto off =
            pare::attention_error(cache.tokens(), 2, l, last(words.queries), out.view(), 700);
        REQUIRE(off);
        CHECK(*off < 1e-3f * 700);  // of i4: keys and values up to 700 in 15 bits
    }
    if (fewer_channels) return;
    // and so does renumbering: no gaps behind the sinks, in all tiers of a head together.
    const std::vector<double> frequencies(dim / 2, 0.5);
    const auto next = cache.renumber({frequencies, pare::kv::pairing::half_split});
    REQUIRE(next);
    positions where;
    for (const kept_token& t : all_of(0, 0)) where.push_back(t.position);
    std::sort(where.begin(), where.end());
    CHECK((where[3] == 3 && where.back() + 1 == *next));
    for (std::size_t i = 5; i < where.size(); ++i) wrong += where[i] != where[i - 1] + 1;
    CHECK(wrong == 0);
    cache.clear(2);
    cache.clear(0), cache.clear(1);
    CHECK(cache.bytes_in_use() == 0);
}

TEST_CASE("a draft is rejected by swapping its snapshot back") {
    const policy<pare::kv::a2sf> p{.scorer = {0.9f}, .budget = {20}};
    pooled_cache<policy<pare::kv::a2sf>> drafted(p), plain(p);
    const text words(120, 3), draft(120, 9);
    std::size_t n_left = 0;
    for (std::size_t t = 0; t < 100; ++t) {
        if (t % 10 == 5) {
            REQUIRE(drafted->fork(0, 1));
            for (std::size_t i = 0; i < 4; ++i)
                for (std::size_t l = 0; l < 2; ++l) static_cast<void>(draft.feed(*drafted, l, 1));
            REQUIRE(drafted->swap(0, 1));
            CHECK(drafted->length(0, 1) == t + 4);
            drafted->clear(1);
        }
        for (std::size_t l = 0; l < 2; ++l)
            n_left += words.feed(*drafted, l, 1).data() != words.feed(*plain, l, 1).data();
    }
    CHECK(n_left == 0);
    CHECK((drafted.all() == plain.all()));
    CHECK(drafted->swap(0, 3).error().code == errc::invalid_argument);
    CHECK(drafted->scratch_bytes() > 20 * 2 * sizeof(float));
}

namespace {

/// Scores by position, and counts what it is asked for.
template <bool Pointwise>
struct counting_scorer {
    static constexpr bool pointwise = Pointwise;
    static inline std::size_t n_scored = 0;
    void score(const pare::kv::head_observation& head, std::span<float> scores) const noexcept {
        n_scored += scores.size();
        for (std::size_t t = 0; t < scores.size(); ++t)
            scores[t] = static_cast<float>(head.positions[t] % 7);
    }
};

// Decodes 600 tokens: no step scores more than `most` of a layer, and only each `every`-th any.
template <bool Pointwise>
void check_work(std::size_t every, std::size_t budget, std::size_t most) {
    using scorer = counting_scorer<Pointwise>;
    const text words(600, 1);
    pooled_cache<policy<scorer>> cache({.budget = {budget}, .every = every});
    std::size_t n_scoring = 0, wrong = 0;
    for (std::size_t step = 0; step < 600; ++step) {
        scorer::n_scored = 0;
        words.feed(*cache, 0, 1);
        wrong += scorer::n_scored > most;
        n_scoring += scorer::n_scored != 0;
    }
    CAPTURE(every, Pointwise);
    CHECK(wrong == 0);
    CHECK(n_scoring == (600 - budget) / every);
}

}  // namespace

TEST_CASE("a step scores what the budget holds, each `every`-th step, however long the text is") {
    for (const std::size_t every : {1u, 4u, 16u}) {
        check_work<false>(every, 40, 2 * (40 + every));
        check_work<true>(every, 40, every == 1 ? 2 * 64 : 2 * (40 + every));  // whole ledger rows
    }
}

TEST_CASE("a pass over a prompt sums attention in full, decayed, or over its last queries") {
    namespace kv = pare::kv;
    constexpr std::size_t n = 40, last = 8;
    const text words(n, 3);
    const auto sums = [&](const auto& scorer, std::size_t chunk, auto&& told) {
        pooled_cache<policy<std::remove_cvref_t<decltype(scorer)>>> cache(
            {.scorer = scorer, .budget = {n}}, n);
        for (std::size_t t = 0; t < n; t += chunk) {
            words.feed(*cache, 0, chunk);
            std::vector<double> sum;
            for (const kept_token& token : tokens_of(cache->tokens().view(0, 0, 1)))
                sum.push_back(static_cast<double>(token.attention));
            sum.resize(n);
            told(sum);
        }
    };
    // Token by token, the full sums say what each query gave.
    std::vector<double> full(n), decayed(n), windowed(n);
    std::size_t n_seen = 0;
    sums(kv::h2o{}, 1, [&](const std::vector<double>& now) {
        const bool late = ++n_seen > n - last;
        for (std::size_t t = 0; t < n; ++t) {
            const double given = now[t] - std::exchange(full[t], now[t]);
            decayed[t] = 0.75 * decayed[t] + given;
            windowed[t] += late ? given / last : 0.0;
        }
    });
    const auto differ = [](const std::vector<double>& a, const std::vector<double>& b) {
        double most = 0.0;
        for (std::size_t t = 0; t < n; ++t) most = std::max(most, std::fabs(a[t] - b[t]));
        return most;
    };
    for (const std::size_t chunk : {n, n / 2}) {
        std::vector<double> now;
        const auto take = [&](const std::vector<double>& sum) { now = sum; };
        CAPTURE(chunk);
        sums(kv::h2o{}, chunk, take);
        CHECK(differ(now, full) < 1e-5);
        sums(kv::a2sf{0.75f}, chunk, take);
        CHECK(differ(now, decayed) < 1e-5);
        sums(kv::snapkv{.observed = last}, chunk, take);
        CHECK(differ(now, windowed) < 1e-5);
    }
}

TEST_CASE("at a budget of a quarter the peak is a quarter of the full cache, and the chunk") {
    constexpr shape s{.layers = 1, .query_heads = 8, .kv_heads = 2, .head_dim = 128};
    constexpr std::size_t n_tokens = 16384, chunk = 128;
    const pare::kv::block_layout layout{element::f16, element::f16, 128};
    const std::size_t page = pare::kv::pool::page_bytes_for(pare::kv::store::stored_bytes(layout));
    pool_memory memory(page, 400);
    const policy<pare::kv::h2o> p{.budget = {n_tokens / 4}, .recent_share = 0.5f};
    auto cache = pare::kv::cache<policy<pare::kv::h2o>>::make(s, layout, p, chunk, memory.pool());
    REQUIRE(cache);
    const matrix keys = matrix::uniform(chunk, 256, 1), queries = matrix::uniform(1, 1024, 2);
    matrix out(1, 1024);
    for (std::size_t t = 0; t < n_tokens; t += chunk) {
        REQUIRE(cache->append(0, keys.view(), keys.view()));
        REQUIRE(cache->attend(0, queries.view(), out.view()));
    }
    CHECK(cache->length(0) == n_tokens);
    const std::size_t full = cache->bytes_if_full();
    CHECK(full >= n_tokens * 2 * 2 * 128 * sizeof(pare::f16));
    CHECK(full <= n_tokens * 2 * 2 * 128 * sizeof(pare::f16) * 103 / 100);
    CHECK(cache->tokens().view(0, 0, 1).size == n_tokens / 4);
    CHECK(memory.pool().peak_bytes() * 100 <= full * 27);
    CHECK(memory.pool().peak_bytes() * 100 > full * 25);
}

TEST_CASE("a cache refuses what does not fit and stays as it was") {
    const policy<pare::kv::a2sf> p{.budget = {30}};
    pooled_cache<policy<pare::kv::a2sf>> cache(p, 4);
    const text words(40, 1);
    for (const std::size_t sequence : {0u, 1u})
        for (const std::size_t layer : {0u, 1u})
            static_cast<void>(words.feed(*cache, layer, 3, sequence));
    const auto before = cache.all(0), of_one = cache.all(1);
    const auto rows = [](const matrix& m, std::size_t n) {
        return m.view().block(0, 0, n, m.cols());
    };
    const auto append = [&](std::size_t layer, std::size_t n, std::size_t sequence) {
        const auto done =
            cache->append(layer, rows(words.keys, n), rows(words.values, n), sequence);
        return done ? errc::not_found : done.error().code;
    };
    matrix out(40, words.queries.cols());
    const auto attend = [&](std::size_t layer, std::size_t n, std::size_t sequence) {
        const auto done =
            cache->attend(layer, rows(words.queries, n), out.view().block(0, 0, n, out.cols()),
                          pare::serial{}, sequence);
        return done ? errc::not_found : done.error().code;
    };
    CHECK(append(0, 5, 0) == errc::buffer_too_small);
    CHECK(append(2, 1, 0) == errc::invalid_argument);
    CHECK(append(0, 1, 3) == errc::invalid_argument);
    CHECK(append(1'000'000'000, 1, 1'000'000'000) == errc::invalid_argument);
    CHECK(attend(0, 4, 0) == errc::invalid_argument);
    CHECK(attend(2, 1, 0) == errc::invalid_argument);
    CHECK(attend(0, 1, 3) == errc::invalid_argument);
    CHECK(attend(1'000'000'000, 1, 1'000'000'000) == errc::invalid_argument);
    CHECK(cache->fork(3, 1).error().code == errc::invalid_argument);
    CHECK(cache->fork(1, 3).error().code == errc::invalid_argument);
    CHECK(cache->length(0, 1) == 3);
    CHECK((cache.all(0) == before));
    CHECK((cache.all(1) == of_one));

    pool_memory memory(8192, 8);
    const auto make = [&](const auto& bad, const shape& s) {
        using made = pare::kv::cache<policy<pare::kv::a2sf>>;
        const auto done = made::make(s, {element::f32, element::f32, dim}, bad, 4, memory.pool());
        return done ? errc::not_found : done.error().code;
    };
    CHECK(make(p, gqa) == errc::not_found);
    CHECK(make(policy<pare::kv::a2sf>{}, gqa) == errc::invalid_argument);
    shape s = gqa;
    s.kv_heads = 3;
    CHECK(make(p, s) == errc::invalid_argument);
    s = {.layers = 1, .query_heads = 300, .kv_heads = 1, .head_dim = dim};
    CHECK(make(p, s) == errc::invalid_argument);
}

TEST_CASE("a cache whose pool is exhausted refuses the token and goes on with what it has") {
    const pare::kv::block_layout layout{element::f32, element::f32, dim};
    pool_memory memory(pare::kv::pool::page_bytes_for(pare::kv::store::stored_bytes(layout)), 8);
    const policy<pare::kv::window> p{.budget = {200}};
    auto cache = pare::kv::cache<policy<pare::kv::window>>::make(gqa, layout, p, 8, memory.pool());
    REQUIRE(cache);
    const text words(300, 1);
    std::size_t n = 0;
    const auto append = [&] {
        return cache->append(0, words.keys.view().block(n, 0, 1, 2 * dim),
                             words.values.view().block(n, 0, 1, 2 * dim));
    };
    pare::status added = append();
    for (; added; added = append()) ++n;
    CHECK(added.error().code == errc::out_of_memory);
    CHECK(n == 96);  // three blocks for each head, a page of ledger rows
    CHECK(cache->length(0) == n);
    CHECK(cache->tokens().view(0, 0, 0).size == n);
    CHECK(cache->fork(0, 1));  // shares all of them
    cache->clear(1);
    matrix out(1, 4 * dim);
    CHECK(cache->attend(0, words.queries.view().block(n, 0, 1, 4 * dim), out.view()));
    cache->clear();
    n = 0;
    CHECK(append());
}

namespace {

// Speaks to a cache as an engine with rotary positions does: word i is the same whatever its
// position. The first channel of a value is the word's number.
class rotary_speaker {
  public:
    explicit rotary_speaker(const pare::kv::rotary& r) : rotary_(r) {}

    template <class Cache>
    matrix say(Cache& cache, std::size_t layer, std::size_t word, std::size_t sequence = 0) const {
        const auto position = static_cast<double>(cache.length(layer, sequence));
        matrix values = matrix::uniform(1, gqa.kv_heads * dim, 3 * word);
        for (std::size_t h = 0; h < gqa.kv_heads; ++h)
            values(0, h * dim) = static_cast<float>(word);
        const matrix keys = heads(matrix::uniform(1, gqa.kv_heads * dim, 3 * word + 1), position);
        const matrix queries =
            heads(matrix::uniform(1, gqa.query_heads * dim, 3 * word + 2), position);
        matrix out(1, gqa.query_heads * dim);
        REQUIRE(cache.append(layer, keys.view(), values.view(), sequence));
        REQUIRE(cache.attend(layer, queries.view(), out.view(), pare::serial{}, sequence));
        return out;
    }

  private:
    matrix heads(matrix x, double position) const {
        for (std::size_t h = 0; h < x.cols(); h += dim) {
            const auto head = x.view().row_span(0).subspan(h, dim);
            const auto there = pare::testing::turned(head, rotary_, position);
            for (std::size_t d = 0; d < dim; ++d) head[d] = static_cast<float>(2 * there[d]);
        }
        return x;
    }

    pare::kv::rotary rotary_;
};

// The words that a head still has, in the order of their positions.
std::vector<float> words_of(const pare::kv::head_view& head) {
    std::vector<float> words;
    for (const kept_token& t : pare::testing::sorted_tokens_of(head)) words.push_back(t.value[0]);
    return words;
}

}  // namespace

TEST_CASE("a cache that renumbers attends and evicts as one that does not, at small positions") {
    const std::vector<double> f = pare::testing::frequencies(dim / 2);
    const pare::kv::rotary r{
        f, GENERATE(pare::kv::pairing::half_split, pare::kv::pairing::interleaved)};
    const rotary_speaker speaker(r);
    // All that is kept is the sinks and the newest, whose distances to the next query are the same
    // in both numberings but for the sinks'.
    const std::size_t sinks = GENERATE(0u, 3u);
    const policy<pare::kv::window> p{.budget = {40}, .sinks = sinks};
    pooled_cache<policy<pare::kv::window>> plain(p), small(p);
    double most = 0.0;
    int wrong = 0;
    for (std::size_t word = 0; word < 400; ++word) {
        for (const std::size_t layer : {0u, 1u}) {
            const matrix a = speaker.say(*plain, layer, word), b = speaker.say(*small, layer, word);
            if (sinks == 0)
                for (std::size_t i = 0; i < a.data().size(); ++i)
                    most =
                        std::max(most, static_cast<double>(std::fabs(a.data()[i] - b.data()[i])));
            for (const std::size_t head : {0u, 1u})
                wrong += words_of(plain.view(layer, head)) != words_of(small.view(layer, head));
        }
        if (word % 23 != 0) continue;
        const auto next = small->renumber(r);
        REQUIRE(next);
        wrong += *next > 40 || small->length(0) != *next || small->length(1) != *next;
    }
    CHECK(wrong == 0);
    // 18 renumberings of keys below 2.9: their errors in a logit, times values up to 400.
    CHECK(most <= 18 * 2.9 * 6 * 0x1p-24 * 2.9 * dim * 400);
    CHECK(plain->length(0) == 400);
    CHECK(small->length(0) < 64);
    REQUIRE(small->renumber(r));
    for (const auto& head : small.all())
        for (std::size_t t = 0; t < 40; ++t) CHECK(head[t].position == t);
    for (std::size_t t = 0; t < sinks; ++t) CHECK(words_of(small.view(1, 1))[t] == float(t));
}

TEST_CASE("a cache goes back from a renumbering by a fork, and keeps other sequences as they are") {
    const std::vector<double> f = pare::testing::frequencies(dim / 2);
    const pare::kv::rotary r{f};
    const rotary_speaker speaker(r);
    const policy<pare::kv::a2sf, pare::kv::ada<>> p{
        .scorer = {0.9f}, .budget = {{30}}, .sinks = 2, .recent = 4};
    pooled_cache<policy<pare::kv::a2sf, pare::kv::ada<>>> cache(p);
    for (std::size_t word = 0; word < 90; ++word)
        for (const std::size_t layer : {0u, 1u})
            for (const std::size_t sequence : {0u, 1u})
                static_cast<void>(speaker.say(*cache, layer, word + 100 * sequence, sequence));
    const auto before = cache.all(0), other = cache.all(1);
    REQUIRE(cache->fork(0, 2));
    const auto next = cache->renumber(r);
    REQUIRE(next);
    CHECK(*next < 60);
    CHECK((cache.all(0) != before));
    for (const std::size_t layer : {0u, 1u})
        for (const std::size_t head : {0u, 1u}) {  // ragged, their ends aligned, sinks in place
            const auto tokens = pare::testing::sorted_tokens_of(cache.view(layer, head));
            CHECK(tokens[1].position == 1);
            CHECK(tokens.back().position == *next - 1);
            CHECK(tokens[2].position == *next - (tokens.size() - 2));
        }
    CHECK(cache.view(0, 0).size != cache.view(0, 1).size);
    CHECK((cache.all(1) == other));
    CHECK((cache.all(2) == before));
    CHECK(cache->length(1, 1) == 90);
    for (std::size_t word = 90; word < 200; ++word)
        for (const std::size_t layer : {0u, 1u})
            static_cast<void>(speaker.say(*cache, layer, word));
    CHECK(words_of(cache.view(0, 0))[1] == 1.0f);
    CHECK(cache->length(0) == *next + 110);
    REQUIRE(cache->fork(2, 0));
    CHECK((cache.all(0) == before));
    CHECK(cache->length(0) == 90);
}

TEST_CASE("a cache refuses to renumber what would come to mean something else") {
    const std::vector<double> f = pare::testing::frequencies(dim / 2);
    const pare::kv::rotary r{f};
    const rotary_speaker speaker(r);
    using pare::kv::position_range;
    const auto code = [&](std::vector<position_range> keep, std::size_t sinks) {
        const policy<pare::kv::window> p{.budget = {30}, .sinks = sinks, .keep = keep};
        pooled_cache<policy<pare::kv::window>> cache(p);
        for (std::size_t word = 0; word < 80; ++word)
            for (const std::size_t layer : {0u, 1u})
                static_cast<void>(speaker.say(*cache, layer, word));
        const auto before = cache.all();
        const auto next = cache->renumber(r);
        if (!next) CHECK((cache.all() == before));
        if (next) {
            CHECK(*next == 30);
            std::size_t stay = sinks;
            for (const position_range& range : keep) stay = std::max(stay, range.end);
            for (std::size_t t = 0; t < stay; ++t)
                CHECK(words_of(cache.view(1, 0))[t] == static_cast<float>(t));
        }
        return next ? errc::not_found : next.error().code;
    };
    CHECK(code({}, 0) == errc::not_found);
    CHECK(code({{0, 5}}, 0) == errc::not_found);
    CHECK(code({{2, 5}}, 2) == errc::not_found);
    CHECK(code({{7, 9}, {4, 7}, {0, 3}}, 4) == errc::not_found);  // in any order
    CHECK(code({{0, 3}, {2, 2}}, 1) == errc::not_found);
    CHECK(code({{3, 5}}, 2) == errc::invalid_argument);
    CHECK(code({{0, 2}, {3, 5}}, 0) == errc::invalid_argument);

    const policy<pare::kv::window> p{.budget = {30}};
    pooled_cache<policy<pare::kv::window>> cache(p);
    for (std::size_t word = 0; word < 50; ++word)
        for (const std::size_t layer : {0u, 1u})
            static_cast<void>(speaker.say(*cache, layer, word));
    const auto before = cache.all();
    CHECK(cache->renumber(r, 3).error().code == errc::invalid_argument);
    CHECK(cache->renumber({}).error().code == errc::shape_mismatch);
    static_cast<void>(speaker.say(*cache, 0, 50));  // a step of one layer, not of the other
    CHECK(cache->renumber(r).error().code == errc::invalid_argument);
    static_cast<void>(speaker.say(*cache, 1, 50));
    CHECK((cache.all() != before));
    CHECK(*cache->renumber(r) == 30);
    CHECK(*cache->renumber(r, 1) == 0);
}
