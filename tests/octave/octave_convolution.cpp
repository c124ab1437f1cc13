// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/octave/octave_convolution.hpp>

#include "volume.hpp"

#include <pare/core/thread_pool.hpp>

#include <array>
#include <bit>
#include <cstdint>

using namespace pare::testing;
using pare::activation, pare::errc, pare::extent_2d, pare::maps, pare::window;
using octave = pare::octave::octave_convolution<pruned::layout>;
using pare::octave::frequencies, pare::octave::halved;

namespace {

/// Maps of two images with some channels in either frequency.
struct two_maps {
    two_maps(extent_2d size, std::size_t n_high, std::size_t n_low, std::uint64_t seed)
        : high({2, n_high, size.height, size.width}, map_order::nchw),
          low({2, n_low, halved(size).height, halved(size).width}, map_order::side_by_side) {
        high.fill_integers(4, seed);
        low.fill_integers(4, seed + 1);
    }
    frequencies<float> view() { return {high.view(), low.view()}; }

    fenced_maps high, low;
};

struct path {  // nothing where one end is not there
    path(std::size_t out, std::size_t in, std::size_t taps, std::uint64_t seed)
        : weights(any_weights(out + (out == 0), in * taps + (in == 0), seed)),
          is_there(out > 0 && in > 0) {}
    pruned::layout view() const { return is_there ? weights.view() : pruned::layout{}; }
    volume of(const volume& v, const window& over) const {
        return is_there ? convolved(v, weights.dense(), over) : volume{0, 0, 0};
    }

    pruned weights;
    bool is_there;
};

/// Values that differ from the definition.
int n_wrong_of(extent_2d size, const window& over, std::array<std::size_t, 2> in,
               std::array<std::size_t, 2> out, std::uint64_t seed) {
    const std::size_t taps = over.kernel.height * over.kernel.width;
    two_maps x(size, in[0], in[1], seed), y(over.outputs(size), out[0], out[1], 7);
    const path hh(out[0], in[0], taps, seed + 2), lh(out[0], in[1], taps, seed + 3),
        hl(out[1], in[0], taps, seed + 4), ll(out[1], in[1], taps, seed + 5);
    const exact_epilogue after_high(out[0], seed + 6), after_low(out[1], seed + 8);
    const octave o{over, hh.view(), lh.view(), hl.view(), ll.view(), after_high, after_low};
    fenced_array<float> workspace(std::vector<float>(o.workspace_floats(x.view())), fence::after);
    pare::thread_pool pool(2);
    if (!o.forward(x.view(), y.view(), workspace.span(), pool)) return -1;
    int wrong = 0;
    for (std::size_t i = 0; i < 2; ++i) {
        const volume high = image_of(x.high.view(), i), low = image_of(x.low.view(), i);
        const volume up = upsampled(lh.of(low, over), over.outputs(size));
        if (out[0] > 0)
            wrong += n_wrong(y.high.view(), i, finished(sum(hh.of(high, over), up), after_high));
        if (out[1] > 0)
            wrong += n_wrong(y.low.view(), i,
                             finished(sum(ll.of(low, over), hl.of(pooled(high), over)), after_low));
    }
    return wrong;
}

// 4 high and 3 low channels of 5 x 6 pixels to 2 and 5.
struct small_octave {
    two_maps x{{5, 6}, 4, 3, 1}, y{{5, 6}, 2, 5, 1};
    pruned hh = any_weights(2, 36, 1), lh = any_weights(2, 27, 2), hl = any_weights(5, 36, 3),
           ll = any_weights(5, 27, 4);
    octave block{same_3x3, hh.view(), lh.view(), hl.view(), ll.view()};
    std::vector<float> workspace = std::vector<float>(block.workspace_floats(x.view()));

    errc refusal(const frequencies<const float>& from, const frequencies<float>& to) {
        return refusal(from, to, block);
    }
    errc refusal(const octave& by) { return refusal(x.view(), y.view(), by); }
    errc refusal(const frequencies<const float>& from, const frequencies<float>& to,
                 const octave& by) {
        for (float& f : y.high.span()) f = 7.0f;
        for (float& f : y.low.span()) f = 7.0f;
        const auto refused = by.forward(from, to, workspace);
        for (const float f : y.high.span()) REQUIRE(f == 7.0f);
        for (const float f : y.low.span()) REQUIRE(f == 7.0f);
        REQUIRE_FALSE(refused);
        return refused.error().code;
    }
};

}  // namespace

TEST_CASE("an octave convolution is what its definition says: any alpha, size and window") {
    std::uint64_t seed = 1;
    for (const extent_2d size : {extent_2d{1, 1}, {2, 3}, {5, 8}, {7, 67}, {12, 33}})
        for (const window& over :
             {window{}, same_3x3,
              window{.kernel = {3, 3}, .stride = {2, 2}, .around = {1, 1, 1, 1}}})
            for (const auto in : {std::array<std::size_t, 2>{4, 3}, {5, 0}, {0, 4}})
                for (const auto out : {std::array<std::size_t, 2>{3, 17}, {5, 0}, {0, 4}}) {
                    CAPTURE(size.height, size.width, over.kernel.height, over.stride.height, in[0],
                            in[1], out[0], out[1]);
                    CHECK(n_wrong_of(size, over, in, out, seed += 10) == 0);
                }
}

TEST_CASE("an octave convolution of alpha 0 is the plain convolution, bit for bit") {
    fenced_maps x({2, 9, 11, 37}, map_order::nchw), y({2, 5, 11, 37}, map_order::nchw),
        z({2, 5, 11, 37}, map_order::nchw);
    x.fill_uniform(1);
    const pruned weights(matrix::uniform(5, 81, 2), 3);
    const matrix bias = matrix::uniform(1, 5, 4), scale = matrix::uniform(1, 5, 5);
    const pare::epilogue after{bias.data(), scale.data(), activation::relu};
    const octave block{.over = same_3x3, .high_to_high = weights.view(), .after_high = after};
    std::vector<float> workspace(pare::workspace_floats(same_3x3, {2, 9, 11, 37}));
    REQUIRE(block.workspace_floats({x.view(), {}}) == workspace.size());
    REQUIRE(block.forward({x.view(), {}}, {y.view(), {}}, workspace));
    REQUIRE(
        pare::convolve(weights, same_3x3, x.view(), z.view(), workspace, pare::serial{}, after));
    for (std::size_t i = 0; i < y.span().size(); ++i)
        REQUIRE(std::bit_cast<std::uint32_t>(y.span()[i]) ==
                std::bit_cast<std::uint32_t>(z.span()[i]));
}

TEST_CASE("what is constant stays so, the same in both frequencies, at odd sizes too") {
    two_maps x({7, 9}, 2, 2, 1), y({7, 9}, 3, 3, 1);
    for (float& f : x.high.span()) f = 0.75f;
    for (float& f : x.low.span()) f = 0.75f;
    const pruned from_high = any_weights(3, 2, 1), from_low = any_weights(3, 2, 2);
    const octave block{{}, from_high.view(), from_low.view(), from_high.view(), from_low.view()};
    std::vector<float> workspace(block.workspace_floats(x.view()));
    REQUIRE(block.forward(x.view(), y.view(), workspace));
    for (std::size_t c = 0; c < 3; ++c) {
        const auto& a = from_high.dense();
        const auto& b = from_low.dense();
        const float expected = 0.75f * (a(c, 0) + a(c, 1) + b(c, 0) + b(c, 1));
        REQUIRE(expected != 0.0f);
        for (std::size_t i = 0; i < 7 * 9; ++i)
            CHECK(y.high.view()(1, c, i / 9, i % 9) == expected);
        for (std::size_t i = 0; i < 4 * 5; ++i) CHECK(y.low.view()(1, c, i / 5, i % 5) == expected);
    }
}

TEST_CASE("octave convolutions refuse what does not fit and leave y alone") {
    small_octave s;
    const auto x = s.x.view(), y = s.y.view();
    fenced_maps floor({2, 3, 2, 3}, map_order::nchw), wide({2, 5, 3, 4}, map_order::nchw);
    CHECK(s.refusal({x.high, floor.view()}, y) == errc::shape_mismatch);
    CHECK(s.refusal(x, {y.high, wide.view()}) == errc::shape_mismatch);
    CHECK(s.refusal(x, {y.high, {}}) == errc::shape_mismatch);  // weights to low, and no low
    CHECK(s.refusal({x.high, {}}, y) == errc::shape_mismatch);
    two_maps nothing({5, 6}, 0, 0, 1);
    CHECK(s.refusal({nothing.high.view(), nothing.low.view()}, y, {.over = same_3x3}) ==
          errc::shape_mismatch);
    CHECK(s.refusal({x.high, pare::kernel::detail::part(x.low, 0, 0, 1)}, y) ==
          errc::shape_mismatch);
    CHECK(s.refusal({{x.high.data_handle(), {2, 4, 5, 3}, {120, 30, 6, 1}}, x.low}, y) ==
          errc::shape_mismatch);
    CHECK(s.refusal({x.high, {x.low.data_handle(), {2, 3, 3, 3}, {0, 0, 1, 3}}}, y) ==
          errc::not_contiguous);
    octave other = s.block;
    other.low_to_high = s.ll.view();
    CHECK(s.refusal(other) == errc::shape_mismatch);
    other = s.block;
    other.high_to_low = {};
    CHECK(s.refusal(other) == errc::shape_mismatch);
    other = s.block;
    other.over.stride.width = 0;
    CHECK(other.workspace_floats(x) == 0);
    CHECK(s.refusal(other) == errc::invalid_argument);
    other = s.block;
    other.over.around.top = 3;
    CHECK(s.refusal(other) == errc::invalid_argument);
    other = s.block;
    other.after_low.bias = s.workspace;
    CHECK(s.refusal(other) == errc::shape_mismatch);
    s.workspace.pop_back();
    CHECK(s.refusal(s.block) == errc::buffer_too_small);
}
