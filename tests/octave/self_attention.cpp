// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/octave/cross_frequency_partial.hpp>
#include <pare/octave/self_attention.hpp>

#include "support/metrics.hpp"
#include "volume.hpp"

#include <pare/core/thread_pool.hpp>

#include <cmath>

using namespace pare::testing;
using pare::errc, pare::maps;
using attention = pare::octave::self_attention<pruned::layout>;

static_assert(pare::octave::stage<attention>);

namespace {

/// x + projection(...) in double.
volume attended(const volume& x, std::size_t heads, const matrix& qkv_weights,
                const pare::epilogue& after_qkv, const matrix& projection) {
    const volume qkv = finished(convolved(x, qkv_weights, {}), after_qkv);
    const std::size_t n = x.height * x.width, d = x.channels / heads;
    const auto at = [&](std::size_t c, std::size_t t) { return qkv.data[c * n + t]; };
    volume out{x.channels, x.height, x.width};
    for (std::size_t h = 0; h < heads; ++h)
        for (std::size_t t = 0; t < n; ++t) {
            std::vector<double> p(n);
            double total = 0.0;
            for (std::size_t u = 0; u < n; ++u) {
                for (std::size_t i = h * d; i < (h + 1) * d; ++i)
                    p[u] += at(i, t) * at(x.channels + i, u);
                total += p[u] = std::exp(p[u] / std::sqrt(static_cast<double>(d)));
            }
            for (std::size_t i = h * d; i < (h + 1) * d; ++i)
                for (std::size_t u = 0; u < n; ++u)
                    out.data[i * n + t] += p[u] / total * at(2 * x.channels + i, u);
        }
    return sum(x, convolved(out, projection, {}));
}

}  // namespace

TEST_CASE("self-attention is softmax(q k^T / sqrt(d)) v of every head and image") {
    constexpr std::size_t heads = 3, channels = 15;
    const pruned qkv(matrix::uniform(3 * channels, channels, 1), 2),
        projection(matrix::uniform(channels, channels, 3), 4);
    const matrix bias = matrix::uniform(1, 3 * channels, 5);
    const attention block{.heads = heads,
                          .query_key_value = qkv.view(),
                          .after_query_key_value = {.bias = bias.data()},
                          .projection = projection.view()};
    pare::thread_pool pool(2);
    for (const pare::extent_2d size : {pare::extent_2d{1, 1}, {3, 5}, {9, 17}}) {
        fenced_maps x({2, channels, size.height, size.width}, map_order::side_by_side),
            y({2, channels, size.height, size.width}, map_order::nchw);
        x.fill_uniform(size.width);
        fenced_array<float> workspace(
            std::vector<float>(block.workspace_floats(x.view().extents())), fence::after);
        REQUIRE(block.forward(x.view(), y.view(), workspace.span(), pool));
        for (std::size_t i = 0; i < 2; ++i) {
            const volume expected = attended(image_of(x.view(), i), heads, qkv.dense(),
                                             {.bias = bias.data()}, projection.dense());
            const volume got = image_of(y.view(), i);
            double worst = 0.0;
            for (std::size_t k = 0; k < got.data.size(); ++k)
                worst = std::max(worst, std::abs(got.data[k] - expected.data[k]));
            CAPTURE(size.height, i);
            CHECK(worst < 4e-6);  // some 30 roundings of numbers up to 4
        }
    }
}

TEST_CASE("self-attention of large scores stays finite") {
    const pruned qkv(matrix::integers(12, 4, 40, 1), 2),
        projection(matrix::integers(4, 4, 1, 3), 4);
    const attention block{
        .heads = 2, .query_key_value = qkv.view(), .projection = projection.view()};
    fenced_maps x({1, 4, 4, 5}, map_order::nchw), y({1, 4, 4, 5}, map_order::nchw);
    x.fill_integers(9, 1);
    std::vector<float> workspace(block.workspace_floats(x.view().extents()));
    REQUIRE(block.forward(x.view(), y.view(), workspace));
    for (const float f : y.span()) CHECK(std::abs(f) < 1e4f);
}

TEST_CASE("self-attention refuses what does not fit and leaves y alone") {
    const pruned qkv = any_weights(12, 4, 1), projection = any_weights(4, 4, 2);
    attention block{.heads = 2, .query_key_value = qkv.view(), .projection = projection.view()};
    fenced_maps x({1, 4, 3, 5}, map_order::nchw), y({1, 4, 3, 5}, map_order::nchw);
    std::vector<float> workspace(block.workspace_floats(x.view().extents()));
    const auto refusal = [&](const maps<const float>& from, std::span<float> memory) {
        for (float& f : y.span()) f = 7.0f;
        const auto refused = block.forward(from, y.view(), memory);
        for (const float f : y.span()) REQUIRE(f == 7.0f);
        REQUIRE_FALSE(refused);
        return refused.error().code;
    };
    CHECK(refusal(x.view(), std::span(workspace).first(workspace.size() - 1)) ==
          errc::buffer_too_small);
    CHECK(refusal(pare::kernel::detail::part(x.view(), 1, 0, 2), workspace) ==
          errc::shape_mismatch);
    for (const std::size_t heads : {0u, 3u}) {
        block.heads = heads;
        CHECK(block.workspace_floats(x.view().extents()) <= workspace.size());
        CHECK(refusal(x.view(), workspace) == errc::invalid_argument);
    }
    block.heads = 2;
    block.projection = qkv.view();
    CHECK(refusal(x.view(), workspace) == errc::shape_mismatch);
}
