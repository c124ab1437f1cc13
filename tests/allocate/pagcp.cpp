// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/allocate/pagcp.hpp>

#include "support/catch.hpp"
#include "toys.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace pare::testing;
using pare::errc, pare::allocate::level, pare::allocate::outcome, pare::allocate::pagcp;

namespace {

using at_levels = std::span<const level>;

/// Level k of layer l multiplies the loss by (1 + harm[l])^k and saves k * units[l].
struct compound {
    std::vector<double> harm;
    std::vector<std::uint64_t> units;

    double loss(at_levels at) const {
        double product = 1.0;
        for (std::size_t l = 0; l < at.size(); ++l)
            product *= std::pow(1.0 + harm[l], static_cast<double>(at[l]));
        return product;
    }
    std::uint64_t cost(at_levels at) const {
        std::uint64_t left = 1000;
        for (std::size_t l = 0; l < at.size(); ++l) left -= at[l] * units[l];
        return left;
    }
    pare::result<outcome> search(const pagcp& by, levels& at) const {
        return by.search(
            1, 10, at, [&](at_levels now, std::span<double> losses) { losses[0] = loss(now); },
            [&](at_levels now) { return cost(now); });
    }
};

}  // namespace

TEST_CASE("the allowances of pagcp multiply to the total") {
    for (const pagcp& by : {pagcp{.first = 0.05, .total = 1.3}, pagcp{.first = 0.1, .total = 1.15},
                            pagcp{.first = 0.01, .total = 3.0}})
        for (const std::size_t n : {2u, 7u, 40u}) {
            double product = 1.0, allowed = by.first;
            for (std::size_t i = 0; i < n; ++i, allowed *= by.lambda(n)) product *= 1.0 + allowed;
            CHECK(product == Approx(by.total).epsilon(1e-9));
        }
    CHECK(pagcp{.first = 0.5, .total = 1.5 * 1.5 * 1.5}.lambda(3) == Approx(1.0));
    CHECK(pagcp{.first = 0.5, .total = 1.5 * 1.25}.lambda(2) == Approx(0.5));
}

TEST_CASE("pagcp cuts each layer until its allowance is used, costly layers first") {
    // Allowances 0.5 and 0.25, in the order of layers 1, 0: 1.1^4 < 1.5 < 1.1^5, 1.2 < 1.25.
    const pagcp by{.first = 0.5, .total = 1.5 * 1.25, .share = 1.0};
    levels at{7, 7};
    const compound model{{0.2, 0.1}, {10, 30}};
    const auto found = model.search(by, at);
    REQUIRE(found);
    CHECK(at == levels{1, 4});
    CHECK(found->loss == Approx(model.loss(at)));
    CHECK(found->bytes == 1000 - 10 - 120);
    CHECK(found->rounds == 2);
    CHECK(found->evaluations == 1 + 5 + 2 + 1);
    // In the other order layer 0 gets more: 1.2^2 < 1.5 < 1.2^3, 1.1^2 < 1.25 < 1.1^3.
    const auto other = compound{{0.2, 0.1}, {30, 10}}.search(by, at);
    REQUIRE(other);
    CHECK(at == levels{2, 2});
}

TEST_CASE("allowances that grow meet costly layers last") {
    // lambda = 2: 1.1^2 < 1.25 < 1.1^3 for the cheap one, 1.1^4 < 1.5 < 1.1^5 for the other.
    const pagcp by{.first = 0.25, .total = 1.25 * 1.5, .share = 1.0};
    for (const bool costly : {false, true}) {
        levels at(2);
        REQUIRE(compound{{0.1, 0.1}, {costly ? 30u : 10u, costly ? 10u : 30u}}.search(by, at));
        CHECK(at == (costly ? levels{4, 2} : levels{2, 4}));
    }
}

TEST_CASE("an allowance that no cut has used is left to the next layer") {
    const pagcp by{.first = 0.5, .total = 1.5 * 1.25 * 1.125, .share = 1.0};
    levels at(3);
    const auto found = compound{{0.2, 0.6, 0.1}, {20, 30, 10}}.search(by, at);
    REQUIRE(found);
    CHECK(at == levels{2, 0, 2});
    CHECK(found->loss <= by.total);
}

TEST_CASE("pagcp never exceeds the total, and what does no harm goes as far as it may") {
    pare::random random(3);
    for (int i = 0; i < 20; ++i) {
        compound model;
        for (int l = 0; l < 12; ++l) {
            model.harm.push_back(0.001 * static_cast<double>(random.below(100)));
            model.units.push_back(1 + random.below(9));
        }
        model.harm[5] = 0.0;
        levels at(12);
        const pagcp by{.first = 0.1, .total = 1.6};
        const auto found = model.search(by, at);
        REQUIRE(found);
        CHECK(found->loss <= by.total);
        CHECK(at[5] == 9);
        CHECK(std::count(at.begin(), at.end(), 0u) >= 12 - 9);  // 9 of 12 stay cut at most
    }
}

TEST_CASE("the cuts that cost most loss for what they save are undone") {
    const pagcp by{.first = 0.5, .total = 1.5 * 1.25 * 1.125 * 1.0625, .share = 0.5};
    levels at(4);
    const auto found = compound{{0.01, 0.1, 0.1, 0.01}, {40, 30, 2, 1}}.search(by, at);
    REQUIRE(found);
    CHECK(at[0] == 9);
    CHECK(at[1] > 0);
    CHECK(at[2] == 0);
    CHECK(at[3] == 0);
}

TEST_CASE("every task has its own allowance") {
    // Either layer harms one task only; the other's loss falls, and is no credit.
    const pagcp by{.first = 0.5, .total = 1.5 * 1.25, .share = 1.0};
    levels at(2);
    const auto found = by.search(
        2, 10, at,
        [](at_levels now, std::span<double> losses) {
            losses[0] = 10.0 + now[0] - 0.1 * now[1];
            losses[1] = 1.0 + 0.1 * now[1];
        },
        [](at_levels now) { return 100 - 2 * now[0] - now[1]; });
    REQUIRE(found);
    CHECK(at == levels{5, 2});
}

TEST_CASE("pagcp ends when it is told, with what it has, and refuses what makes no sense") {
    const compound model{{0.1, 0.1, 0.1}, {3, 2, 1}};
    const auto ended = [&](const pagcp& by, std::size_t rounds) {
        levels at{9, 9, 9};
        const auto found = by.search(
            1, 10, at, [&](at_levels now, auto losses) { losses[0] = model.loss(now); },
            [&](at_levels now) { return model.cost(now); },
            [&](const outcome& so_far) { return so_far.rounds < rounds; });
        REQUIRE(found);
        CHECK(found->loss == Approx(model.loss(at)));
        return at;
    };
    const pagcp by{.first = 0.25, .total = 1.5};
    CHECK(ended(by, 1) == levels{2, 0, 0});
    CHECK(ended({.deadline = std::chrono::nanoseconds(0)}, 9) == levels{0, 0, 0});

    const double nan = std::numeric_limits<double>::quiet_NaN();
    levels at(3);
    for (const pagcp& bad : {pagcp{.first = 0.0}, pagcp{.first = nan}, pagcp{.first = 0.6},
                             pagcp{.total = nan}, pagcp{.share = 1.5}, pagcp{.share = -0.1}})
        CHECK(model.search(bad, at).error().code == errc::invalid_argument);
    const auto refused = [&](std::size_t n_tasks, level n_levels, double value) {
        const auto found = by.search(
            n_tasks, n_levels, at,
            [&](at_levels, std::span<double> losses) {
                for (double& loss : losses) loss = value;
            },
            [](at_levels) { return 1u; });
        REQUIRE_FALSE(found);
        return found.error().code;
    };
    CHECK(refused(0, 10, 1.0) == errc::invalid_argument);
    CHECK(refused(1, 1, 1.0) == errc::invalid_argument);
    CHECK(refused(1, 10, nan) == errc::not_a_number);
    levels none;
    CHECK(model.search(by, none));
}
