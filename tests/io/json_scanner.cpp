// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/io/json_scanner.hpp>

#include "support/catch.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

using pare::io::json_scanner;
using namespace std::string_view_literals;

namespace {

std::string scanned(std::string_view text) {
    json_scanner in(text, 0);
    const std::string value(in.string());
    in.finish("more");
    REQUIRE(in.outcome());
    return value;
}

}  // namespace

TEST_CASE("json_scanner walks nested objects and arrays with any white space") {
    json_scanner in(" {\"a\" : [ 1,2 ,\t3 ] ,\r\n\"b\":{},\"c\":[],\"d\":\"x\" } \n", 0);
    std::string walk;
    in.object([&](std::string_view key) {
        walk += key;
        if (key == "a") in.array([&] { walk += std::to_string(in.unsigned_integer()); });
        else if (key == "b") in.object([&](std::string_view) { walk += "member"; });
        else if (key == "c") in.array([&] { walk += "element"; });
        else if (in.at_string()) walk += in.string();
    });
    in.finish("more");
    CHECK(in.outcome());
    CHECK(walk == "a123bcdx");
}

TEST_CASE("json_scanner decodes every escape") {
    CHECK(scanned(R"("plain")") == "plain");
    CHECK(scanned(R"("")").empty());
    CHECK(scanned(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
    CHECK(scanned(R"("\u0041\u00e9\u20AC")") == "A\xc3\xa9\xe2\x82\xac");
    CHECK(scanned(R"("\ud83d\ude00!")") == "\xf0\x9f\x98\x80!");
    CHECK(scanned(R"("a\u0000b")") == "a\0b"sv);
    CHECK(scanned("\"na\xc3\xafve\"") == "na\xc3\xafve");
}

TEST_CASE("json_scanner keeps decoded strings apart, valid after release") {
    json_scanner in(R"(["\u0041\n", "plain", "\u0042"])", 0);
    std::vector<std::string_view> strings;
    in.array([&] { strings.push_back(in.string()); });
    const auto memory = in.release();
    CHECK(memory.size() > 0);
    CHECK(strings == std::vector{"A\n"sv, "plain"sv, "B"sv});
}

TEST_CASE("json_scanner reads integers up to the largest size") {
    const auto integer = [](std::string_view text) {
        json_scanner in(text, 0);
        const std::size_t value = in.unsigned_integer();
        CHECK(in.outcome());
        return value;
    };
    CHECK(integer("0") == 0);
    CHECK(integer("  42") == 42);
    CHECK(integer("18446744073709551615") == 18446744073709551615u);
}

TEST_CASE("json_scanner says what is wrong and where, and stops there") {
    struct bad {
        std::string_view text;
        const char* message;
        std::size_t where;
    };
    // Read as an array of strings or integers that begins at byte 100 of a file.
    for (const bad& b : std::vector<bad>{
             {"", "an array is expected", 100},
             {"{}", "an array is expected", 100},
             {"[", "an unsigned integer is expected", 101},
             {"[1", "a comma or the end of an array is expected", 102},
             {"[1 2]", "a comma or the end of an array is expected", 103},
             {"[1,]", "an unsigned integer is expected", 103},
             {"[1] x", "text after the end", 104},
             {"[-1]", "an unsigned integer is expected", 101},
             {"[1.5]", "a comma or the end of an array is expected", 102},
             {"[1e3]", "a comma or the end of an array is expected", 102},
             {"[true]", "an unsigned integer is expected", 101},
             {"[012]", "an integer has a leading zero", 101},
             {"[18446744073709551616]", "an integer is too large", 101},
             {"[99999999999999999999999]", "an integer is too large", 101},
             {"[\"a", "a string does not end", 101},
             {"[\"a\\", "a string does not end", 101},
             {"[\"a\\\"]", "a string does not end", 101},
             {"[\"a\nb\"]", "a string holds a control character", 103},
             {"[\"a\xff\"]", "a string is not UTF-8", 103},
             {"[\"ab\\x\"]", "an unknown escape in a string", 104},
             {"[\"\\u12g4\"]", "a \\u escape needs four hexadecimal digits", 104},
             {"[\"\\u12\"]", "a \\u escape needs four hexadecimal digits", 104},
             {"[\"\\ud800\"]", "a surrogate without its pair", 102},
             {"[\"\\ud800\\u0041\"]", "a surrogate without its pair", 102},
             {"[\"\\ud800\\ud800\"]", "a surrogate without its pair", 102},
             {"[\"\\udc00\"]", "a surrogate without its pair", 102},
             {"[\"\\ud800\\n\"]", "a surrogate without its pair", 102},
         }) {
        json_scanner in(b.text, 100);
        int n_after = 0;
        in.array([&] {
            if (in.at_string()) in.string();
            else in.unsigned_integer();
            n_after += !in.outcome();
        });
        in.finish("text after the end");
        CAPTURE(b.text);
        REQUIRE_FALSE(in.outcome());
        CHECK(in.outcome().error().code == pare::errc::malformed_file);
        CHECK(in.outcome().error().message == std::string_view(b.message));
        CHECK(in.outcome().error().where == b.where);
        CHECK(n_after <= 1);
    }
}

TEST_CASE("json_scanner wants keys with colons") {
    for (const std::string_view text :
         {"{1:2}", "{\"a\"}", "{\"a\" 1}", "{\"a\":1,}", "{\"a\":1"}) {
        json_scanner in(text, 0);
        in.object([&](std::string_view) { in.unsigned_integer(); });
        CHECK_FALSE(in.outcome());
    }
}
