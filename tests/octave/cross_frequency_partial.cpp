// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/octave/cross_frequency_partial.hpp>
#include <pare/octave/self_attention.hpp>
#include <pare/octave/separable_bottleneck.hpp>

#include "volume.hpp"

#include <pare/core/thread_pool.hpp>

using namespace pare::testing;
using pare::activation, pare::errc, pare::extent_2d, pare::maps, pare::window;
namespace octave = pare::octave;
using layout = pruned::layout;

namespace {

/// Whole weights, and values that relu6 keeps small: every sum is exact.
struct any_separable {
    any_separable(std::size_t in, std::size_t out, std::uint64_t seed, std::size_t stride = 1)
        : over(same_3x3), filters(matrix::integers(in, 9, 2, seed)),
          weights(any_weights(out, in, seed + 1)), between(in, seed + 2, activation::relu),
          after(out, seed + 4) {
        over.stride = {stride, stride};
    }
    octave::separable_convolution<layout> block() const {
        return {over, filters.view(), between, weights.view(), after};
    }
    volume of(const volume& v) const {
        const volume middle = finished(convolved(v, filters, over, true), between);
        return finished(convolved(middle, weights.dense(), {}), after);
    }

    window over;
    matrix filters;
    pruned weights;
    exact_epilogue between, after;
};

struct any_bottleneck {
    any_bottleneck(std::size_t channels, std::size_t inner, bool adds, std::uint64_t seed)
        : first(channels, inner, seed), second(inner, channels, seed + 10), shortcut(adds) {}
    octave::separable_bottleneck<layout> block() const {
        return {first.block(), second.block(), shortcut};
    }
    volume of(const volume& v) const {
        const volume y = second.of(first.of(v));
        return shortcut ? sum(v, y) : y;
    }

    any_separable first, second;
    bool shortcut;
};

/// 6 channels split into 4 and 3, two bottlenecks of the 3, merged to 5.
struct small_block {
    using block_type =
        octave::cross_frequency_partial<layout, octave::separable_bottleneck<layout>>;

    block_type block() const {
        return {{.high_to_high = high.view(),
                 .high_to_low = low.view(),
                 .after_high = after_high,
                 .after_low = after_low},
                heavy,
                {.high_to_high = merge_high.view(),
                 .low_to_high = merge_low.view(),
                 .after_high = after}};
    }
    volume of(const volume& x) const {
        const volume h = finished(convolved(x, high.dense(), {}), after_high);
        volume l = finished(convolved(pooled(x), low.dense(), {}), after_low), all = l;
        for (const any_bottleneck& b : {a, c}) all = side_by_side(all, l = b.of(l));
        return finished(sum(convolved(h, merge_high.dense(), {}),
                            upsampled(convolved(all, merge_low.dense(), {}), x.size())),
                        after);
    }

    pruned high = any_weights(4, 6, 1), low = any_weights(3, 6, 2),
           merge_high = any_weights(5, 4, 3), merge_low = any_weights(5, 9, 4);
    exact_epilogue after_high{4, 5}, after_low{3, 7}, after{5, 9};
    any_bottleneck a{3, 3, true, 20}, c{3, 7, false, 50};
    std::vector<octave::separable_bottleneck<layout>> heavy{a.block(), c.block()};
};

template <class Block>
errc refusal(const Block& block, const maps<const float>& x, fenced_maps& y,
             std::span<float> workspace) {
    for (float& f : y.span()) f = 7.0f;
    const auto refused = block.forward(x, y.view(), workspace);
    for (const float f : y.span()) REQUIRE(f == 7.0f);
    REQUIRE_FALSE(refused);
    return refused.error().code;
}

}  // namespace

TEST_CASE("a cross frequency partial block is what its definition says, at odd sizes too") {
    const small_block parts;
    const auto block = parts.block();
    pare::thread_pool pool(2);
    for (const extent_2d size : {extent_2d{1, 1}, {7, 9}, {13, 70}}) {
        fenced_maps x({2, 6, size.height, size.width}, map_order::nchw),
            y({2, 5, size.height, size.width}, map_order::side_by_side);
        x.fill_integers(4, size.width);
        fenced_array<float> workspace(
            std::vector<float>(block.workspace_floats(x.view().extents())), fence::after);
        REQUIRE(block.forward(x.view(), y.view(), workspace.span(), pool));
        for (std::size_t i = 0; i < 2; ++i)
            CHECK(n_wrong(y.view(), i, parts.of(image_of(x.view(), i))) == 0);
    }
}

TEST_CASE("separable convolutions change resolution, then width") {
    const any_separable down(5, 18, 1, 2);
    const auto block = down.block();
    for (const extent_2d size : {extent_2d{8, 40}, {9, 75}}) {
        fenced_maps x({2, 5, size.height, size.width}, map_order::nchw),
            y({2, 18, (size.height + 1) / 2, (size.width + 1) / 2}, map_order::nchw);
        x.fill_integers(4, 3);
        fenced_array<float> workspace(
            std::vector<float>(block.workspace_floats(x.view().extents())), fence::after);
        REQUIRE(block.forward(x.view(), y.view(), workspace.span()));
        for (std::size_t i = 0; i < 2; ++i)
            CHECK(n_wrong(y.view(), i, down.of(image_of(x.view(), i))) == 0);
    }
}

TEST_CASE("blocks refuse what does not fit and leave y alone") {
    const small_block parts;
    auto block = parts.block();
    fenced_maps x({1, 6, 5, 5}, map_order::nchw), y({1, 5, 5, 5}, map_order::nchw),
        narrow({1, 5, 5, 4}, map_order::nchw);
    std::vector<float> workspace(block.workspace_floats(x.view().extents()));
    CHECK(refusal(block, x.view(), y, std::span(workspace).first(workspace.size() - 1)) ==
          errc::buffer_too_small);
    CHECK(refusal(block, x.view(), narrow, workspace) == errc::shape_mismatch);
    CHECK(refusal(block, y.view(), y, workspace) == errc::shape_mismatch);
    block.heavy = block.heavy.first(1);  // merge wants what two make
    CHECK(refusal(block, x.view(), y, workspace) == errc::shape_mismatch);
    std::vector<octave::separable_bottleneck<layout>> other{parts.heavy[0], parts.heavy[1]};
    other[1].first.filters = other[1].first.filters.block(0, 0, 3, 8);
    block.heavy = other;
    CHECK(refusal(block, x.view(), y, workspace) == errc::shape_mismatch);

    const any_separable widening(6, 5, 1);
    const octave::separable_bottleneck<layout> added{widening.block(),
                                                     any_separable(5, 5, 2).block()};
    CHECK(refusal(added, x.view(), y, workspace) == errc::shape_mismatch);
    auto turned = widening.block();
    turned.filters = {widening.filters.data().data(), {6, 9}, {1, 6}};
    CHECK(refusal(turned, x.view(), y, workspace) == errc::not_contiguous);
    turned = widening.block();
    turned.over.stride = {0, 1};
    CHECK(turned.workspace_floats(x.view().extents()) == 0);
    CHECK(refusal(turned, x.view(), y, workspace) == errc::invalid_argument);
}
