// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/convolution.hpp>

#include "gemm_laws.hpp"
#include "support/catch.hpp"
#include "support/maps.hpp"

#include <bit>
#include <vector>

using pare::activation, pare::convolve, pare::errc, pare::extent_2d, pare::padding, pare::window;
using namespace pare::testing;

namespace {

// A convolution of small integers, whose sums are exact in any order, halved or doubled and with a
// bias: how many outputs are wrong. Everything ends, or begins, at a page that may not be touched.
template <class Packed>
int wrong_outputs(const sliding& s, std::size_t channels, std::size_t filters, std::size_t groups,
                  std::uint64_t seed) {
    pare::random random(seed);
    const auto any_order = [&] {
        return random.below(2) != 0 ? map_order::nchw : map_order::side_by_side;
    };
    const fence side = random.below(2) != 0 ? fence::before : fence::after;
    const std::size_t taps = s.over.kernel.height * s.over.kernel.width;
    std::vector<Packed> weights;
    for (std::size_t g = 0; g < groups; ++g)
        weights.emplace_back(matrix::integers(filters, channels * taps, 4, random.next()),
                             random.next());
    const std::size_t all = groups * filters;
    fenced_maps x({s.images, groups * channels, s.height, s.width}, any_order(), side);
    fenced_maps y({s.images, all, s.out().height, s.out().width}, any_order(), side);
    x.fill_integers(8, random.next());
    const matrix bias = matrix::integers(1, all, 99, random.next());
    std::vector<float> scale(all);
    for (float& f : scale) f = std::ldexp(1.0f, static_cast<int>(random.below(4)) - 2);

    const std::size_t floats =
        pare::workspace_floats(s.over, {s.images, channels, s.height, s.width});
    fenced_array<float> workspace(std::vector<float>((1 + random.below(3)) * floats), side);
    pare::thread_pool pool(2);
    const any_executor run{static_cast<any_executor::kind>(random.below(3)), &pool};
    const auto then = static_cast<activation>(random.below(3));
    if (!convolve(std::span<const Packed>(weights), s.over, x.view(), y.view(), workspace.span(),
                  run, {bias.data(), scale, then}))
        return -1;
    int wrong = 0;
    for (std::size_t i = 0; i < s.images; ++i)
        for (std::size_t c = 0; c < all; ++c)
            for (std::size_t p = 0; p < s.out().height * s.out().width; ++p) {
                const std::size_t row = p / s.out().width, col = p % s.out().width, g = c / filters;
                const auto& dense = weights[g].dense();
                const std::span filter(&dense.data()[c % filters * dense.cols()], dense.cols());
                double expected =
                    naive_sum(s, filter, x.view(), i, g * channels, channels, row, col);
                expected =
                    expected * static_cast<double>(scale[c]) + static_cast<double>(bias(0, c));
                if (then != activation::none && expected < 0.0) expected = 0.0;
                if (then == activation::relu6 && expected > 6.0) expected = 6.0;
                wrong += static_cast<double>(y.view()(i, c, row, col)) != expected;
            }
    return wrong;
}

template <class Packed>
void check_convolutions() {
    std::uint64_t seed = 1;
    for (const sliding& s : slidings())
        for (const std::size_t filters : {1u, 7u, 33u}) {
            const std::size_t channels = 1 + ++seed % 4;
            CAPTURE(Packed::name(), s.images, s.height, s.width, s.over.kernel.height,
                    s.over.kernel.width, s.over.stride.height, channels, filters, seed);
            CHECK(wrong_outputs<Packed>(s, channels, filters, 1, seed) == 0);
            CHECK(wrong_outputs<Packed>(s, channels, filters, 2 + seed % 2, seed + 1000) == 0);
        }
}

// 3x3 over two images of 6x5 with 4 channels; 5 filters.
struct small_convolution {
    static constexpr window over{.kernel = {3, 3}, .around = {1, 1, 1, 1}};
    using weights_span = std::span<const packed_matrix<2, 4, float>>;
    packed_matrix<2, 4, float> weights{matrix::integers(5, 36, 4, 1), 2};
    fenced_maps x{{2, 4, 6, 5}, map_order::nchw}, y{{2, 5, 6, 5}, map_order::nchw};
    std::vector<float> workspace = std::vector<float>(pare::workspace_floats(over, {2, 4, 6, 5}));

    errc refusal(const pare::maps<float>& to, const window& by = over,
                 const pare::epilogue& after = {}) {
        return refusal(x.view(), to, by, workspace, after);
    }
    errc refusal(const pare::maps<float>& from, const pare::maps<float>& to, const window& by,
                 std::span<float> memory, const pare::epilogue& after = {}) {
        for (float& f : y.span()) f = 7.0f;
        const auto refused = convolve(weights, by, from, to, memory, pare::serial{}, after);
        for (const float f : y.span()) REQUIRE(f == 7.0f);
        REQUIRE_FALSE(refused);
        return refused.error().code;
    }
};

}  // namespace

TEST_CASE("convolve is the sum over what the kernel covers, of dense weights") {
    check_convolutions<packed_matrix<1, 1, float>>();
}

TEST_CASE("convolve is the sum over what the kernel covers, of n_m weights") {
    check_convolutions<packed_matrix<2, 4, float>>();
}

TEST_CASE("convolve is the sum over what the kernel covers, of hinm weights") {
    check_convolutions<hinm_matrix<2, 4, 16, pare::f16>>();
}

TEST_CASE("convolve is the sum over what the kernel covers, of block weights") {
    check_convolutions<block_matrix<8, float>>();
}

TEST_CASE("convolve is the sum over what the kernel covers, of coded weights") {
    using pare::packed::coded;
    check_convolutions<packed_matrix<2, 4, coded<pare::code_i8>>>();
    check_convolutions<block_matrix<8, coded<pare::code_i4, 32, true>>>();
}

TEST_CASE("convolve of blocks is that sum where rows are whole vectors, too") {
    std::uint64_t seed = 1;
    for (const extent_2d out : {extent_2d{1, 16}, {5, 16}, {7, 32}, {3, 48}, {9, 64}})
        for (const window& over : {window{.kernel = {3, 3}, .around = {1, 1, 1, 1}},
                                   {.kernel = {2, 5}},
                                   {.kernel = {5, 1}, .around = {4, 0, 3, 0}},
                                   {.kernel = {1, 3}, .around = {0, 2, 0, 2}}})
            for (const std::size_t images : {1u, 3u}) {
                const auto& [top, left, bottom, right] = over.around;
                const std::size_t rows = out.height + over.kernel.height - 1;
                if (rows <= top + bottom) continue;
                const sliding s{images, rows - top - bottom,
                                out.width + over.kernel.width - 1 - left - right, over};
                REQUIRE(s.out() == out);
                CAPTURE(images, out.height, out.width, over.kernel.height, over.kernel.width,
                        ++seed);
                CHECK(wrong_outputs<block_matrix<8, float>>(s, 3, 17, 1, seed) == 0);
                CHECK(wrong_outputs<block_matrix<16, pare::f16>>(s, 2, 40, 2, seed) == 0);
            }
    // Two bands, and tiles of some rows each.
    const sliding large{2, 20, 32, {.kernel = {3, 3}, .around = {1, 1, 1, 1}}};
    CHECK(wrong_outputs<block_matrix<4, float>>(large, 130, 9, 1, 1) == 0);
}

TEST_CASE("convolve takes tile after tile, the last one short") {
    // 3 x 38 x 40 pixels in tiles of 64: a patch has 900 floats; and 1600 of 36 in one of 1792.
    const sliding large{3, 38, 40, {.kernel = {5, 5}, .around = {2, 2, 2, 2}}};
    CHECK(pare::workspace_floats(large.over, {3, 36, 38, 40}) == 64u * 900u);
    CHECK(wrong_outputs<packed_matrix<2, 4, float>>(large, 36, 3, 1, 4) == 0);
    CHECK(wrong_outputs<hinm_matrix<2, 4, 16, pare::f16>>(large, 36, 3, 1, 4) == 0);
    const window small{.kernel = {3, 3}, .around = {1, 1, 1, 1}};
    // Panels of 32 and of 16 pixels, in blocks of columns that begin amid a channel.
    CHECK(wrong_outputs<packed_matrix<2, 4, float>>({1, 5, 6, small}, 72, 5, 1, 5) == 0);
    CHECK(wrong_outputs<packed_matrix<2, 4, float>>({2, 1, 7, small}, 72, 5, 1, 6) == 0);
    CHECK(pare::workspace_floats(small, {1, 4, 40, 40}) == 1600u * 36u);
    CHECK(pare::workspace_floats(small, {2, 4, 40, 40}) == 1792u * 36u);
    CHECK(pare::workspace_floats({}, {2, 4, 40, 40}) == 0);
}

TEMPLATE_TEST_CASE("the bits of a convolution depend neither on threads nor on the workspace", "",
                   (packed_matrix<2, 4, float>), (hinm_matrix<2, 4, 16, float>),
                   (block_matrix<8, float>)) {
    const TestType weights(matrix::uniform(20, 9 * 30, 1), 2);
    const std::size_t width = GENERATE(22u, 32u);
    const std::array<std::size_t, 4> in{3, 30, 21, width}, out{3, 20, 21, width};
    constexpr window over{.kernel = {3, 3}, .around = {1, 1, 1, 1}};
    for (const map_order order : {map_order::nchw, map_order::side_by_side}) {
        fenced_maps x(in, order), first(out, order);
        x.fill_uniform(3);
        const std::size_t floats = pare::workspace_floats(over, in);
        std::vector<float> workspace(5 * floats);
        REQUIRE(convolve(weights, over, x.view(), first.view(), std::span(workspace).first(floats),
                         any_executor{}));
        pare::thread_pool three(3);
        for (const any_executor& run : {any_executor{any_executor::kind::backwards, nullptr},
                                        any_executor{any_executor::kind::pool, &three}})
            for (const std::size_t n : {1u, 2u, 3u, 5u}) {
                fenced_maps y(out, order);
                REQUIRE(convolve(weights, over, x.view(), y.view(),
                                 std::span(workspace).first(n * floats), run));
                int different = 0;
                for (std::size_t i = 0; i < y.span().size(); ++i)
                    different += std::bit_cast<std::uint32_t>(y.span()[i]) !=
                                 std::bit_cast<std::uint32_t>(first.span()[i]);
                CAPTURE(static_cast<int>(run.which), n);
                CHECK(different == 0);
            }
    }
}

TEST_CASE_METHOD(small_convolution, "convolve of no images or no filters does nothing") {
    CHECK(convolve(weights, over, pare::maps<const float>(nullptr, {0, 4, 6, 5}),
                   pare::maps<float>(nullptr, {0, 5, 6, 5}), {}));
    const pare::packed::n_m<2, 4> none{.rows = 0, .cols = 36};
    CHECK(convolve(none, over, x.view(), pare::maps<float>(nullptr, {2, 0, 6, 5}), workspace));
}

TEST_CASE_METHOD(small_convolution, "convolve refuses what does not fit and leaves y alone") {
    const auto y_of = [&](const std::array<std::size_t, 4>& extents) {
        return maps_over(y.span().data(), extents, map_order::nchw);
    };
    const auto whole = y.view();
    SECTION("extents of y") {
        for (const auto& extents : std::vector<std::array<std::size_t, 4>>{
                 {1, 5, 6, 5}, {2, 4, 6, 5}, {2, 5, 5, 5}, {2, 5, 6, 4}})
            CHECK(refusal(y_of(extents)) == errc::shape_mismatch);
    }
    SECTION("extents of x") {
        const auto narrow = maps_over(x.span().data(), {2, 3, 6, 5}, map_order::nchw);
        CHECK(refusal(narrow, whole, over, workspace) == errc::shape_mismatch);
        const auto none = maps_over(x.span().data(), {2, 0, 6, 5}, map_order::nchw);
        CHECK(refusal(none, whole, over, workspace) == errc::shape_mismatch);
    }
    SECTION("another kernel") {
        CHECK(refusal(y_of({2, 5, 4, 5}), {.kernel = {5, 3}, .around = {1, 1, 1, 1}}) ==
              errc::shape_mismatch);
        const window wide{.kernel = {1, 9}, .around = {0, 4, 0, 4}};  // has 9 taps too
        CHECK(convolve(weights, wide, x.view(), whole, workspace));
        constexpr std::size_t half = std::size_t{1} << 63;  // half * 2 * 9 is 0, and then 36
        CHECK(refusal(whole, {.kernel = {half, 2}, .around = {1, 1, 1, 1}}) ==
              errc::shape_mismatch);
    }
    SECTION("no kernel, no stride, nothing but zeros") {
        CHECK(refusal(whole, {.kernel = {0, 3}}) == errc::invalid_argument);
        CHECK(refusal(whole, {.kernel = {3, 3}, .stride = {1, 0}}) == errc::invalid_argument);
        CHECK(refusal(whole, {.kernel = {3, 3}, .around = {3, 1, 1, 1}}) == errc::invalid_argument);
        CHECK(refusal(whole, {.kernel = {3, 3}, .around = {1, 1, 1, 3}}) == errc::invalid_argument);
    }
    SECTION("a kernel larger than the map") {
        const auto row = maps_over(x.span().data(), {2, 4, 1, 5}, map_order::nchw);
        CHECK(refusal(row, whole, {.kernel = {3, 3}}, workspace) == errc::shape_mismatch);
    }
    SECTION("scattered pixels") {
        const pare::maps<float> gaps(x.span().data(), {2, 4, 6, 5}, {120, 30, 6, 1});
        CHECK(refusal(gaps, whole, over, workspace) == errc::not_contiguous);
        const pare::maps<float> nhwc(y.span().data(), {2, 5, 6, 5}, {150, 1, 25, 5});
        CHECK(refusal(nhwc) == errc::not_contiguous);
    }
    SECTION("an epilogue of other channels") {
        const std::vector<float> four(4);
        CHECK(refusal(whole, over, {.bias = four}) == errc::shape_mismatch);
        CHECK(refusal(whole, over, {.scale = four}) == errc::shape_mismatch);
    }
    SECTION("a small workspace") {
        CHECK(refusal(x.view(), whole, over, std::span(workspace).subspan(1)) ==
              errc::buffer_too_small);
    }
    SECTION("groups") {
        const auto refused = convolve(weights_span(&weights, 0), over, x.view(), whole, workspace);
        CHECK(refused.error().code == errc::shape_mismatch);
        const packed_matrix<2, 4, float> others[]{{matrix::integers(3, 18, 4, 1), 2},
                                                  {matrix::integers(2, 18, 4, 1), 2}};
        fenced_maps six({2, 6, 6, 5}, map_order::nchw);
        const auto uneven = convolve(weights_span(others), over, x.view(), six.view(), workspace);
        CHECK(uneven.error().code == errc::shape_mismatch);
        for (const float f : six.span()) REQUIRE(f == 0.0f);
    }
}
