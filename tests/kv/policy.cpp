// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/policy.hpp>

#include <pare/kv/ada.hpp>
#include <pare/kv/pyramid.hpp>
#include <pare/kv/window.hpp>

#include "support/catch.hpp"

#include <cstddef>
#include <limits>
#include <vector>

using pare::errc, pare::kv::policy;

TEST_CASE("check refuses policies that cannot hold their budget") {
    using pare::kv::check;
    const auto code = [](const auto& p) {
        const auto checked = check(p, 3);
        return checked ? errc::not_found : checked.error().code;
    };
    using windowed = policy<pare::kv::window>;
    constexpr errc refused = errc::invalid_argument, fine = errc::not_found;
    CHECK(code(windowed{.budget = {8}}) == fine);
    CHECK(code(windowed{}) == refused);
    CHECK(code(windowed{.budget = {8}, .every = 0}) == refused);
    CHECK(code(windowed{.budget = {8}, .granularity = 0}) == refused);
    for (const float share : {-0.1f, 1.1f, std::numeric_limits<float>::quiet_NaN(),
                              std::numeric_limits<float>::infinity()})
        CHECK(code(windowed{.budget = {8}, .recent_share = share}) == refused);
    CHECK(code(windowed{.budget = {8}, .sinks = 4, .recent = 4}) == fine);
    CHECK(code(windowed{.budget = {8}, .sinks = 4, .recent = 5}) == refused);
    CHECK(code(windowed{.budget = {8}, .sinks = static_cast<std::size_t>(-1), .recent = 1}) ==
          refused);
    CHECK(code(windowed{.budget = {8}, .sinks = 4, .recent_share = 0.5f}) == fine);
    CHECK(code(windowed{.budget = {8}, .sinks = 5, .recent_share = 0.5f}) == refused);
    CHECK(code(windowed{.budget = {8}, .recent_share = 1.0f}) == fine);
    const std::vector<pare::kv::position_range> ranges{{10, 13}, {20, 22}, {9, 9}};
    CHECK(code(windowed{.budget = {8}, .sinks = 3, .keep = ranges}) == fine);
    CHECK(code(windowed{.budget = {8}, .sinks = 4, .keep = ranges}) == refused);
    CHECK(code(policy<pare::kv::window, pare::kv::pyramid>{.budget = {8}, .sinks = 2}) == refused);
    CHECK(code(policy<pare::kv::window, pare::kv::ada<>>{.budget = {{8}, 1.0f}}) == fine);
    CHECK(code(policy<pare::kv::window, pare::kv::ada<>>{.budget = {{8}, 1.2f}}) == refused);
}

TEST_CASE("check refuses tiers without room, and protected tokens that the first cannot hold") {
    const auto accepted = [](const auto& p, std::size_t n_tiers) {
        return pare::kv::check(p, 2, n_tiers).has_value();
    };
    using windowed = policy<pare::kv::window>;
    CHECK(accepted(windowed{.budget = {16}, .tier_shares = {0.5f}}, 2));
    CHECK(accepted(windowed{.budget = {16}, .tier_shares = {0.5f, 0.25f}}, 3));
    CHECK(!accepted(windowed{.budget = {16}}, 2));
    CHECK(!accepted(windowed{.budget = {16}, .tier_shares = {0.5f}}, 3));
    CHECK(!accepted(windowed{.budget = {16}, .tier_shares = {0.5f, 0.5f}}, 3));
    CHECK(!accepted(windowed{.budget = {16}, .tier_shares = {1.0f}}, 2));
    CHECK(!accepted(windowed{.budget = {16}, .tier_shares = {-0.5f}}, 2));
    const float nan = std::numeric_limits<float>::quiet_NaN();
    CHECK(!accepted(windowed{.budget = {16}, .tier_shares = {nan}}, 2));
    CHECK(accepted(windowed{.budget = {16}, .sinks = 4, .recent = 4, .tier_shares = {0.5f}}, 2));
    CHECK(!accepted(windowed{.budget = {16}, .sinks = 4, .recent = 5, .tier_shares = {0.5f}}, 2));
}
