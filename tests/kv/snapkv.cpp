// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/snapkv.hpp>

#include "support/catch.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

using pare::kv::snapkv;

namespace {

std::vector<float> pooled(std::size_t pooling, const std::vector<float>& sums) {
    const std::vector<std::uint32_t> positions(sums.size());
    std::vector<float> scores(sums.size());
    snapkv{.pooling = pooling}.score({sums, positions, 100}, scores);
    return scores;
}

}  // namespace

TEST_CASE("snapkv is the mean of the last observed queries of a prompt") {
    const snapkv four{.observed = 4};
    for (const std::size_t n : {4u, 5u, 100u}) {
        CHECK(four.carry(n) == 0.0f);
        for (std::size_t i = 0; i < n; ++i) CHECK(four.weight(i, n) == (i + 4 < n ? 0.0f : 0.25f));
    }
}

TEST_CASE("snapkv goes on with a running mean, whose weights sum to 1") {
    const snapkv four{.observed = 4};
    CHECK(four.carry(1) == 0.75f);
    CHECK(four.weight(0, 1) == 0.25f);
    CHECK(four.carry(2) == 0.75f * 0.75f);
    CHECK(four.weight(0, 2) == 0.25f * 0.75f);
    CHECK(four.weight(1, 2) == 0.25f);
    for (std::size_t n = 1; n < 4; ++n) {
        float sum = four.carry(n);
        for (std::size_t i = 0; i < n; ++i) sum += four.weight(i, n);
        CHECK(sum == 1.0f);  // quarters: exact
    }
}

TEST_CASE("snapkv smooths over the neighbours that there are") {
    CHECK(pooled(1, {1, 2, 9}) == std::vector<float>{1, 2, 9});
    CHECK(pooled(3, {2, 4, 9, 11, 1}) == std::vector<float>{3, 5, 8, 7, 6});
    CHECK(pooled(5, {3, 6, 9, 2, 5}) == std::vector<float>{6, 5, 5, 5.5f, 16.0f / 3});
    CHECK(pooled(5, {4}) == std::vector<float>{4});
    CHECK(pooled(5, {4, 2}) == std::vector<float>{3, 3});
    CHECK(pooled(5, {}).empty());
}
