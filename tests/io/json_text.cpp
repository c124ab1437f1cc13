// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/io/json_text.hpp>

#include "support/catch.hpp"

#include <pare/io/json_scanner.hpp>

#include <string>

using pare::io::json_text;

TEST_CASE("json_text writes numbers without loss") {
    for (const std::size_t value : {std::size_t{0}, std::size_t{9}, std::size_t{10},
                                    std::size_t{1234567890}, static_cast<std::size_t>(-1)}) {
        json_text text;
        text.number(value);
        CHECK(text.view() == std::to_string(value));
    }
}

TEST_CASE("json_text escapes what JSON wants escaped and nothing else") {
    json_text text;
    text.string({"a\"b\\c\n\0\x1f/\xc3\xa9", 11});
    CHECK(text.view() == "\"a\\\"b\\\\c\\u000a\\u0000\\u001f/\xc3\xa9\"");
}

TEST_CASE("json_scanner reads back every byte that json_text wrote") {
    std::string all;
    for (char c = 0; c < 127; ++c) all += c;
    json_text text;
    text.string(all);
    pare::io::json_scanner in(text.view(), 0);
    CHECK(in.string() == all);
    CHECK(in.outcome());
}

TEST_CASE("json_text refuses a string that is not UTF-8 and keeps the failure") {
    json_text text;
    text.raw("{").string("\xff").raw("}");
    REQUIRE_FALSE(text.outcome());
    CHECK(text.outcome().error().code == pare::errc::invalid_argument);
    CHECK(text.view() == "{");
}
