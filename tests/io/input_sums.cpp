// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/io/input_sums.hpp>

#include "files.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <pare/prune/observer.hpp>

#include <array>
#include <vector>

using pare::errc;
using pare::io::load_input_sums, pare::io::safetensors_reader, pare::io::safetensors_writer;
using pare::prune::input_observer, pare::prune::input_sums;
using pare::testing::matrix;

TEST_CASE("statistics go through a file bit for bit, and on from there") {
    const pare::testing::temporary_folder folder;
    const matrix x = matrix::integers(8, 5, 9, 1);
    auto whole = input_observer::make(5, true), half = input_observer::make(5, true),
         plain = input_observer::make(5, false);
    REQUIRE(whole->add(x.view()));
    REQUIRE(half->add(x.view().block(0, 0, 6, 5)));
    REQUIRE(plain->add(x.view()));

    const input_sums saved = half->sums(), without = plain->sums();
    safetensors_writer out(folder / "f");
    REQUIRE(out.add("a.weight", saved));
    REQUIRE(out.add("b", without));
    REQUIRE(out.commit());
    const auto file = safetensors_reader::open((folder / "f").c_str());
    REQUIRE(file);

    const auto loaded = load_input_sums(*file, "a.weight");
    REQUIRE(loaded);
    auto resumed = input_observer::make(5, true);
    REQUIRE(resumed->merge(*loaded));
    REQUIRE(resumed->add(x.view().block(6, 0, 2, 5)));
    const input_sums a = resumed->sums(), b = whole->sums();
    CHECK(a.tokens == b.tokens);
    for (std::size_t c = 0; c < 5; ++c) {
        CHECK(a.squares[c] == b.squares[c]);
        CHECK(a.largest[c] == b.largest[c]);
        for (std::size_t r = 0; r < 5; ++r) CHECK(a.gram(r, c) == b.gram(r, c));
    }
    const auto loaded_without = load_input_sums(*file, "b");
    REQUIRE(loaded_without);
    CHECK(loaded_without->tokens == 8);
    CHECK(loaded_without->gram.empty());
    CHECK(load_input_sums(*file, "c").error().code == errc::not_found);
}

TEST_CASE("statistics in a file that disagree are refused") {
    const pare::testing::temporary_folder folder;
    const std::array<double, 4> numbers{};
    const auto bytes = std::as_bytes(std::span(numbers));
    const auto code = [&](std::size_t tokens, std::size_t squares, std::size_t largest,
                          std::size_t gram, pare::io::dtype type) {
        safetensors_writer out(folder / "f");
        out.add("x.tokens", pare::io::dtype::u64, std::array{tokens}, bytes.first(8 * tokens));
        out.add("x.squares", type, std::array{squares}, bytes.first(8 * squares));
        out.add("x.largest", pare::io::dtype::f32, std::array{largest}, bytes.first(4 * largest));
        out.add("x.gram", pare::io::dtype::f32, std::array{gram, squares},
                bytes.first(4 * gram * squares));
        REQUIRE(out.commit());
        const auto file = safetensors_reader::open((folder / "f").c_str());
        REQUIRE(file);
        const auto loaded = load_input_sums(*file, "x");
        return loaded ? errc{255} : loaded.error().code;
    };
    using pare::io::dtype;
    CHECK(code(1, 2, 2, 2, dtype::f64) == errc{255});
    CHECK(code(2, 2, 2, 2, dtype::f64) == errc::malformed_file);
    CHECK(code(1, 2, 3, 2, dtype::f64) == errc::malformed_file);
    CHECK(code(1, 2, 2, 1, dtype::f64) == errc::malformed_file);
    CHECK(code(1, 2, 2, 2, dtype::i64) == errc::wrong_type);
}
