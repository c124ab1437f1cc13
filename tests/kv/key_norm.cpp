// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/key_norm.hpp>

#include "support/catch.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

using pare::kv::block_layout, pare::kv::element;

TEST_CASE("key_norm scores minus the squared norm of a key, across blocks") {
    const block_layout layout{element::f32, element::f16, 2};
    std::vector<std::byte> one(layout.bytes()), two(layout.bytes());
    for (std::size_t t = 0; t < 32; ++t)
        pare::kv::write_token(layout, one.data(), t, std::vector{static_cast<float>(t), 1.0f},
                              std::vector{100.0f, 100.0f});
    pare::kv::write_token(layout, two.data(), 0, std::vector{3.0f, -4.0f}, std::vector{0.0f, 0.0f});
    const std::vector<const std::byte*> blocks{one.data(), two.data()};
    const std::vector<float> sums(33);
    const std::vector<std::uint32_t> positions(33);
    std::vector<float> decoded(4), scores(33);
    pare::kv::key_norm{}.score({sums, positions, 33, blocks, &layout, decoded}, scores);
    for (std::size_t t = 0; t < 32; ++t) CHECK(scores[t] == -static_cast<float>(t * t + 1));
    CHECK(scores[32] == -25.0f);
}
