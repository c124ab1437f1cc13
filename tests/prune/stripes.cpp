// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/lost_vectors.hpp>
#include <pare/prune/stripes.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <vector>

using namespace pare::testing;
namespace detail = pare::prune::detail;

namespace {

// Row i is column i of a stripe: scores >= 0, a third of them equal to others.
matrix columns_of(std::size_t n, std::size_t rows, std::uint64_t seed) {
    matrix made = matrix::uniform(n, rows, seed);
    for (float& x : made.data()) {
        x = std::fabs(x);
        if (x < 0.33f) x = std::round(16.0f * x) / 16.0f;
    }
    return made;
}

double top_sum(const matrix& columns, std::vector<std::size_t> which, std::size_t n) {
    double sum = 0.0;
    for (std::size_t r = 0; r < columns.cols(); ++r) {
        std::vector<float> row;
        for (const std::size_t c : which) row.push_back(columns(c, r));
        std::sort(row.rbegin(), row.rend());
        for (std::size_t i = 0; i < n && i < row.size(); ++i) sum += static_cast<double>(row[i]);
    }
    return sum;
}

// Sums of at most 16 floats per lane, and of 16 lanes.
double tolerance(double sum) { return 32 * 0x1p-24 * sum + 1e-7; }

template <int N, int M>
void check_rank(std::size_t rows) {
    const matrix columns = columns_of(M, rows, rows + N);
    detail::stripe_columns<M> pointers;
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < M; ++i) pointers[i] = &columns.data()[i * rows], all.push_back(i);
    std::vector<float> nth(rows), next(rows);
    const float kept = detail::rank_stripe<N, M>(pointers, rows, nth.data(), next.data());
    CAPTURE(N, M, rows);
    const double expected = top_sum(columns, all, N);
    CHECK(std::fabs(static_cast<double>(kept) - expected) <= tolerance(expected));
    for (std::size_t r = 0; r < rows; ++r) {
        std::vector<float> row;
        for (std::size_t i = 0; i < M; ++i) row.push_back(columns(i, r));
        row.push_back(0.0f);
        std::sort(row.rbegin(), row.rend());
        CHECK(nth[r] == row[N - 1]);
        CHECK(next[r] == row[N]);
    }
    // Each column replaced by another.
    const matrix other = columns_of(1, rows, 99);
    for (std::size_t i = 0; i < M; ++i) {
        matrix changed = columns;
        std::copy(other.data().begin(), other.data().end(),
                  changed.data().begin() + static_cast<std::ptrdiff_t>(i * rows));
        const float gain =
            detail::replacing_gain(pointers[i], other.data().data(), nth.data(), next.data(), rows);
        CHECK(std::fabs(static_cast<double>(gain) - (top_sum(changed, all, N) - expected)) <=
              tolerance(2 * expected));
    }
}

template <int N>
void check_partings(std::size_t rows) {
    const matrix columns = columns_of(8, rows, rows);
    std::array<const float*, 8> pointers;
    for (std::size_t i = 0; i < 8; ++i) pointers[i] = &columns.data()[i * rows];
    std::array<float, 48> kept;
    detail::rank_partings<N>(pointers, rows, kept.data());
    for (std::size_t k = 0; k < detail::n_partings; ++k) {
        const auto& [a, b] = detail::partings[k];
        const double expected = top_sum(columns, {a[0], a[1], a[2], a[3]}, N) +
                                top_sum(columns, {b[0], b[1], b[2], b[3]}, N);
        CAPTURE(N, rows, k);
        CHECK(std::fabs(static_cast<double>(kept[k]) - expected) <= tolerance(expected));
    }
}

}  // namespace

TEST_CASE("a stripe's thresholds and sum are those of sorted rows") {
    for (const std::size_t rows : {16u, 64u}) {
        check_rank<1, 1>(rows);
        check_rank<1, 2>(rows);
        check_rank<2, 4>(rows);
        check_rank<3, 4>(rows);
        check_rank<4, 4>(rows);
        check_rank<3, 7>(rows);
        check_rank<2, 16>(rows);
    }
}

TEST_CASE("two stripes of four are parted in all 35 ways") {
    std::set<std::set<unsigned>> different;
    for (const auto& [a, b] : detail::partings) {
        std::set<unsigned> whole(a.begin(), a.end());
        different.insert(whole);
        CHECK(whole.count(0) == 1);
        whole.insert(b.begin(), b.end());
        CHECK(whole.size() == 8);
    }
    CHECK(different.size() == 35);
    for (const std::size_t rows : {16u, 48u}) {
        check_partings<1>(rows);
        check_partings<2>(rows);
        check_partings<3>(rows);
    }
}

TEST_CASE("the sums of 16 vectors come out in their order") {
    std::array<detail::lanes, detail::n_lanes> x;
    for (std::size_t i = 0; i < detail::n_lanes; ++i)
        for (std::size_t l = 0; l < detail::n_lanes; ++l)
            x[i][l] = static_cast<float>(i * 100 + l * l);
    std::array<float, detail::n_lanes> single;
    for (std::size_t i = 0; i < detail::n_lanes; ++i) single[i] = detail::sum_of(x[i]);
    detail::lanes all;
    detail::sums_of(all, x);
    for (std::size_t i = 0; i < detail::n_lanes; ++i) {
        CHECK(all[i] == static_cast<float>(i * 1600 + 1240));
        CHECK(single[i] == all[i]);
    }
}

TEST_CASE("what vectors lose is the sum of the smallest, whatever the ties") {
    pare::random draw(4);
    for (const std::size_t n : {16u, 64u, 304u})
        for (const int levels : {1, 3, 1000})
            for (std::size_t n_kept = 0; n_kept <= n; n_kept += n / 8) {
                std::vector<float> a(n), b(n), sums(n);
                for (std::size_t i = 0; i < n; ++i) {
                    a[i] = static_cast<float>(draw.below(static_cast<std::uint64_t>(levels)));
                    b[i] = static_cast<float>(draw.below(static_cast<std::uint64_t>(levels)));
                    sums[i] = a[i] + b[i];
                }
                std::sort(sums.begin(), sums.end());
                float expected = 0.0f;  // integers: exact in any order
                for (std::size_t i = 0; i < n - n_kept; ++i) expected += sums[i];
                CAPTURE(n, levels, n_kept);
                CHECK(detail::lost_of(a.data(), b.data(), n, n_kept) == expected);
            }
}
