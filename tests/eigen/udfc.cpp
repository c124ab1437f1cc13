// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/eigen/udfc.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <cmath>
#include <limits>
#include <span>
#include <vector>

using pare::errc;
using pare::eigen::filters, pare::eigen::udfc;
using pare::testing::matrix;

namespace {

/// A layer of random filters with batch norms.
struct layer {
    layer(std::size_t channels, std::size_t n_weights, std::uint64_t seed)
        : weights(matrix::uniform(channels, n_weights, seed)),
          scale(matrix::uniform(1, channels, seed + 1).data()),
          offset(matrix::uniform(1, channels, seed + 2).data()) {
        for (float& x : scale) x += 1.5f;  // as gammas are, positive
    }
    filters view() const { return {weights.view(), scale, offset}; }
    void remove(std::size_t channel) {
        for (std::size_t i = 0; i < weights.cols(); ++i) weights(channel, i) = 0.0f;
        offset[channel] = 0.0f;
    }

    matrix weights;
    std::vector<float> scale, offset;
};

matrix mixture(const udfc& by, const layer& trained, const layer& left) {
    matrix mix(trained.weights.rows(), trained.weights.rows());
    REQUIRE(by.mixture(trained.view(), left.view(), mix.view()));
    return mix;
}

/// What the docstring says that column j of a mixture minimises.
double objective(const udfc& by, const layer& trained, const layer& left, std::size_t j,
                 std::span<const double> s) {
    const std::size_t n = s.size();
    const auto g = [](const layer& of, std::size_t k, std::size_t i) {
        return static_cast<double>(of.scale[k]) * static_cast<double>(of.weights(k, i));
    };
    double sum = 0.0;
    for (std::size_t i = 0; i < left.weights.cols(); ++i) {
        double off = g(trained, j, i) - g(left, j, i);
        for (std::size_t k = 0; k < n; ++k) off -= g(left, k, i) * s[k];
        sum += off * off;
    }
    double off = static_cast<double>(trained.offset[j]) - static_cast<double>(left.offset[j]);
    for (std::size_t k = 0; k < n; ++k) off -= static_cast<double>(left.offset[k]) * s[k];
    sum += static_cast<double>(by.alpha1) * off * off;
    for (const double x : s) sum += static_cast<double>(by.alpha2) * x * x;
    return sum;
}

errc refusal(const udfc& by, const layer& trained, const layer& left, std::size_t size) {
    matrix mix(size, size);
    const auto refused = by.mixture(trained.view(), left.view(), mix.view());
    REQUIRE_FALSE(refused);
    CHECK(mix.data() == matrix(size, size).data());
    return refused.error().code;
}

}  // namespace

TEST_CASE("a channel that is gone is half of its neighbour, worked out by hand") {
    // One weight each: g = (4, 2) and b = (0, 0), channel 1 goes: s = 4 * 2 / (16 + alpha2).
    layer trained(2, 1, 1), left = trained;
    trained.weights = matrix(2, 1, {2, 1});
    left.weights = matrix(2, 1, {2, 0});
    trained.scale = left.scale = {2, 2};
    trained.offset = left.offset = {0, 0};
    const matrix mix = mixture({.alpha1 = 0.5f, .alpha2 = 4.0f}, trained, left);
    CHECK(mix.data() == std::vector<float>{1, 8.0f / 20.0f, 0, 1});
}

TEST_CASE("mixtures minimise their objective, for what is pruned and what is quantised") {
    const udfc by;
    const layer trained(7, 18, 5);
    layer left = trained;
    left.remove(2);
    left.remove(6);
    for (std::size_t k : {0u, 1u, 4u})
        for (std::size_t i = 0; i < 18; ++i)
            left.weights(k, i) = std::nearbyint(4.0f * left.weights(k, i)) / 4.0f;
    const matrix mix = mixture(by, trained, left);

    pare::random random(1);
    for (std::size_t j = 0; j < 7; ++j) {
        std::vector<double> s(7);
        for (std::size_t k = 0; k < 7; ++k)
            s[k] = static_cast<double>(mix(k, j)) - (k == j ? 1.0 : 0.0);
        const double least = objective(by, trained, left, j, s);
        // Quadratic: the difference of two steps is the gradient, but for what rounding s to floats
        // of at most 2 adds, times a curvature that is less than the trace.
        constexpr double h = 0x1p-10, rounding = 0x1p-23;
        double trace = 0.0;
        for (std::size_t k = 0; k < 7; ++k) {
            std::vector<double> up(7), none(7);
            up[k] = 1.0;
            trace += objective(by, left, left, k, up);
        }
        for (std::size_t k = 0; k < 7; ++k) {
            std::vector<double> up = s, down = s;
            up[k] += h;
            down[k] -= h;
            const double gradient =
                (objective(by, trained, left, j, up) - objective(by, trained, left, j, down)) /
                (2.0 * h);
            CHECK(std::fabs(gradient) <= 2.0 * trace * rounding * std::sqrt(7.0));
        }
        for (int i = 0; i < 20; ++i) {
            std::vector<double> other = s;
            for (double& x : other) x += 0.01 * static_cast<double>(random.symmetric());
            CHECK(objective(by, trained, left, j, other) > least);
        }
    }
    for (std::size_t j = 0; j < 7; ++j)
        for (const std::size_t gone : {2u, 6u}) CHECK(mix(gone, j) == (gone == j ? 1.0f : 0.0f));
    CHECK(mix(3, 3) == 1.0f);  // lost nothing
    CHECK(mix(0, 3) == 0.0f);
}

TEST_CASE("a channel that is a combination of others goes without loss, offset and all") {
    layer trained(6, 20, 9);
    for (std::size_t i = 0; i < 20; ++i)
        trained.weights(4, i) = (2.0f * trained.scale[1] * trained.weights(1, i) -
                                 0.5f * trained.scale[3] * trained.weights(3, i)) /
                                trained.scale[4];
    trained.offset[4] = 2.0f * trained.offset[1] - 0.5f * trained.offset[3];
    layer left = trained;
    left.remove(4);
    const matrix mix = mixture({.alpha2 = 1e-9f}, trained, left);
    const std::vector<float> expected{0, 2, 0, -0.5f, 1, 0};
    for (std::size_t k = 0; k < 6; ++k) CHECK(mix(k, 4) == Approx(expected[k]).margin(8 * 0x1p-23));

    // Two taps: what the next layer makes of inputs z is the same without channel 4.
    matrix next = matrix::uniform(3, 12, 2);
    const matrix before = next;
    REQUIRE(pare::eigen::fold(mix.view(), next.view()));
    const matrix z = matrix::uniform(6, 2, 3);
    for (std::size_t r = 0; r < 3; ++r) {
        double want = 0.0, got = 0.0;
        for (std::size_t k = 0; k < 6; ++k)
            for (std::size_t t = 0; t < 2; ++t) {
                const auto at = [&](std::size_t c) { return static_cast<double>(z(c, t)); };
                const double whole = k == 4 ? 2.0 * at(1) - 0.5 * at(3) : at(k);
                want += static_cast<double>(before(r, 2 * k + t)) * whole;
                got += static_cast<double>(next(r, 2 * k + t)) * (k == 4 ? 0.0 : at(k));
            }
        CHECK(got == Approx(want).margin(64 * 0x1p-23));
    }
}

TEST_CASE("nothing lost, nothing mixed") {
    const layer same(5, 9, 4);
    const matrix mix = mixture({}, same, same);
    matrix next = matrix::uniform(2, 5, 1);
    const matrix before = next;
    REQUIRE(pare::eigen::fold(mix.view(), next.view()));
    CHECK(next.data() == before.data());
}

TEST_CASE("mixtures of shapes that disagree and of what is not finite are refused") {
    const layer trained(3, 4, 1);
    const float nan = std::numeric_limits<float>::quiet_NaN(),
                infinity = std::numeric_limits<float>::infinity();
    CHECK(refusal({}, trained, layer(3, 5, 1), 3) == errc::shape_mismatch);
    CHECK(refusal({}, trained, trained, 4) == errc::shape_mismatch);
    for (const float bad : {nan, infinity}) {
        layer left = trained;
        left.weights(1, 2) = bad;
        CHECK(refusal({}, trained, left, 3) == errc::not_a_number);
        left = trained;
        left.offset[0] = bad;
        CHECK(refusal({}, left, trained, 3) == errc::not_a_number);
        CHECK(refusal({.alpha1 = bad}, trained, trained, 3) == errc::invalid_argument);
        CHECK(refusal({.alpha2 = bad}, trained, trained, 3) == errc::invalid_argument);
    }
    CHECK(refusal({.alpha1 = -1.0f}, trained, trained, 3) == errc::invalid_argument);
    CHECK(refusal({.alpha2 = 0.0f}, trained, trained, 3) == errc::invalid_argument);
    matrix mix(3, 3), next(2, 7);
    CHECK(pare::eigen::fold(mix.view(), next.view()).error().code == errc::shape_mismatch);
    CHECK(udfc{}.mixture({}, {}, {}));
}
