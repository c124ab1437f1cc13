// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/eigen/least_squares_repair.hpp>

#include <pare/prune/observer.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using pare::errc, pare::eigen::least_squares_repair;
using pare::testing::matrix;
using channels = std::vector<std::uint32_t>;

namespace {

matrix gram_of(const matrix& x) {
    auto seen = *pare::prune::input_observer::make(x.cols(), true);
    REQUIRE(seen.add(x.view()));
    const auto gram = seen.sums().gram;
    matrix copy(x.cols(), x.cols());
    for (std::size_t r = 0; r < x.cols(); ++r)
        for (std::size_t c = 0; c < x.cols(); ++c) copy(r, c) = gram(r, c);
    return copy;
}

// Inputs that depend on each other, the last of them always 1.
matrix correlated(std::size_t tokens, std::size_t features) {
    const matrix source = matrix::uniform(tokens, 5, 1), mix = matrix::uniform(5, features, 2),
                 noise = matrix::uniform(tokens, features, 3);
    matrix x(tokens, features + 1);
    for (std::size_t t = 0; t < tokens; ++t) {
        for (std::size_t c = 0; c < features; ++c) {
            x(t, c) = 0.1f * noise(t, c) + 0.5f;
            for (std::size_t k = 0; k < 5; ++k) x(t, c) += source(t, k) * mix(k, c);
        }
        x(t, features) = 1.0f;
    }
    return x;
}

struct repaired {
    matrix weights;
    std::vector<float> shift;
};

repaired fold(const least_squares_repair& by, const matrix& weights, std::size_t taps,
              const channels& kept, const matrix& gram) {
    repaired made{matrix(weights.rows(), kept.size() * taps),
                  std::vector<float>(gram.rows() - weights.cols() == 1 ? weights.rows() : 0)};
    REQUIRE(by.fold(weights.view(), taps, kept, gram.view(), made.weights.view(), made.shift));
    return made;
}

matrix transposed_product(const matrix& a, const matrix& b) {
    matrix made(a.cols(), b.cols());
    for (std::size_t r = 0; r < a.cols(); ++r)
        for (std::size_t c = 0; c < b.cols(); ++c) {
            double sum = 0.0;
            for (std::size_t t = 0; t < a.rows(); ++t)
                sum += static_cast<double>(a(t, r)) * static_cast<double>(b(t, c));
            made(r, c) = static_cast<float>(sum);
        }
    return made;
}

// Quadratic: half the difference of two steps of 1 is the gradient, but for what floats round in
// the moments (their sums too) and in the result, times the curvature.
void check_least(const auto& objective, const std::vector<double>& at) {
    const double least = objective(at);
    for (std::size_t i = 0; i < at.size(); ++i) {
        std::vector<double> up = at, down = at;
        up[i] += 1.0;
        down[i] -= 1.0;
        const double curvature = objective(up) + objective(down) - 2.0 * least;
        CHECK(std::fabs(objective(up) - objective(down)) <= 0x1p-18 * curvature);
    }
}

}  // namespace

TEST_CASE("a fit minimises its objective, whatever inputs and targets are") {
    const std::size_t n = 4, tokens = 60;
    const matrix x = correlated(tokens, n), y = matrix::uniform(tokens, 3, 5),
                 gram = transposed_product(x, x), targets = transposed_product(y, x),
                 weights = matrix::uniform(3, n, 4);
    const bool shifts = GENERATE(true, false);
    const std::size_t known = n + (shifts ? 1 : 0);
    const least_squares_repair by{.damping = 0.05f};
    repaired found{matrix(3, n), std::vector<float>(shifts ? 3 : 0)};
    REQUIRE(by.fit(weights.view(), gram.view().block(0, 0, known, known),
                   targets.view().block(0, 0, 3, known), found.weights.view(), found.shift));
    double mean = 0.0;
    for (std::size_t f = 0; f < n; ++f) mean += static_cast<double>(gram(f, f)) / 4.0;
    for (std::size_t r = 0; r < 3; ++r) {
        std::vector<double> at;
        for (std::size_t i = 0; i < n; ++i) at.push_back(static_cast<double>(found.weights(r, i)));
        if (shifts) at.push_back(static_cast<double>(found.shift[r]));
        check_least(
            [&](const std::vector<double>& w) {
                double sum = 0.0;
                for (std::size_t t = 0; t < tokens; ++t) {
                    double off = static_cast<double>(y(t, r));
                    for (std::size_t i = 0; i < known; ++i)
                        off -= w[i] * static_cast<double>(x(t, i));
                    sum += off * off;
                }
                for (std::size_t i = 0; i < n; ++i) {
                    const double moved = w[i] - static_cast<double>(weights(r, i));
                    sum += static_cast<double>(by.damping) * mean * moved * moved;
                }
                return sum;
            },
            at);
    }
}

TEST_CASE("a fit to what a layer put out, on inputs of which some left, is a fold") {
    const channels kept{0, 2};
    const std::vector<std::size_t> features{0, 1, 4, 5, 8};  // of two taps, and the last: 1
    const matrix x = correlated(60, 8), gram = gram_of(x), weights = matrix::uniform(3, 8, 4);
    matrix y(60, 3), left(60, 5), left_weights(3, 4);
    for (std::size_t t = 0; t < 60; ++t) {
        for (std::size_t i = 0; i < 5; ++i) left(t, i) = x(t, features[i]);
        for (std::size_t r = 0; r < 3; ++r)
            for (std::size_t c = 0; c < 8; ++c) y(t, r) += weights(r, c) * x(t, c);
    }
    for (std::size_t r = 0; r < 3; ++r)
        for (std::size_t i = 0; i < 4; ++i) left_weights(r, i) = weights(r, features[i]);
    const repaired folded = fold({}, weights, 2, kept, gram);
    repaired fitted{matrix(3, 4), std::vector<float>(3)};
    REQUIRE(least_squares_repair{}.fit(left_weights.view(), transposed_product(left, left).view(),
                                       transposed_product(y, left).view(), fitted.weights.view(),
                                       fitted.shift));
    // Both round moments to floats, of a system whose condition the damping of 1 / 100 bounds.
    for (std::size_t r = 0; r < 3; ++r) {
        CHECK(fitted.shift[r] == Approx(folded.shift[r]).margin(1e-4));
        for (std::size_t i = 0; i < 4; ++i)
            CHECK(fitted.weights(r, i) == Approx(folded.weights(r, i)).margin(1e-4));
    }
}

TEST_CASE("fits of what does not fit or is not finite are refused") {
    const matrix x = correlated(40, 6), gram = transposed_product(x, x),
                 targets = transposed_product(matrix::uniform(40, 2, 5), x),
                 weights = matrix::uniform(2, 6, 9);
    const auto code = [](const least_squares_repair& by, const matrix& w, const matrix& g,
                         const matrix& y, std::size_t n_shifts = 2) {
        matrix out(2, 6);
        std::vector<float> shift(n_shifts);
        const auto refused = by.fit(w.view(), g.view(), y.view(), out.view(), shift);
        REQUIRE_FALSE(refused);
        CHECK(out.data() == std::vector<float>(out.data().size()));
        return refused.error().code;
    };
    CHECK(code({}, weights, matrix(6, 6), targets) == errc::shape_mismatch);
    CHECK(code({}, weights, gram, matrix(2, 6)) == errc::shape_mismatch);
    CHECK(code({}, weights, gram, matrix(3, 7)) == errc::shape_mismatch);
    CHECK(code({}, matrix(2, 5), gram, targets) == errc::shape_mismatch);
    CHECK(code({}, weights, gram, targets, 0) == errc::shape_mismatch);
    CHECK(code({}, weights, gram, targets, 3) == errc::shape_mismatch);
    CHECK(code({.damping = 0.0f}, weights, gram, targets) == errc::invalid_argument);
    CHECK(code({}, weights, matrix(7, 7), targets) == errc::invalid_argument);  // no tokens
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
        for (const int which : {0, 1, 2}) {
            matrix wrong[] = {weights, gram, targets};
            wrong[which](1, 3) = bad;
            CHECK(code({}, wrong[0], wrong[1], wrong[2]) == errc::not_a_number);
        }
}

TEST_CASE("a repair minimises its objective") {
    const std::size_t taps = 2, n = 8, tokens = 60;
    const channels kept{0, 2};
    const std::vector<std::size_t> features{0, 1, 4, 5};
    const matrix x = correlated(tokens, n), gram = gram_of(x), weights = matrix::uniform(3, n, 4);
    const least_squares_repair by{.damping = 0.05f};
    const repaired found = fold(by, weights, taps, kept, gram);
    double mean = 0.0;
    for (const std::size_t f : features) mean += static_cast<double>(gram(f, f)) / 4.0;

    for (std::size_t r = 0; r < 3; ++r) {
        // Of four weights and the shift.
        const auto objective = [&](const std::vector<double>& w) {
            double sum = 0.0;
            for (std::size_t t = 0; t < tokens; ++t) {
                double off = -w[4];
                for (std::size_t c = 0; c < n; ++c)
                    off += static_cast<double>(weights(r, c)) * static_cast<double>(x(t, c));
                for (std::size_t i = 0; i < 4; ++i)
                    off -= w[i] * static_cast<double>(x(t, features[i]));
                sum += off * off;
            }
            for (std::size_t i = 0; i < 4; ++i) {
                const double moved = w[i] - static_cast<double>(weights(r, features[i]));
                sum += static_cast<double>(by.damping) * mean * moved * moved;
            }
            return sum;
        };
        std::vector<double> at;
        for (std::size_t i = 0; i < 4; ++i) at.push_back(static_cast<double>(found.weights(r, i)));
        at.push_back(static_cast<double>(found.shift[r]));
        check_least(objective, at);
    }
}

TEST_CASE("what the kept channels say goes without loss, constants too") {
    // Channel 1 is twice channel 0 less channel 3, and 3; channel 2 is always 4.
    matrix x = matrix::integers(50, 5, 5, 1);
    for (std::size_t t = 0; t < 50; ++t) {
        x(t, 1) = 2.0f * x(t, 0) - x(t, 3) + 3.0f;
        x(t, 2) = 4.0f;
        x(t, 4) = 1.0f;
    }
    const matrix weights(2, 4, {1, 10, 100, 5, -1, 0, 0, 2});
    const repaired found = fold({.damping = 1e-7f}, weights, 1, {0, 3}, gram_of(x));
    const std::vector<float> expected{21, -5, -1, 2};
    for (std::size_t i = 0; i < 4; ++i)
        CHECK(found.weights.data()[i] == Approx(expected[i]).epsilon(1e-4));
    CHECK(found.shift[0] == Approx(30.0f + 400.0f).epsilon(1e-4));
    CHECK(found.shift[1] == 0.0f);
}

TEST_CASE("without losses nothing changes, and without inputs only the shift knows") {
    const matrix x = correlated(40, 6), weights = matrix::uniform(2, 6, 9);
    CHECK(fold({}, weights, 2, {0, 1, 2}, gram_of(x)).weights.data() == weights.data());
    const repaired none = fold({}, weights, 2, {}, gram_of(x));
    for (std::size_t r = 0; r < 2; ++r) {
        double mean = 0.0;
        for (std::size_t t = 0; t < 40; ++t)
            for (std::size_t c = 0; c < 6; ++c)
                mean += static_cast<double>(weights(r, c)) * static_cast<double>(x(t, c)) / 40.0;
        CHECK(static_cast<double>(none.shift[r]) == Approx(mean).epsilon(1e-5));
    }
    // A kept channel that never fires stays as it was.
    const matrix dead(6, 6);
    const repaired still = fold({}, weights, 2, {0, 2}, dead);
    CHECK(still.shift.empty());
    CHECK(still.weights.data() == std::vector<float>{weights(0, 0), weights(0, 1), weights(0, 4),
                                                     weights(0, 5), weights(1, 0), weights(1, 1),
                                                     weights(1, 4), weights(1, 5)});
}

TEST_CASE("repairs of what does not fit or is not finite are refused") {
    const matrix gram = gram_of(correlated(40, 6)), weights = matrix::uniform(2, 6, 9);
    const auto code = [&](const least_squares_repair& by, const channels& kept, const matrix& w,
                          const matrix& g, std::size_t taps = 2) {
        matrix out(2, kept.size() * 2);
        std::vector<float> shift(2);
        const auto refused = by.fold(w.view(), taps, kept, g.view(), out.view(), shift);
        REQUIRE_FALSE(refused);
        CHECK(out.data() == std::vector<float>(out.data().size()));
        return refused.error().code;
    };
    CHECK(code({}, {0, 1}, weights, matrix(6, 6)) == errc::shape_mismatch);
    CHECK(code({}, {0, 1}, weights, gram, 4) == errc::shape_mismatch);
    CHECK(code({}, {0, 1}, weights, gram, 0) == errc::shape_mismatch);
    CHECK(code({}, {0, 3}, weights, gram) == errc::invalid_argument);
    CHECK(code({}, {1, 0}, weights, gram) == errc::invalid_argument);
    CHECK(code({}, {0, 1}, weights, matrix(7, 7)) == errc::invalid_argument);  // no tokens
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        matrix wrong = gram;
        wrong(3, 4) = bad;
        CHECK(code({}, {0, 1}, weights, wrong) == errc::not_a_number);
        wrong = weights;
        wrong(1, 5) = bad;
        CHECK(code({}, {0, 1}, wrong, gram) == errc::not_a_number);
        CHECK(code({.damping = bad}, {0, 1}, weights, gram) == errc::invalid_argument);
    }
    CHECK(code({.damping = 0.0f}, {0, 1}, weights, gram) == errc::invalid_argument);
}
