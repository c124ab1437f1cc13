// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "kv_laws.hpp"
#include "policies.hpp"

#include "support/catch.hpp"

#include <type_traits>

using namespace pare::testing;
namespace kv = pare::kv;

TEMPLATE_LIST_TEST_CASE("a cache policy holds its budget and what it protects", "", kv_policies) {
    for (const seen_tokens& seen : kv_signals())
        for (const std::size_t tiers : {1u, 2u}) {
            CAPTURE(seen.name, tiers);
            const auto p = with_tokens<TestType>(24);
            CHECK(holds_its_budget(p, seen, tiers));
            CHECK(keeps_what_is_protected(p, seen, tiers));
        }
}

TEMPLATE_LIST_TEST_CASE("a cache policy chooses by what it is shown", "", kv_policies) {
    const std::vector<seen_tokens> signals = kv_signals();
    for (const seen_tokens& seen : signals) {
        CAPTURE(seen.name);
        auto p = with_tokens<TestType>(24);
        for (const std::size_t tiers : {1u, 2u})
            CHECK(remembers_nothing(p, seen, signals.front(), tiers));
        // Smoothing is over neighbours in the cache, and rounds.
        if constexpr (std::is_same_v<decltype(p.scorer), kv::snapkv>) p.scorer.pooling = 1;
        // Products of subnormal sums round.
        using scorer = decltype(p.scorer);
        const bool products = kv::vector_scorer<scorer> && kv::attention_scorer<scorer>;
        CHECK((ignores_scale(p, seen) || (products && seen.name == "subnormal")));
        CHECK(ignores_places(p, seen));
    }
}

TEMPLATE_LIST_TEST_CASE("a larger budget keeps all that a smaller one does", "", kv_policies) {
    for (const seen_tokens& seen : kv_signals()) {
        CAPTURE(seen.name);
        CHECK(grows_with_the_budget<TestType>(seen));
    }
}

TEMPLATE_LIST_TEST_CASE("to a cache policy all heads are alike", "", kv_policies) {
    CHECK(heads_are_alike(with_tokens<TestType>(24), kv_signals().front()));
}

TEMPLATE_LIST_TEST_CASE("of equal tokens a cache policy keeps the latest", "", kv_policies) {
    if constexpr (!std::is_same_v<decltype(TestType::scorer), kv::random_tokens>)
        CHECK(keeps_the_latest_of_equals(with_tokens<TestType>(24), kv_signals().front()));
}

TEST_CASE("merging changes values, not the choice") {
    for (const seen_tokens& seen : kv_signals()) {
        CAPTURE(seen.name);
        const auto plain = with_tokens<kv::policy<kv::h2o>>(24);
        const auto merging = with_tokens<kv::policy<kv::h2o, kv::uniform, kv::cam>>(24);
        CHECK(kept_by(merging, seen) == kept_by(plain, seen));
    }
}

// --- The laws bite ------------------------------------------------------------------------------

namespace {

// One mistake each.
struct by_place {
    void score(const kv::head_observation&, std::span<float> scores) const noexcept {
        for (std::size_t t = 0; t < scores.size(); ++t)
            scores[t] = static_cast<float>(t * 37 % 101);
    }
};
struct threshold {
    void score(const kv::head_observation& head, std::span<float> scores) const noexcept {
        for (std::size_t t = 0; t < scores.size(); ++t)
            scores[t] = head.attention[t] > 1.5f ? 1.0f : 0.0f;
    }
};
struct oldest {
    void score(const kv::head_observation& head, std::span<float> scores) const noexcept {
        for (std::size_t t = 0; t < scores.size(); ++t)
            scores[t] = -static_cast<float>(head.positions[t]);
    }
};
struct counts_calls {
    void score(const kv::head_observation& head, std::span<float> scores) const noexcept {
        static unsigned calls = 0;
        ++calls;
        for (std::size_t t = 0; t < scores.size(); ++t)
            scores[t] = static_cast<float>((head.positions[t] * 37 + 11 * calls) % 101);
    }
};
// An odd budget is less than the even one before it.
struct uneven {
    std::size_t tokens_per_head = 0;
    std::size_t tokens(std::size_t, std::size_t) const noexcept {
        return tokens_per_head % 2 == 0 ? tokens_per_head : tokens_per_head - 2;
    }
};
void set_tokens(uneven& b, std::size_t n) { b.tokens_per_head = n; }

}  // namespace

TEST_CASE("the laws of cache policies find wrong policies") {
    const seen_tokens noise = kv_signals().front();
    const auto p = [](auto scorer) { return with_tokens<kv::policy<decltype(scorer)>>(24); };
    CHECK_FALSE(ignores_places(p(by_place{}), noise));
    CHECK_FALSE(ignores_scale(p(threshold{}), noise));
    CHECK_FALSE(keeps_the_latest_of_equals(p(oldest{}), noise));
    CHECK_FALSE(remembers_nothing(p(counts_calls{}), noise, noise, 1));
    CHECK_FALSE(heads_are_alike(p(counts_calls{}), noise));
    CHECK_FALSE(grows_with_the_budget<kv::policy<kv::h2o, uneven>>(noise));
    auto forgetful = p(kv::h2o{});
    CHECK(keeps_what_is_protected(forgetful, noise, 1));
    forgetful.keep = {};
    CHECK_FALSE(keeps_what_is_protected(forgetful, noise, 1));
    auto lazy = p(kv::h2o{});
    CHECK(holds_its_budget(lazy, noise, 1));
    lazy.every = 200;  // nothing leaves
    CHECK_FALSE(holds_its_budget(lazy, noise, 1));
}
