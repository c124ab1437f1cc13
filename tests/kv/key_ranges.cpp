// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/key_ranges.hpp>

#include <pare/kv/store.hpp>

#include "support/catch.hpp"
#include "support/kv.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

using pare::kv::block_layout, pare::kv::element, pare::kv::key_range, pare::kv::store;
using pare::testing::matrix, pare::testing::pool_memory;

TEST_CASE("a range is what its keys span, rounded outwards, of one tile") {
    const block_layout layout{.head_dim = 6, .key_ranges = true};
    CHECK(layout.bytes() == layout.ranges_at() + 2 * layout.range_bytes());
    std::vector<std::byte> block(layout.bytes());
    key_range first(layout, block.data(), 0), second(layout, block.data(), 1);
    const float third = 1.0f / 3.0f, huge = 1e9f;
    const float nan = std::numeric_limits<float>::quiet_NaN();
    second.start(std::vector<float>{7, 7, 7, 7, 7, 7});
    first.start(std::vector<float>{third, -third, 1, huge, -huge, nan});
    first.widen(std::vector<float>{2, third, 1, 0, 0, 0});
    CHECK(first.least(0) <= third);
    CHECK(first.least(0) >= third * (1 - 0x1p-10f));
    CHECK(first.largest(0) == 2.0f);
    CHECK(first.least(1) <= -third);
    CHECK(first.largest(1) >= third);
    CHECK((first.least(2) == 1.0f && first.largest(2) == 1.0f));
    CHECK((first.least(3) == 0.0f && first.largest(3) == 65504.0f));
    CHECK((first.least(4) == -65504.0f && first.largest(4) == 0.0f));
    CHECK(second.least(5) == 7.0f);
    second.widen(first);
    CHECK((second.least(1) == first.least(1) && second.largest(1) == 7.0f));
}

TEST_CASE("ranges hold every key that a tile has, whatever left and moved") {
    pool_memory memory(8192, 64);
    store s = *store::make({1, 1, 1, 6}, {.head_dim = 6, .key_ranges = true}, memory.pool());
    pare::random random(2);
    int wrong = 0;
    std::size_t tight = 0, now = 0;
    for (int round = 0; round < 60; ++round) {
        const matrix x = matrix::uniform(1 + random.below(60), 6, random.next());
        REQUIRE(s.append(0, 0, x.view(), x.view(), now));
        now += x.view().rows();
        for (const auto* row = s.view(0, 0, 0).first; row != nullptr; row = row->next)
            for (std::size_t t = 0; t < row->size; ++t) {
                const key_range range(s.layout(0), row->block, t / 16);
                std::vector<float> key(6);
                pare::kv::read_key(s.layout(0), row->block, t, key);
                for (std::size_t c = 0; c < 6; ++c) {
                    wrong += !(range.least(c) <= key[c] && key[c] <= range.largest(c));
                    tight += range.least(c) > -0.5f;
                }
            }
        std::vector<std::uint32_t> places;
        for (std::uint32_t i = 0; i < s.size(0, 0, 0); ++i)
            if (random.below(4) != 0) places.push_back(i);
        REQUIRE(s.remove(0, 0, 0, places));
    }
    CHECK(wrong == 0);
    CHECK(tight > 50);
}
