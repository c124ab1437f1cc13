// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "llm/tokenizer.hpp"

#include "common/error.hpp"
#include "io/files.hpp"
#include "support/catch.hpp"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace {

using llm::token;

// A llama2.c tokenizer file: three markers, 256 bytes, then pieces with their scores.
std::string tokenizer_file(const std::vector<std::pair<std::string, float>>& pieces) {
    std::vector<std::pair<std::string, float>> all{{"<unk>", 0}, {"\n<s>\n", 0}, {"\n</s>\n", 0}};
    for (int byte = 0; byte < 256; ++byte) {
        char name[8];
        std::snprintf(name, sizeof(name), "<0x%02X>", static_cast<unsigned>(byte));
        all.emplace_back(name, 0.0f);
    }
    all.insert(all.end(), pieces.begin(), pieces.end());
    std::string file(4, '\0');
    for (const auto& [text, score] : all) {
        const auto length = static_cast<std::int32_t>(text.size());
        file.append(reinterpret_cast<const char*>(&score), 4);
        file.append(reinterpret_cast<const char*>(&length), 4);
        file += text;
    }
    return file;
}

constexpr token first_piece = 259;

}  // namespace

TEST_CASE("a byte vocabulary gives every byte its own token") {
    const auto words = llm::tokenizer::bytes();
    CHECK(words.encode("a\xff") == std::vector<token>{'a', 255});
    CHECK(words.decode('a', 255) == "\xff");
}

TEST_CASE("llama2.c encoding merges the best pair first, the leftmost of equals") {
    const pare::testing::temporary_folder folder;
    pare::testing::write_text(
        folder / "t.bin",
        tokenizer_file(
            {{" ", -1}, {"a", -2}, {"b", -3}, {"ab", -5}, {"aa", -4}, {"aab", -9}, {" a", -6}}));
    const auto words = llm::tokenizer::open(folder / "t.bin", first_piece + 7);
    const token space = first_piece, a = first_piece + 1, b = first_piece + 2, ab = first_piece + 3,
                aa = first_piece + 4, aab = first_piece + 5;
    CHECK(words.encode("") == std::vector<token>{1});
    CHECK(words.encode("ab") == std::vector<token>{1, space, ab});
    CHECK(words.encode("aab") == std::vector<token>{1, space, aab});
    CHECK(words.encode("aaa") == std::vector<token>{1, space, aa, a});
    CHECK(words.encode("b b") == std::vector<token>{1, space, b, space, b});
    // Characters outside the vocabulary fall back to their bytes.
    CHECK(words.encode("\xc3\xa9") == std::vector<token>{1, space, 3 + 0xc3, 3 + 0xa9});
    CHECK(words.decode(a, 3 + 0xc3) == "\xc3");
    CHECK(words.decode(llm::begin_of_text, first_piece + 6) == "a");
    CHECK(words.decode(a, first_piece + 6) == " a");
}

TEST_CASE("a tokenizer file of another vocabulary, cut short or absent is refused") {
    const pare::testing::temporary_folder folder;
    const std::string good = tokenizer_file({{"a", 0}});
    pare::testing::write_text(folder / "good", good);
    for (const std::size_t vocab_size : {first_piece, first_piece + 2})
        CHECK_THROWS_AS(llm::tokenizer::open(folder / "good", vocab_size), tools::failure);
    for (std::size_t n = 0; n < good.size(); n += 97) {
        pare::testing::write_text(folder / "short", good.substr(0, n));
        REQUIRE_THROWS_AS(llm::tokenizer::open(folder / "short", first_piece + 1), tools::failure);
    }
    std::string negative = good;
    negative[11] = '\xff';  // the first length
    pare::testing::write_text(folder / "negative", negative);
    CHECK_THROWS_AS(llm::tokenizer::open(folder / "negative", first_piece + 1), tools::failure);
    CHECK_THROWS_AS(llm::tokenizer::open(folder / "none", first_piece + 1), tools::failure);
}
