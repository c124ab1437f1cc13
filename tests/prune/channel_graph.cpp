// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/channel_graph.hpp>

#include "channel_models.hpp"

#include <limits>
#include <optional>

using namespace pare::testing;
using pare::errc;
using op = channel_operation;

TEST_CASE("models have the classes and groups that their operations tie") {
    for (const channel_model& m : channel_models()) {
        CAPTURE(m.name);
        const channel_graph g = graph_of(m.operations);
        CHECK(g.n_groups() == m.n_groups);
        std::size_t n = 0;
        for (std::size_t c = 0; c < g.n_classes(); ++c) n += g.group(c) != channel_graph::fixed;
        CHECK(n == m.n_classes);
    }
}

TEST_CASE("a class lists what makes it: of a shortcut with zeros, a row of either stage") {
    const channel_graph g =
        graph_of({op::input(1), op::layer(0, 2), op::layer(1, 4), op::padding(1, 4, 1),
                  op::elementwise(2, 3), op::layer(4, 1), op::output(5)});
    const auto stream = g.classes(4);
    const auto is = [&](std::size_t channel, std::vector<std::pair<unsigned, unsigned>> made) {
        const auto members = g.members(stream[channel]);
        REQUIRE(members.size() == made.size());
        for (std::size_t i = 0; i < made.size(); ++i)
            CHECK(std::pair(members[i].operation, members[i].number) == made[i]);
    };
    is(0, {{2, 0}, {3, 0}});  // the row of the second stage, and the zero
    is(1, {{1, 0}, {2, 1}});
    is(2, {{1, 1}, {2, 2}});
    is(3, {{2, 3}, {3, 3}});
    CHECK(g.n_groups() == 2);
    CHECK(g.group(stream[0]) == g.group(stream[3]));
    CHECK(g.group(stream[1]) == g.group(stream[2]));
    CHECK(g.group(g.classes(0)[0]) == channel_graph::fixed);
    CHECK(g.group(g.classes(6)[0]) == channel_graph::fixed);
}

TEST_CASE("heads go with their queries, and readers see each value head as often as it is read") {
    const channel_graph g = graph_of({op::input(2), op::layer(0, 8), op::layer(0, 4),
                                      op::layer(0, 4), op::attention(1, 2, 3, 2)});
    REQUIRE(g.n_groups() == 1);
    const auto seen = g.classes(4);
    for (std::size_t c = 0; c < 8; ++c) {
        CHECK(seen[c] == seen[c / 4 * 4]);  // two query heads of two channels
        CHECK(seen[c] == g.classes(1)[c]);
        CHECK(seen[c] == g.classes(2)[c / 4 * 2]);
    }
    CHECK(seen[0] != seen[4]);
    CHECK(g.members(seen[0]).size() == 4 + 2 + 2);
}

TEST_CASE("multiply-adds count what is left of each layer") {
    const channel_graph g =
        graph_of({op::input(3), op::layer(0, 4, 9, 100), op::depthwise(1, 4, 9, 50),
                  op::layer(2, 8, 1, 50, 2), op::layer(3, 5), op::output(4)});
    std::vector<std::uint8_t> kept(g.n_classes(), 1);
    CHECK(g.multiply_adds(kept) == 3 * 4 * 900 + 4 * 450 + 2 * 8 * 50 + 8 * 5);
    kept[g.classes(1)[1]] = 0;  // with 3, of the other group
    CHECK(g.multiply_adds(kept) == 3 * 2 * 900 + 2 * 450 + 1 * 8 * 50 + 8 * 5);
}

TEST_CASE("operations that do not fit are refused by number") {
    const auto why = [](std::vector<op> operations, std::size_t where) -> std::optional<errc> {
        const auto made = channel_graph::make(operations);
        if (made) return {};
        CHECK(made.error().where == where);
        return made.error().code;
    };
    const op in = op::input(4);
    CHECK_FALSE(why({}, 0));
    CHECK_FALSE(why({in, op::layer(0, 2)}, 0));
    CHECK(why({op::layer(0, 2)}, 0) == errc::invalid_argument);
    CHECK(why({in, op::elementwise(0, 2), in}, 1) == errc::invalid_argument);
    CHECK(why({op::input(0)}, 0) == errc::shape_mismatch);
    CHECK(why({in, op::layer(0, 0)}, 1) == errc::shape_mismatch);
    CHECK(why({in, op::layer(0, 6, 1, 1, 4)}, 1) == errc::shape_mismatch);
    CHECK(why({in, op::layer(0, 6, 1, 1, 3)}, 1) == errc::shape_mismatch);
    CHECK(why({in, op::layer(0, 6, 1, 1, 0)}, 1) == errc::shape_mismatch);
    CHECK(why({in, op::depthwise(0, 6, 9)}, 1) == errc::shape_mismatch);
    CHECK(why({in, op::input(3), op::elementwise(0, 1)}, 2) == errc::shape_mismatch);
    CHECK(why({in, op::padding(0, 5, 2)}, 1) == errc::shape_mismatch);
    CHECK(why({in, op::padding(0, 3, 4)}, 1) == errc::shape_mismatch);
    CHECK(why({in, op::attention(0, 0, 0, 3)}, 1) == errc::shape_mismatch);
    CHECK(why({in, op::attention(0, 0, 0, 0)}, 1) == errc::shape_mismatch);
    CHECK(why({in, op::input(6), op::attention(1, 0, 0, 2)}, 2) == errc::shape_mismatch);
    constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
    CHECK(why({op::input(5), op::layer(0, most - 1)}, 1) == errc::invalid_argument);
    CHECK(why({op::input(5), op::layer(0, std::uint32_t(-1) - 4u)}, 1) == errc::invalid_argument);
}
