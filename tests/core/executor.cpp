// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/core/executor.hpp>

#include "support/catch.hpp"
#include "support/executors.hpp"

#include <utility>
#include <vector>

namespace {

using ranges = std::vector<std::pair<std::size_t, std::size_t>>;

ranges run(const pare::executor auto& on, std::size_t n, std::size_t grain) {
    ranges called;
    on.parallel_for(n, grain,
                    [&](std::size_t begin, std::size_t end) { called.emplace_back(begin, end); });
    return called;
}

struct no_parallel_for {};
struct without_grain {
    void parallel_for(std::size_t, void (*)(std::size_t, std::size_t)) {}
};

}  // namespace

TEST_CASE("serial runs the whole range at once") {
    CHECK(run(pare::serial{}, 10, 3) == ranges{{0, 10}});
    CHECK(run(pare::serial{}, 1, 3) == ranges{{0, 1}});
}

TEST_CASE("serial calls nothing for an empty range") { CHECK(run(pare::serial{}, 0, 3).empty()); }

TEST_CASE("the executor of the kernel tests runs grain by grain from the end") {
    CHECK(run(pare::testing::backwards{}, 10, 3) == ranges{{9, 10}, {6, 9}, {3, 6}, {0, 3}});
    CHECK(run(pare::testing::backwards{}, 6, 3) == ranges{{3, 6}, {0, 3}});
    CHECK(run(pare::testing::backwards{}, 0, 3).empty());
}

TEST_CASE("an executor has a parallel_for with a grain") {
    STATIC_REQUIRE(pare::executor<pare::serial>);
    STATIC_REQUIRE(!pare::executor<no_parallel_for>);
    STATIC_REQUIRE(!pare::executor<without_grain>);
}
