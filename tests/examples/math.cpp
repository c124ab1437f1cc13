// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "common/math.hpp"

#include "llm/cache.hpp"
#include "support/catch.hpp"
#include "support/metrics.hpp"

#include <pare/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

TEST_CASE("fast_exp is within 2 units in the last place, and clamped outside its range") {
    std::uint32_t worst = 0;
    for (float x = -87.0f; x <= 88.0f; x += 1.0f / 512) {
        const auto exact = static_cast<float>(std::exp(static_cast<double>(x)));
        worst = std::max(worst, pare::testing::ulp_distance(tools::fast_exp(x), exact));
    }
    CHECK(worst <= 2);
    CHECK(tools::fast_exp(-INFINITY) == tools::fast_exp(-87.0f));
    CHECK(tools::fast_exp(INFINITY) == tools::fast_exp(88.0f));
}

TEST_CASE("reductions take every element of every length") {
    for (std::size_t n = 1; n < 50; ++n) {
        std::vector<float> x(n, 1.0f);
        CHECK(tools::sum_of(x) == static_cast<float>(n));
        for (std::size_t i = 0; i < n; ++i) {
            x[i] = 2.0f;
            REQUIRE(tools::argmax(x) == i);
            x[i] = 1.0f;
        }
        CHECK(tools::argmax(x) == 0);
    }
}

namespace {

// The definition, in double: softmax(q K^T / sqrt(head_dim)) V.
std::vector<double> attention_by_definition(const std::vector<float>& q,
                                            const std::vector<float>& k,
                                            const std::vector<float>& v, std::size_t n,
                                            std::size_t stride, std::size_t head_dim) {
    std::vector<double> p(n), out(head_dim);
    double total = 0.0;
    for (std::size_t t = 0; t < n; ++t) {
        double dot = 0.0;
        for (std::size_t d = 0; d < head_dim; ++d)
            dot += static_cast<double>(q[d]) * static_cast<double>(k[t * stride + d]);
        total += p[t] = std::exp(dot / std::sqrt(static_cast<double>(head_dim)));
    }
    for (std::size_t t = 0; t < n; ++t)
        for (std::size_t d = 0; d < head_dim; ++d)
            out[d] += p[t] / total * static_cast<double>(v[t * stride + d]);
    return out;
}

}  // namespace

TEST_CASE("cached attention is its definition, for every head layout and length of chunk") {
    struct heads {
        std::size_t n_heads, n_kv_heads, head_dim;
    };
    const auto [n_heads, n_kv_heads, head_dim] =
        GENERATE(heads{4, 4, 8}, heads{6, 2, 32}, heads{3, 1, 18}, heads{8, 2, 64});
    const std::size_t chunk = GENERATE(1u, 3u, 64u, 150u);
    constexpr std::size_t n_tokens = 150, n_layers = 2, layer = 1;
    CAPTURE(n_heads, n_kv_heads, head_dim, chunk);
    llm::config shape;
    shape.n_layers = n_layers;
    shape.n_heads = n_heads;
    shape.n_kv_heads = n_kv_heads;
    shape.head_dim = head_dim;

    pare::random random(7);
    const auto fill = [&](std::size_t n) {
        std::vector<float> x(n);
        for (float& value : x) value = 3.0f * random.symmetric();
        return x;
    };
    const std::size_t kv = n_kv_heads * head_dim, all = n_heads * head_dim;
    std::vector<float> k = fill(n_tokens * kv), v = fill(n_tokens * kv), q = fill(n_tokens * all);
    std::vector<float> out(n_tokens * all);

    const auto cache = llm::make_cache(shape, {}, n_tokens, chunk);
    pare::thread_pool run(2);
    for (std::size_t at = 0; at < n_tokens; at += chunk) {
        const std::size_t n = std::min(chunk, n_tokens - at);
        cache->append(layer, {k.data() + at * kv, n, kv}, {v.data() + at * kv, n, kv});
        cache->attend(layer, {q.data() + at * all, n, all}, {out.data() + at * all, n, all}, run);
    }
    double worst = 0.0;
    for (std::size_t t = 0; t < n_tokens; ++t)
        for (std::size_t h = 0; h < n_heads; ++h) {
            const std::size_t at = t * all + h * head_dim, share = h / (n_heads / n_kv_heads);
            const std::vector<float> query(q.begin() + static_cast<std::ptrdiff_t>(at),
                                           q.begin() + static_cast<std::ptrdiff_t>(at + head_dim));
            const auto from = static_cast<std::ptrdiff_t>(share * head_dim);
            const auto expected =
                attention_by_definition(query, {k.begin() + from, k.end()},
                                        {v.begin() + from, v.end()}, t + 1, kv, head_dim);
            for (std::size_t d = 0; d < head_dim; ++d)
                worst = std::max(worst, std::abs(expected[d] - static_cast<double>(out[at + d])));
        }
    // Outputs are averages of |v| <= 3; a score of up to 9 sqrt(head_dim) is off by some of its
    // roundings, and so then is its weight, relatively.
    const double score_error =
        9.0 * std::sqrt(static_cast<double>(head_dim)) * static_cast<double>(head_dim) * 0x1p-24;
    CHECK(worst < 3.0 * (2.0 * score_error + 0x1p-20));
}
