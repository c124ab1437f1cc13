// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/channel_selection.hpp>

#include <pare/prune/channel_scores.hpp>

#include "channel_models.hpp"

#include <limits>
#include <numeric>

using namespace pare::testing;
using pare::errc;
using pare::prune::channel_scores, pare::prune::channel_selection;
using op = channel_operation;

namespace {

// 10 and 20 channels between one input and one output: 10 + 200 + 20 multiply-adds.
std::vector<op> two_layers() {
    return {op::input(1), op::layer(0, 10), op::layer(1, 20), op::layer(2, 1), op::output(3)};
}

struct scored_layers {
    channel_graph graph = graph_of(two_layers());
    std::vector<float> scores = std::vector<float>(graph.n_classes());
    std::vector<std::uint8_t> kept = std::vector<std::uint8_t>(graph.n_classes());

    // Scores of either layer, from first on.
    scored_layers(float first, float second) {
        const auto one = graph.classes(1), two = graph.classes(2);
        for (std::size_t i = 0; i < one.size(); ++i) scores[one[i]] = first + static_cast<float>(i);
        for (std::size_t i = 0; i < two.size(); ++i)
            scores[two[i]] = second + static_cast<float>(i);
    }
    pare::status select(const channel_selection& s, std::vector<std::uint32_t> pools) {
        return s.select(graph, scores, pools, kept);
    }
    std::size_t left(std::size_t layer) const {
        std::size_t n = 0;
        for (const std::uint32_t c : graph.classes(layer)) n += kept[c];
        return n;
    }
};

}  // namespace

TEST_CASE("a pool for each group removes the same share of every layer, the worst first") {
    scored_layers s(1000.0f, 1.0f);
    REQUIRE(s.select({.share = 0.5}, {0, 1}));
    CHECK(s.left(1) == 7);
    CHECK(s.left(2) == 13);  // 7 + 91 + 13 <= 115 < 7 + 98 + 14
    for (std::size_t i = 0; i < 10; ++i) CHECK(s.kept[s.graph.classes(1)[i]] == (i >= 3));
}

TEST_CASE("one pool ranks all classes together and leaves one of a layer at least") {
    scored_layers s(1000.0f, 1.0f);
    REQUIRE(s.select({.share = 0.5}, {0, 0}));
    CHECK(s.left(1) == 10);
    CHECK(s.left(2) == 9);  // 10 + 90 + 9 <= 115 < 10 + 100 + 10
    REQUIRE(s.select({.share = 0.92}, {0, 0}));
    CHECK(s.left(2) == 1);  // 8 + 8 + 1 <= 18.4 < 9 + 9 + 1
    CHECK(s.left(1) == 8);
    REQUIRE(s.select({.share = 0.5, .least = 0.6f}, {0, 0}));
    CHECK(s.left(2) == 12);
    CHECK(s.left(1) == 7);
}

TEST_CASE("the share is met with as few as possible") {
    for (const double share : {0.0, 0.1, 0.3, 0.7}) {
        scored_layers s(1.0f, 6.5f);
        REQUIRE(s.select({.share = share}, {0, 0}));
        const auto left = static_cast<double>(s.graph.multiply_adds(s.kept));
        CHECK(left <= (1.0 - share) * 230.0);
        std::uint32_t best = 0;  // of those removed
        for (std::uint32_t c = 0; c < s.kept.size(); ++c)
            if (s.kept[c] == 0 && (s.kept[best] == 1 || s.scores[c] > s.scores[best])) best = c;
        if (share == 0.0) CHECK(left == 230.0);
        else {
            REQUIRE(s.kept[best] == 0);
            s.kept[best] = 1;
            CHECK(static_cast<double>(s.graph.multiply_adds(s.kept)) > (1.0 - share) * 230.0);
        }
    }
}

TEST_CASE("channels are rounded up to a multiple, heads by the channels that they have") {
    scored_layers s(1.0f, 1.0f);
    REQUIRE(s.select({.share = 0.5, .multiple = 4}, {0, 1}));
    CHECK(s.left(1) % 4 == 0);
    CHECK(s.left(2) % 4 == 0);
    CHECK(2 * s.graph.multiply_adds(s.kept) <= 230);
    CHECK_FALSE(s.select({.share = 0.9, .multiple = 8}, {0, 1}));  // 8 x 8 are left
    REQUIRE(s.select({.share = 0.1, .multiple = 8}, {0, 0}));
    CHECK(s.left(1) == 8);
    CHECK(s.left(2) == 20);  // where no multiple is smaller than the layer it stays whole

    const channel_graph heads =
        graph_of({op::input(2), op::layer(0, 32), op::layer(0, 32), op::layer(0, 32),
                  op::attention(1, 2, 3, 4), op::layer(4, 2), op::output(5)});
    std::vector<float> scores(heads.n_classes());
    std::iota(scores.begin(), scores.end(), 1.0f);
    std::vector<std::uint8_t> kept(heads.n_classes());
    const std::vector<std::uint32_t> pools{0};
    REQUIRE(channel_selection{.share = 0.3, .multiple = 8}.select(heads, scores, pools, kept));
    CHECK(std::accumulate(kept.begin(), kept.end(), 0u) == 2 + 4 + 2);  // input, heads, output
}

TEST_CASE(
    "rounding takes no more than the share asks for, and a finer one no more than a coarser") {
    // Four layers of 32 channels that would all lose their next multiple at once.
    const channel_graph g = graph_of({op::input(1), op::layer(0, 32), op::layer(1, 32),
                                      op::layer(2, 32), op::layer(3, 32), op::output(4)});
    REQUIRE(g.n_groups() == 3);  // the last one stays whole
    std::vector<float> scores(g.n_classes());
    std::iota(scores.begin(), scores.end(), 1.0f);
    const std::vector<std::uint32_t> pools{0, 1, 2};
    const std::vector<std::uint8_t> whole(g.n_classes(), 1);
    std::uint64_t coarser = 0;
    for (const std::size_t multiple : {16u, 8u, 4u}) {
        const auto most =
            static_cast<std::uint64_t>(0.7 * static_cast<double>(g.multiply_adds(whole)));
        std::vector<std::uint8_t> kept(g.n_classes());
        REQUIRE(
            channel_selection{.share = 0.3, .multiple = multiple}.select(g, scores, pools, kept));
        const std::uint64_t left = g.multiply_adds(kept);
        CHECK(left <= most);
        CHECK(left >= coarser);
        coarser = left;
        for (const std::size_t layer : {1u, 2u, 3u}) {  // with the next multiple it would not do
            std::size_t n = 0;
            for (const std::uint32_t c : g.classes(layer)) n += kept[c];
            CHECK(n % multiple == 0);
            if (n == 32) continue;
            std::vector<std::uint8_t> more = kept;
            for (std::size_t i = 0, back = multiple; i < 32 && back > 0; ++i)
                if (std::uint8_t& k = more[g.classes(layer)[i]]; k == 0) k = 1, --back;
            CHECK(g.multiply_adds(more) > most);
        }
    }
}

TEST_CASE("each operation of a group keeps a multiple, however few channels of a class it has") {
    const auto left_of = [](const std::vector<op>& operations, std::size_t multiple,
                            std::size_t which) {
        const channel_graph g = graph_of(operations);
        REQUIRE(g.n_groups() == 1);
        const std::vector<float> scores(g.n_classes());
        const std::vector<std::uint32_t> pools(1);
        std::vector<std::uint8_t> kept(g.n_classes());
        REQUIRE(
            channel_selection{.share = 0.3, .multiple = multiple}.select(g, scores, pools, kept));
        std::size_t n = 0;
        for (const std::uint32_t c : g.classes(which)) n += kept[c];
        return n;
    };
    // Four heads with two queries each: one is 8 channels of q, but 4 of k and v.
    const std::vector<op> heads{op::input(2),     op::layer(0, 32),          op::layer(0, 16),
                                op::layer(0, 16), op::attention(1, 2, 3, 4), op::layer(4, 2),
                                op::output(5)};
    CHECK(left_of(heads, 4, 2) == 8);
    CHECK(left_of(heads, 8, 2) == 8);
    CHECK(left_of(heads, 8, 1) == 16);
    const std::vector<op> twice{op::input(1), op::layer(0, 12), op::depthwise(1, 24, 9),
                                op::layer(2, 1), op::output(3)};
    CHECK(left_of(twice, 6, 1) == 6);
    CHECK(left_of(twice, 4, 1) == 8);
    CHECK(left_of(twice, 4, 2) == 16);

    scored_layers s(1.0f, 1.0f);
    const std::size_t huge = std::numeric_limits<std::size_t>::max();
    REQUIRE(s.select({.share = 0.0, .multiple = huge}, {0, 1}));
    CHECK(s.left(1) == 10);
    CHECK_FALSE(s.select({.share = 0.1, .multiple = huge}, {0, 1}));
}

TEST_CASE("counts say how many classes of each group stay, the best ones, whatever the share") {
    scored_layers s(1000.0f, 1.0f);
    const auto select = [&](const channel_selection& by, std::vector<std::size_t> counts) {
        return by.select_counts(s.graph, s.scores, counts, s.kept);
    };
    REQUIRE(select({.share = 0.9}, {4, 20}));
    CHECK(s.left(1) == 4);
    CHECK(s.left(2) == 20);
    for (std::size_t i = 0; i < 10; ++i) CHECK(s.kept[s.graph.classes(1)[i]] == (i >= 6));
    REQUIRE(select({.multiple = 4}, {5, 17}));
    CHECK(s.left(1) == 8);
    CHECK(s.left(2) == 20);
    REQUIRE(select({.least = 0.5f}, {0, 99}));
    CHECK(s.left(1) == 5);
    CHECK(s.left(2) == 20);
    REQUIRE(select({}, {0, 0}));  // one stays
    CHECK(s.left(1) == 1);
    CHECK(s.left(2) == 1);
    for (const std::size_t fixed : {0u, 3u})
        for (const std::uint32_t c : s.graph.classes(fixed)) CHECK(s.kept[c] == 1);

    const auto before = s.kept;
    CHECK(select({}, {1}).error().code == errc::shape_mismatch);
    CHECK(select({.multiple = 0}, {1, 1}).error().code == errc::invalid_argument);
    s.scores[5] = std::numeric_limits<float>::quiet_NaN();
    CHECK(select({}, {1, 1}).error().code == errc::not_a_number);
    CHECK(s.kept == before);
}

TEST_CASE("of equal scores the first stays") {
    scored_layers s(1.0f, 1.0f);
    std::fill(s.scores.begin(), s.scores.end(), 1.0f);
    REQUIRE(s.select({.share = 0.5}, {0, 1}));
    for (const std::size_t layer : {1u, 2u})
        for (std::size_t i = 0; i < s.graph.classes(layer).size(); ++i)
            CHECK(s.kept[s.graph.classes(layer)[i]] == (i < s.left(layer)));
}

TEST_CASE("selections that make no sense are refused") {
    scored_layers s(1.0f, 1.0f);
    const auto code = [&](const channel_selection& c, std::vector<std::uint32_t> pools = {0, 1}) {
        return s.select(c, std::move(pools)).error().code;
    };
    CHECK(code({.share = 1.0}) == errc::invalid_argument);
    CHECK(code({.share = -0.1}) == errc::invalid_argument);
    CHECK(code({.share = std::numeric_limits<double>::quiet_NaN()}) == errc::invalid_argument);
    CHECK(code({.multiple = 0}) == errc::invalid_argument);
    CHECK(code({.least = 1.5f}) == errc::invalid_argument);
    CHECK(code({.share = 0.995}) == errc::invalid_argument);  // 3 of 230 stay in any case
    CHECK(s.kept == std::vector<std::uint8_t>(s.kept.size()));
    CHECK(code({}, {0, 2}) == errc::invalid_argument);
    CHECK(code({}, {0}) == errc::shape_mismatch);
    s.scores[5] = std::numeric_limits<float>::infinity();
    CHECK(code({}) == errc::not_a_number);
    s.scores.pop_back();
    CHECK(code({}) == errc::shape_mismatch);
}

TEST_CASE("a class is worth the mean of its rows, each against its layer's mean") {
    const channel_graph g = graph_of({op::input(1), op::layer(0, 2), op::layer(1, 2),
                                      op::elementwise(1, 2), op::layer(3, 1), op::output(4)});
    const std::vector<float> first{1.0f, 3.0f}, second{600.0f, 200.0f}, none;
    std::vector<std::span<const float>> rows{none, first, second, none, none, none};
    std::vector<float> classes(g.n_classes());
    const auto of = [&](std::size_t c) { return classes[g.classes(3)[c]]; };
    REQUIRE(channel_scores{}.combine(g, rows, classes));
    CHECK(of(0) == 1.0f);  // (1 / 2 + 600 / 400) / 2
    CHECK(of(1) == 1.0f);
    CHECK(classes[g.classes(0)[0]] == 0.0f);
    REQUIRE(channel_scores{.relative = false}.combine(g, rows, classes));
    CHECK(of(0) == 300.5f);
    rows[2] = none;
    REQUIRE(channel_scores{.relative = false}.combine(g, rows, classes));
    CHECK(of(1) == 3.0f);

    const auto code = [&](std::size_t operation, const std::vector<float>& scores) {
        rows[operation] = scores;
        return channel_scores{}.combine(g, rows, classes).error().code;
    };
    CHECK(code(3, first) == errc::shape_mismatch);
    rows[3] = none;
    CHECK(code(4, first) == errc::shape_mismatch);
    rows[4] = none;
    CHECK(code(1, {1.0f, -1.0f}) == errc::invalid_argument);
    CHECK(code(1, {1.0f, std::numeric_limits<float>::quiet_NaN()}) == errc::not_a_number);
}
