// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/core/thread_pool.hpp>
#include <pare/io/safetensors.hpp>
#include <pare/prune/gyro.hpp>

#include "resnet_layer.hpp"
#include "support/catch.hpp"
#include "support/data.hpp"
#include "support/executors.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace pare::testing;
using pare::errc;
using pare::prune::gyro, pare::prune::gyro_result, pare::prune::hinm, pare::prune::search_progress;

namespace {

matrix magnitudes(matrix weights) {
    for (float& x : weights.data()) x = std::fabs(x);
    return weights;
}

std::vector<std::uint32_t> shuffled(std::size_t n, std::uint64_t seed) {
    std::vector<std::uint32_t> order(n);
    std::iota(order.begin(), order.end(), 0u);
    pare::random draw(seed);
    for (std::size_t i = n; i > 1; --i) std::swap(order[i - 1], order[draw.below(i)]);
    return order;
}

// The share that the mask of an order keeps, counted from the mask.
template <class Pattern>
double kept_share(const Pattern&, const matrix& scores, const pare::prune::hinm_order& order) {
    bits kept(scores.rows(), scores.cols(), true);
    Pattern::select(scores.view(), order, kept.view());
    double sum = 0.0, total = 0.0;
    for (std::size_t r = 0; r < scores.rows(); ++r)
        for (std::size_t c = 0; c < scores.cols(); ++c) {
            const double x = static_cast<double>(scores(r, c));
            total += x;
            sum += kept(r, c) ? x : 0.0;
        }
    return total > 0.0 ? sum / total : 1.0;
}

template <class Pattern>
double kept_in_place(const Pattern& pattern, const matrix& scores) {
    const auto order = pattern.make_order(scores.view());
    REQUIRE(order);
    return kept_share(pattern, scores, *order);
}

// Sums of floats, of at most 16 adders in a row each.
constexpr double rounding = 1e-5;

// What holds for any search.
template <class Pattern>
void check_laws(const gyro& search, const Pattern& pattern, const matrix& scores) {
    const auto found = search.search(scores.view(), pattern);
    REQUIRE(found);
    const auto& [order, report] = *found;
    CHECK(pattern.check(order, scores.rows(), scores.cols()));
    const double in_place = kept_in_place(pattern, scores);
    CHECK(std::fabs(report.identity - in_place) <= rounding);
    CHECK(std::fabs(report.retained - kept_share(pattern, scores, order)) <= rounding);
    CHECK(report.retained >= report.identity);
    CHECK(report.retained >= report.after_input);
}

template <int N, int M, int V>
void check_shapes(std::span<const float> sparsities) {
    std::uint64_t seed = 1;
    for (const auto& [rows, cols] :
         {std::array<std::size_t, 2>{1, 1}, {3, 2 * M + 1}, {V, 8 * M}, {2 * V + 1, 48}, {40, 70}})
        for (const float sparsity : sparsities)
            for (const std::size_t rounds : {0u, 3u}) {
                ++seed;
                CAPTURE(N, M, V, rows, cols, sparsity, rounds);
                const gyro search{.rounds = rounds, .seed = seed};
                const hinm<N, M, V> pattern{sparsity};
                check_laws(search, pattern, magnitudes(matrix::uniform(rows, cols, seed)));
                check_laws(search, pattern, magnitudes(matrix::integers(rows, cols, 2, seed)));
            }
}

constexpr std::array<float, 5> sparsities{0.0f, 0.25f, 0.5f, 0.75f, 0.875f};

}  // namespace

TEST_CASE("gyro never retains less than the identity order, at any shape, seed and sparsity") {
    check_shapes<2, 4, 8>(sparsities);
    check_shapes<2, 4, 16>(sparsities);
    check_shapes<1, 4, 4>(sparsities);
    check_shapes<3, 4, 1>(sparsities);
    check_shapes<4, 4, 8>(sparsities);
    check_shapes<1, 2, 8>(sparsities);
    check_shapes<2, 8, 16>(sparsities);
    check_shapes<3, 5, 7>(sparsities);
    check_shapes<1, 1, 8>(sparsities);
}

TEST_CASE("gyro keeps its laws on signals that are not noise") {
    const hinm<2, 4, 8> pattern{.vector_sparsity = 0.5f};
    matrix zero(20, 33), flat(20, 33), ramp(20, 33), huge(20, 33), impulse(20, 33);
    pare::random draw(3);
    for (std::size_t r = 0; r < 20; ++r)
        for (std::size_t c = 0; c < 33; ++c) {
            flat(r, c) = 3.0f;
            ramp(r, c) = static_cast<float>(r + c);
            huge(r, c) = std::ldexp(1.0f + draw.symmetric(), static_cast<int>(draw.below(90)));
        }
    impulse(7, 9) = 1.0f;
    for (const matrix* scores : {&zero, &flat, &ramp, &huge, &impulse})
        check_laws(gyro{.rounds = 3}, pattern, *scores);
    check_laws(gyro{.rounds = 3}, pattern, matrix(0, 8));
    check_laws(gyro{.rounds = 3}, pattern, matrix(8, 0));
}

// ALGORITHMS 9.2: rows of a few kinds, each with columns of its own, dealt out at random.
TEST_CASE("gyro brings rows of a kind together") {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        constexpr std::size_t rows = 64, cols = 128, n_kinds = 8;
        const matrix noise = matrix::uniform(rows, cols, seed);
        const auto kind = shuffled(rows, seed);
        matrix scores(rows, cols);
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t c = 0; c < cols; ++c)
                scores(r, c) = c % n_kinds == kind[r] % n_kinds ? 2.0f + noise(r, c) : 0.0f;
        const hinm<4, 4, 8> pattern{.vector_sparsity = 0.875f};
        const auto found = gyro{.rounds = 2, .seed = seed}.search(scores.view(), pattern);
        REQUIRE(found);
        CAPTURE(seed, found->report.identity, found->report.after_output);
        CHECK(found->report.identity < 0.5);
        CHECK(found->report.after_output > 0.8);
        CHECK(found->report.retained > 0.99);
    }
}

TEST_CASE("gyro leaves outputs or inputs in place where it is told to") {
    const hinm<2, 4, 8> pattern{.vector_sparsity = 0.5f};
    const matrix scores = magnitudes(matrix::uniform(37, 64, 4));
    const gyro outputs{.rounds = 3, .inputs = false}, inputs{.rounds = 3, .outputs = false};
    check_laws(outputs, pattern, scores);
    check_laws(inputs, pattern, scores);
    const auto both = gyro{}.search(scores.view(), pattern);
    const auto rows = outputs.search(scores.view(), pattern);
    const auto columns = inputs.search(scores.view(), pattern);
    REQUIRE((both && rows && columns));

    const auto& moved = rows->order;
    CHECK_FALSE(std::ranges::is_sorted(moved.outputs()));
    for (std::size_t t = 0; t < moved.n_tiles(); ++t)
        CHECK(std::ranges::is_sorted(moved.columns(t)));
    CHECK(rows->report.rounds == 0);
    CHECK(rows->report.retained == both->report.after_output);

    CHECK(std::ranges::is_sorted(columns->order.outputs()));
    CHECK(columns->report.rounds == 3);
    CHECK(columns->report.after_input > columns->report.identity);
    CHECK(columns->report.retained > columns->report.after_input);
}

TEST_CASE("the longer search finds the best tiles at small sizes") {
    // Six rows into three tiles of two: 15 ways, of which the mask needs the best.
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        const matrix scores = magnitudes(matrix::uniform(6, 16, seed));
        const hinm<4, 4, 2> pattern{.vector_sparsity = 0.5f};
        std::vector<std::uint32_t> rows(6);
        std::iota(rows.begin(), rows.end(), 0u);
        double best = 0.0;
        do {
            matrix permuted(6, 16);
            for (std::size_t r = 0; r < 6; ++r)
                for (std::size_t c = 0; c < 16; ++c) permuted(r, c) = scores(rows[r], c);
            best = std::max(best, kept_in_place(pattern, permuted));
        } while (std::next_permutation(rows.begin(), rows.end()));
        const auto found = gyro{.rounds = 8, .seed = seed}.search(scores.view(), pattern);
        REQUIRE(found);
        CAPTURE(seed);
        CHECK(std::fabs(found->report.retained - best) <= rounding);
    }
}

// ALGORITHMS 9.3: half of the columns big, half tiny; the order in place has groups of four big
// ones.
TEST_CASE("gyro spreads big columns over the groups") {
    for (const std::size_t cols : {16u, 64u, 66u}) {
        const matrix noise = matrix::uniform(16, cols, cols);
        const auto place = shuffled(cols, cols);
        matrix scores(16, cols);
        double big = 0.0, total = 0.0;
        for (std::size_t r = 0; r < 16; ++r)
            for (std::size_t c = 0; c < cols; ++c) {
                const bool is_big = place[c] < cols / 4 * 2;
                scores(r, c) = is_big ? 10.0f + noise(r, c) : 0.1f + 0.1f * noise(r, c);
                total += static_cast<double>(scores(r, c));
                big += is_big ? static_cast<double>(scores(r, c)) : 0.0;
            }
        const hinm<2, 4, 16> pattern{.vector_sparsity = 0.0f};
        const auto found = gyro{.rounds = 1}.search(scores.view(), pattern);
        REQUIRE(found);
        CAPTURE(cols, found->report.identity);
        CHECK(found->report.identity < 0.9);
        CHECK(found->report.retained >= big / total - rounding);
    }
}

TEST_CASE("gyro gives the same order for any number of threads") {
    const matrix scores = magnitudes(matrix::uniform(150, 96, 5));
    const hinm<2, 4, 8> pattern{.vector_sparsity = 0.5f};
    for (const std::size_t rounds : {0u, 4u}) {
        const gyro search{.rounds = rounds, .seed = 7};
        const auto serial = search.search(scores.view(), pattern);
        const auto reversed = search.search(scores.view(), pattern, backwards{});
        REQUIRE(serial);
        REQUIRE(reversed);
        CHECK(reversed->order == serial->order);
        for (const std::size_t n_threads : {1u, 2u, 3u}) {
            pare::thread_pool pool(n_threads);
            const auto threaded = search.search(scores.view(), pattern, pool);
            REQUIRE(threaded);
            CAPTURE(n_threads, rounds);
            CHECK(threaded->order == serial->order);
            CHECK(threaded->report.retained == serial->report.retained);
        }
    }
}

TEST_CASE("another seed searches elsewhere") {
    const matrix scores = magnitudes(matrix::uniform(64, 64, 5));
    const hinm<2, 4, 8> pattern{.vector_sparsity = 0.5f};
    const auto a = gyro{.seed = 1}.search(scores.view(), pattern);
    const auto b = gyro{.seed = 2}.search(scores.view(), pattern);
    REQUIRE(a);
    REQUIRE(b);
    CHECK_FALSE(a->order == b->order);
}

TEST_CASE("a warm start is not lost, and improved upon") {
    const matrix scores = magnitudes(matrix::uniform(64, 128, 9));
    const hinm<2, 4, 16> pattern{.vector_sparsity = 0.5f};
    const auto first = gyro{.rounds = 1}.search(scores.view(), pattern);
    REQUIRE(first);
    const auto again = gyro{}.search(scores.view(), pattern, pare::serial{},
                                     pare::prune::unobserved{}, &first->order);
    REQUIRE(again);
    CHECK(again->order == first->order);
    CHECK(again->report.retained == first->report.retained);
    CHECK(again->report.after_input == first->report.retained);
    const auto longer = gyro{.rounds = 6}.search(scores.view(), pattern, pare::serial{},
                                                 pare::prune::unobserved{}, &first->order);
    REQUIRE(longer);
    CHECK(longer->report.retained > first->report.retained);
}

TEST_CASE("a warm start that is worse than the identity order is left") {
    const matrix scores = magnitudes(matrix::uniform(32, 64, 2));
    const hinm<2, 4, 8> pattern{.vector_sparsity = 0.5f};
    const auto bad =
        pare::prune::hinm_order::make(32, 64, 8, 32);  // the first columns, not the best
    REQUIRE(bad);
    const auto found =
        gyro{}.search(scores.view(), pattern, pare::serial{}, pare::prune::unobserved{}, &*bad);
    REQUIRE(found);
    CHECK(found->report.after_input < found->report.identity);
    CHECK(found->report.retained == found->report.identity);
    CHECK(found->order == *pattern.make_order(scores.view()));
}

TEST_CASE("an observer sees a search get better, and may end it at any time") {
    const matrix scores = magnitudes(matrix::uniform(160, 64, 9));
    const hinm<2, 4, 8> pattern{.vector_sparsity = 0.5f};
    int n_calls = 0;
    double before = 0.0;
    const auto whole = gyro{.rounds = 3}.search(scores.view(), pattern, pare::serial{},
                                                [&](const search_progress& now) {
                                                    ++n_calls;
                                                    CHECK(now.retained >= before);
                                                    before = now.retained;
                                                    return true;
                                                });
    REQUIRE(whole);
    CHECK(whole->report.retained == before);
    CHECK(whole->report.rounds == 3);
    for (int last = 1; last <= n_calls; ++last) {
        int n = 0;
        const auto ended =
            gyro{.rounds = 3}.search(scores.view(), pattern, pare::serial{},
                                     [&](const search_progress&) { return ++n < last; });
        REQUIRE(ended);
        CAPTURE(last);
        CHECK(n <= last + 2);
        CHECK(pattern.check(ended->order, 160, 64));
        CHECK(ended->report.retained >= ended->report.identity);
        CHECK(ended->report.retained <= whole->report.retained);
        CHECK(std::fabs(kept_share(pattern, scores, ended->order) - ended->report.retained) <=
              rounding);
    }
}

TEST_CASE("an observer is asked amid long steps") {
    const matrix scores = magnitudes(matrix::uniform(96, 64, 3));
    const hinm<2, 4, 4> pattern{.vector_sparsity = 0.5f};
    const gyro outputs{.inputs = false, .observe_every = {}};
    int n_calls = 0;
    const auto ended = outputs.search(scores.view(), pattern, pare::serial{},
                                      [&](const search_progress&) { return ++n_calls < 1; });
    const auto whole = outputs.search(scores.view(), pattern);
    REQUIRE((ended && whole));
    CHECK(n_calls == 1);
    CHECK(ended->report.after_output < whole->report.after_output);
    CHECK(ended->report.retained >= ended->report.identity);
    CHECK(std::fabs(kept_share(pattern, scores, ended->order) - ended->report.retained) <=
          rounding);
}

TEST_CASE("a deadline that has passed leaves the identity order") {
    const matrix scores = magnitudes(matrix::uniform(64, 64, 1));
    const hinm<2, 4, 8> pattern{.vector_sparsity = 0.5f};
    const auto found = gyro{.deadline = std::chrono::nanoseconds(0)}.search(scores.view(), pattern);
    REQUIRE(found);
    CHECK(found->order == *pattern.make_order(scores.view()));
    CHECK(found->report.retained == found->report.identity);
    CHECK(found->report.rounds == 0);
}

TEST_CASE("gyro refuses what is no saliency, no pattern or no start of the same shape") {
    const hinm<2, 4, 8> pattern{.vector_sparsity = 0.5f};
    const auto refusal = [](auto&& found) {
        REQUIRE_FALSE(found);
        return found.error().code;
    };
    for (const auto& [bad, code] :
         {std::pair{std::numeric_limits<float>::quiet_NaN(), errc::not_a_number},
          {std::numeric_limits<float>::infinity(), errc::not_a_number},
          {-1.0f, errc::invalid_argument}}) {
        matrix scores = magnitudes(matrix::uniform(16, 16, 1));
        scores(3, 5) = bad;
        CHECK(refusal(gyro{}.search(scores.view(), pattern)) == code);
    }
    const matrix scores = magnitudes(matrix::uniform(16, 16, 1));
    CHECK(refusal(gyro{}.search(scores.view().transposed(), pattern)) == errc::not_contiguous);
    CHECK(refusal(gyro{}.search(scores.view(), hinm<2, 4, 8>{1.0f})) == errc::invalid_argument);
    auto start = pattern.make_order(scores.view());
    REQUIRE(start);
    const auto with_start = [&](const auto& p) {
        return gyro{}.search(scores.view(), p, pare::serial{}, pare::prune::unobserved{}, &*start);
    };
    CHECK(refusal(with_start(hinm<2, 4, 16>{0.5f})) == errc::shape_mismatch);
    CHECK(refusal(with_start(hinm<2, 4, 8>{0.75f})) == errc::shape_mismatch);
    start->outputs()[0] = start->outputs()[1];
    CHECK(refusal(with_start(pattern)) == errc::invalid_argument);
}

namespace {

// Shares of |w| that survive in the layers of ResNet-20, by an independent implementation of gyro:
// in place, then least and most of five seeds.
struct figure {
    const char* layer;
    int tile_rows;
    float vector_sparsity;
    double none, least, most;
};
constexpr figure figures[] = {
    {"layer2.1.conv1.weight", 8, 0.25f, 0.6322, 0.6920, 0.6932},
    {"layer2.1.conv1.weight", 8, 0.5f, 0.4751, 0.5202, 0.5220},
    {"layer2.1.conv1.weight", 8, 0.75f, 0.2761, 0.3025, 0.3061},
    {"layer2.1.conv1.weight", 16, 0.25f, 0.6259, 0.6794, 0.6817},
    {"layer2.1.conv1.weight", 16, 0.5f, 0.4663, 0.5023, 0.5043},
    {"layer2.1.conv1.weight", 16, 0.75f, 0.2623, 0.2846, 0.2875},
    {"layer3.0.conv1.weight", 8, 0.25f, 0.5908, 0.6574, 0.6587},
    {"layer3.0.conv1.weight", 8, 0.5f, 0.4302, 0.4820, 0.4844},
    {"layer3.0.conv1.weight", 8, 0.75f, 0.2427, 0.2717, 0.2733},
    {"layer3.0.conv1.weight", 16, 0.25f, 0.5819, 0.6406, 0.6427},
    {"layer3.0.conv1.weight", 16, 0.5f, 0.4178, 0.4602, 0.4613},
    {"layer3.0.conv1.weight", 16, 0.75f, 0.2285, 0.2526, 0.2552},
    {"layer3.2.conv2.weight", 8, 0.25f, 0.5646, 0.6664, 0.6677},
    {"layer3.2.conv2.weight", 8, 0.5f, 0.4157, 0.4896, 0.4930},
    {"layer3.2.conv2.weight", 8, 0.75f, 0.2355, 0.2784, 0.2802},
    {"layer3.2.conv2.weight", 16, 0.25f, 0.5543, 0.6497, 0.6524},
    {"layer3.2.conv2.weight", 16, 0.5f, 0.4004, 0.4677, 0.4704},
    {"layer3.2.conv2.weight", 16, 0.75f, 0.2223, 0.2553, 0.2608},
};

template <int V>
void check_figure(const figure& expected, const matrix& scores) {
    const hinm<2, 4, V> pattern{expected.vector_sparsity};
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        const auto paper = gyro{.seed = seed}.search(scores.view(), pattern);
        REQUIRE(paper);
        CAPTURE(seed);
        CHECK(std::fabs(paper->report.identity - expected.none) <= 0.0001);
        CHECK(paper->report.retained >= expected.least - 0.002);
        CHECK(paper->report.retained <= expected.most + 0.002);
    }
    const auto longer = gyro{.rounds = 6}.search(scores.view(), pattern);
    REQUIRE(longer);
    CHECK(longer->report.retained > expected.most);
}

}  // namespace

TEST_CASE("gyro retains of ResNet-20 what another implementation does, and then more") {
    PARE_DATA_OR_SKIP(path, "resnet_cifar10/resnet20.safetensors");
    const auto file = pare::io::safetensors_reader::open(path.string().c_str());
    REQUIRE(file);
    for (const figure& expected : figures) {
        const matrix scores = pare::testing::magnitudes_of(*file, expected.layer);
        CAPTURE(expected.layer, expected.tile_rows, expected.vector_sparsity);
        if (expected.tile_rows == 8) check_figure<8>(expected, scores);
        else check_figure<16>(expected, scores);
    }
}

TEST_CASE("gyro retains more than rows and columns in place of every convolution of ResNet-44") {
    PARE_DATA_OR_SKIP(path, "resnet_cifar10/resnet44.safetensors");
    const auto file = pare::io::safetensors_reader::open(path.string().c_str());
    REQUIRE(file);
    int n_layers = 0;
    for (const auto& tensor : file->tensors()) {
        if (tensor.rank != 4) continue;
        const matrix scores = pare::testing::magnitudes_of(*file, tensor.name);
        for (const float sparsity : {0.25f, 0.5f, 0.75f}) {
            const hinm<2, 4, 16> pattern{sparsity};
            // One group in one tile leaves nothing to choose.
            if (scores.rows() <= 16 && pattern.kept_columns(scores.cols()) <= 4) continue;
            const auto found = gyro{}.search(scores.view(), pattern);
            REQUIRE(found);
            CAPTURE(tensor.name, sparsity);
            CHECK(found->report.after_input > found->report.identity);
        }
        ++n_layers;
    }
    CHECK(n_layers == 43);
}
