// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/allocate/greedy.hpp>

#include "support/catch.hpp"
#include "toys.hpp"

using namespace pare::testing;
using pare::errc, pare::allocate::greedy;

TEST_CASE("greedy takes the step that helps most per byte") {
    // Layer 0 gains 8 for 10 bytes, layer 1 gains 5 for 5; one of them fits.
    const toy model = sized({10, 5}, 2, 10);
    levels at = model.cheapest();
    const auto found = greedy{}.search(model.choices(), at, convex{{16, 10}});
    REQUIRE(found);
    CHECK(at == levels{0, 1});
    CHECK(found->loss == 16 + 5);
    CHECK(found->bytes == 5);
    CHECK(found->rounds == 1);
    CHECK(found->evaluations == 3);
}

TEST_CASE("greedy takes steps that cost nothing, and leaves those that do not help") {
    const toy model{2, 3, {0, 0, 4, 0, 1, 2}, 6};
    levels at = model.cheapest();
    const auto loss = [](auto now, double) { return now[0] == 0 ? 3.0 : 2.0; };
    const auto found = greedy{}.search(model.choices(), at, loss);
    REQUIRE(found);
    CHECK(at == levels{1, 0});
    CHECK(found->bytes == 0);
}

TEST_CASE("greedy finds the optimum where losses add up, are convex, and layers are alike") {
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
        const toy model = sized({1, 1, 1, 1, 1}, 4, 7);
        const convex loss = random_convex(5, seed);
        levels at = model.cheapest();
        const auto found = greedy{}.search(model.choices(), at, loss);
        REQUIRE(found);
        CHECK(found->loss == model.least(loss));
        CHECK(found->loss == loss(at, 1.0));
        CHECK(found->bytes == model.bytes_of(at));
    }
}

TEST_CASE("greedy ends when it is told, with what it has") {
    const toy model = sized({1, 1, 1}, 4, 9);
    levels at = model.cheapest();
    const auto found =
        greedy{}.search(model.choices(), at, convex{{1, 2, 4}},
                        [](const pare::allocate::outcome& so_far) { return so_far.rounds < 2; });
    REQUIRE(found);
    CHECK(found->rounds == 2);
    CHECK(at == levels{0, 1, 1});  // of equal steps the first
    at = model.cheapest();
    const auto none = greedy{.deadline = std::chrono::nanoseconds(0)}.search(model.choices(), at,
                                                                             convex{{1, 2, 4}});
    REQUIRE(none);
    CHECK(none->evaluations == 1);
    CHECK(at == model.cheapest());
}

TEST_CASE("a start that does not fit is refused, and so are choices that make no sense") {
    const auto code = [](const toy& model, levels at) {
        const auto refused = greedy{}.search(model.choices(), at, convex{{1, 1, 1}});
        REQUIRE_FALSE(refused);
        return refused.error().code;
    };
    const std::uint64_t most = ~std::uint64_t{0};
    CHECK(code(sized({1, 1}, 3, 3), {2, 2}) == errc::invalid_argument);
    CHECK(code(sized({1, 1}, 3, 3), {3, 0}) == errc::invalid_argument);
    CHECK(code(sized({1, 1}, 3, 3), {0}) == errc::shape_mismatch);
    CHECK(code({2, 2, {1, most, 1, most}, most}, {1, 1}) == errc::invalid_argument);
    CHECK(code({1, 2, {2, 1}, 3}, {0}) == errc::invalid_argument);
}
