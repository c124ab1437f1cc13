// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/cam.hpp>

#include <pare/kv/evict.hpp>
#include <pare/kv/window.hpp>

#include "support/catch.hpp"
#include "support/kv.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

using pare::kv::cam, pare::kv::element, pare::kv::policy, pare::kv::store, pare::kv::uniform;
using pare::testing::matrix, pare::testing::pool_memory, pare::testing::sorted_tokens_of;

TEST_CASE("cam merges with the chance that its attention has of the window's") {
    const cam merging;
    int n_merged = 0;
    for (std::uint32_t position = 0; position < 10'000; ++position) {
        CHECK(merging.share(2.0f, 2.0f, position) == 1.0f);
        CHECK(merging.share(3.0f, 2.0f, position) == 1.0f);
        CHECK(merging.share(0.0f, 2.0f, position) == 0.0f);
        CHECK(merging.share(1.0f, 0.0f, position) == 0.0f);
        n_merged += merging.share(0.5f, 2.0f, position) == 1.0f;
    }
    // 10'000 draws at 0.25: six standard deviations are 260.
    CHECK(n_merged > 2240);
    CHECK(n_merged < 2760);
    int n_other = 0;
    for (std::uint32_t position = 0; position < 100; ++position)
        n_other +=
            cam{.seed = 2}.share(0.5f, 1.0f, position) != merging.share(0.5f, 1.0f, position);
    CHECK(n_other > 20);
}

namespace {

/// Half of every value, to two followers.
struct half {
    std::size_t window = 2;
    float share(float sum, float mean, std::uint32_t) const noexcept {
        return sum == 7.0f && mean == 3.0f ? 0.5f : 0.0f;
    }
};

}  // namespace

TEST_CASE("what leaves is spread over the tokens that follow it and stay, of this sequence alone") {
    pool_memory memory(8192, 40);
    store s = *store::make({1, 1, 1, 2, 2}, {element::f32, element::f32, 2}, memory.pool());
    auto scratch = *pare::kv::eviction_scratch::make(s.shape(), 64);
    matrix keys(50, 2), values(50, 2);
    for (std::size_t t = 0; t < 50; ++t) {
        keys(t, 0) = values(t, 0) = static_cast<float>(t);
        values(t, 1) = 1.0f;
    }
    REQUIRE(s.append(0, 0, keys.view(), values.view(), 0));
    for (auto* row = s.rows(0, 0, 0); row != nullptr; row = row->next)
        for (std::size_t t = 0; t < row->size; ++t)
            row->attention[t] = row->positions[t] < 10 ? 7.0f : 3.0f;
    REQUIRE(s.fork(0, 1));
    const auto before = sorted_tokens_of(s.view(1, 0, 0));
    const policy<pare::kv::window, uniform, half> p{.budget = {39}, .sinks = 1};
    REQUIRE(check(p, 1));
    REQUIRE(evict(s, 0, 0, 50, p, scratch));  // 1 to 11 leave; 12 and 13 follow all of them
    const auto after = sorted_tokens_of(s.view(0, 0, 0));
    REQUIRE(after.size() == 39);
    CHECK(after[0].value == std::vector<float>{0, 1});
    // 1 to 9 have 7, the window has 3: 0.25 of 1 + ... + 9 each; 10 and 11 do not.
    CHECK(after[1].position == 12);
    CHECK(after[1].value == std::vector<float>{12 + 45 / 4.0f, 1 + 9 / 4.0f});
    CHECK(after[2].value == std::vector<float>{13 + 45 / 4.0f, 1 + 9 / 4.0f});
    CHECK(after[3].value == std::vector<float>{14, 1});
    CHECK(after[1].key == std::vector<float>{12, 0});
    CHECK((sorted_tokens_of(s.view(1, 0, 0)) == before));
    CHECK(memory.intact());
}

TEST_CASE("the newest token has nothing to be merged into") {
    pool_memory memory(8192, 4);
    store s = *store::make({1, 1, 1, 2}, {element::f32, element::f32, 2}, memory.pool());
    auto scratch = *pare::kv::eviction_scratch::make(s.shape(), 8);
    const matrix x = matrix::uniform(3, 2, 1);
    REQUIRE(s.append(0, 0, x.view(), x.view(), 0));
    const policy<pare::kv::window, uniform, half> p{.budget = {2}, .sinks = 2};
    REQUIRE(evict(s, 0, 0, 3, p, scratch));
    const auto left = sorted_tokens_of(s.view(0, 0, 0));
    REQUIRE(left.size() == 2);
    CHECK(left[1].value == std::vector<float>{x(1, 0), x(1, 1)});
}
