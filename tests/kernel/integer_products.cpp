// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/core/thread_pool.hpp>
#include <pare/kernel/gemm.hpp>
#include <pare/kernel/integer_products.hpp>
#include <pare/quant/scaled.hpp>

#include "support/catch.hpp"
#include "support/executors.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace pare::testing {
namespace {

using packed::coded;

/// Weights of any codes, the least included, at any places, in any grids of which sums are exact in
/// floats: scales of 1, 2 and 4.
template <class Layout>
class any_weights {
    using T = typename Layout::value_type;

  public:
    any_weights(std::size_t rows, std::size_t cols, random& draw, bool extreme = false)
        : values_(Layout::n_values(rows, cols)), words_(Layout::n_words(rows, cols)) {
        layout_ = Layout{rows, cols}.over(values_.data(), words_.data());
        const std::uint64_t n_codes = std::uint64_t{1} << T::bits;
        for (std::size_t r = 0; r < rows; ++r) {
            for (std::size_t s = 0; s < layout_.steps(); ++s) {
                const auto at = Layout::place(r, cols, s);
                const auto code = extreme ? n_codes / 2 : draw.below(n_codes);
                values_[at.word] |= static_cast<std::uint32_t>(code) << at.shift;
            }
            if constexpr (Layout::index_bits > 0) draw_indices(r, draw);
            for (std::size_t g = 0; g < T::n_groups(Layout::stored_steps(cols)); ++g) {
                const int zero = static_cast<int>(draw.below(n_codes)) + T::code::least;
                auto& word = words_[Layout::n_indices(rows, cols) + Layout::scale_word(r, cols, g)];
                word = T::with_grid(
                    word, g, {static_cast<float>(1 << draw.below(3)), T::asymmetric ? zero : 0});
            }
        }
    }
    const Layout& view() const { return layout_; }

  private:
    void draw_indices(std::size_t row, random& draw) {
        for (std::size_t s = 0; s < layout_.steps(); s += Layout::n) {
            const std::size_t group = s / Layout::n * Layout::m;
            std::size_t left = std::min<std::size_t>(Layout::m, layout_.cols - group);
            std::size_t room = std::min<std::size_t>(Layout::n, left), step = s;
            for (std::size_t c = 0; room > 0; ++c, --left)
                if (draw.below(left) < room) {
                    packed::detail::write_index<Layout>(words_.data(), layout_.cols, row, step++,
                                                        c);
                    --room;
                }
        }
    }

    std::vector<std::uint32_t> values_, words_;
    Layout layout_;
};

/// Quantised, with the memory.
class tokens {
  public:
    explicit tokens(matrix_view<const float> x)
        : memory_(quantised_tokens::required_bytes(x.rows(), x.cols()) + 1),
          view_(*quantise(x, std::span(memory_).subspan(1))) {}  // at no alignment
    const quantised_tokens& view() const { return view_; }

  private:
    std::vector<std::byte> memory_;
    quantised_tokens view_;
};

bool same_bits(const matrix& a, const matrix& b) {
    for (std::size_t r = 0; r < a.rows(); ++r)
        for (std::size_t c = 0; c < a.cols(); ++c)
            if (std::bit_cast<std::uint32_t>(a(r, c)) != std::bit_cast<std::uint32_t>(b(r, c)))
                return false;
    return true;
}

template <class Layout>
void check_against_twin(std::size_t n_tokens, std::size_t rows, std::size_t cols, random& draw,
                        bool extreme = false) {
    INFO(n_tokens << " x " << rows << " x " << cols);
    const any_weights<Layout> weights(rows, cols, draw, extreme);
    matrix x = matrix::uniform(n_tokens, cols, draw.next());
    if (extreme)
        for (std::size_t t = 0; t < n_tokens; ++t)
            for (std::size_t c = 0; c < cols; ++c) x(t, c) = t % 2 == 0 ? -3.0f : 3.0f;
    const tokens q(x.view());
    matrix y(n_tokens, rows), expected(n_tokens, rows);
    REQUIRE(gemm(weights, q.view(), y.view()));
    kernel::gemm_ref(weights.view(), 0, rows, q.view(), expected.view());
    REQUIRE(same_bits(y, expected));
}

template <class Layout>
void check_sums(std::size_t most_cols) {
    random draw(1);
    for (const std::size_t cols : {1u, 2u, 3u, 5u, 31u, 33u, 64u, 65u, 127u, 130u, 514u, 1030u})
        for (const std::size_t rows : {1u, 16u, 17u, 40u})
            for (const std::size_t n_tokens : {1u, 3u, 7u, 12u, 13u})
                if (rows == 17 || n_tokens == 1 || cols > 500)
                    check_against_twin<Layout>(n_tokens, rows, cols, draw);
    check_against_twin<Layout>(64, 300, 130, draw);
    check_against_twin<Layout>(1, 600, 70, draw);
    check_against_twin<Layout>(12, 17, 4200, draw);  // more than a block of columns
    check_against_twin<Layout>(1, 17, most_cols, draw);
    check_against_twin<Layout>(2, 17, 200, draw, true);
}

TEST_CASE("integer products: sums are those of the scalar twin bit for bit") {
    SECTION("dense i8") { check_sums<packed::dense<coded<code_i8>>>(49300); }
    SECTION("dense i4:g32:a") { check_sums<packed::dense<coded<code_i4, 32, true>>>(3000); }
    SECTION("2:4 i8:a") { check_sums<packed::n_m<2, 4, coded<code_i8, 0, true>>>(49300); }
    SECTION("2:4 i4:g64") { check_sums<packed::n_m<2, 4, coded<code_i4, 64>>>(3000); }
    SECTION("1:4 i8") { check_sums<packed::n_m<1, 4, coded<code_i8>>>(49300); }
    SECTION("1:4 i2:g128") { check_sums<packed::n_m<1, 4, coded<code_i2, 128>>>(3000); }
    SECTION("2:3 i8, without vectors") { check_sums<packed::n_m<2, 3, coded<code_i8>>>(5000); }
}

TEST_CASE("integer products: 32 bits hold the largest sum") {
    using layout = packed::dense<coded<code_i8, 0, true>>;
    constexpr std::size_t cols = 65536;
    std::vector<std::uint32_t> values(layout::n_values(1, cols), 0x80808080u);
    std::vector<std::uint32_t> words(layout::n_words(1, cols));
    words[0] = coded<code_i8, 0, true>::with_grid(0, 0, {1.0f, 127});
    const auto w = layout{1, cols}.over(values.data(), words.data());
    matrix x(1, cols), y(1, 1);
    for (std::size_t c = 0; c < cols; ++c) x(0, c) = -127.0f;
    REQUIRE(gemm(w, tokens(x.view()).view(), y.view()));
    CHECK(y(0, 0) == 127.0f * 255.0f * 65536.0f);
}

TEST_CASE("integer products: hinm gathers its columns, whichever order rows have") {
    for (const std::uint64_t seed : {1u, 2u, 4u, 5u}) {  // 4: rows in place
        const std::size_t rows = 90, cols = 333 + seed;
        const matrix w = matrix::uniform(rows, cols, seed);
        using layout = packed::hinm<2, 4, coded<code_i8>>;
        const auto order = any_order(rows, cols, 32, seed);
        bits mask(rows, cols);
        select_any<2, 4>(order, mask, seed);
        std::vector<std::uint32_t> values(layout::n_values(packed::shape_of(order)));
        std::vector<std::uint32_t> words(layout::n_words(packed::shape_of(order)));
        const auto packed = packed::pack<2, 4>(w.view(), mask.view(), order, quant::int8<>{},
                                               std::span(values), std::span(words));
        REQUIRE(packed);
        for (const std::size_t n_tokens : {1u, 5u, 14u}) {
            const matrix x = matrix::uniform(n_tokens, cols, seed + n_tokens);
            const tokens q(x.view());
            matrix y(n_tokens, rows), expected(n_tokens, rows), exact(n_tokens, rows);
            REQUIRE(gemm(*packed, q.view(), y.view()));
            kernel::gemm_ref(*packed, 0, rows, q.view(), expected.view());
            CHECK(same_bits(y, expected));
            // Half a step of every activation at most, and weights below 1.
            kernel::gemm_ref(*packed, x.view(), exact.view());
            for (std::size_t t = 0; t < n_tokens; ++t)
                for (std::size_t r = 0; r < rows; ++r)
                    REQUIRE(std::abs(y(t, r) - exact(t, r)) <=
                            0.5f / 127.0f * static_cast<float>(cols) + 1e-3f);
        }
    }
}

TEST_CASE("integer products: the same bits for every executor, with an epilogue, feature-major") {
    random draw(3);
    const std::size_t rows = 217, cols = 200, n_tokens = 14;
    const any_weights<packed::n_m<2, 4, coded<code_i4, 64>>> w(rows, cols, draw);
    matrix x = matrix::uniform(n_tokens, cols, 1);
    const tokens q(x.view());
    matrix y(n_tokens, rows), other(n_tokens, rows), turned(rows, n_tokens);
    std::vector<float> bias(rows), scale(rows);
    for (float& b : bias) b = static_cast<float>(draw.below(100)) - 50.0f;
    for (float& s : scale) s = static_cast<float>(1 << draw.below(3));
    const epilogue after{.bias = bias, .scale = scale, .then = activation::relu};
    REQUIRE(gemm(w, q.view(), y.view(), serial{}, after));

    matrix expected(n_tokens, rows);
    kernel::gemm_ref(w.view(), 0, rows, q.view(), expected.view(), after);
    for (std::size_t t = 0; t < n_tokens; ++t)
        for (std::size_t r = 0; r < rows; ++r)
            REQUIRE(std::abs(y(t, r) - expected(t, r)) <= 1e-5f * std::abs(expected(t, r)) + 1e-3f);

    thread_pool pool(3);
    REQUIRE(gemm(w, q.view(), other.view(), pool, after));
    CHECK(same_bits(y, other));
    REQUIRE(gemm(w, q.view(), other.view(), backwards{}, after));
    CHECK(same_bits(y, other));
    REQUIRE(gemm(w, q.view(), turned.view().transposed(), serial{}, after));
    for (std::size_t t = 0; t < n_tokens; ++t)
        for (std::size_t r = 0; r < rows; ++r) REQUIRE(turned(r, t) == y(t, r));
}

TEST_CASE("integer products: a token that is not finite gives NaN, others are as they were") {
    random draw(4);
    const any_weights<packed::dense<coded<code_i8>>> w(33, 70, draw);
    matrix x = matrix::uniform(3, 70, 1), before(3, 33), y(3, 33);
    REQUIRE(gemm(w, tokens(x.view()).view(), before.view()));
    for (const std::uint32_t bits : {0x7fc00000u, 0x7f800000u, 0xff800000u, 0xff800001u})
        for (const std::size_t c : {0u, 17u, 69u}) {
            matrix bad = x;
            bad(1, c) = std::bit_cast<float>(bits);
            REQUIRE(gemm(w, tokens(bad.view()).view(), y.view()));
            for (std::size_t r = 0; r < 33; ++r) {
                CHECK(is_nan(y(1, r)));
                CHECK(y(0, r) == before(0, r));
                CHECK(y(2, r) == before(2, r));
            }
        }
}

TEST_CASE("quantised tokens: nearest codes, the same for any strides and tails") {
    for (const std::size_t cols : {1u, 7u, 16u, 31u, 64u, 129u, 200u}) {
        const matrix x = matrix::uniform(2, cols, cols);
        matrix turned(cols, 2);
        for (std::size_t c = 0; c < cols; ++c)
            for (std::size_t t = 0; t < 2; ++t) turned(c, t) = x(t, c);
        const tokens made(x.view()), same(turned.view().transposed());
        const auto &q = made.view(), &s = same.view();
        for (std::size_t t = 0; t < 2; ++t) {
            float largest = 0.0f;
            for (std::size_t c = 0; c < cols; ++c) largest = std::max(largest, std::abs(x(t, c)));
            CHECK(q.scales[t] == Approx(largest / 127.0f));
            CHECK(s.scales[t] == q.scales[t]);
            CHECK(std::memcmp(s.token(t), q.token(t), q.stride(cols)) == 0);
            for (std::size_t c = 0; c < cols; ++c)
                CHECK(std::abs(x(t, c) / q.scales[t] - static_cast<float>(q.token(t)[c])) <=
                      0.5001f);
            for (std::size_t c = cols; c < q.stride(cols); ++c) CHECK(q.token(t)[c] == 0);
        }
    }
    matrix ties(1, 4), zeros(1, 40);
    ties(0, 0) = 127.0f, ties(0, 1) = 0.5f, ties(0, 2) = 1.5f, ties(0, 3) = -2.5f;
    const tokens even(ties.view()), nothing(zeros.view());
    CHECK(even.view().token(0)[1] == 0);
    CHECK(even.view().token(0)[2] == 2);
    CHECK(even.view().token(0)[3] == -2);
    CHECK(nothing.view().scales[0] == 0.0f);
    CHECK(nothing.view().token(0)[0] == 0);
}

TEST_CASE("integer products: what does not fit is refused") {
    random draw(5);
    const any_weights<packed::dense<coded<code_i8>>> w(20, 30, draw);
    matrix x(2, 30), y(2, 20), short_x(2, 29), short_y(1, 20);
    std::vector<std::byte> memory(quantised_tokens::required_bytes(2, 30) - 1);
    CHECK(quantise(x.view(), memory).error().code == errc::buffer_too_small);
    CHECK(gemm(w, tokens(short_x.view()).view(), y.view()).error().code == errc::shape_mismatch);
    CHECK(gemm(w, tokens(x.view()).view(), short_y.view()).error().code == errc::shape_mismatch);
    const std::vector<float> bias(19);
    CHECK(gemm(w, tokens(x.view()).view(), y.view(), serial{}, {.bias = bias}).error().code ==
          errc::shape_mismatch);
    auto wide = w.view();
    wide.cols = 65537;
    quantised_tokens q = tokens(x.view()).view();
    q.cols = 65537;
    CHECK(gemm(wide, q, y.view()).error().code == errc::invalid_argument);
}

}  // namespace
}  // namespace pare::testing
