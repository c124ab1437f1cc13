// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/core/thread_pool.hpp>
#include <pare/prune/column_order.hpp>
#include <pare/prune/unstructured.hpp>

#include "support/catch.hpp"
#include "support/executors.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

using namespace pare::testing;
using pare::errc, pare::matrix_view;
using pare::prune::column_order, pare::prune::column_order_result, pare::prune::n_m;

namespace {

matrix magnitudes(matrix weights) {
    for (float& x : weights.data()) x = std::fabs(x);
    return weights;
}

template <class Pattern>
column_order_result search(const column_order& order, const Pattern& pattern,
                           const matrix& scores) {
    const matrix_view<const float> view = scores.view();
    auto found = order.search({&view, 1}, pattern);
    REQUIRE(found);
    return *std::move(found);
}

std::vector<std::uint32_t> list_of(const column_order_result& found) {
    return {found.columns.span().begin(), found.columns.span().end()};
}

matrix permuted(const matrix& scores, const std::vector<std::uint32_t>& columns) {
    matrix made(scores.rows(), scores.cols());
    for (std::size_t r = 0; r < scores.rows(); ++r)
        for (std::size_t c = 0; c < scores.cols(); ++c) made(r, c) = scores(r, columns[c]);
    return made;
}

// What a pattern keeps, counted from its mask, and how many weights that is.
struct kept {
    double share;
    std::size_t n;
};
template <class Pattern>
kept kept_by(const Pattern& pattern, const matrix& scores) {
    bits mask(scores.rows(), scores.cols());
    pattern.select(scores.view(), mask.view());
    double sum = 0.0, total = 0.0;
    for (std::size_t r = 0; r < scores.rows(); ++r)
        for (std::size_t c = 0; c < scores.cols(); ++c) {
            total += static_cast<double>(scores(r, c));
            sum += mask(r, c) ? static_cast<double>(scores(r, c)) : 0.0;
        }
    return {total > 0.0 ? sum / total : 1.0, mask.view().count()};
}

constexpr double rounding = 1e-5;

template <int N, int M>
void check_laws(const matrix& scores, std::size_t rounds, std::uint64_t seed) {
    const n_m<N, M> pattern;
    const column_order_result found =
        search(column_order{.rounds = rounds, .seed = seed}, pattern, scores);
    const auto& report = found.report;
    std::vector<std::uint32_t> columns = list_of(found);
    const kept in_place = kept_by(pattern, scores);
    CAPTURE(N, M, scores.rows(), scores.cols(), rounds, seed);
    CHECK(std::fabs(report.identity - in_place.share) <= rounding);
    CHECK(std::fabs(report.retained - kept_by(pattern, permuted(scores, columns)).share) <=
          rounding);
    CHECK(report.retained >= report.identity);
    CHECK(report.retained <= report.unstructured + rounding);
    CHECK(report.efficacy() <= 1.0 + rounding);

    std::vector<float> sorted = scores.data();
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    double total = 0.0, best = 0.0;
    for (std::size_t i = 0; i < sorted.size(); ++i) {
        total += static_cast<double>(sorted[i]);
        best += i < in_place.n ? static_cast<double>(sorted[i]) : 0.0;
    }
    CHECK(std::fabs(report.unstructured - (total > 0.0 ? best / total : 1.0)) <= rounding);

    std::sort(columns.begin(), columns.end());
    for (std::size_t c = 0; c < columns.size(); ++c) CHECK(columns[c] == c);
}

}  // namespace

TEST_CASE("a column order is a permutation that never retains less") {
    std::uint64_t seed = 1;
    for (const auto& [rows, cols] : {std::array<std::size_t, 2>{1, 1},
                                     {2, 7},
                                     {16, 32},
                                     {17, 50},
                                     {40, 33},
                                     {5, 3},
                                     {0, 8},
                                     {8, 0}})
        for (const std::size_t rounds : {0u, 2u})
            for (const matrix& scores : {magnitudes(matrix::uniform(rows, cols, ++seed)),
                                         magnitudes(matrix::integers(rows, cols, 1, seed))}) {
                check_laws<2, 4>(scores, rounds, seed);
                check_laws<1, 4>(scores, rounds, seed);
                check_laws<3, 4>(scores, rounds, seed);
                check_laws<1, 2>(scores, rounds, seed);
                check_laws<2, 3>(scores, rounds, seed);
                check_laws<4, 8>(scores, rounds, seed);
                check_laws<2, 16>(scores, rounds, seed);
                check_laws<4, 4>(scores, rounds, seed);
            }
}

TEST_CASE("a column order is the best of all at small sizes") {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        const matrix scores = magnitudes(matrix::uniform(5, 8, seed));
        std::vector<std::uint32_t> columns(8);
        std::iota(columns.begin(), columns.end(), 0u);
        double best = 0.0;
        do {
            best = std::max(best, kept_by(n_m<2, 4>{}, permuted(scores, columns)).share);
        } while (std::next_permutation(columns.begin() + 1, columns.end()));
        const auto found = search(column_order{.rounds = 1}, n_m<2, 4>{}, scores);
        CHECK(std::fabs(found.report.retained - best) <= rounding);
    }
}

TEST_CASE("a column order of 64x128 noise closes more than 35 % of the gap") {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        const matrix scores = magnitudes(matrix::uniform(64, 128, seed));
        const auto settled = search(column_order{.seed = seed}, n_m<2, 4>{}, scores);
        const auto longer = search(column_order{.rounds = 4, .seed = seed}, n_m<2, 4>{}, scores);
        CAPTURE(seed);
        CHECK(settled.report.efficacy() > 0.35);
        CHECK(longer.report.efficacy() > settled.report.efficacy());
    }
}

TEST_CASE("a column order spreads big columns over the groups") {
    matrix scores(12, 64);
    for (std::size_t r = 0; r < 12; ++r)
        for (std::size_t c = 0; c < 64; ++c)
            scores(r, c) = c < 32 ? static_cast<float>(10 + (r + c) % 5) : 0.0f;
    const auto found = search(column_order{}, n_m<2, 4>{}, scores);
    CHECK(found.report.identity < 0.6);
    CHECK(found.report.retained > 1.0 - rounding);
    CHECK(found.report.efficacy() > 1.0 - rounding);
}

TEST_CASE("layers that share their inputs share the order") {
    const matrix a = magnitudes(matrix::uniform(20, 40, 1)),
                 b = magnitudes(matrix::uniform(9, 40, 2));
    matrix both(29, 40);
    std::copy(a.data().begin(), a.data().end(), both.data().begin());
    std::copy(b.data().begin(), b.data().end(), both.data().begin() + 20 * 40);
    const std::array<matrix_view<const float>, 2> layers{a.view(), b.view()};
    const auto shared = column_order{.rounds = 1}.search(layers, n_m<2, 4>{});
    REQUIRE(shared);
    const auto stacked = search(column_order{.rounds = 1}, n_m<2, 4>{}, both);
    CHECK(list_of(*shared) == list_of(stacked));
    CHECK(shared->report.retained == stacked.report.retained);
}

TEST_CASE("a column order is the same for any number of threads") {
    const matrix scores = magnitudes(matrix::uniform(3000, 64, 3));
    const matrix_view<const float> view = scores.view();
    const column_order order{.rounds = 1, .seed = 5};
    const auto serial = order.search({&view, 1}, n_m<2, 4>{});
    REQUIRE(serial);
    const auto reversed = order.search({&view, 1}, n_m<2, 4>{}, backwards{});
    REQUIRE(reversed);
    CHECK(list_of(*reversed) == list_of(*serial));
    for (const std::size_t n_threads : {2u, 3u}) {
        pare::thread_pool pool(n_threads);
        const auto threaded = order.search({&view, 1}, n_m<2, 4>{}, pool);
        REQUIRE(threaded);
        CHECK(list_of(*threaded) == list_of(*serial));
    }
}

TEST_CASE("whoever hears of a column order is told ever more, amid long steps too") {
    const matrix scores = magnitudes(matrix::uniform(64, 64, 3));
    const matrix_view<const float> view = scores.view();
    const auto told = [&](std::size_t n_rounds, int last) {
        int n = 0;
        double before = 0.0;
        const column_order always{.rounds = n_rounds, .observe_every = {}};
        const auto found =
            always.search({&view, 1}, n_m<2, 4>{}, pare::serial{}, [&](const auto& now) {
                CHECK(now.retained >= before);
                before = now.retained;
                return ++n != last;
            });
        REQUIRE(found);
        CHECK(found->report.retained >= before);
        return n;
    };
    const int n = told(5, -1);
    CHECK(n > 6);  // after the settled order and each round, and in between
    CHECK(told(5, 3) <= 4);
}

TEST_CASE("a column order starts where it is told to") {
    const matrix scores = magnitudes(matrix::uniform(16, 48, 3));
    const matrix_view<const float> view = scores.view();
    const auto first = search(column_order{.rounds = 2}, n_m<2, 4>{}, scores);
    const auto again = column_order{.rounds = 2, .seed = 2}.search(
        {&view, 1}, n_m<2, 4>{}, pare::serial{}, pare::prune::unobserved{}, first.columns.span());
    REQUIRE(again);
    CHECK(again->report.retained >= first.report.retained);
    const auto ended = column_order{.rounds = 9}.search(
        {&view, 1}, n_m<2, 4>{}, pare::serial{}, [](const auto&) { return false; },
        first.columns.span());
    REQUIRE(ended);
    CHECK(ended->report.rounds == 0);
    CHECK(ended->report.retained >= first.report.retained);
}

TEST_CASE("a column order refuses what is no saliency, differs in columns or is no permutation") {
    const matrix a = magnitudes(matrix::uniform(4, 8, 1)),
                 b = magnitudes(matrix::uniform(4, 12, 1));
    const auto refusal = [](std::span<const matrix_view<const float>> layers,
                            std::span<const std::uint32_t> start = {}) {
        const auto found = column_order{}.search(layers, n_m<2, 4>{}, pare::serial{},
                                                 pare::prune::unobserved{}, start);
        REQUIRE_FALSE(found);
        return found.error().code;
    };
    const std::array<matrix_view<const float>, 2> both{a.view(), b.view()};
    CHECK(refusal(both) == errc::shape_mismatch);
    const std::array<matrix_view<const float>, 1> turned{a.view().transposed()};
    CHECK(refusal(turned) == errc::not_contiguous);
    matrix negative = a;
    negative(2, 2) = -1.0f;
    const std::array<matrix_view<const float>, 1> bad{negative.view()}, good{a.view()};
    CHECK(refusal(bad) == errc::invalid_argument);
    const std::vector<std::uint32_t> few{0, 1}, twice{0, 1, 2, 3, 4, 5, 6, 6};
    CHECK(refusal(good, few) == errc::shape_mismatch);
    CHECK(refusal(good, twice) == errc::invalid_argument);
}
