// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/think.hpp>

#include <pare/kv/evict.hpp>
#include <pare/kv/renumber.hpp>
#include <pare/kv/window.hpp>
#include <pare/prune/observer.hpp>
#include <pare/prune/unstructured.hpp>

#include "support/catch.hpp"
#include "support/kv.hpp"
#include "support/matrix.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

using pare::errc, pare::kv::block_layout, pare::kv::element, pare::kv::store, pare::kv::think;
using pare::prune::query_driven;
using pare::testing::matrix, pare::testing::pool_memory, pare::testing::selected,
    pare::testing::tokens_of;

namespace {

constexpr pare::kv::shape two_tiers{
    .layers = 1, .query_heads = 2, .kv_heads = 1, .head_dim = 4, .sequences = 2, .tiers = 2};

std::vector<block_layout> types(element e, std::size_t n) {
    return {{.head_dim = 4}, {.keys = e, .values = e, .head_dim = 4, .key_channels = n}};
}

}  // namespace

TEST_CASE("think keeps the channels whose queries and keys are largest together") {
    pool_memory memory(8192, 10);
    store s = *store::make(two_tiers, types(element::f32, 2), memory.pool());
    // |K[:, c]|^2 is 2, 8, 18, 32.
    const matrix keys(2, 4, {1, 2, 3, 4, -1, 2, -3, 4});
    REQUIRE(s.append(0, 0, keys.view(), keys.view(), 0));
    const auto chosen = [&](std::vector<float> energy, std::size_t n) {
        std::vector<std::uint16_t> channels(n);
        std::array<float, 8> scratch;
        think::choose(s, 0, 0, 0, 0, energy, scratch, channels);
        return channels;
    };
    using list = std::vector<std::uint16_t>;
    CHECK(chosen({}, 2) == list{2, 3});
    CHECK(chosen({100, 1, 1, 1}, 2) == list{0, 3});
    CHECK(chosen({100, 10, 1, 0.5f}, 3) == list{0, 1, 2});
    CHECK(chosen({1, 1, 1, 1}, 4) == list{0, 1, 2, 3});
    CHECK(chosen({16, 4, 0, 1}, 1) == list{0});  // three equals: the first
    CHECK(chosen({16, 4, 0, 1}, 2) == list{0, 1});
}

TEST_CASE("think keeps the channels of keys that their weights would keep") {
    // Two query heads share a key of 8 channels; all tokens are observed at once.
    const std::size_t dim = 8, tokens = 20, n = 5;
    const matrix x = matrix::uniform(tokens, 6, 1), w_q = matrix::uniform(2 * dim, 6, 2),
                 w_k = matrix::uniform(dim, 6, 3);
    matrix queries(tokens, 2 * dim), keys(tokens, dim);
    for (const auto& [w, out] : {std::pair{&w_q, &queries}, {&w_k, &keys}})
        for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t c = 0; c < out->cols(); ++c)
                for (std::size_t i = 0; i < 6; ++i) (*out)(t, c) += (*w)(c, i) * x(t, i);
    pool_memory memory(8192, 10);
    store s = *store::make({.layers = 1, .query_heads = 2, .kv_heads = 1, .head_dim = dim},
                           {{block_layout{.head_dim = dim}}}, memory.pool());
    REQUIRE(s.append(0, 0, keys.view(), keys.view(), 0));
    std::vector<float> energy(dim), scratch(2 * dim), of_keys(dim);
    // 32 queries of which the first see nothing: the others have no age.
    matrix padded(think::observed, 2 * dim);
    for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t c = 0; c < 2 * dim; ++c) padded(t + 12, c) = queries(t, c);
    think::observe(padded.view(), energy);
    std::vector<std::uint16_t> channels(n);
    think::choose(s, 0, 0, 0, 0, energy, scratch, channels);

    auto seen = *pare::prune::input_observer::make(6, true);
    REQUIRE(seen.add(x.view()));
    matrix scores(1, dim);
    query_driven::energies(w_q.view(), seen.sums().gram, energy);
    query_driven::energies(w_k.view(), seen.sums().gram, of_keys);
    query_driven::score(energy, of_keys, scores.data());
    std::string kept(dim, '0');
    for (const std::uint16_t c : channels) kept[c] = '1';
    CHECK(kept == selected(pare::prune::unstructured{.sparsity = 3.0f / 8}, scores));
}

TEST_CASE("the energy of queries is that of the last 32, younger ones first") {
    std::vector<float> energy(2, 100.0f);
    matrix queries(40, 4);  // two query heads
    for (std::size_t i = 0; i < 40; ++i) queries(i, 0) = queries(i, 3) = i < 8 ? 100.0f : 2.0f;
    think::observe(queries.view(), energy);
    CHECK(energy == std::vector<float>{32 * 4, 32 * 4});
    think::observe(queries.view().block(39, 0, 1, 4), energy);
    CHECK(energy[0] == Approx(31.0f * 4 + 4));
    const matrix none(1, 4);
    for (int i = 0; i < 1000; ++i) think::observe(none.view(), energy);
    CHECK(energy[0] < 1e-6f);
}

TEST_CASE("demoted keys have the listed channels, the others are 0, and blocks get smaller") {
    const element e = GENERATE(element::f32, element::f16, element::i8, element::i4);
    const bool per_channel = GENERATE(false, true);
    std::vector<block_layout> layouts = types(e, 3);
    layouts[1].keys_per_channel = per_channel;
    block_layout whole = layouts[1];
    whole.key_channels = 0;
    if (e == element::f32) CHECK(layouts[1].bytes() < whole.bytes());
    pool_memory memory(8192, 20);
    store s = *store::make(two_tiers, layouts, memory.pool());
    const matrix x = matrix::uniform(50, 4, 3);
    REQUIRE(s.append(0, 0, x.view(), x.view(), 0));
    std::vector<std::uint32_t> places(40);
    for (std::uint32_t i = 0; i < 40; ++i) places[i] = i + 5;
    std::vector<float> decoded(2 * 4 * GENERATE(1u, 32u));
    const std::array<std::uint16_t, 3> channels{0, 1, 3};
    REQUIRE(s.demote(0, 0, 0, places, 0, decoded, channels));
    // Later blocks have the same channels, whatever is asked for; forks too.
    REQUIRE(s.append(0, 0, x.view(), x.view(), 50));
    REQUIRE(s.demote(0, 0, 0, places, 0, decoded));
    REQUIRE(s.fork(0, 1));
    const float step = e == element::i4 ? 2.0f / 15 : e == element::i8 ? 2.0f / 255 : 1e-3f;
    int wrong = 0;
    for (const std::size_t sequence : {0u, 1u})
        for (const auto& t : tokens_of(s.view(sequence, 0, 0, 1))) {
            wrong += t.key[2] != 0.0f;
            for (const std::size_t c : {0u, 1u, 3u})
                wrong += !(std::fabs(t.key[c] - x(t.position % 50, c)) <= 3 * step);
            wrong += !(std::fabs(t.value[2] - x(t.position % 50, 2)) <= step);
        }
    CHECK(wrong == 0);
    CHECK(s.view(0, 0, 0, 1).size == 80);
}

TEST_CASE("an eviction chooses the channels of a tier that is empty") {
    pool_memory memory(8192, 10);
    store s = *store::make(two_tiers, types(element::f32, 2), memory.pool());
    auto scratch = *pare::kv::eviction_scratch::make(two_tiers, 40);
    const matrix x = matrix::uniform(20, 4, 1);
    REQUIRE(s.append(0, 0, x.view(), x.view(), 0));
    const pare::kv::policy<pare::kv::window> p{.budget = {16}, .tier_shares = {0.5f}};
    const std::vector<float> energy{0, 1, 0, 1};
    REQUIRE(evict(s, 0, 0, 20, p, scratch, energy));
    const auto demoted = tokens_of(s.view(0, 0, 0, 1));
    REQUIRE(demoted.size() == 8);
    for (const auto& t : demoted)
        CHECK(t.key == std::vector<float>{0, x(t.position, 1), 0, x(t.position, 3)});
}

TEST_CASE("channels that are not a list of channels are refused") {
    pool_memory memory(8192, 10);
    CHECK(!store::make(two_tiers, types(element::f32, 5), memory.pool()));
    auto first = types(element::f32, 2);
    std::swap(first[0], first[1]);
    CHECK(!store::make(two_tiers, first, memory.pool()));
    auto transformed = types(element::f32, 2);
    transformed[0].hadamard = transformed[1].hadamard = true;
    CHECK(!store::make(two_tiers, transformed, memory.pool()));
    store s = *store::make(two_tiers, types(element::f32, 2), memory.pool());
    const matrix x = matrix::uniform(3, 4, 1);
    REQUIRE(s.append(0, 0, x.view(), x.view(), 0));
    std::array<float, 8> decoded;
    const std::uint32_t place = 1;
    for (const auto& bad : {std::vector<std::uint16_t>{}, {1}, {1, 1}, {2, 1}, {1, 4}, {0, 1, 2}}) {
        const auto done = s.demote(0, 0, 0, {&place, 1}, 0, decoded, bad);
        REQUIRE(!done);
        CHECK(done.error().code == errc::invalid_argument);
    }
    CHECK(s.view(0, 0, 0).size == 3);
    const std::vector<double> frequencies{0.5, 0.1};
    auto scratch = *pare::kv::eviction_scratch::make(two_tiers, 8);
    CHECK(!pare::kv::renumber(s, 0, {frequencies}, scratch));
}
