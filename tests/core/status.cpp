// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/core/status.hpp>

#include "support/catch.hpp"

#include <memory>
#include <string>
#include <type_traits>
#include <utility>

using pare::errc;

TEST_CASE("a result holds a value or an error") {
    const pare::result<int> value = 7;
    REQUIRE(value);
    CHECK(value.has_value());
    CHECK(*value == 7);

    const pare::result<int> failed = pare::error{errc::not_found, "no such thing", 3};
    REQUIRE_FALSE(failed);
    CHECK_FALSE(failed.has_value());
    CHECK(failed.error().code == errc::not_found);
    CHECK(failed.error().where == 3);
    CHECK(failed.error().message == std::string("no such thing"));
}

TEST_CASE("a result carries what can only be moved") {
    pare::result<std::unique_ptr<int>> owner = std::make_unique<int>(5);
    REQUIRE(owner);
    CHECK(**owner == 5);
    const std::unique_ptr<int> taken = *std::move(owner);
    CHECK(*taken == 5);
}

TEST_CASE("a result gives access to members") {
    pare::result<std::pair<int, int>> pair = std::pair{1, 2};
    REQUIRE(pair);
    pair->second = 3;
    CHECK(std::as_const(pair)->second == 3);
}

TEST_CASE("a status is success until it is given an error") {
    constexpr pare::status fine;
    STATIC_REQUIRE(fine);
    constexpr pare::status failed = pare::error{errc::io_failure, "no"};
    STATIC_REQUIRE(!failed);
    STATIC_REQUIRE(failed.error().code == errc::io_failure);
    STATIC_REQUIRE(failed.error().where == 0);
}

TEST_CASE("neither decays to bool silently") {
    STATIC_REQUIRE(!std::is_convertible_v<pare::status, bool>);
    STATIC_REQUIRE(!std::is_convertible_v<pare::result<int>, bool>);
    STATIC_REQUIRE(!std::is_convertible_v<pare::result<int>, int>);
}
