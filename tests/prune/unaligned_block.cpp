// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/prune/unaligned_block.hpp>

#include <pare/io/safetensors.hpp>
#include <pare/prune/block.hpp>
#include <pare/prune/churn.hpp>
#include <pare/prune/greedy.hpp>
#include <pare/prune/magnitude.hpp>
#include <pare/prune/optimum.hpp>
#include <pare/prune/prune.hpp>
#include <pare/prune/sparsity_ramp.hpp>
#include <pare/prune/unstructured.hpp>

#include "blocks.hpp"
#include "resnet_layer.hpp"
#include "support/data.hpp"
#include "support/failing_allocations.hpp"

#include <algorithm>
#include <limits>

using namespace pare::testing;
using namespace pare::prune;
using pare::errc;

namespace {

matrix magnitudes(matrix scores) {
    for (float& x : scores.data()) x = std::fabs(x);
    return scores;
}

/// |N(0, 1)|, near enough: the sum of twelve uniform numbers.
matrix normal(std::size_t rows, std::size_t cols, std::uint64_t seed) {
    matrix made(rows, cols);
    pare::random random(seed);
    for (float& x : made.data()) {
        for (int i = 0; i < 12; ++i) x += random.symmetric() / 2.0f;
        x = std::fabs(x);
    }
    return made;
}

/// Columns that differ in scale.
matrix uneven(std::size_t rows, std::size_t cols, std::uint64_t seed) {
    matrix scores = normal(rows, cols, seed);
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < cols; ++c) scores(r, c) *= static_cast<float>(1 + c * 5 % 11);
    return scores;
}

template <class P>
double retained_by(const P& pattern, const matrix& scores, std::size_t* n_kept = nullptr) {
    bits kept(scores.rows(), scores.cols());
    REQUIRE(detail::select(pattern, scores.view(), kept.view()));
    if (n_kept != nullptr) *n_kept = kept.view().count();
    return retained(scores.view(), kept.view());
}

column_scores column_of(const matrix& scores, std::size_t c) {
    column_scores column;
    for (std::size_t r = 0; r < scores.rows(); ++r) column.push_back(scores(r, c));
    return column;
}

/// One block after the other: the best of all columns, of equals that of the column with fewest,
/// then of the first; places in a column as its selection has them.
template <class Selection>
std::string one_by_one(const matrix& scores, std::size_t block_rows, std::size_t n) {
    std::vector<std::vector<double>> gains(scores.cols());
    std::vector<std::size_t> taken(scores.cols());
    auto column = *Selection::column::make(scores.rows(), block_rows);
    for (std::size_t c = 0; c < scores.cols(); ++c)
        placed(column, column_of(scores, c), scores.rows(), gains[c]);
    for (; n > 0; --n) {
        std::size_t best = scores.cols();
        for (std::size_t c = 0; c < scores.cols(); ++c) {
            if (taken[c] == gains[c].size()) continue;
            const auto next = [&](std::size_t i) { return gains[i][taken[i]]; };
            if (best == scores.cols() || next(c) > next(best) ||
                (next(c) == next(best) && taken[c] < taken[best]))
                best = c;
        }
        if (best < scores.cols()) ++taken[best];
    }
    bits kept(scores.rows(), scores.cols());
    for (std::size_t c = 0; c < scores.cols(); ++c) {
        std::vector<double> ignored;
        const std::string rows = placed(column, column_of(scores, c), taken[c], ignored);
        for (std::size_t r = 0; r < scores.rows(); ++r) kept.view().set(r, c, rows[r] == '1');
    }
    return kept.text();
}

template <int B, class Selection>
void check_one_by_one(unaligned_block<B, Selection> pattern) {
    for (const float sparsity : {0.0f, 0.2f, 0.5f, 0.8f, 0.99f}) {
        pattern.sparsity = sparsity;
        for (const matrix& scores : {normal(2 * B + 5, 9, B), uneven(40, 13, B), matrix(35, 4),
                                     magnitudes(matrix::integers(37, 11, 2, B)),
                                     magnitudes(matrix::integers(B, 3, 9, B))}) {
            if (scores.rows() < B) continue;
            CAPTURE(B, sparsity, scores.rows(), scores.cols());
            const std::size_t n = pattern.kept_blocks(scores.rows(), scores.cols());
            CHECK(selected(pattern, scores) == one_by_one<Selection>(scores, B, n));
        }
    }
}

}  // namespace

TEST_CASE("a layer keeps the blocks that bring most, whichever column has them") {
    const matrix scores(4, 3,
                        {9, 1, 0,  //
                         9, 1, 2,  //
                         3, 1, 2,  //
                         3, 1, 0});
    CHECK(selected(unaligned_block<2>{.sparsity = 0.5f}, scores) == "100 101 101 100");
    CHECK(selected(unaligned_block<2>{.sparsity = 0.5f, .budget = block_budget::column}, scores) ==
          "110 111 001 000");
}

TEST_CASE("whole layers are shared out as if block after block were taken") {
    check_one_by_one(unaligned_block<4>{});
    check_one_by_one(unaligned_block<8>{});
    check_one_by_one(unaligned_block<16>{});
    check_one_by_one(unaligned_block<32>{});
    check_one_by_one(unaligned_block<3, greedy>{});
    check_one_by_one(unaligned_block<8, greedy>{});
}

TEST_CASE("of equal blocks those of columns with fewer stay, then those of the first columns") {
    CHECK(selected(unaligned_block<2>{.sparsity = 0.5f}, matrix(4, 3)) == "111 111 000 000");
    CHECK(selected(unaligned_block<2>{.sparsity = 0.75f}, matrix(4, 4)) == "1100 1100 0000 0000");
}

TEST_CASE("every budget is met by bed and by optimum") {
    const auto check = [](auto pattern) {
        constexpr std::size_t height = decltype(pattern)::block_rows;
        for (const std::size_t rows : {32u, 47u, 64u})
            for (const float sparsity : {0.0f, 0.01f, 0.25f, 0.5f, 0.7f, 0.9f, 0.999f}) {
                pattern.sparsity = sparsity;
                const matrix scores = uneven(rows, 7, rows);
                const double wanted = std::min(
                    (1.0 - static_cast<double>(sparsity)) * static_cast<double>(rows * 7) / height,
                    static_cast<double>(rows / height * 7));
                const std::size_t n = pattern.kept_blocks(rows, 7);
                CAPTURE(height, rows, sparsity);
                CHECK(std::fabs(static_cast<double>(n) - std::max(wanted, 1.0)) <= 0.5);
                std::size_t n_kept = 0;
                pattern.budget = block_budget::layer;
                retained_by(pattern, scores, &n_kept);
                CHECK(n_kept == n * height);
                pattern.budget = block_budget::column;
                retained_by(pattern, scores, &n_kept);
                CHECK(n_kept == pattern.kept_blocks(rows, 1) * height * 7);
            }
    };
    check(unaligned_block<4>{});
    check(unaligned_block<8>{});
    check(unaligned_block<16>{});
    check(unaligned_block<32>{});
    check(unaligned_block<4, optimum>{});
    check(unaligned_block<16, optimum>{});
}

TEST_CASE("the optimum of a layer is that of a program over its columns") {
    constexpr std::size_t height = 3, rows = 11, cols = 4, most = rows / height;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        const matrix scores = seed % 2 == 0 ? uneven(rows, cols, seed)
                                            : magnitudes(matrix::integers(rows, cols, 4, seed));
        double total = 0.0;
        for (const float x : scores.data()) total += static_cast<double>(x);
        // best[n]: of n blocks in the columns so far.
        std::vector<double> best(most * cols + 1, -1.0);
        best[0] = 0.0;
        for (std::size_t c = 0; c < cols; ++c)
            for (std::size_t n = most * cols; n > 0; --n)
                for (std::size_t j = 1; j <= std::min(n, most); ++j)
                    if (best[n - j] >= 0.0)
                        best[n] = std::max(
                            best[n], best[n - j] + best_of_all(column_of(scores, c), height, j));
        for (std::size_t n = 1; n <= most * cols; ++n) {
            const float sparsity =
                std::max(0.0f, 1.0f - static_cast<float>(n * height) / (rows * cols));
            const unaligned_block<height, optimum> pattern{.sparsity = sparsity};
            CAPTURE(seed, n);
            REQUIRE(pattern.kept_blocks(rows, cols) == n);
            CHECK(total * retained_by(pattern, scores) == Approx(best[n]).epsilon(1e-9));
            CHECK(retained_by(unaligned_block<height>{sparsity}, scores) <=
                  retained_by(pattern, scores) + 1e-9);
        }
    }
}

TEST_CASE("a previous mask changes nothing, whatever it is") {
    const auto check = [](auto pattern) {
        const matrix scores = uneven(96, 33, 1);
        matrix later = scores;
        pare::random random(2);
        for (float& x : later.data()) x *= 1.0f + 0.05f * random.symmetric();
        const std::string expected = selected(pattern, later);
        bits before(96, 33), none(96, 33), all(96, 33, true), other(96, 33);
        REQUIRE(pattern.select(scores.view(), before.view()));
        CHECK(before.text() != expected);
        for (std::size_t r = 0; r < 96; ++r)
            for (std::size_t c = 0; c < 33; ++c) other.view().set(r, c, random.below(3) == 0);
        for (bits* const previous : {&before, &none, &all, &other}) {
            bits kept(96, 33);
            REQUIRE(pattern.select(later.view(), previous->view(), kept.view()));
            CHECK(kept.text() == expected);
            REQUIRE(pattern.select(later.view(), previous->view(), previous->view()));
            CHECK(previous->text() == expected);
        }
    };
    check(unaligned_block<4>{.sparsity = 0.75f});
    check(unaligned_block<8>{.sparsity = 0.5f});
    check(unaligned_block<8>{.sparsity = 0.75f, .budget = block_budget::column});
    check(unaligned_block<8, greedy>{.sparsity = 0.02f});
    check(unaligned_block<8, optimum>{.sparsity = 0.75f});
}

TEST_CASE("a mask is renewed in place while sparsity rises and scores change") {
    const sparsity_ramp ramp{.to = 0.75f, .begin = 10, .end = 90, .every = 20};
    matrix scores = uneven(64, 20, 1);
    pare::random random(2);
    bits kept(64, 20);
    REQUIRE(unaligned_block<8>{.sparsity = 0.0f}.select(scores.view(), kept.view()));
    for (std::size_t step = 0; step < 100; ++step) {
        for (float& x : scores.data()) x *= 1.0f + 0.01f * random.symmetric();
        if (!ramp.renews_at(step)) continue;
        const unaligned_block<8> pattern{.sparsity = ramp.at(step)};
        bits before(64, 20);
        for (std::size_t r = 0; r < 64; ++r)
            for (std::size_t c = 0; c < 20; ++c) before.view().set(r, c, kept(r, c));
        REQUIRE(pattern.select(scores.view(), kept.view(), kept.view()));
        CHECK(kept.text() == selected(pattern, scores));
        CHECK(kept.view().count() == 8 * pattern.kept_blocks(64, 20));
        CHECK(*churn(before.view(), kept.view()) < 0.25);
    }
    CHECK(kept.view().count() == 64 * 20 / 4);
}

TEST_CASE("unaligned_block says that rows are too few, and leaves the mask") {
    bits kept(7, 4, true);
    const matrix scores = magnitudes(matrix::uniform(7, 4, 1));
    const auto refused = unaligned_block<8>{}.select(scores.view(), kept.view());
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::shape_mismatch);
    CHECK_THAT(refused.error().message, Catch::Contains("fewer rows than a block"));
    CHECK(kept.view().count_row(0) == 64);
    bits previous(8, 4);
    CHECK(unaligned_block<4>{}.select(scores.view(), previous.view(), kept.view()).error().code ==
          errc::shape_mismatch);
    matrix copy = scores;
    const auto pruned =
        prune(scores.view(), magnitude{}, unaligned_block<8>{}, {}, copy.view(), kept.view());
    REQUIRE_FALSE(pruned);
    CHECK(pruned.error().code == errc::shape_mismatch);
}

TEST_CASE("unaligned_block refuses a sparsity outside its range") {
    CHECK(unaligned_block<8>{.sparsity = 0.0f}.check());
    for (const float sparsity : {1.0f, -0.1f, std::numeric_limits<float>::infinity(),
                                 std::numeric_limits<float>::quiet_NaN()}) {
        const auto refused = unaligned_block<8>{sparsity}.check();
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == errc::invalid_argument);
    }
}

TEST_CASE("unaligned_block reports every allocation that fails") {
    const auto check = [](auto pattern, int n_allocations) {
        const matrix scores = uneven(40, 3, 1);
        bits kept(40, 3);
        CHECK(fail_each_allocation([&] { return pattern.select(scores.view(), kept.view()); }) ==
              n_allocations);
        CHECK(kept.text() == selected(pattern, scores));
    };
    check(unaligned_block<8>{}, 5 + 4);
    check(unaligned_block<8, greedy>{}, 5 + 2);
    check(unaligned_block<8, optimum>{}, 5 + 3);
}

namespace {

// Of 256 rows |N(0, 1)|: share of the requested blocks that greedy places and ratios to the
// optimum, simulated with 20 other columns.
struct simulated {
    float density;
    double greedy, placed, bed;
};

template <int B>
void check_simulated(std::initializer_list<simulated> all) {
    constexpr std::size_t rows = 256, cols = 40;
    const matrix scores = normal(rows, cols, B);
    for (const simulated& s : all) {
        const float sparsity = 1.0f - s.density;
        const auto of = [&](auto pattern, std::size_t* n_kept = nullptr) {
            pattern.sparsity = sparsity;
            pattern.budget = block_budget::column;
            return retained_by(pattern, scores, n_kept);
        };
        std::size_t by_greedy = 0, by_bed = 0;
        const double best = of(unaligned_block<B, optimum>{});
        CAPTURE(B, s.density);
        CHECK(of(unaligned_block<B, greedy>{}, &by_greedy) / best == Approx(s.greedy).margin(0.04));
        CHECK(of(unaligned_block<B>{}, &by_bed) / best == Approx(s.bed).margin(0.003));
        CHECK(static_cast<double>(by_greedy) / static_cast<double>(by_bed) ==
              Approx(s.placed).margin(0.04));
        CHECK(by_bed == unaligned_block<B>{.sparsity = sparsity}.kept_blocks(rows, 1) * B * cols);
    }
}

}  // namespace

TEST_CASE("greedy finds no place for a fifth of the blocks at full density, bed for all") {
    check_simulated<4>({{0.3f, 0.996, 1.0, 0.9990},
                        {0.7f, 0.982, 1.0, 0.9981},
                        {0.9f, 0.930, 0.906, 0.9981},
                        {1.0f, 0.908, 0.807, 1.0}});
    check_simulated<8>(
        {{0.3f, 0.998, 1.0, 0.9988}, {0.9f, 0.914, 0.893, 0.9958}, {1.0f, 0.860, 0.759, 1.0}});
    check_simulated<16>({{0.9f, 0.882, 0.868, 0.9933}, {1.0f, 0.810, 0.722, 1.0}});
}

namespace {

// Shares that another implementation retains.
struct figure {
    const char* layer;
    int height;
    float sparsity;
    double aligned, greedy, bed, optimum, unstructured;
};
constexpr figure figures[] = {
    {"layer1.0.conv1.weight", 4, 0.5f, 0.7932, 0.7897, 0.8235, 0.8240, 0.9255},
    {"layer1.0.conv1.weight", 4, 0.7f, 0.5713, 0.5992, 0.6034, 0.6044, 0.7572},
    {"layer1.0.conv1.weight", 4, 0.8f, 0.4251, 0.4499, 0.4510, 0.4516, 0.6127},
    {"layer1.0.conv1.weight", 8, 0.5f, 0.7580, 0.7551, 0.7762, 0.7762, 0.9255},
    {"layer1.0.conv1.weight", 8, 0.7f, 0.5284, 0.5436, 0.5460, 0.5460, 0.7551},
    {"layer1.0.conv1.weight", 8, 0.8f, 0.3870, 0.4018, 0.4018, 0.4018, 0.6157},
    {"layer2.1.conv1.weight", 4, 0.5f, 0.6997, 0.7437, 0.7508, 0.7518, 0.8481},
    {"layer2.1.conv1.weight", 4, 0.7f, 0.4871, 0.5298, 0.5307, 0.5310, 0.6469},
    {"layer2.1.conv1.weight", 4, 0.8f, 0.3572, 0.3919, 0.3923, 0.3924, 0.5016},
    {"layer2.1.conv1.weight", 8, 0.5f, 0.6635, 0.6932, 0.6991, 0.7001, 0.8481},
    {"layer2.1.conv1.weight", 8, 0.7f, 0.4501, 0.4797, 0.4814, 0.4818, 0.6475},
    {"layer2.1.conv1.weight", 8, 0.8f, 0.3229, 0.3467, 0.3476, 0.3477, 0.5009},
    {"layer3.0.conv1.weight", 4, 0.5f, 0.6647, 0.7113, 0.7179, 0.7189, 0.8118},
    {"layer3.0.conv1.weight", 4, 0.7f, 0.4533, 0.4937, 0.4955, 0.4960, 0.6000},
    {"layer3.0.conv1.weight", 4, 0.8f, 0.3278, 0.3593, 0.3599, 0.3601, 0.4546},
    {"layer3.0.conv1.weight", 8, 0.5f, 0.6224, 0.6665, 0.6715, 0.6728, 0.8118},
    {"layer3.0.conv1.weight", 8, 0.7f, 0.4112, 0.4491, 0.4503, 0.4507, 0.6000},
    {"layer3.0.conv1.weight", 8, 0.8f, 0.2921, 0.3209, 0.3215, 0.3217, 0.4546},
    {"layer3.2.conv2.weight", 4, 0.5f, 0.6828, 0.7213, 0.7274, 0.7287, 0.8285},
    {"layer3.2.conv2.weight", 4, 0.7f, 0.4702, 0.5051, 0.5069, 0.5074, 0.6260},
    {"layer3.2.conv2.weight", 4, 0.8f, 0.3424, 0.3699, 0.3706, 0.3708, 0.4806},
    {"layer3.2.conv2.weight", 8, 0.5f, 0.6364, 0.6780, 0.6835, 0.6850, 0.8285},
    {"layer3.2.conv2.weight", 8, 0.7f, 0.4234, 0.4597, 0.4610, 0.4615, 0.6259},
    {"layer3.2.conv2.weight", 8, 0.8f, 0.3014, 0.3302, 0.3308, 0.3310, 0.4808},
};

template <int B>
void check_figure(const figure& expected, const matrix& scores) {
    const float s = expected.sparsity;
    const double tolerance = 0.001;
    const auto agrees = [&](const auto& pattern, double share) {
        std::size_t n_kept = 0;
        CHECK(std::fabs(retained_by(pattern, scores, &n_kept) - share) <= tolerance);
        return n_kept;
    };
    const std::size_t n = unaligned_block<B>{s}.kept_blocks(scores.rows(), scores.cols()) * B;
    CHECK(agrees(block<B>{s}, expected.aligned) == n);
    CHECK(agrees(unaligned_block<B, greedy>{s}, expected.greedy) == n);
    CHECK(agrees(unaligned_block<B>{s}, expected.bed) == n);
    CHECK(agrees(unaligned_block<B, optimum>{s}, expected.optimum) == n);
    const auto size = static_cast<double>(scores.data().size());
    agrees(unstructured{static_cast<float>(1.0 - static_cast<double>(n) / size)},
           expected.unstructured);
    CHECK(retained_by(unaligned_block<B>{s}, scores) >=
          0.997 * retained_by(unaligned_block<B, optimum>{s}, scores));
}

}  // namespace

TEST_CASE("blocks retain of ResNet-20 what another implementation does") {
    PARE_DATA_OR_SKIP(path, "resnet_cifar10/resnet20.safetensors");
    const auto file = pare::io::safetensors_reader::open(path.string().c_str());
    REQUIRE(file);
    for (const figure& expected : figures) {
        const matrix scores = magnitudes_of(*file, expected.layer);
        CAPTURE(expected.layer, expected.height, expected.sparsity);
        if (expected.height == 4) check_figure<4>(expected, scores);
        else check_figure<8>(expected, scores);
    }
}

TEST_CASE("bed retains more than aligned blocks of every real layer, and nearly the optimum") {
    const char* const name = GENERATE("resnet_cifar10/resnet44.safetensors",
                                      "mobilenet/mobilenet_v2_1.0_224.safetensors");
    PARE_DATA_OR_SKIP(path, name);
    const auto file = pare::io::safetensors_reader::open(path.string().c_str());
    REQUIRE(file);
    int n_layers = 0;
    for (const auto& tensor : file->tensors()) {
        // Convolutions but depthwise ones, of several blocks a column.
        if (tensor.rank != 4 || tensor.extents[1] < 2 || tensor.extents[0] < 16) continue;
        const matrix scores = magnitudes_of(*file, tensor.name);
        for (const float s : {0.5f, 0.75f}) {
            const double bed_keeps = retained_by(unaligned_block<8>{s}, scores);
            CAPTURE(tensor.name, s);
            CHECK(bed_keeps > retained_by(block<8>{s}, scores));
            CHECK(bed_keeps > 0.995 * retained_by(unaligned_block<8, optimum>{s}, scores));
        }
        ++n_layers;
    }
    CHECK(n_layers > 30);
}
