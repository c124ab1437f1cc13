// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/io/list.hpp>

#include "support/catch.hpp"

#include <array>
#include <string_view>

TEST_CASE("list keeps what was appended while it grows") {
    pare::io::list<int> numbers;
    REQUIRE(numbers.append({}));
    CHECK(numbers.span().empty());
    for (int i = 0; i < 1000; ++i) REQUIRE(numbers.push(i));
    REQUIRE(numbers.append(std::array{1000, 1001, 1002}));
    REQUIRE(numbers.size() == 1003);
    for (int i = 0; i < 1003; ++i) CHECK(numbers.span()[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("list takes a run longer than twice its size") {
    pare::io::list<char> text;
    REQUIRE(text.push('a'));
    REQUIRE(text.append(std::string_view("bcdefgh")));
    CHECK(std::string_view(text.span().data(), text.size()) == "abcdefgh");
}
