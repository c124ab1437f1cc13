// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/zipvl.hpp>

#include <pare/kv/ada.hpp>
#include <pare/kv/evict.hpp>
#include <pare/kv/h2o.hpp>
#include <pare/kv/tova.hpp>

#include "support/catch.hpp"
#include "support/kv.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

using pare::kv::element, pare::kv::policy, pare::kv::store, pare::kv::zipvl;
using pare::testing::matrix, pare::testing::pool_memory, pare::testing::positions_of;

TEST_CASE("zipvl keeps as few as make up the mass") {
    const std::vector<float> scores{8, 4, 2, 1, 1};  // of 16: 0.5, 0.75, 0.875, 0.9375, 1
    const auto enough = [&](float mass) { return zipvl{mass, 100}.enough(scores); };
    CHECK(enough(0.4f) == 1);
    CHECK(enough(0.5f) == 1);
    CHECK(enough(0.51f) == 2);
    CHECK(enough(0.9f) == 4);
    CHECK(enough(1.0f) == 5);
    CHECK(zipvl{0.5f, 9}.enough({}) == 0);
    const std::vector<float> broken{1, std::numeric_limits<float>::quiet_NaN()};
    CHECK(zipvl{0.5f, 9}.enough(broken) == 2);
    CHECK(zipvl{0.5f}.check());
    for (const float mass : {0.0f, -1.0f, 1.5f, std::numeric_limits<float>::quiet_NaN()})
        CHECK(!zipvl{mass}.check());
    static_assert(!pare::kv::adaptive_budget<pare::kv::ada<>>);
}

namespace {

using positions = std::vector<std::uint32_t>;

// 20 tokens in 2 heads: of head 0 two have nearly all the attention, of head 1 all have the same.
struct layer {
    explicit layer(std::size_t tiers)
        : memory(8192, 20), tokens(*store::make({1, 2, 2, 4, 1, tiers},
                                                std::vector<pare::kv::block_layout>(
                                                    tiers, {element::f32, element::f32, 4}),
                                                memory.pool())),
          scratch(*pare::kv::eviction_scratch::make(tokens.shape(), 32)) {
        const matrix x = matrix::uniform(20, 8, 1);
        if (!tokens.append(0, 0, x.view(), x.view(), 0)) std::abort();
        for (std::size_t h = 0; h < 2; ++h)
            for (std::size_t t = 0; t < 20; ++t)
                tokens.rows(0, 0, h)->attention[t] =
                    h == 1 ? 1.0f : (t == 5 || t == 11 ? 50.0f : 0.1f);
    }
    positions kept(std::size_t head, std::size_t tier = 0) const {
        return positions_of(tokens.view(0, 0, head, tier));
    }
    pool_memory memory;
    store tokens;
    pare::kv::eviction_scratch scratch;
};

}  // namespace

TEST_CASE(
    "zipvl evicts what the mass does not need, within the budget, and none that is protected") {
    layer l(1);
    const policy<pare::kv::h2o, zipvl> p{.budget = {0.9f, 15}, .sinks = 1, .recent = 1, .every = 4};
    REQUIRE(check(p, 1));
    REQUIRE(evict(l.tokens, 0, 0, 20, p, l.scratch));
    CHECK(l.kept(0) == positions{0, 5, 11, 19});  // two have 100 of 101.6; two are protected
    CHECK(l.kept(1).size() == 15);                // the budget; 19 would be enough
    // Asked again only at multiples of 4.
    l.tokens.rows(0, 0, 1)->attention[3] = 1000.0f;
    REQUIRE(evict(l.tokens, 0, 0, 21, p, l.scratch));
    CHECK(l.kept(1).size() == 15);
    REQUIRE(evict(l.tokens, 0, 0, 24, p, l.scratch));
    CHECK(l.kept(1).size() == 2);  // it and the sink; of the newest, 20 to 23, none was appended
}

TEST_CASE("over two tiers zipvl says how many keep the first types") {
    layer l(2);
    const policy<pare::kv::h2o, zipvl> p{.budget = {0.9f, 20}, .tier_shares = {0.9f}};
    REQUIRE(check(p, 1, 2));
    REQUIRE(evict(l.tokens, 0, 0, 20, p, l.scratch));
    CHECK(l.kept(0) == positions{5, 11});
    CHECK(l.kept(0, 1).size() == 2);  // what the second has room for
    CHECK(l.kept(1).size() == 18);
    CHECK(l.kept(1, 1).size() == 2);
}

TEST_CASE("with a layer-wide scorer zipvl counts for all heads together") {
    layer l(1);
    const policy<pare::kv::tova, zipvl> p{.budget = {0.8f, 20}};
    REQUIRE(evict(l.tokens, 0, 0, 20, p, l.scratch));
    // Sums 51, 51 and 18 of 1.1: 0.8 of 121.8 is not reached by two.
    CHECK(l.kept(0) == positions{5, 11});
    CHECK(l.kept(0) == l.kept(1));
}
