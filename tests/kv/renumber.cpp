// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/renumber.hpp>

#include "support/catch.hpp"
#include "support/kv.hpp"
#include "support/rotary.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

using pare::errc, pare::kv::element, pare::kv::pairing, pare::kv::rotary, pare::kv::shape,
    pare::kv::store;
using pare::testing::frequencies, pare::testing::kept_token, pare::testing::matrix,
    pare::testing::pool_memory, pare::testing::sorted_tokens_of, pare::testing::tokens_of,
    pare::testing::turned;

namespace {

constexpr std::size_t dim = 12;
constexpr shape gqa{.layers = 2, .query_heads = 4, .kv_heads = 2, .head_dim = dim, .sequences = 3};

// A store that is fed as an engine feeds it, and the keys as they were before any rotation.
class spoken {
  public:
    spoken(const rotary& r, element e, std::size_t n_pages = 64)
        : memory_(8192, n_pages), tokens(*store::make(gqa, {e, e, dim}, memory_.pool())),
          scratch(*pare::kv::eviction_scratch::make(gqa, 400)), rotary_(r) {}

    // n tokens more, turned to `position` and after. Their values say which they are.
    pare::status say(std::size_t sequence, std::size_t n, std::size_t position) {
        for (std::size_t l = 0; l < gqa.layers; ++l) {
            matrix keys = matrix::uniform(n, gqa.kv_heads * dim, ++seed_);
            matrix values(n, gqa.kv_heads * dim);
            for (std::size_t t = 0; t < n; ++t)
                for (std::size_t h = 0; h < gqa.kv_heads; ++h) {
                    const auto key = keys.view().row_span(t).subspan(h * dim, dim);
                    raw_.emplace_back(key.begin(), key.end());
                    for (std::size_t d = 0; d < dim; ++d)  // exact in every type, i4 included
                        values(t, h * dim + d) = static_cast<float>(((raw_.size() - 1) >> d) & 1);
                    const auto there = turned(key, rotary_, static_cast<double>(position + t));
                    for (std::size_t d = 0; d < dim; ++d) key[d] = static_cast<float>(there[d]);
                }
            if (const auto added = tokens.append(sequence, l, keys.view(), values.view(), position);
                !added)
                return added;
        }
        return {};
    }
    // Which token this is, in the order of say().
    static std::size_t id(const kept_token& t) {
        std::size_t number = 0;
        for (std::size_t d = 0; d < dim; ++d)
            number += static_cast<std::size_t>(std::lround(t.value[d])) << d;
        return number;
    }
    // The largest difference between a key and the one turned from scratch to its position.
    double error_of(const kept_token& t) const {
        const auto wanted = turned(raw_[id(t)], rotary_, static_cast<double>(t.position));
        double most = 0.0;
        for (std::size_t d = 0; d < dim; ++d)
            most = std::max(most, std::fabs(static_cast<double>(t.key[d]) - wanted[d]));
        return most;
    }
    double error_of(std::size_t sequence) const {
        double most = 0.0;
        for (std::size_t l = 0; l < gqa.layers; ++l)
            for (std::size_t h = 0; h < gqa.kv_heads; ++h)
                for (const kept_token& t : tokens_of(tokens.view(sequence, l, h)))
                    most = std::max(most, error_of(t));
        return most;
    }
    void cut(std::size_t sequence, std::size_t layer, std::size_t head, std::size_t size) {
        pare::testing::remove_down_to(tokens, sequence, layer, head, size, random_);
    }
    auto renumber(std::size_t sequence, std::size_t sinks = 0) {
        return pare::kv::renumber(tokens, sequence, rotary_, scratch, sinks);
    }
    std::vector<std::vector<kept_token>> all(std::size_t sequence) const {
        std::vector<std::vector<kept_token>> heads;
        for (std::size_t l = 0; l < gqa.layers; ++l)
            for (std::size_t h = 0; h < gqa.kv_heads; ++h)
                heads.push_back(sorted_tokens_of(tokens.view(sequence, l, h)));
        return heads;
    }
    bool newest_is_right() const {
        for (std::size_t q = 0; q < gqa.sequences; ++q)
            for (std::size_t l = 0; l < gqa.layers; ++l)
                for (std::size_t h = 0; h < gqa.kv_heads; ++h)
                    for (const auto* row = tokens.view(q, l, h).first; row != nullptr;
                         row = row->next)
                        if (row->newest < *std::max_element(row->positions.begin(),
                                                            row->positions.begin() + row->size))
                            return false;
        return true;
    }
    pare::kv::pool& pool() { return memory_.pool(); }

  private:
    pool_memory memory_;

  public:
    store tokens;
    pare::kv::eviction_scratch scratch;

  private:
    rotary rotary_;
    std::vector<std::vector<double>> raw_;
    std::uint64_t seed_ = 0;
    pare::random random_{1};
};

// What is kept without its positions and keys: the same before and after.
std::vector<std::vector<std::size_t>> ids(const std::vector<std::vector<kept_token>>& heads) {
    std::vector<std::vector<std::size_t>> of;
    for (const auto& head : heads) {
        of.emplace_back();
        for (const kept_token& t : head) of.back().push_back(spoken::id(t));
    }
    return of;
}

const std::vector<double> full = frequencies(dim / 2), partial = frequencies(dim / 3);
// A key is rounded when it is stored, each rotation rounds sine, cosine, two products and a sum,
// and a pair is 1.42 long at most.
constexpr double rounding(int n_renumbered) { return (1 + 6 * n_renumbered) * 1.42 * 0x1p-24; }

}  // namespace

TEST_CASE("renumbered keys are those turned from scratch to the new positions, in ragged heads") {
    const pairing pairs = GENERATE(pairing::half_split, pairing::interleaved);
    const bool whole = GENERATE(true, false);
    spoken s({whole ? full : partial, pairs}, element::f32);
    REQUIRE(s.say(0, 300, 5000));
    const std::array<std::array<std::size_t, 2>, 2> sizes{{{64, 101}, {1, 30}}};
    for (std::size_t l = 0; l < 2; ++l)
        for (std::size_t h = 0; h < 2; ++h) s.cut(0, l, h, sizes[l][h]);
    for (auto* row = s.tokens.rows(0, 0, 1); row != nullptr; row = row->next)
        for (std::size_t t = 0; t < row->size; ++t)
            row->attention[t] = static_cast<float>(row->positions[t]);
    const auto before = s.all(0);
    CHECK(s.error_of(0) <= rounding(0));

    const auto next = s.renumber(0);
    REQUIRE(next);
    CHECK(*next == 101);
    const auto after = s.all(0);
    CHECK(ids(after) == ids(before));  // the same tokens in the same order, values untouched
    int wrong = 0;
    for (std::size_t i = 0; i < after.size(); ++i)
        for (std::size_t t = 0; t < after[i].size(); ++t) {
            wrong += after[i][t].position != 101 - after[i].size() + t;
            wrong += after[i][t].attention != before[i][t].attention;
            for (std::size_t d = whole ? dim : 2 * partial.size(); d < dim; ++d)
                wrong += after[i][t].key[d] != before[i][t].key[d];
        }
    CHECK(wrong == 0);
    CHECK(s.error_of(0) <= rounding(1));
    CHECK(s.newest_is_right());

    // The engine goes on there; nothing that has its place moves again.
    REQUIRE(s.say(0, 20, *next));
    const auto grown = s.all(0);
    REQUIRE(s.renumber(0));
    CHECK((s.all(0) == grown));
    CHECK(grown[2].size() == 21);
    CHECK(grown[2].front().position == 100);
    CHECK(grown[2].back().position == 120);
}

TEST_CASE("a sequence of any length is renumbered again and again, and positions stay small") {
    const pairing pairs = GENERATE(pairing::half_split, pairing::interleaved);
    spoken s({full, pairs}, element::f32);
    std::size_t next = 0;
    int n = 0, wrong = 0;
    pare::random random(7);
    while (n < 12) {
        const std::size_t step = 1 + random.below(100);
        REQUIRE(s.say(0, step, next));
        next += step;
        for (std::size_t l = 0; l < 2; ++l)
            for (std::size_t h = 0; h < 2; ++h) s.cut(0, l, h, 40 + random.below(30));
        const auto renumbered = s.renumber(0);
        REQUIRE(renumbered);
        next = *renumbered;
        wrong += next > 70 || !(s.error_of(0) <= rounding(++n)) || !s.newest_is_right();
    }
    CHECK(wrong == 0);
}

TEST_CASE("a head that lost its newest tokens is moved forward, up to those of the others") {
    spoken s({full}, element::f32);
    REQUIRE(s.say(0, 120, 0));
    std::vector<std::uint32_t> newer;
    for (std::uint32_t t = 50; t < 120; ++t) newer.push_back(t);
    REQUIRE(s.tokens.remove(0, 1, 1, newer));
    REQUIRE(s.tokens.view(0, 1, 1).first->newest == 31);
    REQUIRE(s.renumber(0));
    const auto moved = pare::testing::positions_of(s.tokens.view(0, 1, 1));
    CHECK(moved.front() == 70);
    CHECK(moved.back() == 119);
    CHECK(s.tokens.view(0, 1, 1).first->newest == 101);
    CHECK(s.newest_is_right());
    CHECK(s.error_of(0) <= rounding(1));
}

TEST_CASE("renumbering leaves the sinks of every head where they are, bit for bit") {
    spoken s({full}, element::i8);
    REQUIRE(s.say(0, 300, 0));
    const auto keep_sinks = [&](std::size_t l, std::size_t h, std::size_t n) {
        std::vector<std::uint32_t> leaving;  // the oldest behind the sinks
        for (std::uint32_t t = 4; t < 300 - n + 4; ++t) leaving.push_back(t);
        REQUIRE(s.tokens.remove(0, l, h, leaving));
    };
    keep_sinks(0, 0, 50), keep_sinks(0, 1, 80), keep_sinks(1, 0, 4), keep_sinks(1, 1, 5);
    const auto before = s.all(0);
    const auto next = s.renumber(0, 4);
    REQUIRE(next);
    CHECK(*next == 80);
    const auto after = s.all(0);
    CHECK(ids(after) == ids(before));
    for (std::size_t i = 0; i < 4; ++i) {
        for (std::size_t t = 0; t < 4; ++t) CHECK((after[i][t] == before[i][t]));
        for (std::size_t t = 4; t < after[i].size(); ++t)
            CHECK(after[i][t].position == 80 - after[i].size() + t);
    }
    CHECK(s.newest_is_right());

    // A sequence that is all sinks goes on where it was.
    spoken young({full}, element::f32);
    REQUIRE(young.say(0, 3, 0));
    const auto few = young.all(0);
    CHECK(*young.renumber(0, 4) == 3);
    CHECK((young.all(0) == few));
    CHECK(*young.renumber(1, 4) == 0);  // an empty one
}

TEST_CASE("renumbering rounds a moved key once more, within its type's step") {
    for (const element e : pare::testing::all_elements) {
        spoken s({full, pairing::interleaved}, e);
        REQUIRE(s.say(0, 200, 100000));
        s.cut(0, 0, 0, 70);
        const double before = s.error_of(0);
        REQUIRE(s.renumber(0));
        // A step of what a channel of at most 1.42 is stored in, of a range of 2.84.
        const double step = e == element::f32    ? 0x1p-23
                            : e == element::f16  ? 0x1p-10
                            : e == element::bf16 ? 0x1p-7
                            : e == element::i8   ? 2.84 / 255 + 0x1p-9
                                                 : 2.84 / 15 + 0x1p-9;
        CHECK(s.error_of(0) <= std::sqrt(2.0) * before + step / 2 + rounding(1));
        CHECK(s.error_of(0) <= 1.3 * step + rounding(1));
        CHECK(s.newest_is_right());
    }
}

TEST_CASE("forks keep the positions and keys that they had, whichever side is renumbered") {
    for (const element e : {element::f32, element::i4}) {
        const bool the_copy = GENERATE(false, true);
        spoken s({full}, e, 128);
        REQUIRE(s.say(0, 150, 0));
        s.cut(0, 0, 0, 90), s.cut(0, 1, 1, 33);
        REQUIRE(s.tokens.fork(0, 1));
        REQUIRE(s.tokens.fork(0, 2));
        const auto before = s.all(0);
        REQUIRE(s.renumber(the_copy ? 1 : 0));
        CHECK((s.all(the_copy ? 0 : 1) == before));
        CHECK((s.all(2) == before));
        CHECK((s.all(the_copy ? 1 : 0) != before));
        REQUIRE(s.tokens.fork(2, 0));  // and back
        CHECK((s.all(0) == before));
        for (std::size_t q = 0; q < 3; ++q) s.tokens.clear(q);
        CHECK(s.pool().bytes_in_use() == 0);
    }
}

TEST_CASE("renumbering without the memory to end sharing changes nothing, and can be tried again") {
    int n_refused = 0, n_done = 0;
    for (std::size_t n_pages = 5; n_pages < 10; ++n_pages) {  // two blocks fit on each
        spoken s({full}, element::f32, n_pages);
        REQUIRE(s.say(0, 60, 1000));
        s.cut(0, 1, 1, 40);
        REQUIRE(s.tokens.fork(0, 1));
        const auto before = s.all(0);
        const auto next = s.renumber(0);
        CHECK((s.all(1) == before));
        ++(next ? n_done : n_refused);
        if (next) continue;
        CHECK(next.error().code == errc::out_of_memory);
        CHECK((s.all(0) == before));
        s.tokens.clear(1);
        CHECK(*s.renumber(0) == 60);
        CHECK(s.error_of(0) <= rounding(1));
    }
    CHECK(n_refused == 4);
    CHECK(n_done == 1);
}

TEST_CASE("tokens that share a position still do after renumbering") {
    spoken s({full}, element::f32);
    REQUIRE(s.say(0, 3, 10));
    REQUIRE(s.say(0, 2, 11));  // 10 11 11 12 12
    REQUIRE(s.renumber(0));
    CHECK(pare::testing::positions_of(s.tokens.view(0, 0, 0)) ==
          std::vector<std::uint32_t>{0, 2, 2, 4, 4});
    CHECK(s.error_of(0) <= rounding(1));
}

TEST_CASE("to go on at the number of kept tokens is right after renumbering, and wrong without") {
    // What every engine that kept rows and counted them got wrong: the query's distance to keys.
    const rotary r{full, pairing::interleaved};
    const auto logits = [&](const spoken& s, std::size_t position, std::uint64_t seed) {
        const auto q =
            turned(matrix::uniform(1, dim, seed).data(), r, static_cast<double>(position));
        std::map<std::size_t, double> of;
        for (const kept_token& t : tokens_of(s.tokens.view(0, 0, 0)))
            for (std::size_t d = 0; d < dim; ++d)
                of[spoken::id(t)] += q[d] * static_cast<double>(t.key[d]);
        return of;
    };
    // Window: the distances of all that is kept to the next query are the same in both numberings.
    spoken s(r, element::f32);
    REQUIRE(s.say(0, 300, 0));
    std::vector<std::uint32_t> older(250);
    for (std::uint32_t t = 0; t < 250; ++t) older[t] = t;
    for (std::size_t l = 0; l < 2; ++l)
        for (std::size_t h = 0; h < 2; ++h) REQUIRE(s.tokens.remove(0, l, h, older));
    const auto right = logits(s, 300, 9);
    REQUIRE(right.size() == 50);
    const auto largest_difference = [&](const auto& other) {
        double most = 0.0;
        for (const auto& [token, logit] : right)
            most = std::max(most, std::fabs(logit - other.at(token)));
        return most;
    };
    CHECK(largest_difference(logits(s, 50, 9)) > 0.5);
    const auto next = s.renumber(0);
    REQUIRE(next);
    CHECK(*next == 50);
    CHECK(largest_difference(logits(s, 50, 9)) <= dim * rounding(1));
    CHECK(largest_difference(logits(s, 300, 9)) > 0.5);  // positions renumbered, queries not
}

TEST_CASE("renumber refuses what does not fit, and changes nothing") {
    spoken s({full}, element::f32);
    REQUIRE(s.say(0, 100, 50));
    const auto before = s.all(0);
    const auto code = [&](std::size_t sequence, const rotary& r, auto& scratch) {
        const auto done = pare::kv::renumber(s.tokens, sequence, r, scratch);
        return done ? errc::not_found : done.error().code;
    };
    CHECK(code(3, {full}, s.scratch) == errc::invalid_argument);
    CHECK(code(0, {{}}, s.scratch) == errc::shape_mismatch);
    const std::vector<double> many = frequencies(dim / 2 + 1);
    CHECK(code(0, {many}, s.scratch) == errc::shape_mismatch);
    auto little = *pare::kv::eviction_scratch::make({1, 1, 1, dim}, 99);
    CHECK(code(0, {full}, little) == errc::buffer_too_small);
    auto narrow = *pare::kv::eviction_scratch::make({1, 1, 1, dim - 2}, 100);
    CHECK(code(0, {full}, narrow) == errc::buffer_too_small);
    CHECK((s.all(0) == before));
    auto enough = *pare::kv::eviction_scratch::make({1, 1, 1, dim}, 100);
    CHECK(code(0, {full}, enough) == errc::not_found);
    CHECK((s.all(0) != before));
}

TEST_CASE("to own a head ends its sharing, once and for all of its blocks") {
    spoken s({full}, element::f32);
    REQUIRE(s.say(0, 70, 0));
    REQUIRE(s.tokens.fork(0, 1));
    const auto blocks = [&](std::size_t sequence, std::size_t head) {
        std::vector<const std::byte*> of;
        for (const auto* row = s.tokens.view(sequence, 1, head).first; row; row = row->next)
            of.push_back(row->block);
        return of;
    };
    const auto shared = blocks(1, 0);
    CHECK(blocks(0, 0) == shared);
    const auto before = s.all(0);
    REQUIRE(s.tokens.own(0, 1, 0));
    const auto mine = blocks(0, 0);
    CHECK(blocks(1, 0) == shared);
    for (std::size_t i = 0; i < shared.size(); ++i) CHECK(mine[i] != shared[i]);
    CHECK(blocks(0, 1) == blocks(1, 1));
    REQUIRE(s.tokens.own(0, 1, 0));
    REQUIRE(s.tokens.own(1, 1, 0));
    CHECK(blocks(0, 0) == mine);
    CHECK(blocks(1, 0) == shared);
    CHECK((s.all(0) == before));
    CHECK((s.all(1) == before));
    CHECK(s.tokens.own(3, 0, 0).error().code == errc::invalid_argument);
    CHECK(s.tokens.own(0, 2, 0).error().code == errc::invalid_argument);
    CHECK(s.tokens.own(0, 0, 2).error().code == errc::invalid_argument);
}
