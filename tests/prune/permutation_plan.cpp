// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/permutation_plan.hpp>

#include <pare/prune/gyro.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <vector>

using namespace pare::testing;
using pare::errc;
using pare::prune::activation, pare::prune::hinm, pare::prune::hinm_order,
    pare::prune::permutation_plan, pare::prune::planned_layer;

namespace {

using channels = std::vector<float>;

// A pruned layer. Weights are integers, whose sums are exact in any order.
struct layer {
    using pattern = hinm<2, 4, 4>;
    static constexpr pattern half{.vector_sparsity = 0.5f};

    layer(std::size_t rows, std::size_t cols, std::uint64_t seed)
        : weights(matrix::integers(rows, cols, 9, seed)),
          order(*half.make_order(magnitudes().view())) {
        order = std::move(pare::prune::gyro{.seed = seed}.search(magnitudes().view(), half)->order);
    }

    matrix magnitudes() const {
        matrix scores = weights;
        for (float& x : scores.data()) x = std::fabs(x);
        return scores;
    }

    // The masked weights times x, every channel in its place.
    channels masked(const channels& x) const {
        bits kept(weights.rows(), weights.cols());
        pattern::select(magnitudes().view(), order, kept.view());
        channels y(weights.rows());
        for (std::size_t r = 0; r < weights.rows(); ++r)
            for (std::size_t c = 0; c < weights.cols(); ++c)
                if (kept(r, c)) y[r] += weights(r, c) * x[c];
        return y;
    }

    // As a kernel does: values by the order's columns, activations by the renumbered ones; stored
    // one after the other, or scattered.
    channels permuted(const permutation_plan& plan, std::size_t number, const channels& x) const {
        bits kept(weights.rows(), weights.cols());
        pattern::select(magnitudes().view(), order, kept.view());
        auto renumbered = *order.copy();
        channels y(weights.rows());
        for (std::size_t t = 0; t < order.n_tiles(); ++t) {
            plan.renumber(number, renumbered.columns(t));
            for (std::size_t i = 0; i < order.outputs_of(t).size(); ++i) {
                const std::size_t row = order.outputs_of(t)[i];
                float& sum = y[plan.stays(number) ? 4 * t + i : row];
                for (std::size_t j = 0; j < order.kept(); ++j) {
                    const std::size_t c = std::as_const(order).columns(t)[j];
                    if (kept(row, c)) sum += weights(row, c) * x[renumbered.columns(t)[j]];
                }
            }
        }
        CHECK(renumbered.check());
        return y;
    }

    matrix weights;
    hinm_order order;
};

channels input(std::size_t n, std::uint64_t seed) { return matrix::integers(1, n, 3, seed).data(); }

channels added(channels a, const channels& b) {
    for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
    return a;
}
channels rectified(channels a) {
    for (float& x : a) x = std::max(x, 0.0f);
    return a;
}
channels multiplied(channels a, const channels& b) {
    for (std::size_t i = 0; i < a.size(); ++i) a[i] *= b[i];
    return a;
}

bool in_place(const hinm_order& order) {
    return std::is_sorted(order.outputs().begin(), order.outputs().end());
}

// An order of rows in which each block of `block` is reversed.
void reverse_blocks(hinm_order& order, std::size_t block) {
    const auto outputs = order.outputs();
    std::iota(outputs.begin(), outputs.end(), 0u);
    for (std::size_t i = 0; i < outputs.size(); i += block)
        std::reverse(outputs.begin() + static_cast<std::ptrdiff_t>(i),
                     outputs.begin() + static_cast<std::ptrdiff_t>(i + block));
}

}  // namespace

TEST_CASE("a permuted MLP with a residual gives what its masked weights give") {
    const layer up(34, 16, 1), down(16, 34, 2);
    REQUIRE_FALSE(in_place(up.order));
    REQUIRE_FALSE(in_place(down.order));
    const std::array activations{activation{}, activation{.block = activation::all}};
    const std::array layers{planned_layer{&up.order, 0, 1}, planned_layer{&down.order, 1, 0}};
    const auto plan = permutation_plan::make(activations, layers);
    REQUIRE(plan);
    CHECK(plan->stays(0));
    CHECK_FALSE(plan->stays(1));  // the residual stream is not moved

    const channels x = input(16, 3), bias = input(34, 4);
    const channels expected = added(down.masked(rectified(added(up.masked(x), bias))), x);
    channels moved_bias(34);
    plan->permute<float>(1, bias, moved_bias);
    CHECK(moved_bias != bias);
    const channels hidden = rectified(added(up.permuted(*plan, 0, x), moved_bias));
    CHECK(added(down.permuted(*plan, 1, hidden), x) == expected);
    CHECK(hidden != rectified(added(up.masked(x), bias)));  // it is permuted
}

TEST_CASE("gate and up keep an order that they share, and scatter when theirs differ") {
    layer gate(24, 16, 1), up(24, 16, 2);
    const layer down(16, 24, 3);
    const bool shared = GENERATE(false, true);
    if (shared)
        std::copy(gate.order.outputs().begin(), gate.order.outputs().end(),
                  up.order.outputs().begin());
    const std::array activations{activation{}, activation{.block = activation::all}};
    const std::array layers{planned_layer{&gate.order, 0, 1}, planned_layer{&up.order, 0, 1},
                            planned_layer{&down.order, 1, 0}};
    const auto plan = permutation_plan::make(activations, layers);
    REQUIRE(plan);
    CHECK(plan->stays(0) == shared);
    CHECK(plan->stays(1) == shared);
    CHECK_FALSE(plan->stays(2));
    const channels x = input(16, 4);
    const channels expected = down.masked(multiplied(rectified(gate.masked(x)), up.masked(x)));
    const channels hidden =
        multiplied(rectified(gate.permuted(*plan, 0, x)), up.permuted(*plan, 1, x));
    CHECK(down.permuted(*plan, 2, hidden) == expected);
}

TEST_CASE("values of attention move within their heads, which several query heads read") {
    constexpr std::size_t head_dim = 8, kv_heads = 2, repeats = 3;
    layer value(kv_heads * head_dim, 16, 1);
    const layer out(16, repeats * kv_heads * head_dim, 2);
    reverse_blocks(value.order, GENERATE(8u, 4u, 16u));
    const bool within = value.order.outputs()[0] < head_dim;
    const std::array activations{activation{}, activation{.block = head_dim, .repeats = repeats}};
    const std::array layers{planned_layer{&value.order, 0, 1}, planned_layer{&out.order, 1, 0}};
    const auto plan = permutation_plan::make(activations, layers);
    REQUIRE(plan);
    CHECK(plan->stays(0) == within);

    const std::array<channels, 3> tokens{input(16, 3), input(16, 4), input(16, 5)};
    const channels weights = input(repeats * kv_heads * 3, 6);  // (query heads, tokens)
    const auto attend = [&](auto&& values_of) {
        channels mixed(repeats * kv_heads * head_dim);
        for (std::size_t t = 0; t < 3; ++t) {
            const channels v = values_of(tokens[t]);
            for (std::size_t h = 0; h < repeats * kv_heads; ++h)
                for (std::size_t d = 0; d < head_dim; ++d)
                    mixed[h * head_dim + d] += weights[3 * h + t] * v[h / repeats * head_dim + d];
        }
        return mixed;
    };
    const channels expected =
        out.masked(attend([&](const channels& x) { return value.masked(x); }));
    const channels mixed = attend([&](const channels& x) { return value.permuted(*plan, 0, x); });
    CHECK(out.permuted(*plan, 1, mixed) == expected);
}

TEST_CASE("an order is absorbed only by readers with lists of columns") {
    const layer up(24, 16, 1), down(16, 24, 2);
    const std::array activations{activation{}, activation{.block = activation::all}};
    const auto up_stays = [&](std::span<const planned_layer> layers) {
        const auto plan = permutation_plan::make(activations, layers);
        REQUIRE(plan);
        std::vector<std::uint32_t> columns{3, 1, 2};
        plan->renumber(1, columns);
        CHECK((columns != std::vector<std::uint32_t>{3, 1, 2}) == plan->stays(0));
        return plan->stays(0);
    };
    const planned_layer writes{&up.order, 0, 1}, reads{&down.order, 1, 0};
    CHECK(up_stays(std::array{writes, reads}));
    CHECK(up_stays(std::array{writes, reads, reads}));
    CHECK_FALSE(up_stays(std::array{writes, reads, planned_layer{nullptr, 1, 0}}));
    CHECK_FALSE(up_stays(std::array{writes, reads, planned_layer{nullptr, 0, 1}}));  // a writer
}

TEST_CASE("outputs in place neither scatter nor renumber, whatever they write") {
    layer up(24, 16, 1);
    reverse_blocks(up.order, 1);
    const layer down(16, 24, 2);
    const std::array activations{activation{}, activation{}};
    const std::array layers{planned_layer{&up.order, 0, 1}, planned_layer{&down.order, 1, 0},
                            planned_layer{nullptr, 0, 1}};
    const auto plan = permutation_plan::make(activations, layers);
    REQUIRE(plan);
    CHECK(plan->stays(0));
    CHECK_FALSE(plan->stays(1));
    CHECK(plan->stays(2));
    std::vector<std::uint32_t> columns{5, 2};
    plan->renumber(1, columns);
    CHECK(columns == std::vector<std::uint32_t>{5, 2});
    const channels bias = input(24, 1);
    channels same(24);
    plan->permute<float>(1, bias, same);
    CHECK(same == bias);
}

TEST_CASE("a plan refuses models that do not fit together") {
    const layer up(24, 16, 1), other(20, 16, 2), down(16, 24, 3);
    const auto code = [](std::size_t block, std::size_t repeats,
                         std::span<const planned_layer> layers) {
        const std::array activations{activation{}, activation{block, repeats}};
        const auto plan = permutation_plan::make(activations, layers);
        return plan ? std::optional<errc>{} : plan.error().code;
    };
    const planned_layer writes{&up.order, 0, 1}, reads{&down.order, 1, 0};
    constexpr std::size_t all = activation::all;
    CHECK_FALSE(code(all, 1, std::array{writes, reads}));
    CHECK(code(all, 1, std::array{writes, planned_layer{&down.order, 2, 0}}) ==
          errc::invalid_argument);
    CHECK(code(7, 1, std::array{writes, reads}) == errc::invalid_argument);
    CHECK(code(0, 1, std::array{writes, reads}) == errc::invalid_argument);
    CHECK(code(all, 0, std::array{writes, reads}) == errc::invalid_argument);
    CHECK(code(all, 2, std::array{writes, reads}) == errc::shape_mismatch);
    CHECK(code(all, 1, std::array{writes, planned_layer{&other.order, 0, 1}}) ==
          errc::shape_mismatch);
    CHECK(code(all, 1, std::array{planned_layer{&other.order, 0, 1}, reads}) ==
          errc::shape_mismatch);
}
