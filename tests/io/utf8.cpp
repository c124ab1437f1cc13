// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/io/utf8.hpp>

#include "support/catch.hpp"

#include <string>
#include <string_view>

using pare::io::utf8_length;

TEST_CASE("utf8_encode writes what utf8_length accepts, for every code point") {
    std::size_t n_accepted = 0;
    for (std::uint32_t code = 0; code < 0x110000; ++code) {
        char bytes[4];
        const auto n = static_cast<std::size_t>(pare::io::utf8_encode(code, bytes) - bytes);
        n_accepted += utf8_length({bytes, n}) == n;
    }
    CHECK(n_accepted == 0x110000 - 0x800);  // all but the surrogates
}

TEST_CASE("utf8_encode agrees with known sequences") {
    const auto encoded = [](std::uint32_t code) {
        char bytes[4];
        return std::string(bytes, pare::io::utf8_encode(code, bytes));
    };
    CHECK(encoded('A') == "A");
    CHECK(encoded(0xe9) == "\xc3\xa9");
    CHECK(encoded(0x20ac) == "\xe2\x82\xac");
    CHECK(encoded(0x1f600) == "\xf0\x9f\x98\x80");
}

TEST_CASE("utf8_length refuses what is not UTF-8") {
    using namespace std::string_view_literals;
    for (const std::string_view bad :
         {"\x80"sv, "\xbf"sv, "\xc0\x80"sv, "\xc1\xbf"sv, "\xc3"sv, "\xc3z"sv, "\xe0\x9f\xbf"sv,
          "\xe2\x82"sv, "\xed\xa0\x80"sv, "\xf0\x8f\xbf\xbf"sv, "\xf4\x90\x80\x80"sv,
          "\xf0\x9f\x98"sv, "\xf5\x80\x80\x80"sv, "\xff"sv}) {
        CHECK(utf8_length(bad) == 0);
        CHECK_FALSE(pare::io::is_utf8("ok" + std::string(bad)));
    }
    CHECK(pare::io::is_utf8("na\xc3\xafve \xf0\x9f\x98\x80"));
    CHECK(pare::io::is_utf8(""));
}
