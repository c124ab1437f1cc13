// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/io/sort.hpp>

#include "support/catch.hpp"

#include <pare/core/random.hpp>

#include <algorithm>
#include <vector>

TEST_CASE("heap_sort orders every length, with ties") {
    pare::random random(1);
    for (std::size_t n = 0; n < 70; ++n) {
        std::vector<int> items(n);
        for (int& i : items) i = static_cast<int>(random.below(40));
        std::vector<int> expected = items;
        std::sort(expected.begin(), expected.end());
        pare::io::heap_sort(std::span(items), [](int a, int b) { return a < b; });
        CHECK(items == expected);
    }
}

namespace {
struct entry {
    std::string_view name;
    std::size_t where = 0;
};
}  // namespace

TEST_CASE("find_by_name finds every name and no other") {
    std::vector<entry> entries{{"b", 0}, {"d", 1}, {"", 2}, {"a.b", 3}, {"a", 4}};
    REQUIRE(pare::io::sort_by_name(std::span(entries)) == nullptr);
    const std::span<const entry> sorted = entries;
    for (const entry& e : entries) CHECK(pare::io::find_by_name(sorted, e.name) == &e);
    for (const char* name : {"c", "a.", "a.c", "e"})
        CHECK(pare::io::find_by_name(sorted, name) == nullptr);
    CHECK(pare::io::find_by_name(std::span<const entry>(), "a") == nullptr);
}

TEST_CASE("sort_by_name reports a name that occurs twice") {
    std::vector<entry> entries{{"b", 3}, {"x", 1}, {"b", 2}, {"a", 4}};
    const entry* again = pare::io::sort_by_name(std::span(entries));
    REQUIRE(again != nullptr);
    CHECK(again->name == "b");
    CHECK(again->where == 3);
}
