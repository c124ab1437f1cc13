// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/gemm.hpp>

#include <pare/core/thread_pool.hpp>

#include "support/catch.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"

#include <limits>
#include <span>
#include <utility>
#include <vector>

using pare::errc, pare::gemm, pare::gemv, pare::matrix_view;
using pare::testing::matrix, pare::testing::packed_matrix;

namespace {

constexpr std::size_t rows = 5, cols = 8;

struct small_layer {
    packed_matrix<2, 4, float> weights{matrix::integers(rows, cols, 4, 1), 2};
    matrix x = matrix::integers(3, cols, 8, 3);
    matrix y = matrix(3, rows);
    matrix expected = matrix(3, rows);

    small_layer() {
        for (std::size_t t = 0; t < 3; ++t)
            for (std::size_t r = 0; r < rows; ++r)
                for (std::size_t c = 0; c < cols; ++c)
                    expected(t, r) += weights.dense()(r, c) * x(t, c);
    }
    // Runs what should be refused, with y as it was.
    errc refusal(matrix_view<const float> in, matrix_view<float> out,
                 const pare::epilogue& after = {}) {
        const matrix before = y;
        const auto refused = gemm(weights, in, out, pare::serial{}, after);
        REQUIRE_FALSE(refused);
        CHECK(y.data() == before.data());
        return refused.error().code;
    }
};

// 256 KiB, where the arrays of the next call will lie.
[[gnu::noinline]] void fill_stack_with_nan() {
    volatile float memory[64 * 1024];
    for (volatile float& value : memory) value = std::numeric_limits<float>::quiet_NaN();
}

}  // namespace

TEST_CASE_METHOD(small_layer, "gemm runs serially unless given an executor") {
    REQUIRE(gemm(weights, x.view(), y.view()));
    CHECK(y.data() == expected.data());
}

TEST_CASE_METHOD(small_layer, "gemm takes a layout, an owner of one, and a pool by reference") {
    pare::thread_pool pool(2);
    REQUIRE(gemm(weights.view(), x.view(), y.view(), pool));
    CHECK(y.data() == expected.data());
}

TEST_CASE_METHOD(small_layer, "gemm adds the bias once") {
    const std::vector<float> bias{1, 2, 3, 4, 5};
    REQUIRE(gemm(weights, x.view(), y.view(), pare::serial{}, {.bias = bias}));
    for (std::size_t t = 0; t < 3; ++t)
        for (std::size_t r = 0; r < rows; ++r) CHECK(y(t, r) == expected(t, r) + bias[r]);
}

TEST_CASE_METHOD(small_layer, "gemm refuses shapes that disagree and leaves y alone") {
    matrix wide_x(3, cols + 1), narrow_x(3, cols - 1), long_x(4, cols);
    for (const matrix* other : {&wide_x, &narrow_x, &long_x})
        CHECK(refusal(other->view(), y.view()) == errc::shape_mismatch);
    CHECK(refusal(x.view(), y.view().block(0, 0, 3, rows - 1)) == errc::shape_mismatch);
    CHECK(refusal(x.view(), y.view().block(0, 0, 2, rows)) == errc::shape_mismatch);
    CHECK(refusal(x.view().transposed(), y.view()) == errc::shape_mismatch);
}

TEST_CASE_METHOD(small_layer, "gemm refuses a bias or a scale of another length") {
    const std::vector<float> all(rows + 1);
    for (const std::size_t n : {rows - 1, rows + 1}) {
        const auto other = std::span(all).first(n);
        CHECK(refusal(x.view(), y.view(), {.bias = other}) == errc::shape_mismatch);
        CHECK(refusal(x.view(), y.view(), {.scale = other}) == errc::shape_mismatch);
    }
}

TEST_CASE_METHOD(small_layer, "gemm refuses a view whose rows and columns are both scattered") {
    std::vector<float> memory(200);
    const matrix_view<float> scattered_x(memory.data(), {3, cols}, {2 * cols, 2});
    const matrix_view<float> scattered_y(memory.data(), {3, rows}, {2 * rows, 2});
    CHECK(refusal(scattered_x, y.view()) == errc::not_contiguous);
    CHECK(refusal(x.view(), scattered_y) == errc::not_contiguous);
    CHECK(memory == std::vector<float>(200));
}

TEST_CASE_METHOD(small_layer, "gemm of no tokens does nothing") {
    CHECK(gemm(weights, x.view().block(0, 0, 0, cols), y.view().block(0, 0, 0, rows)));
    CHECK(gemm(weights, matrix_view<const float>(nullptr, 0, cols),
               matrix_view<float>(nullptr, 0, rows)));
    CHECK(y.data() == std::vector<float>(3 * rows));
}

TEST_CASE("gemm of no output channels does nothing") {
    const pare::packed::n_m<2, 4> none{.rows = 0, .cols = 8};
    const matrix x = matrix::uniform(3, 8, 1);
    CHECK(gemm(none, x.view(), matrix_view<float>(nullptr, 3, 0)));
}

TEST_CASE("gemm of no input features is the bias, or zero, whatever the stack held") {
    const pare::packed::n_m<2, 4> none{.rows = 5, .cols = 0};
    for (const std::size_t tokens : {1u, 12u, 13u, 20u, 40u, 100u}) {
        matrix y(tokens, 5);
        for (float& value : y.data()) value = -1.0f;
        const matrix_view<const float> x(nullptr, tokens, 0);
        fill_stack_with_nan();
        REQUIRE(gemm(none, x, y.view()));
        CHECK(y.data() == std::vector<float>(tokens * 5));
        const std::vector<float> bias{1, 2, 3, 4, 5};
        fill_stack_with_nan();
        REQUIRE(gemm(none, x, y.view(), pare::serial{}, {.bias = bias}));
        int wrong = 0;
        for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t r = 0; r < 5; ++r) wrong += y(t, r) != bias[r];
        CAPTURE(tokens);
        CHECK(wrong == 0);
    }
}

TEST_CASE_METHOD(small_layer, "gemv multiplies one vector") {
    std::vector<float> out(rows);
    REQUIRE(gemv(weights, x.view().row_span(1), out));
    for (std::size_t r = 0; r < rows; ++r) CHECK(out[r] == expected(1, r));
}

TEST_CASE_METHOD(small_layer, "gemv refuses vectors of another length") {
    std::vector<float> in(cols + 1), out(rows + 1);
    const auto code = [&](std::size_t n_in, std::size_t n_out) {
        const auto refused = gemv(weights, std::span(in).first(n_in), std::span(out).first(n_out));
        REQUIRE_FALSE(refused);
        return refused.error().code;
    };
    CHECK(code(cols + 1, rows) == errc::shape_mismatch);
    CHECK(code(cols - 1, rows) == errc::shape_mismatch);
    CHECK(code(cols, rows + 1) == errc::shape_mismatch);
    CHECK(code(cols, rows - 1) == errc::shape_mismatch);
}
