// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/tune/race.hpp>

#include <pare/tune/roofline.hpp>

#include "support/catch.hpp"

#include <array>
#include <functional>
#include <limits>
#include <vector>

using pare::errc, pare::tune::candidate, pare::tune::demand, pare::tune::schedule,
    pare::tune::verdict;

namespace {

/// A machine whose time passes only while a product runs.
struct fake {
    std::function<double(std::size_t candidate, std::size_t n_runs)> seconds;
    std::vector<std::size_t> runs = std::vector<std::size_t>(8);  ///< of each candidate, so far
    std::vector<std::array<std::size_t, 2>> log{};                ///< candidate, copy
    double now = 1.0;

    pare::status race(std::span<candidate> field, const schedule& s) {
        std::vector<double> scratch(race_scratch(field.size(), s));
        return pare::tune::race(
            field, s, scratch,
            [&](std::size_t i, std::size_t copy) {
                log.push_back({i, copy});
                now += seconds(i, runs[i]++);
            },
            [&] { return now; });
    }
};

/// Candidates, dense first, that take so many seconds each; and what is chosen.
std::size_t chosen_of(std::vector<candidate>& field, const std::vector<double>& seconds,
                      const demand& wanted = {}) {
    fake machine{[&](std::size_t i, std::size_t) { return seconds[i]; }};
    REQUIRE(machine.race(field, {}));
    const auto chosen = choose(field, wanted);
    REQUIRE(chosen);
    return *chosen;
}

}  // namespace

TEST_CASE("The fastest candidate is chosen, of equal speed that of fewer bytes, then the earlier") {
    std::vector<candidate> field(5);
    CHECK(chosen_of(field, {8, 4, 2, 16, 4}) == 2);
    CHECK(field[0].outcome == verdict::slower);
    CHECK(field[1].outcome == verdict::slower);
    CHECK(field[2].outcome == verdict::chosen);
    CHECK(field[3].outcome == verdict::not_faster);
    CHECK(chosen_of(field, {8, 4, 4, 4, 4}) == 1);
    field[3].bytes = 5;
    for (const std::size_t i : {1u, 2u, 4u}) field[i].bytes = 6;
    CHECK(chosen_of(field, {8, 4, 4, 4, 4}) == 3);
}

TEST_CASE("Dense is chosen where it is beaten by the margin at most, or not at all") {
    std::vector<candidate> field(3);
    CHECK(chosen_of(field, {100, 150, 101}) == 0);
    CHECK(field[0].outcome == verdict::chosen);
    CHECK(field[1].outcome == verdict::not_faster);
    CHECK(chosen_of(field, {100, 99, 98.5}) == 0);
    CHECK(chosen_of(field, {100, 99, 97.5}) == 2);
    CHECK(chosen_of(field, {100, 99, 97.5}, {.margin = 0.05}) == 0);
    CHECK(chosen_of(field, {100, 99, 97.5}, {.margin = 0.0}) == 2);
    std::vector<candidate> alone(1);
    CHECK(chosen_of(alone, {1}) == 0);
}

TEST_CASE(
    "A candidate that loses too much is not chosen however fast it is, dense is never too lossy") {
    std::vector<candidate> field(3);
    field[0].error = 1.0;
    field[1].retained = 0.5;
    field[2].error = 0.25;
    CHECK(chosen_of(field, {8, 1, 2}) == 1);
    CHECK(chosen_of(field, {8, 1, 2}, {.retained = 0.5}) == 1);
    CHECK(chosen_of(field, {8, 1, 2}, {.retained = 0.75}) == 2);
    CHECK(field[1].outcome == verdict::too_lossy);
    CHECK(chosen_of(field, {8, 1, 2}, {.retained = 0.75, .error = 0.25}) == 2);
    CHECK(chosen_of(field, {8, 1, 2}, {.retained = 0.75, .error = 0.125}) == 0);
}

TEST_CASE("Medians see through interruptions, and ratios within a round through slow rounds") {
    std::vector<candidate> field(3);
    // Now and then a run is interrupted, most often the fastest one's.
    fake interrupted{[](std::size_t i, std::size_t n) {
        const double alone = std::array<double, 3>{8, 2, 4}[i];
        return n % (i == 1 ? 5 : 16) == 1 ? 100 * alone : alone;
    }};
    REQUIRE(interrupted.race(field, {.rounds = 16, .warm_up = 0}));
    CHECK(field[0].seconds == 8);
    CHECK(field[1].seconds == 2);
    CHECK(field[2].seconds == 4);
    CHECK(*choose(field, {}) == 1);

    // The machine slows down all the time: medians of seconds would see nothing of 10 %.
    fake tired{[](std::size_t i, std::size_t n) {
        return std::array<double, 3>{10, 9, 11}[i] * static_cast<double>(1 + n * n * n);
    }};
    REQUIRE(tired.race(field, {.rounds = 16, .warm_up = 0}));
    CHECK(*choose(field, {}) == 1);
    CHECK(field[2].outcome == verdict::not_faster);
}

TEST_CASE("A candidate that is faster in the median but slower in many rounds is not chosen") {
    std::vector<candidate> field(2);
    fake machine{[](std::size_t i, std::size_t n) {
        return i == 0 ? 10.0 : n % 3 == 0 ? 12.0 : 8.0;
    }};
    REQUIRE(machine.race(field, {.rounds = 15, .warm_up = 0}));
    CHECK(field[1].speedup > 1.2);
    CHECK(*choose(field, {}) == 0);
}

TEST_CASE("A race goes by turns through all copies, and times runs alone") {
    std::vector<candidate> field(2);
    // A copy is cold the first time, when it is not timed.
    fake machine{[](std::size_t, std::size_t n) { return n % 4 < 2 ? 64.0 : 1.0; }};
    REQUIRE(machine.race(field, {.rounds = 2, .runs = 2, .warm_up = 2, .copies = 3}));
    CHECK(machine.log == std::vector<std::array<std::size_t, 2>>{{0, 0},
                                                                 {0, 1},
                                                                 {0, 2},
                                                                 {0, 0},
                                                                 {1, 0},
                                                                 {1, 1},
                                                                 {1, 2},
                                                                 {1, 0},
                                                                 {1, 1},
                                                                 {1, 2},
                                                                 {1, 0},
                                                                 {1, 1},
                                                                 {0, 1},
                                                                 {0, 2},
                                                                 {0, 0},
                                                                 {0, 1}});
    CHECK(field[0].seconds == 1);
    CHECK(field[1].seconds == 1);
}

TEST_CASE("Races and choices that make no sense are refused") {
    std::vector<candidate> field(2), none;
    fake machine{[](std::size_t, std::size_t) { return 1.0; }};
    CHECK(machine.race(none, {}).error().code == errc::invalid_argument);
    CHECK(machine.race(field, {.rounds = 0}).error().code == errc::invalid_argument);
    CHECK(machine.race(field, {.runs = 0}).error().code == errc::invalid_argument);
    CHECK(machine.race(field, {.copies = 0}).error().code == errc::invalid_argument);
    std::vector<double> short_scratch(pare::tune::race_scratch(2, {}) - 1);
    const auto idle = [](std::size_t, std::size_t) {};
    CHECK(pare::tune::race(field, {}, short_scratch, idle).error().code == errc::buffer_too_small);
    fake still{[](std::size_t i, std::size_t) { return i == 1 ? 0.0 : 1.0; }};
    const auto stopped = still.race(field, {});
    CHECK(stopped.error().code == errc::invalid_argument);
    CHECK(stopped.error().where == 1);

    CHECK(choose(none, {}).error().code == errc::invalid_argument);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (const demand& wanted : {demand{.retained = nan}, demand{.error = nan}, {.margin = nan}})
        CHECK(choose(field, wanted).error().code == errc::not_a_number);
    field[1].error = nan;
    CHECK(choose(field, {}).error().code == errc::not_a_number);
    CHECK(choose(field, {}).error().where == 1);
}

TEST_CASE("The roofline tells what bounds a product") {
    using pare::tune::bound, pare::tune::roofline;
    candidate c{.bytes = 96, .multiply_adds = 40};
    const roofline by_bytes =
        roofline::of(c, 32, {.bytes_per_second = 16, .multiply_adds_per_second = 8});
    CHECK(by_bytes.memory == 8);
    CHECK(by_bytes.arithmetic == 5);
    c.seconds = 12;
    CHECK(by_bytes.bound_of(c) == bound::memory);
    c.seconds = 17;
    CHECK(by_bytes.bound_of(c) == bound::neither);
    const roofline by_sums =
        roofline::of(c, 0, {.bytes_per_second = 32, .multiply_adds_per_second = 4});
    c.seconds = 12;
    CHECK(by_sums.seconds() == 10);
    CHECK(by_sums.bound_of(c) == bound::arithmetic);
}
