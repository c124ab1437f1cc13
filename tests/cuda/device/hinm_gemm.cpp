// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "cuda/packed.hpp"
#include "device.hpp"
#include "support/catch.hpp"
#include "support/metrics.hpp"

#include <cmath>
#include <iostream>
#include <limits>
#include <vector>

using pare::bf16, pare::errc, pare::f16, pare::matrix_view;
using namespace pare::testing;

namespace {

// Says so where there is no GPU to test on.
bool is_skipped() {
    const std::string why = gpu::obstacle();
    if (!why.empty()) std::cout << "skipped: " << why << '\n';
    return !why.empty();
}

// A matrix (tokens, features) on the device. Feature by feature, there is room between features.
template <class T>
struct activations {
    std::size_t tokens, features, stride;
    major order;
    gpu::array<T> memory;

    activations(std::size_t n_tokens, std::size_t n_features, major m)
        : tokens(n_tokens), features(n_features),
          stride(m == major::token ? n_features : (n_tokens + 7) / 8 * 8 + 8), order(m),
          memory(stride * (m == major::token ? n_tokens : n_features)) {}
    matrix_view<T> view() const {
        if (order == major::token) return {memory.data(), tokens, features};
        return matrix_view<T>(memory.data(), features, tokens, stride).transposed();
    }
    std::size_t at(std::size_t t, std::size_t f) const {
        return order == major::token ? t * stride + f : f * stride + t;
    }
    void fill(auto value_at) {
        std::vector<T> values(memory.size());
        for (T& v : values) v = pare::from_float<T>(std::numeric_limits<float>::quiet_NaN());
        for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t f = 0; f < features; ++f)
                values[at(t, f)] = pare::from_float<T>(value_at(t, f));
        gpu::check(cudaMemcpy(memory.data(), values.data(), values.size() * sizeof(T),
                              cudaMemcpyHostToDevice));
    }
};

// What the GPU computes: a NaN where it stored nothing, and a 1 in front where it stored elsewhere.
template <class Y, int V, class T>
matrix gpu_gemm(const gpu_weights<V, T>& weights, const matrix& x, major x_major, major y_major,
                const pare::epilogue& after = {}) {
    const gpu::stream stream;
    const gpu::weights<T> on_gpu(weights.source.view());
    activations<T> in(x.rows(), x.cols(), x_major);
    activations<Y> out(x.rows(), weights.layout.rows, y_major);
    in.fill([&](std::size_t t, std::size_t f) { return x(t, f); });
    out.fill([](std::size_t, std::size_t) { return std::numeric_limits<float>::quiet_NaN(); });
    const gpu::array<float> bias(after.bias), scale(after.scale);
    const matrix_view<const T> x_view = in.view();
    const gpu::array<std::byte> workspace(gpu::workspace_bytes(x_view, out.view()));
    const auto done = gpu::hinm_gemm(on_gpu.layout, x_view, out.view(), stream,
                                     {bias.span(), scale.span(), after.then}, workspace.span());
    if (!done) FAIL(done.error().message);

    const std::vector<Y> all = out.memory.to_host();
    matrix y(x.rows(), weights.layout.rows);
    std::size_t n_stored = 0, n_numbers = 0;
    for (const Y& v : all) n_stored += !std::isnan(pare::to_float(v));
    for (std::size_t t = 0; t < y.rows(); ++t)
        for (std::size_t r = 0; r < y.cols(); ++r) {
            y(t, r) = pare::to_float(all[out.at(t, r)]);
            n_numbers += !std::isnan(y(t, r));
        }
    CHECK(n_stored == n_numbers);
    return y;
}

// Small whole numbers: sums are exact in any order, and in f16.
template <int V, class T>
void check_tails() {
    std::uint64_t seed = 0;
    for (const std::size_t rows : {std::size_t{1}, std::size_t{V}, std::size_t{5 * V + V / 2 + 3}})
        for (const std::size_t cols : {3u, 64u, 500u})
            for (const std::size_t tokens : {1u, 64u, 200u}) {
                ++seed;
                CAPTURE(V, rows, cols, tokens, seed);
                const gpu_weights<V, T> weights(matrix::integers(rows, cols, 2, seed), seed);
                const matrix x = matrix::integers(tokens, cols, 2, seed + 1);
                const matrix expected = expected_gemm(weights, x);
                for (const major x_major : {major::token, major::feature})
                    for (const major y_major : {major::token, major::feature})
                        CHECK(gpu_gemm<float>(weights, x, x_major, y_major).data() ==
                              expected.data());
                if (std::is_same_v<T, f16>)
                    CHECK(gpu_gemm<T>(weights, x, major::feature, major::feature).data() ==
                          expected.data());
            }
    // Enough tokens for the wide block on any GPU.
    const gpu_weights<V, T> weights(matrix::integers(5 * V + 3, 70, 2, 1), 1);
    const matrix x = matrix::integers(20003, 70, 2, 2);
    CHECK(gpu_gemm<float>(weights, x, major::feature, major::feature).data() ==
          expected_gemm(weights, x).data());
}

// The tensor cores' sums are cut off rather than rounded, so they err by up to twice what
// dot_product_bound() allows; the twin by as much as it allows; and y is rounded to Y.
template <class Y, int V, class T>
void check_bound(std::size_t rows, std::size_t cols, std::size_t tokens, double half_step) {
    CAPTURE(V, rows, cols, tokens);
    const gpu_weights<V, T> weights(matrix::uniform(rows, cols, 1), 5);
    matrix x = matrix::uniform(tokens, cols, 2);
    for (float& v : x.data()) v = pare::to_float(pare::from_float<T>(v));
    CHECK(n_beyond(3.0, half_step, gpu_gemm<Y>(weights, x, major::feature, major::feature), weights,
                   x) == 0);
}

}  // namespace

TEST_CASE("the GPU multiplies as gemm does, tiles of 32 rows") {
    if (is_skipped()) return;
    check_tails<32, f16>();
    check_tails<32, bf16>();
}

TEST_CASE("the GPU multiplies as gemm does, tiles of 64 rows") {
    if (is_skipped()) return;
    check_tails<64, f16>();
    check_tails<64, bf16>();
}

TEST_CASE("the GPU multiplies as gemm does, tiles of 128 rows") {
    if (is_skipped()) return;
    check_tails<128, f16>();
    check_tails<128, bf16>();
}

TEST_CASE("the GPU errs by no more than its way of summing allows") {
    if (is_skipped()) return;
    check_bound<float, 32, f16>(300, 700, 500, 0.0);
    check_bound<float, 64, bf16>(300, 700, 500, 0.0);
    check_bound<f16, 128, f16>(300, 700, 500, 0x1p-11);
    check_bound<bf16, 128, bf16>(300, 700, 500, 0x1p-8);
}

TEST_CASE("the GPU finishes sums as the epilogue says") {
    if (is_skipped()) return;
    const gpu_weights<64, f16> weights(matrix::integers(150, 100, 2, 1), 1);
    const matrix x = matrix::integers(77, 100, 2, 2);
    const epilogues some(150);
    for (const pare::epilogue& after : some.all())
        CHECK(gpu_gemm<float>(weights, x, major::token, major::feature, after).data() ==
              expected_gemm(weights, x, after).data());
}

TEST_CASE("what the GPU kernel cannot take is refused before a device is asked") {
    const gpu_weights<64, f16> weights(matrix::uniform(70, 40, 1), 1);
    alignas(16) static f16 x_memory[40 * 32];
    alignas(16) static float y_memory[70 * 32];
    std::vector<std::byte> workspace(1 << 16);
    const auto x = [](std::size_t tokens, std::size_t features, std::size_t stride, int shift = 0) {
        return matrix_view<const f16>(x_memory + shift, features, tokens, stride).transposed();
    };
    const auto y = [](std::size_t tokens, std::size_t outputs, std::size_t stride, int shift = 0) {
        return matrix_view<float>(y_memory + shift, outputs, tokens, stride).transposed();
    };
    const auto code = [&](matrix_view<const f16> in, matrix_view<float> out,
                          const pare::epilogue& after = {}, std::span<std::byte> memory = {}) {
        const auto refused = gpu::hinm_gemm(weights.layout, in, out, nullptr, after, memory);
        REQUIRE_FALSE(refused);
        return refused.error().code;
    };
    CHECK(code(x(16, 39, 16), y(16, 70, 16)) == errc::shape_mismatch);
    CHECK(code(x(16, 40, 16), y(16, 69, 16)) == errc::shape_mismatch);
    CHECK(code(x(16, 40, 16), y(15, 70, 16)) == errc::shape_mismatch);
    const std::vector<float> bias(69);
    CHECK(code(x(16, 40, 16), y(16, 70, 16), {.bias = bias}) == errc::shape_mismatch);
    CHECK(code(x(16, 40, 17), y(16, 70, 16)) == errc::not_contiguous);
    CHECK(code(x(16, 40, 16, 4), y(16, 70, 16)) == errc::not_contiguous);
    CHECK(code(x(16, 40, 16), y(16, 70, 17)) == errc::not_contiguous);
    CHECK(code(x(16, 40, 16), y(16, 70, 16, 2)) == errc::not_contiguous);
    CHECK(code({x_memory, {8, 40}, {80, 2}}, y(8, 70, 16)) == errc::not_contiguous);

    const matrix_view<const f16> by_token(x_memory, 16, 40);
    const std::size_t needed = gpu::workspace_bytes(by_token, y(16, 70, 16));
    CHECK(needed == 16 * 40 * sizeof(f16));
    CHECK(gpu::workspace_bytes(x(16, 40, 16), y(16, 70, 16)) == 0);
    CHECK(code(by_token, y(16, 70, 16), {}, std::span(workspace).first(needed - 1)) ==
          errc::buffer_too_small);
    CHECK(gpu::hinm_gemm(weights.layout, x(0, 40, 16), y(0, 70, 16), nullptr));

    const auto moved = weights.layout.over(weights.values.data() + 4, weights.words.data());
    const auto refused = gpu::hinm_gemm(moved, x(16, 40, 16), y(16, 70, 16), nullptr);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::invalid_argument);
}

TEST_CASE("without a GPU a product is refused in the words of CUDA") {
    if (gpu::obstacle().empty()) return;
    const gpu_weights<32, bf16> weights(matrix::uniform(40, 40, 1), 1);
    alignas(16) static bf16 x[40 * 8], y[40 * 8];
    const auto refused =
        gpu::hinm_gemm(weights.layout, matrix_view<const bf16>(x, 40, 8).transposed(),
                       matrix_view<bf16>(y, 40, 8).transposed(), nullptr);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::io_failure);
    CHECK(refused.error().message == gpu::obstacle());
    CHECK(refused.error().where != 0);
}
