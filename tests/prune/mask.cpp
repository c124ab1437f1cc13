// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/mask.hpp>

#include "support/catch.hpp"

#include <array>
#include <utility>

using pare::prune::const_mask_view, pare::prune::mask, pare::prune::mask_view;

TEST_CASE("a mask starts with every weight pruned") {
    auto made = mask::make(3, 70);
    REQUIRE(made);
    CHECK(made->view().rows() == 3);
    CHECK(made->view().cols() == 70);
    CHECK(made->view().count() == 0);
}

TEST_CASE("each bit of a mask is set and cleared alone") {
    for (const std::size_t cols : {1u, 63u, 64u, 65u, 130u}) {
        auto made = mask::make(3, cols);
        REQUIRE(made);
        const mask_view kept = made->view();
        for (std::size_t r = 0; r < 3; ++r)
            for (std::size_t c = 0; c < cols; ++c) {
                kept.set(r, c, true);
                CHECK(kept(r, c));
                CHECK(kept.count() == 1);
                CHECK(kept.count_row(r) == 1);
                kept.set(r, c, false);
                CHECK(kept.count() == 0);
            }
    }
}

TEST_CASE("a mask keeps column c of a row in bit c % 64 of its word c / 64") {
    std::array<std::uint64_t, 6> words{};
    const mask_view kept(words.data(), 3, 70);
    CHECK(mask_view::words_per_row(70) == 2);
    CHECK(mask_view::required_words(3, 70) == 6);
    kept.set(0, 63, true);
    kept.set(1, 0, true);
    kept.set(2, 69, true);
    CHECK(words == std::array<std::uint64_t, 6>{1ull << 63, 0, 1, 0, 0, 1ull << 5});
}

TEST_CASE("counting adds up rows") {
    auto made = mask::make(4, 100);
    REQUIRE(made);
    for (std::size_t r = 0; r < 4; ++r)
        for (std::size_t c = 0; c < 100; c += r + 1) made->view().set(r, c, true);
    CHECK(made->view().count_row(0) == 100);
    CHECK(made->view().count_row(2) == 34);
    CHECK(made->view().count() == 100 + 50 + 34 + 25);
}

TEST_CASE("a mask that may not be written reads the same") {
    auto made = mask::make(2, 3);
    REQUIRE(made);
    made->view().set(1, 2, true);
    const const_mask_view kept = std::as_const(*made).view();
    CHECK(kept(1, 2));
    CHECK_FALSE(kept(0, 2));
    CHECK(const_mask_view(made->view()).count() == 1);
}

TEST_CASE("a mask of no elements is made") {
    auto made = mask::make(0, 5);
    REQUIRE(made);
    CHECK(made->view().count() == 0);
    CHECK(mask_view::required_words(5, 0) == 0);
}

TEST_CASE("masks work at compile time") {
    STATIC_REQUIRE([] {
        std::array<std::uint64_t, 2> words{};
        const mask_view kept(words.data(), 2, 5);
        kept.set(1, 4, true);
        return kept(1, 4) && kept.count() == 1;
    }());
}
