// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/balanced_k_means.hpp>

#include "support/catch.hpp"
#include "support/executors.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <limits>
#include <vector>

using namespace pare::testing;
using pare::errc;
using pare::prune::balanced_k_means;

namespace {

double squared_distance(const matrix& points, std::size_t i, pare::matrix_view<const float> to,
                        std::size_t k) {
    double sum = 0.0;
    for (std::size_t d = 0; d < points.cols(); ++d) {
        const double x = static_cast<double>(points(i, d)) - static_cast<double>(to(k, d));
        sum += x * x;
    }
    return sum;
}

// The least sum over every way of filling the clusters from point i on.
double best_by_trying(const matrix& points, const matrix& centroids, std::vector<std::size_t>& room,
                      std::size_t i = 0) {
    if (i == points.rows()) return 0.0;
    double best = std::numeric_limits<double>::infinity();
    for (std::size_t k = 0; k < room.size(); ++k) {
        if (room[k] == 0) continue;
        --room[k];
        best = std::min(best, squared_distance(points, i, centroids.view(), k) +
                                  best_by_trying(points, centroids, room, i + 1));
        ++room[k];
    }
    return best;
}

matrix copy_of(pare::matrix_view<const float> view) {
    matrix made(view.rows(), view.cols());
    for (std::size_t r = 0; r < view.rows(); ++r)
        for (std::size_t c = 0; c < view.cols(); ++c) made(r, c) = view(r, c);
    return made;
}

bool is_balanced(std::span<const std::uint32_t> clusters, std::size_t n_clusters) {
    std::vector<std::size_t> sizes(n_clusters);
    for (const std::uint32_t k : clusters) {
        if (k >= n_clusters) return false;
        ++sizes[k];
    }
    return std::all_of(sizes.begin(), sizes.end(),
                       [&](std::size_t n) { return n * n_clusters == clusters.size(); });
}

// A sum of `dims` squares of differences, per point, in floats.
double rounding(const matrix& points, double total) {
    return static_cast<double>(points.cols() + 4) * 0x1p-23 * total;
}

}  // namespace

TEST_CASE("balanced k-means fills every cluster and gives points to centroids at the least cost") {
    for (const auto& [n_points, n_clusters] :
         {std::array<std::size_t, 2>{4, 2}, {6, 3}, {8, 2}, {8, 4}, {9, 3}, {5, 1}, {5, 5}})
        for (std::uint64_t seed = 0; seed < 5; ++seed) {
            const matrix points = matrix::uniform(n_points, 3, seed);
            pare::random draw(seed);
            auto k_means = balanced_k_means::make(n_points, n_clusters, 3);
            REQUIRE(k_means);
            REQUIRE(k_means->start(points.view(), n_clusters, draw));
            for (int i = 0; i < 4; ++i) {
                const matrix before = copy_of(k_means->centroids());
                const auto total = k_means->step(points.view());
                REQUIRE(total);
                std::vector<std::size_t> room(n_clusters, n_points / n_clusters);
                const double best = best_by_trying(points, before, room);
                CAPTURE(n_points, n_clusters, seed, i);
                CHECK(is_balanced(k_means->clusters(), n_clusters));
                CHECK(std::fabs(*total - best) <= rounding(points, best));
            }
        }
}

TEST_CASE("no step of balanced k-means raises the sum of squares") {
    for (const std::size_t dims : {1u, 16u, 37u, 100u}) {
        const matrix points = matrix::uniform(48, dims, dims);
        pare::random draw(7);
        auto k_means = balanced_k_means::make(48, 6, dims);
        REQUIRE(k_means);
        REQUIRE(k_means->start(points.view(), 6, draw));
        double before = std::numeric_limits<double>::infinity();
        for (int i = 0; i < 12; ++i) {
            const auto total = k_means->step(points.view());
            REQUIRE(total);
            CHECK(*total <= before + rounding(points, *total));
            CHECK(is_balanced(k_means->clusters(), 6));
            before = *total;
        }
    }
}

TEST_CASE("balanced k-means moves centroids to the means of their points") {
    const matrix points = matrix::integers(12, 5, 8, 2);
    pare::random draw(1);
    auto k_means = balanced_k_means::make(12, 3, 5);
    REQUIRE(k_means);
    REQUIRE(k_means->start(points.view(), 3, draw));
    REQUIRE(k_means->run(points.view()));
    CHECK(k_means->moved() < balanced_k_means::settled);
    for (std::size_t k = 0; k < 3; ++k)
        for (std::size_t d = 0; d < 5; ++d) {
            float sum = 0.0f;
            for (std::size_t i = 0; i < 12; ++i)
                sum += k_means->clusters()[i] == k ? points(i, d) : 0.0f;
            CHECK(k_means->centroids()(k, d) == sum / 4.0f);
        }
}

TEST_CASE("balanced k-means finds groups that lie far apart from most starts") {
    // Points 100 apart by group, noise of 1; a start with two centroids in one group can be stuck.
    int found = 0;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        matrix points = matrix::uniform(24, 20, seed);
        for (std::size_t i = 0; i < 24; ++i) points(i, i % 4) += 100.0f;
        pare::random draw(seed);
        auto k_means = balanced_k_means::make(24, 4, 20);
        REQUIRE(k_means);
        REQUIRE(k_means->start(points.view(), 4, draw));
        REQUIRE(k_means->run(points.view()));
        bool same = true;
        for (std::size_t i = 4; i < 24; ++i)
            same = same && k_means->clusters()[i] == k_means->clusters()[i % 4];
        found += same;
    }
    CHECK(found >= 10);
}

TEST_CASE("balanced k-means gives the same clusters for any executor") {
    const matrix points = matrix::uniform(60, 33, 4);
    auto a = balanced_k_means::make(60, 5, 33), b = balanced_k_means::make(60, 5, 33);
    pare::random draw_a(9), draw_b(9);
    REQUIRE(a);
    REQUIRE(b);
    REQUIRE(a->start(points.view(), 5, draw_a));
    REQUIRE(b->start(points.view(), 5, draw_b));
    REQUIRE(a->run(points.view()));
    REQUIRE(b->run(points.view(), backwards{}));
    CHECK(std::equal(a->clusters().begin(), a->clusters().end(), b->clusters().begin()));
}

TEST_CASE("balanced k-means refuses what does not divide, does not fit or is not finite") {
    auto k_means = balanced_k_means::make(8, 4, 3);
    REQUIRE(k_means);
    pare::random draw(1);
    const auto refusal = [&](const matrix& points, std::size_t n_clusters) {
        const auto started = k_means->start(points.view(), n_clusters, draw);
        REQUIRE_FALSE(started);
        return started.error().code;
    };
    CHECK(refusal(matrix(7, 3), 2) == errc::shape_mismatch);
    CHECK(refusal(matrix(8, 2), 2) == errc::shape_mismatch);
    CHECK(refusal(matrix(8, 3), 0) == errc::shape_mismatch);
    CHECK(refusal(matrix(10, 3), 2) == errc::buffer_too_small);
    CHECK(refusal(matrix(8, 3), 8) == errc::buffer_too_small);
    matrix bad = matrix::uniform(8, 3, 1);
    bad(3, 1) = std::numeric_limits<float>::quiet_NaN();
    REQUIRE(k_means->start(bad.view(), 2, draw));
    const auto total = k_means->step(bad.view());
    REQUIRE_FALSE(total);
    CHECK(total.error().code == errc::not_a_number);
}
