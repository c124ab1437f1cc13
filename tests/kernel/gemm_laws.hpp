// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_KERNEL_GEMM_LAWS_HPP
#define PARE_TESTS_KERNEL_GEMM_LAWS_HPP

// What gemm does for every layout, as templates: each stored type instantiates them in a file of
// its own, so that they compile side by side.

#include <pare/core/thread_pool.hpp>
#include <pare/kernel/gemm.hpp>

#include "support/catch.hpp"
#include "support/executors.hpp"
#include "support/fenced_array.hpp"
#include "support/guarded_buffer.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"
#include "support/metrics.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pare::testing {

// A NaN of our own, wherever memory is not part of an operand.
inline constexpr std::uint32_t poison_bits = 0x7fc0dead;
inline const float poison = std::bit_cast<float>(poison_bits);

/// An operand (tokens, features) in either order: padded lines, any alignment of a float, poison in
/// the padding, sentinels around.
class activations {
  public:
    activations(std::size_t tokens, std::size_t features, bool feature_major, pare::random& random)
        : tokens_(tokens), features_(features), feature_major_(feature_major),
          stride_((feature_major ? tokens : features) + random.below(4) * random.below(6)),
          memory_((feature_major ? features : tokens) * stride_, 4 * random.below(16)) {
        for (float& x : memory_) x = poison;
    }

    matrix_view<float> view() {
        return feature_major_
                   ? matrix_view<float>(memory_.data(), features_, tokens_, stride_).transposed()
                   : matrix_view<float>(memory_.data(), tokens_, features_, stride_);
    }
    /// Neither padding nor surroundings were written.
    bool only_inside_written() const {
        const std::size_t length = feature_major_ ? tokens_ : features_;
        for (std::size_t i = 0; i < memory_.size(); ++i)
            if (i % stride_ >= length && std::bit_cast<std::uint32_t>(memory_[i]) != poison_bits)
                return false;
        return memory_.intact();
    }

  private:
    std::size_t tokens_, features_;
    bool feature_major_;
    std::size_t stride_;
    guarded_buffer<float> memory_;
};

/// One of the executors, chosen at run time, so that a kernel is instantiated once.
struct any_executor {
    enum class kind { serial, backwards, pool } which = kind::serial;
    thread_pool* pool = nullptr;

    void parallel_for(std::size_t n, std::size_t grain, auto&& fn) const {
        if (which == kind::serial) serial{}.parallel_for(n, grain, fn);
        else if (which == kind::backwards) backwards{}.parallel_for(n, grain, fn);
        else pool->parallel_for(n, grain, fn);
    }
};

struct extents {
    std::size_t tokens, rows, cols;
};

struct shape {
    std::size_t tokens, rows, cols;
    bool x_feature_major = false, y_feature_major = false;
};

/// Runs y = x W^T with an epilogue on small integers, whose sums are exact in any order, and tells
/// whether every output is right and nothing else was written.
template <class Packed>
bool gemm_is_exact(const shape& s, std::uint64_t seed, const any_executor& run = {}) {
    pare::random random(seed);
    const Packed weights(matrix::integers(s.rows, s.cols, 4, seed), seed + 1);
    const matrix x_values = matrix::integers(s.tokens, s.cols, 8, seed + 2);
    const matrix bias = matrix::integers(1, random.below(2) * s.rows, 99, seed + 3);
    const matrix scale = matrix::integers(1, random.below(2) * s.rows, 2, seed + 4);
    const epilogue after{bias.data(), scale.data(), static_cast<activation>(random.below(3))};
    activations x(s.tokens, s.cols, s.x_feature_major, random);
    activations y(s.tokens, s.rows, s.y_feature_major, random);
    for (std::size_t t = 0; t < s.tokens; ++t)
        for (std::size_t c = 0; c < s.cols; ++c) x.view()(t, c) = x_values(t, c);

    if (!gemm(weights, x.view(), y.view(), run, after)) return false;
    for (std::size_t t = 0; t < s.tokens; ++t)
        for (std::size_t r = 0; r < s.rows; ++r) {
            float sum = 0.0f;
            for (std::size_t c = 0; c < s.cols; ++c) sum += weights.dense()(r, c) * x_values(t, c);
            if (y.view()(t, r) != kernel::finish(after, r, sum)) return false;
        }
    return y.only_inside_written();
}

/// Every number of tokens, rows and columns of interest, each with the other two drawn at random,
/// in all four orders of x and y.
template <class Packed>
void check_every_tail() {
    std::vector<std::size_t> tokens, rows, cols;
    const auto add = [](std::vector<std::size_t>& to, std::size_t first, std::size_t last) {
        for (; first <= last; ++first) to.push_back(first);
    };
    add(tokens, 1, 19), add(tokens, 31, 33), add(tokens, 63, 66), add(tokens, 127, 130);
    add(rows, 1, 35), add(rows, 47, 49), add(rows, 63, 65);
    add(cols, 1, 70), add(cols, 127, 130), add(cols, 255, 258), add(cols, 511, 515);

    pare::random random(7);
    const auto any = [&](const std::vector<std::size_t>& of) {
        return of[random.below(of.size())];
    };
    const auto check = [&](shape s) {
        s.x_feature_major = random.below(2) != 0;
        s.y_feature_major = random.below(2) != 0;
        const any_executor run{random.below(2) != 0 ? any_executor::kind::serial
                                                    : any_executor::kind::backwards};
        if (gemm_is_exact<Packed>(s, random.next(), run)) return;
        CAPTURE(Packed::name(), s.tokens, s.rows, s.cols, s.x_feature_major, s.y_feature_major);
        FAIL_CHECK("wrong output, or a write outside y");
    };
    for (int draw = 0; draw < 8; ++draw) {
        for (const std::size_t n : tokens) check({n, any(rows), any(cols)});
        for (const std::size_t n : rows) check({any(tokens), n, any(cols)});
        for (const std::size_t n : cols) check({any(tokens), any(rows), n});
    }
    SUCCEED();
}

/// Blocks of many rows and many columns.
template <class Packed>
void check_large_shapes() {
    for (const bool x_feature_major : {false, true})
        for (const bool y_feature_major : {false, true})
            for (const auto& [tokens, rows, cols] : {extents{1, 1030, 70},
                                                     {5, 513, 130},
                                                     {13, 511, 40},
                                                     {20, 512, 40},
                                                     {66, 513, 33},
                                                     {130, 530, 20},
                                                     {3, 17, 5000},
                                                     {17, 17, 5003},
                                                     {40, 5, 2500},
                                                     {65, 18, 5001}}) {
                CAPTURE(Packed::name(), tokens, rows, cols, x_feature_major, y_feature_major);
                CHECK(gemm_is_exact<Packed>({tokens, rows, cols, x_feature_major, y_feature_major},
                                            tokens + rows + cols));
            }
}

/// How far a result may lie from the exact one, as a fraction of the bound: at most 1.
inline double worst_error(matrix_view<const float> y, const matrix& dense, const matrix& x,
                          const matrix& bias, std::size_t n_terms) {
    double worst = 0.0;
    for (std::size_t t = 0; t < x.rows(); ++t)
        for (std::size_t r = 0; r < dense.rows(); ++r) {
            double sum = static_cast<double>(bias(0, r)), magnitude = std::fabs(sum);
            for (std::size_t c = 0; c < dense.cols(); ++c) {
                const double term = static_cast<double>(dense(r, c)) * static_cast<double>(x(t, c));
                sum += term;
                magnitude += std::fabs(term);
            }
            const double error = std::fabs(static_cast<double>(y(t, r)) - sum);
            const double fraction = error / dot_product_bound(n_terms, magnitude);
            if (!(fraction <= worst)) worst = fraction;
        }
    return worst;
}

/// Weights that the fullest row stores.
std::size_t most_terms(const auto& layout) {
    std::size_t most = 0;
    for (std::size_t i = 0; i < layout.rows; ++i) {
        std::size_t n = 0;
        layout.for_each_weight(i, [&](std::size_t, auto) { ++n; });
        most = std::max(most, n);
    }
    return most;
}

/// Rounding stays within the bound of a sum in any order, for gemm and its scalar twin; the bound
/// notices a single activation in [-1, 1) that is off by 0.01 (by 1 among thousands).
template <class Packed>
void check_rounding() {
    for (const auto& [tokens, rows, cols] : {extents{1, 35, 64},
                                             {9, 33, 515},
                                             {13, 35, 130},
                                             {70, 20, 258},
                                             {2, 17, 5000},
                                             {33, 16, 5003}}) {
        const Packed weights(matrix::uniform(rows, cols, 1), 2);
        matrix x = matrix::uniform(tokens, cols, 3), y(tokens, rows), scalar(tokens, rows);
        const matrix bias = matrix::uniform(1, rows, 4);
        const std::size_t n_terms = most_terms(weights.view()) + 1;
        REQUIRE(gemm(weights, x.view(), y.view(), any_executor{}, {.bias = bias.data()}));
        kernel::gemm_ref(weights.view(), x.view(), scalar.view(), {.bias = bias.data()});
        CAPTURE(Packed::name(), tokens, rows, cols);
        CHECK(worst_error(y.view(), weights.dense(), x, bias, n_terms) <= 1.0);
        CHECK(worst_error(scalar.view(), weights.dense(), x, bias, n_terms) <= 1.0);

        std::size_t heaviest = 0;
        for (std::size_t c = 0; c < cols; ++c)
            if (std::fabs(weights.dense()(0, c)) > std::fabs(weights.dense()(0, heaviest)))
                heaviest = c;
        x(tokens - 1, heaviest) += cols < 1000 ? 0.01f : 1.0f;
        CHECK(worst_error(y.view(), weights.dense(), x, bias, n_terms) > 1.0);
    }
}

/// The bits of y do not depend on who runs the ranges.
template <class Packed>
void check_executors() {
    thread_pool two(2), three(3);
    for (const bool x_feature_major : {false, true})
        for (const auto& [tokens, rows, cols] :
             {extents{1, 400, 100}, {7, 150, 130}, {12, 97, 70}, {30, 65, 300}, {130, 515, 64}}) {
            const Packed weights(matrix::uniform(rows, cols, 1), 2);
            pare::random random(3);
            activations x(tokens, cols, x_feature_major, random);
            for (std::size_t t = 0; t < tokens; ++t)
                for (std::size_t c = 0; c < cols; ++c) x.view()(t, c) = random.symmetric();
            matrix expected(tokens, rows);
            REQUIRE(gemm(weights, x.view(), expected.view(), any_executor{}));
            for (const any_executor& run : {any_executor{any_executor::kind::backwards, nullptr},
                                            {any_executor::kind::pool, &two},
                                            {any_executor::kind::pool, &three}}) {
                matrix y(tokens, rows);
                REQUIRE(gemm(weights, x.view(), y.view(), run));
                int different = 0;
                for (std::size_t i = 0; i < y.data().size(); ++i)
                    different += std::bit_cast<std::uint32_t>(y.data()[i]) !=
                                 std::bit_cast<std::uint32_t>(expected.data()[i]);
                CAPTURE(Packed::name(), tokens, rows, cols, x_feature_major,
                        static_cast<int>(run.which));
                CHECK(different == 0);
            }
        }
}

/// A NaN of one token reaches the outputs of that token whose row keeps its column, and no other.
template <class Packed>
void check_nan_stays() {
    constexpr std::size_t rows = 21, cols = 40;
    const Packed weights(matrix::uniform(rows, cols, 1), 2);
    for (const std::size_t tokens : {1u, 5u, 12u, 13u, 40u})
        for (const bool feature_major : {false, true})
            for (const std::size_t bad : {std::size_t{0}, std::size_t{17}, cols - 1}) {
                pare::random random(3);
                activations x(tokens, cols, feature_major, random);
                for (std::size_t t = 0; t < tokens; ++t)
                    for (std::size_t c = 0; c < cols; ++c) x.view()(t, c) = 1.0f;
                x.view()(tokens / 2, bad) = poison;
                matrix y(tokens, rows);
                REQUIRE(gemm(weights, x.view(), y.view(), any_executor{}));
                int wrong = 0;
                for (std::size_t t = 0; t < tokens; ++t)
                    for (std::size_t r = 0; r < rows; ++r)
                        wrong +=
                            is_nan(y(t, r)) != (t == tokens / 2 && weights.dense()(r, bad) != 0.0f);
                CAPTURE(Packed::name(), tokens, feature_major, bad);
                CHECK(wrong == 0);
            }
}

/// Nothing is read or written beyond any operand, not even without using it.
template <class Packed>
void check_fences() {
    for (const fence side : {fence::before, fence::after})
        for (const auto& [tokens, rows, cols, x_feature_major, y_feature_major] :
             {shape{1, 16, 64, false, false},
              {1, 3, 7, false, false},
              {7, 17, 130, false, false},
              {12, 16, 33, false, true},
              {13, 16, 64, false, false},
              {13, 5, 9, true, false},
              {3, 16, 31, true, true},
              {64, 16, 128, false, true},
              {65, 33, 129, true, true}}) {
            const Packed weights(matrix::integers(rows, cols, 4, 1), 2);
            fenced_array<typename Packed::layout::element_type> values(weights.values(), side);
            fenced_array<std::uint32_t> words(weights.words(), side);
            const matrix x_values = matrix::integers(tokens, cols, 8, 3);
            fenced_array<float> x(matrix(tokens, cols).data(), side);
            fenced_array<float> y(matrix(tokens, rows).data(), side);
            fenced_array<float> bias(matrix::integers(1, rows, 9, 4).data(), side);
            const auto order = [](float* data, std::size_t n_tokens, std::size_t n_features,
                                  bool feature_major) {
                return feature_major ? matrix_view<float>(data, n_features, n_tokens).transposed()
                                     : matrix_view<float>(data, n_tokens, n_features);
            };
            const auto x_view = order(x.data(), tokens, cols, x_feature_major);
            const auto y_view = order(y.data(), tokens, rows, y_feature_major);
            for (std::size_t t = 0; t < tokens; ++t)
                for (std::size_t c = 0; c < cols; ++c) x_view(t, c) = x_values(t, c);

            REQUIRE(gemm(weights.at(values.data(), words.data()), x_view, y_view, any_executor{},
                         {.bias = bias.span()}));
            matrix expected(tokens, rows);
            kernel::gemm_ref(weights.view(), x_values.view(), expected.view(),
                             {.bias = bias.span()});
            int wrong = 0;
            for (std::size_t t = 0; t < tokens; ++t)
                for (std::size_t r = 0; r < rows; ++r) wrong += y_view(t, r) != expected(t, r);
            CAPTURE(Packed::name(), tokens, rows, cols, x_feature_major, y_feature_major);
            CHECK(wrong == 0);
        }
}

/// gemv is gemm of one token.
template <class Packed>
void check_gemv() {
    for (const std::size_t rows : {1u, 15u, 16u, 17u, 70u})
        for (const std::size_t cols : {1u, 31u, 64u, 130u, 515u}) {
            const Packed weights(matrix::uniform(rows, cols, 1), 2);
            const matrix x = matrix::uniform(1, cols, 3), bias = matrix::uniform(1, rows, 4);
            matrix y(1, rows), expected(1, rows);
            REQUIRE(gemv(weights, x.data(), y.data(), any_executor{}, {.bias = bias.data()}));
            REQUIRE(
                gemm(weights, x.view(), expected.view(), any_executor{}, {.bias = bias.data()}));
            CAPTURE(Packed::name(), rows, cols);
            CHECK(y.data() == expected.data());
            const std::size_t n_terms = most_terms(weights.view()) + 1;
            CHECK(worst_error(y.view(), weights.dense(), x, bias, n_terms) <= 1.0);
        }
}

/// for_each(law) calls law<Packed>() for each kind of packed matrix, for_large those of them that
/// are worth blocks of many rows and columns.
inline void check_gemm_laws(auto for_each, auto for_large) {
    SECTION("gemm is exact at every tail, alignment and order") {
        for_each([]<class Packed>() { check_every_tail<Packed>(); });
    }
    SECTION("gemm is exact over many rows and columns") {
        for_large([]<class Packed>() { check_large_shapes<Packed>(); });
    }
    SECTION("gemm rounds within the bound of a dot product") {
        for_each([]<class Packed>() { check_rounding<Packed>(); });
    }
    SECTION("gemm gives the same bits on every executor") {
        for_each([]<class Packed>() { check_executors<Packed>(); });
    }
    SECTION("gemm keeps a NaN where it belongs") {
        for_each([]<class Packed>() { check_nan_stays<Packed>(); });
    }
    SECTION("gemm touches nothing beyond its operands") {
        for_each([]<class Packed>() { check_fences<Packed>(); });
    }
    SECTION("gemv is gemm of one token") {
        for_each([]<class Packed>() { check_gemv<Packed>(); });
    }
}

/// Dense, every power-of-two group, odd ones, long ones.
template <class T>
void check_n_m_laws() {
    check_gemm_laws(
        [](auto law) {
            law.template operator()<packed_matrix<1, 1, T>>();
            law.template operator()<packed_matrix<1, 2, T>>();
            law.template operator()<packed_matrix<2, 4, T>>();
            law.template operator()<packed_matrix<1, 4, T>>();
            law.template operator()<packed_matrix<3, 4, T>>();
            law.template operator()<packed_matrix<2, 8, T>>();
            law.template operator()<packed_matrix<1, 8, T>>();
            law.template operator()<packed_matrix<3, 7, T>>();
            law.template operator()<packed_matrix<4, 16, T>>();
            law.template operator()<packed_matrix<8, 16, T>>();
            law.template operator()<packed_matrix<5, 32, T>>();
        },
        [](auto law) {
            law.template operator()<packed_matrix<2, 4, T>>();
            law.template operator()<packed_matrix<1, 1, T>>();
            law.template operator()<packed_matrix<1, 8, T>>();
            law.template operator()<packed_matrix<3, 7, T>>();
        });
}

}  // namespace pare::testing

#endif  // PARE_TESTS_KERNEL_GEMM_LAWS_HPP
