// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/random_tokens.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

namespace {

std::vector<float> scores_of(std::uint32_t seed, const std::vector<std::uint32_t>& positions) {
    const std::vector<float> sums(positions.size());
    std::vector<float> scores(positions.size());
    pare::kv::random_tokens{seed}.score({sums, positions, positions.size()}, scores);
    return scores;
}

}  // namespace

TEST_CASE("random_tokens depends on seed and position alone") {
    const auto scores = scores_of(1, {0, 1, 2, 3});
    CHECK(scores_of(1, {3, 1, 2}) == std::vector{scores[3], scores[1], scores[2]});
    CHECK(scores_of(2, {0, 1, 2, 3}) != scores);
}

TEST_CASE("random_tokens favours no position and no neighbour") {
    constexpr std::size_t n = 10'000;
    std::vector<std::uint32_t> positions(n);
    std::iota(positions.begin(), positions.end(), 0u);
    // Halves by chance: a count of n / 2 within 5 of its standard deviations, sqrt(n) / 2.
    const auto half = [](std::size_t count) {
        return std::fabs(static_cast<double>(count) - n / 2.0) < 5 * std::sqrt(double{n}) / 2;
    };
    for (const std::uint32_t seed : {0u, 1u, 0x9e3779b9u}) {
        const auto scores = scores_of(seed, positions);
        auto sorted = scores;
        std::nth_element(sorted.begin(), sorted.begin() + n / 2, sorted.end());
        std::size_t n_old = 0, n_rising = 0;
        for (std::size_t t = 0; t < n; ++t) {
            n_old += t < n / 2 && scores[t] < sorted[n / 2];
            n_rising += t > 0 && scores[t] > scores[t - 1];
        }
        CHECK(half(2 * n_old));
        CHECK(half(n_rising));
    }
}
