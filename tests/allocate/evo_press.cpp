// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/allocate/evo_press.hpp>

#include <pare/allocate/greedy.hpp>

#include "support/catch.hpp"
#include "toys.hpp"

#include <limits>
#include <map>

using namespace pare::testing;
using pare::errc, pare::allocate::evo_press, pare::allocate::greedy, pare::allocate::outcome;

TEST_CASE("evo_press finds the optimum where losses add up, of layers alike and not") {
    for (std::uint64_t seed = 0; seed < 10; ++seed)
        for (const toy& model :
             {sized({1, 1, 1, 1, 1}, 4, 7), sized({3, 17, 5, 41, 8, 1}, 4, 100)}) {
            const convex loss = random_convex(model.n_layers, seed);
            levels at = model.cheapest();
            const auto found =
                evo_press{.generations = 100, .seed = seed}.search(model.choices(), at, loss);
            REQUIRE(found);
            CHECK(found->loss == model.least(loss));
            CHECK(found->loss == loss(at, 1.0));
            CHECK(found->bytes == model.bytes_of(at));
        }
}

TEST_CASE("evo_press finds what no step of one layer does") {
    const toy model = sized({1, 1, 1, 1, 1, 1, 1, 1}, 2, 5);
    levels one_by_one = model.cheapest();
    const auto stuck = greedy{}.search(model.choices(), one_by_one, pair_or_nothing);
    REQUIRE(stuck);
    CHECK(stuck->loss == 101);
    const auto found = evo_press{}.search(model.choices(), one_by_one, pair_or_nothing);
    REQUIRE(found);
    CHECK(found->loss == model.least(pair_or_nothing));
    CHECK(found->loss == 3);
}

TEST_CASE("evo_press measures nothing that exceeds the budget, nor a child twice") {
    const std::uint64_t most = ~std::uint64_t{0};
    toy model{
        5, 4, {0, 7, 7, 50, 1, 2, 30, most, 9, 9, 9, 9, 3, 11, 12, most, 0, 1, most, most}, 60};
    int too_many = 0, alike = 0;
    levels parent = model.cheapest(), at = parent;
    std::map<levels, int> seen;
    const auto loss = [&](std::span<const pare::allocate::level> now, double effort) {
        const levels copy(now.begin(), now.end());
        too_many += model.bytes_of(now) > model.budget;
        if (effort < 0.1) alike += seen[copy]++ > 0 || copy == parent;
        std::uint64_t hash = 1;
        for (const auto l : now) hash = pare::random(hash + l).next();
        return static_cast<double>(hash >> 32);
    };
    double start = 0.0;
    const auto found = evo_press{.generations = 50, .offspring = 12}.search(
        model.choices(), at, loss, [&](const outcome& so_far) {
            if (so_far.rounds == 0) start = so_far.loss;
            parent = at;
            seen.clear();
            return true;
        });
    REQUIRE(found);
    CHECK(too_many == 0);
    CHECK(alike == 0);
    CHECK(found->loss < start);
}

TEST_CASE("evo_press narrows its children down with growing effort") {
    const toy model = sized(std::vector<std::uint64_t>(40, 1), 3, 40);
    const convex loss = random_convex(40, 1);
    std::map<double, int> measured;
    levels at = model.cheapest();
    const auto count = [&](std::span<const pare::allocate::level> now, double effort) {
        ++measured[effort];
        return loss(now, effort);
    };
    const auto found =
        evo_press{.generations = 3, .offspring = 20, .narrowing = {{{6, 0.125}, {2, 0.5}}}}.search(
            model.choices(), at, count);
    REQUIRE(found);
    CHECK(measured == std::map<double, int>{{0.125, 60}, {0.5, 18}, {1.0, 1 + 6}});
    CHECK(found->evaluations == 60 + 18 + 7);
}

TEST_CASE("evo_press keeps the start where nothing is better, whatever is not a number") {
    const toy model = sized({2, 3, 4}, 3, 9);
    const double nan = std::numeric_limits<double>::quiet_NaN(),
                 infinity = std::numeric_limits<double>::infinity();
    const levels start{1, 1, 1};
    for (const double other : {1.0, 2.0, nan, infinity, -infinity, -nan}) {
        levels at = start;
        const auto found =
            evo_press{.generations = 20}.search(model.choices(), at, [&](auto now, double) {
                return levels(now.begin(), now.end()) == start ? 1.0 : other;
            });
        REQUIRE(found);
        CHECK(at == start);
        CHECK(found->loss == 1.0);
        CHECK(found->bytes == 9);
    }
}

TEST_CASE("evo_press does the same again for a seed, and ends when it is told") {
    const toy model = sized({3, 5, 7, 9, 11, 13, 15, 17, 19, 21}, 5, 200);
    const convex loss = random_convex(10, 3);
    const auto run = [&](std::uint64_t seed, std::size_t rounds) {
        levels at = model.cheapest();
        const auto found = evo_press{.offspring = 4, .seed = seed}.search(
            model.choices(), at, loss,
            [&](const outcome& so_far) { return so_far.rounds < rounds; });
        REQUIRE(found);
        CHECK(found->rounds == rounds);
        return at;
    };
    CHECK(run(1, 5) == run(1, 5));
    CHECK(run(1, 5) != run(2, 5));
    CHECK(run(1, 0) == model.cheapest());
    CHECK(loss(run(1, 30), 1.0) <= loss(run(1, 5), 1.0));

    levels at = model.cheapest();
    const auto none =
        evo_press{.deadline = std::chrono::nanoseconds(0)}.search(model.choices(), at, loss);
    REQUIRE(none);
    CHECK(at == model.cheapest());
    CHECK(none->loss == loss(at, 1.0));
}

TEST_CASE("evo_press has nothing to do for models of no layer and of one level") {
    levels none, one{0};
    const auto loss = [](auto, double) { return 1.0; };
    CHECK(evo_press{}.search(toy{0, 3, {}, 5}.choices(), none, loss)->loss == 1.0);
    CHECK(evo_press{}.search(toy{1, 1, {4}, 5}.choices(), one, loss)->bytes == 4);
}

TEST_CASE("evo_press refuses settings that make no sense") {
    CHECK(evo_press{}.check());
    CHECK_FALSE(evo_press{.offspring = 0}.check());
    CHECK_FALSE(evo_press{.narrowing = {{{0, 0.5}, {1, 1}}}}.check());
    CHECK_FALSE(evo_press{.narrowing = {{{4, 0.0}, {1, 1}}}}.check());
    CHECK_FALSE(evo_press{.narrowing = {{{4, 0.5}, {1, 1.5}}}}.check());
    CHECK_FALSE(evo_press{.narrowing = {{{4, 0.5}, {1, std::numeric_limits<double>::quiet_NaN()}}}}
                    .check());
}
