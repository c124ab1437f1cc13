// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/channel_cut.hpp>

#include "channel_models.hpp"
#include "support/metrics.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

using namespace pare::testing;
using pare::errc;
using op = channel_operation;

namespace {

// Half of the classes of each group, one at least, and all that are fixed.
std::vector<std::uint8_t> half_of(const channel_graph& g, std::uint64_t seed) {
    pare::random random(seed);
    std::vector<std::uint8_t> kept(g.n_classes(), 1);
    std::vector<std::size_t> left(g.n_groups());
    for (std::size_t c = 0; c < kept.size(); ++c)
        if (g.group(c) != channel_graph::fixed) ++left[g.group(c)];
    for (std::size_t c = 0; c < kept.size(); ++c)
        if (g.group(c) != channel_graph::fixed && random.below(2) == 0 && left[g.group(c)] > 1) {
            kept[c] = 0;
            --left[g.group(c)];
        }
    return kept;
}

double largest(const std::vector<float>& values) {
    return max_abs_error(values, std::vector<float>(values.size()));
}

channel_cut cut_of(const channel_graph& g, const std::vector<std::uint8_t>& kept) {
    auto made = channel_cut::make(g, kept);
    REQUIRE(made);
    return std::move(*made);
}

matrix cut_weights(const channel_cut& cut, std::size_t layer, const matrix& weights) {
    matrix to(cut.kept(layer).size(), cut.cols(layer));
    REQUIRE(cut.gather_weights(layer, weights.view(), to.view()));
    return to;
}

}  // namespace

TEST_CASE("a cut model computes what the whole one does with the channels at zero") {
    for (const channel_model& m : channel_models())
        for (const std::uint64_t seed : {1u, 2u, 3u}) {
            CAPTURE(m.name, seed);
            const channel_graph g = graph_of(m.operations);
            const std::vector<std::uint8_t> kept = half_of(g, seed);
            const channel_cut cut = cut_of(g, kept);
            const weights_of_layers weights = random_weights(g);
            weights_of_layers smaller;
            std::vector<op> operations = m.operations;
            std::vector<std::vector<bool>> removed(operations.size());
            std::uint64_t multiply_adds = 0;
            for (std::size_t i = 0; i < operations.size(); ++i) {
                for (const std::uint32_t c : g.classes(i)) removed[i].push_back(kept[c] == 0);
                operations[i].channels = cut.kept(i).size();
                if (operations[i].what == op::kind::padding) operations[i].front = cut.front(i);
                smaller.push_back(operations[i].has_weights() ? cut_weights(cut, i, weights[i])
                                                              : matrix(0, 0));
                multiply_adds += smaller[i].data().size();
            }
            const matrix masked = run_channels(m.operations, weights, removed).back();
            const matrix found = run_channels(operations, smaller).back();
            CHECK(found.data() != run_channels(m.operations, weights).back().data());
            CHECK(largest(masked.data()) > 0.0);
            CHECK(max_abs_error(found.data(), masked.data()) < 1e-5 * largest(masked.data()));
            CHECK(multiply_adds == g.multiply_adds(kept));  // one position
            const channel_graph again = graph_of(operations);
            CHECK(again.n_groups() == g.n_groups());
        }
}

TEST_CASE("constants of removed channels move into the bias of what reads them") {
    const channel_graph g = graph_of(
        {op::input(1), op::layer(0, 4), op::layer(1, 4, 2, 1, 2), op::layer(2, 3), op::output(3)});
    std::vector<std::uint8_t> kept(g.n_classes(), 1);
    kept[g.classes(1)[1]] = kept[g.classes(2)[0]] = 0;  // with 3, and with 2
    const channel_cut cut = cut_of(g, kept);
    const matrix grouped(4, 4,
                         {9, 9, 9, 9,  //
                          1, 2, 3, 4,  //
                          9, 9, 9, 9,  //
                          5, 6, 7, 8});
    std::vector<float> bias{100, 200};  // of rows 1 and 3
    const std::vector<float> constants{-1, 10, -1, 1000};
    REQUIRE(cut.absorb(2, grouped.view(), constants, bias));
    CHECK(bias == std::vector<float>{100 + 70, 200 + 15000});
    const matrix left = cut_weights(cut, 2, grouped);
    CHECK(left.data() == std::vector<float>{1, 2, 5, 6});

    const matrix last(3, 4,
                      {1, 2, 3, 4,  //
                       5, 6, 7, 8,  //
                       9, 0, 1, 2});
    bias = {0, 0, 0};
    REQUIRE(cut.absorb(3, last.view(), std::vector<float>{10, -1, 1, -1}, bias));
    CHECK(bias == std::vector<float>{13, 57, 91});
}

TEST_CASE("what is kept per channel is gathered") {
    const channel_graph g =
        graph_of({op::input(1), op::layer(0, 3), op::layer(1, 1), op::output(2)});
    std::vector<std::uint8_t> kept(g.n_classes(), 1);
    kept[g.classes(1)[1]] = 0;
    const std::vector<float> gains{1, 2, 3};
    std::vector<float> left(2);
    cut_of(g, kept).gather<float>(1, gains, left);
    CHECK(left == std::vector<float>{1, 3});
}

TEST_CASE("cuts that leave nothing, or take what is fixed, are refused") {
    const channel_graph g =
        graph_of({op::input(2), op::layer(0, 3), op::layer(1, 2), op::output(2)});
    std::vector<std::uint8_t> kept(g.n_classes(), 1);
    const auto code = [&] { return channel_cut::make(g, kept).error().code; };
    REQUIRE(channel_cut::make(g, kept));
    SECTION("an input") { kept[g.classes(0)[0]] = 0; }
    SECTION("an output") { kept[g.classes(3)[1]] = 0; }
    SECTION("all of a layer") {
        for (const std::uint32_t c : g.classes(1)) kept[c] = 0;
    }
    SECTION("no flag") { kept[g.classes(1)[0]] = 2; }
    CHECK(code() == errc::invalid_argument);
    kept.pop_back();
    CHECK(code() == errc::shape_mismatch);
}

TEST_CASE("weights of another shape are refused") {
    const channel_graph g = graph_of({op::input(2), op::layer(0, 3, 4), op::output(1)});
    const channel_cut cut = cut_of(g, std::vector<std::uint8_t>(g.n_classes(), 1));
    const auto code = [&](std::size_t rows, std::size_t cols, std::size_t to_rows,
                          std::size_t to_cols) {
        const matrix from(rows, cols);
        matrix to(to_rows, to_cols);
        const auto done = cut.gather_weights(1, from.view(), to.view());
        return done || done.error().code == errc::shape_mismatch ? done.has_value() : true;
    };
    CHECK(code(3, 8, 3, 8));
    CHECK_FALSE(code(2, 8, 3, 8));
    CHECK_FALSE(code(3, 4, 3, 8));
    CHECK_FALSE(code(3, 8, 2, 8));
    CHECK_FALSE(code(3, 8, 3, 4));
    std::vector<float> bias(3);
    const matrix weights(3, 8);
    CHECK(cut.absorb(1, weights.view(), std::vector<float>(2), bias));
    CHECK_FALSE(cut.absorb(1, weights.view(), std::vector<float>(3), bias));
}
