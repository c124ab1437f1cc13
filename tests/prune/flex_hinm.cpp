// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/flex_hinm.hpp>

#include <pare/io/safetensors.hpp>
#include <pare/prune/hinm.hpp>

#include "resnet_layer.hpp"
#include "support/catch.hpp"
#include "support/data.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

using namespace pare::testing;
using pare::errc;
namespace prune = pare::prune;

namespace {

matrix magnitudes(matrix scores) {
    for (float& x : scores.data()) x = std::fabs(x);
    return scores;
}

using columns = std::vector<std::size_t>;

// What rows [begin, end) keep of N:M groups of these columns, as they stand.
double kept_of_groups(const matrix& scores, std::size_t begin, std::size_t end, const columns& list,
                      std::size_t n, std::size_t m, bits* mask = nullptr) {
    double sum = 0.0;
    for (std::size_t r = begin; r < end; ++r)
        for (std::size_t g = 0; g < list.size(); g += m) {
            columns group(list.begin() + static_cast<std::ptrdiff_t>(g),
                          list.begin() + static_cast<std::ptrdiff_t>(g + m));
            std::stable_sort(group.begin(), group.end(), [&](std::size_t a, std::size_t b) {
                return scores(r, a) > scores(r, b);
            });
            for (std::size_t i = 0; i < n; ++i) {
                sum += static_cast<double>(scores(r, group[i]));
                if (mask != nullptr) mask->view().set(r, group[i], true);
            }
        }
    return sum;
}

double sum_of(const matrix& scores, std::size_t begin, std::size_t end, const columns& list) {
    double sum = 0.0;
    for (std::size_t r = begin; r < end; ++r)
        for (const std::size_t c : list) sum += static_cast<double>(scores(r, c));
    return sum;
}

// By the book: for every number of groups the columns of each tile by sorting their sums.
template <int N, int M, int V>
std::string by_sorting(const matrix& scores, std::size_t weights) {
    const auto mask_with = [&](std::size_t groups, bits& mask) {
        double sum = 0.0;
        for (std::size_t begin = 0; begin < scores.rows(); begin += V) {
            const std::size_t end = std::min(begin + V, scores.rows());
            columns by_sum(scores.cols());
            std::iota(by_sum.begin(), by_sum.end(), std::size_t{0});
            std::stable_sort(by_sum.begin(), by_sum.end(), [&](std::size_t a, std::size_t b) {
                return sum_of(scores, begin, end, {a}) > sum_of(scores, begin, end, {b});
            });
            const auto at = [&](std::size_t i) {
                return by_sum.begin() + static_cast<std::ptrdiff_t>(i);
            };
            const std::size_t n_dense = weights - groups * N;
            const columns dense(at(0), at(n_dense));
            columns grouped(at(n_dense), at(n_dense + groups * M));
            std::sort(grouped.begin(), grouped.end());
            sum += sum_of(scores, begin, end, dense);
            for (std::size_t r = begin; r < end; ++r)
                for (const std::size_t c : dense) mask.view().set(r, c, true);
            sum += kept_of_groups(scores, begin, end, grouped, N, M, &mask);
        }
        return sum;
    };
    double most = -1.0;
    std::string best;
    for (std::size_t g = 0; g * N <= weights && weights + g * (M - N) <= scores.cols(); ++g) {
        bits mask(scores.rows(), scores.cols());
        const double sum = mask_with(g, mask);
        if (sum > most) most = sum, best = mask.text();
    }
    return best;
}

template <int N, int M, int V>
void check_against_sorting(float sparsity) {
    const prune::flex_hinm<N, M, V> pattern{sparsity};
    for (const auto& [rows, cols] : {std::array<std::size_t, 2>{1, 1},
                                     {V, 4 * M},
                                     {V + 1, 5 * M},
                                     {2 * V - 1, 7 * M + 1},
                                     {V, M - 1},
                                     {2, 61},
                                     {0, 8},
                                     {8, 0}}) {
        CAPTURE(N, M, V, rows, cols, sparsity);
        const matrix ties = magnitudes(matrix::integers(rows, cols, 3, rows * cols));
        const matrix noise = magnitudes(matrix::uniform(rows, cols, rows * cols + 1));
        const std::size_t weights = pattern.kept_weights(cols);
        CHECK(selected(pattern, ties) == by_sorting<N, M, V>(ties, weights));
        CHECK(selected(pattern, noise) == by_sorting<N, M, V>(noise, weights));
    }
}

template <class Pattern>
double retained(const Pattern& pattern, const matrix& scores) {
    const auto order = pattern.make_order(scores.view());
    REQUIRE(order);
    bits kept(scores.rows(), scores.cols());
    pattern.select(scores.view(), *order, kept.view());
    double sum = 0.0, total = 0.0;
    for (std::size_t r = 0; r < scores.rows(); ++r)
        for (std::size_t c = 0; c < scores.cols(); ++c) {
            sum += kept(r, c) ? static_cast<double>(scores(r, c)) : 0.0;
            total += static_cast<double>(scores(r, c));
        }
    return sum / total;
}

}  // namespace

TEST_CASE("flex_hinm finds dense columns, N:M columns and those that are neither") {
    // Columns 3 and 6 are dense by nature; 0, 2, 4 and 7 are half full.
    const matrix scores(2, 8,
                        {5, 0, 5, 9, 0, 0, 9, 0,  //
                         0, 1, 0, 9, 5, 0, 9, 5});
    const prune::flex_hinm<2, 4, 2> pattern{.sparsity = 0.5f};
    const auto order = pattern.make_order(scores.view());
    REQUIRE(order);
    CHECK(order->dense() == 2);
    CHECK(order->kept() == 6);
    const std::vector<std::uint32_t> columns(order->columns(0).begin(), order->columns(0).end());
    CHECK(columns == std::vector<std::uint32_t>{3, 6, 0, 2, 4, 7});
    CHECK(selected(pattern, scores) == "10110010 00011011");
}

TEST_CASE("flex_hinm does what sorting for every boundary does, at any shape and sparsity") {
    for (const float sparsity : {0.0f, 0.3f, 0.5f, 0.75f, 0.875f, 0.99f}) {
        check_against_sorting<2, 4, 4>(sparsity);
        check_against_sorting<2, 4, 32>(sparsity);
        check_against_sorting<1, 2, 8>(sparsity);
        check_against_sorting<3, 7, 5>(sparsity);
        check_against_sorting<1, 8, 1>(sparsity);
    }
}

TEST_CASE("whatever the boundary every row keeps the same number of weights") {
    for (const float sparsity : {0.0f, 0.2f, 0.5f, 0.75f, 0.9f})
        for (const std::size_t cols : {1u, 3u, 16u, 50u, 64u}) {
            // Columns that differ more and more: from no dense columns to many.
            for (const float power : {0.0f, 1.0f, 4.0f}) {
                matrix scores = magnitudes(matrix::uniform(10, cols, cols));
                for (std::size_t r = 0; r < 10; ++r)
                    for (std::size_t c = 0; c < cols; ++c)
                        scores(r, c) *= std::pow(static_cast<float>(1 + c * 5 % 17), power);
                const prune::flex_hinm<2, 4, 4> pattern{sparsity};
                bits kept(10, cols);
                REQUIRE(pattern.select(scores.view(), kept.view()));
                for (std::size_t r = 0; r < 10; ++r)
                    CHECK(kept.view().count_row(r) == pattern.kept_weights(cols));
            }
        }
}

TEST_CASE("for 2:4 the counts are those of the paper") {
    // Of 64 columns at t_s = 0.75: dense = n (1 + v_s - 2 t_s), kept = n (1 - v_s).
    const prune::flex_hinm<2, 4, 8> pattern{.sparsity = 0.75f};
    CHECK(pattern.kept_weights(64) == 16);
    CHECK(pattern.most_groups(64) == 8);
    matrix scores(8, 64);
    for (std::size_t r = 0; r < 8; ++r)
        for (std::size_t c = 0; c < 64; ++c) {
            if (c % 16 == 3) scores(r, c) = 8.0f;  // 4 dense columns
            if (c % 16 > 9)
                scores(r, c) = static_cast<float>((r + c) % 2);  // 24 of which half is there
        }
    const auto order = pattern.make_order(scores.view());
    REQUIRE(order);
    const double v_s = 1.0 - static_cast<double>(order->kept()) / 64.0;
    CHECK(order->dense() == 4);
    CHECK(static_cast<double>(order->dense()) == 64.0 * (1.0 + v_s - 2.0 * 0.75));
}

TEST_CASE("flex_hinm retains no less than hinm of the same sparsity") {
    for (const float vector_sparsity : {0.25f, 0.5f, 0.75f})
        for (std::uint64_t seed = 0; seed < 10; ++seed) {
            matrix scores = magnitudes(matrix::uniform(24, 64, seed));
            for (std::size_t i = 0; i < scores.data().size(); ++i)
                if (i % 5 == seed % 5) scores.data()[i] *= 4.0f;
            const prune::hinm<2, 4, 8> plain{vector_sparsity};
            const prune::flex_hinm<2, 4, 8> flex{1.0f - (1.0f - vector_sparsity) / 2.0f};
            CHECK(retained(flex, scores) >= retained(plain, scores) - 1e-9);
        }
}

TEST_CASE("the choice of dense columns is within its bound of the best, and mostly near it") {
    // One tile of 8 columns at 50 %: boundaries of no group, of one and of two.
    constexpr std::size_t n = 8, rows = 4;
    double ratios = 0.0;
    constexpr std::size_t n_tiles = 60;
    for (std::uint64_t seed = 1; seed <= n_tiles; ++seed) {
        matrix scores = magnitudes(matrix::uniform(rows, n, seed));
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t c = 0; c < n; ++c)
                scores(r, c) *= static_cast<float>(1 + (seed * c) % 5);
        auto tile = *prune::detail::column_regions<2, 4>::make(rows, n);
        const std::vector<std::uint32_t> all_rows{0, 1, 2, 3};
        tile.read(scores.view(), all_rows, 1.0f);
        for (std::ptrdiff_t groups = 0; groups <= 2; ++groups) {
            const std::ptrdiff_t n_dense = 4 - 2 * groups, n_kept = 4 + 2 * groups;
            double best = 0.0;
            columns places(n);  // those at the front are dense, then come the groups
            std::iota(places.begin(), places.end(), std::size_t{0});
            do {
                const columns dense(places.begin(), places.begin() + n_dense);
                const columns grouped(places.begin() + n_dense, places.begin() + n_kept);
                // An order within a region, or a group, says nothing new.
                bool ascends = std::is_sorted(dense.begin(), dense.end());
                for (std::ptrdiff_t g = 0; g < groups; ++g)
                    ascends = ascends &&
                              std::is_sorted(grouped.begin() + 4 * g, grouped.begin() + 4 * g + 4);
                if (ascends)
                    best = std::max(best, sum_of(scores, 0, rows, dense) +
                                              kept_of_groups(scores, 0, rows, grouped, 2, 4));
                std::reverse(places.begin() + n_kept, places.end());
            } while (std::next_permutation(places.begin(), places.end()));
            const double found =
                tile.retained(static_cast<std::size_t>(n_dense), static_cast<std::size_t>(n_kept));
            std::vector<double> sums;
            for (std::size_t c = 0; c < n; ++c) sums.push_back(sum_of(scores, 0, rows, {c}));
            std::sort(sums.begin(), sums.end(), std::greater<>{});
            const double of_dense = std::accumulate(sums.begin(), sums.begin() + n_dense, 0.0);
            const double of_kept = std::accumulate(sums.begin(), sums.begin() + n_kept, 0.0);
            CAPTURE(seed, groups);
            CHECK(found <= best * (1 + 1e-6));
            CHECK(found >= best * (of_dense + 0.5 * (of_kept - of_dense)) / of_kept * (1 - 1e-6));
            if (groups == 0) CHECK(found == Approx(best));  // sums alone decide
            ratios += found / best / (3.0 * n_tiles);
        }
    }
    CAPTURE(ratios);
    CHECK(ratios > 0.95);
}

TEST_CASE("flex_hinm refuses a sparsity outside its range, and orders of another pattern") {
    for (const float bad : {-0.1f, 1.0f, 2.0f}) {
        const auto checked = prune::flex_hinm<2, 4, 32>{bad}.check();
        REQUIRE_FALSE(checked);
        CHECK(checked.error().code == errc::invalid_argument);
    }
    const prune::flex_hinm<2, 4, 4> pattern{.sparsity = 0.5f};  // 16 of 32 weights
    for (const auto& [kept, dense] : {std::array<std::size_t, 2>{16, 16}, {18, 14}, {32, 0}}) {
        CAPTURE(kept, dense);
        const auto order = prune::hinm_order::make(8, 32, 4, kept, dense);
        REQUIRE(order);
        const bool whole = (kept - dense) % 4 == 0 && dense + (kept - dense) / 2 == 16;
        CHECK(bool{pattern.check(*order, 8, 32)} == whole);
        CHECK_FALSE(pattern.check(*order, 12, 32));
        CHECK_FALSE(pattern.check(*order, 8, 36));
    }
    auto twice = *prune::hinm_order::make(8, 32, 4, 16, 16);
    twice.columns(1)[0] = 5;
    CHECK(pattern.check(twice, 8, 32).error().code == errc::invalid_argument);
}

namespace {

// Shares that another implementation of the same rule retains, without permutation.
struct figure {
    const char* layer;
    float sparsity;
    double of_4_rows, of_16_rows, hinm_of_4_rows;
};
constexpr figure figures[] = {
    {"layer1.0.conv1.weight", 0.5f, 0.8405, 0.8246, 0.7473},
    {"layer1.0.conv1.weight", 0.75f, 0.5637, 0.5386, 0.5581},
    {"layer1.0.conv1.weight", 0.875f, 0.3476, 0.3142, 0.3468},
    {"layer2.1.conv1.weight", 0.5f, 0.7669, 0.7527, 0.7365},
    {"layer2.1.conv1.weight", 0.75f, 0.4927, 0.4663, 0.4901},
    {"layer2.1.conv1.weight", 0.875f, 0.2893, 0.2623, 0.2887},
};

}  // namespace

TEST_CASE("flex_hinm retains of ResNet-20 what another implementation does, and more than hinm") {
    PARE_DATA_OR_SKIP(path, "resnet_cifar10/resnet20.safetensors");
    const auto file = pare::io::safetensors_reader::open(path.string().c_str());
    REQUIRE(file);
    for (const figure& expected : figures) {
        const matrix scores = pare::testing::magnitudes_of(*file, expected.layer);
        CAPTURE(expected.layer, expected.sparsity);
        const float s = expected.sparsity;
        const double half_a_digit = 0.00005 + 1e-9;
        const double of_4 = retained(prune::flex_hinm<2, 4, 4>{s}, scores);
        CHECK(std::fabs(of_4 - expected.of_4_rows) <= half_a_digit);
        const double of_16 = retained(prune::flex_hinm<2, 4, 16>{s}, scores);
        CHECK(std::fabs(of_16 - expected.of_16_rows) <= half_a_digit);
        const double plain = retained(prune::hinm<2, 4, 4>{1.0f - 2.0f * (1.0f - s)}, scores);
        CHECK(std::fabs(plain - expected.hinm_of_4_rows) <= half_a_digit);
        CHECK(of_4 > plain);
    }
}
