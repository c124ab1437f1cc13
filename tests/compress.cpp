// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/compress.hpp>

#include <pare/core/thread_pool.hpp>
#include <pare/kernel/gemm.hpp>
#include <pare/prune/block.hpp>
#include <pare/prune/flex_hinm.hpp>
#include <pare/prune/gyro.hpp>
#include <pare/prune/hinm.hpp>
#include <pare/prune/optimal_brain.hpp>
#include <pare/prune/unaligned_block.hpp>
#include <pare/prune/v_n_m.hpp>
#include <pare/prune/wanda.hpp>

#include "support/catch.hpp"
#include "support/executors.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

using pare::bf16, pare::compress, pare::errc, pare::f16, pare::recipe;
using pare::testing::bits, pare::testing::matrix, pare::testing::unpacked;
namespace packed = pare::packed;
namespace prune = pare::prune;
namespace quant = pare::quant;

TEST_CASE("compress prunes by magnitude and packs") {
    const matrix weights(1, 8, {1, -2, 3, -4, 8, -7, 6, -5});
    const auto layer = compress(weights.view(), prune::n_m<2, 4>{});
    REQUIRE(layer);
    CHECK(unpacked(*layer).data() == std::vector<float>{0, 0, 3, -4, 8, -7, 0, 0});
    STATIC_REQUIRE(
        std::is_same_v<std::remove_cvref_t<decltype(layer->view())>, packed::n_m<2, 4, float>>);
}

TEST_CASE("the report counts bytes, bits, zeros and the saliency that is left") {
    const matrix weights = matrix::uniform(32, 64, 1);
    const auto layer = compress(weights.view(), prune::n_m<2, 4>{}, quant::cast<f16>{});
    REQUIRE(layer);
    const auto report = layer->report();
    CHECK(report.bytes == 32 * (32 * 2 + 32 * 2 / 8));
    CHECK(report.bits_per_weight == 9.0);
    CHECK(report.sparsity == 0.5);
    double kept = 0.0, total = 0.0;
    const auto exact = compress(weights.view(), prune::n_m<2, 4>{});
    REQUIRE(exact);
    const matrix left = unpacked(*exact);
    for (const float w : left.data()) kept += static_cast<double>(std::fabs(w));
    for (const float w : weights.data()) total += static_cast<double>(std::fabs(w));
    CHECK(report.retained == kept / total);
}

TEST_CASE("the report counts padding rows, and a short last group as it is") {
    const auto layer = compress(matrix::uniform(5, 10, 1).view(), prune::n_m<2, 4>{});
    REQUIRE(layer);
    CHECK(layer->report().bytes == 16 * 6 * 4 + 16 * 4);
    CHECK(layer->report().bits_per_weight == static_cast<double>(16 * 7 * 4 * 8) / 50.0);
    CHECK(layer->report().sparsity == 1.0 - 30.0 / 50.0);
}

TEST_CASE("a recipe joins a saliency, a pattern and a codec") {
    const matrix weights(1, 4, {4, 3, 2, 1.0f + 0x1p-20f});
    const std::vector<float> norms{0, 1, 10, 100};
    const auto layer =
        compress(weights.view(), recipe{prune::wanda{}, prune::n_m<1, 4>{}, quant::cast<bf16>{}},
                 {.input_norms = norms});
    REQUIRE(layer);
    CHECK(unpacked(*layer).data() == std::vector<float>{0, 0, 0, 1});
    STATIC_REQUIRE(
        std::is_same_v<std::remove_cvref_t<decltype(layer->view())>, packed::n_m<1, 4, bf16>>);
}

TEST_CASE("a recipe without a codec keeps floats, one without anything keeps the weights") {
    const matrix weights = matrix::uniform(20, 30, 1);
    const auto halved = compress(weights.view(), recipe{prune::magnitude{}, prune::n_m<1, 2>{}});
    REQUIRE(halved);
    CHECK(halved->report().sparsity == 0.5);
    const auto same = compress(weights.view(), recipe{});
    REQUIRE(same);
    CHECK(unpacked(*same).data() == weights.data());
    CHECK(same->report().retained == 1.0);
    CHECK(same->report().sparsity == 0.0);
}

TEST_CASE("an irregular mask is stored dense, with its zeros") {
    const matrix weights(2, 4, {1, 2, 3, 4, 8, 7, 6, 5});
    const auto layer = compress(weights.view(), prune::unstructured{.sparsity = 0.5f});
    REQUIRE(layer);
    CHECK(unpacked(*layer).data() == std::vector<float>{0, 0, 0, 0, 8, 7, 6, 5});
    CHECK(layer->report().sparsity == 0.5);
    CHECK(layer->report().bytes == 16 * 4 * 4);
}

TEST_CASE("blocks are stored as blocks, of a height that has no layout dense") {
    const matrix weights = matrix::uniform(40, 24, 1);
    const auto check = [&](const auto& pattern, std::size_t bytes) {
        const auto layer = compress(weights.view(), pattern);
        REQUIRE(layer);
        CHECK(layer->report().bytes == bytes);
        CHECK(layer->report().bytes == layer->view().required_bytes());
        const matrix dense = unpacked(*layer);
        matrix scores(40, 24);
        bits kept(40, 24);
        REQUIRE(prune::score(weights.view(), prune::magnitude{}, {}, scores.view()));
        REQUIRE(prune::detail::select(pattern, scores.view(), kept.view()));
        int wrong = 0;
        for (std::size_t r = 0; r < 40; ++r)
            for (std::size_t c = 0; c < 24; ++c)
                wrong += dense(r, c) != (kept(r, c) ? weights(r, c) : 0.0f);
        CHECK(wrong == 0);
        CHECK(layer->report().sparsity ==
              1.0 - static_cast<double>(kept.view().count()) / (40.0 * 24.0));
        return layer->view();
    };
    // 60 blocks of 8 weights, 41 starts, 30 words of columns.
    const auto unaligned = check(prune::unaligned_block<8>{.sparsity = 0.5f}, 60 * 32 + 71 * 4);
    STATIC_REQUIRE(std::is_same_v<decltype(unaligned), const packed::block<8>>);
    check(prune::block<8>{.sparsity = 0.5f}, 60 * 32 + 71 * 4);
    check(prune::block<4, 2>{.sparsity = 0.75f}, 60 * 16 + 71 * 4);
    const auto low = check(prune::unaligned_block<2>{.sparsity = 0.5f}, 48 * 24 * 4);
    STATIC_REQUIRE(std::is_same_v<decltype(low), const packed::dense<>>);
}

TEST_CASE("compress says that blocks are higher than the matrix") {
    const auto refused =
        compress(matrix::uniform(7, 5, 1).view(), prune::unaligned_block<8>{.sparsity = 0.5f});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::shape_mismatch);
}

TEST_CASE("a layer may be moved and multiplies like its layout") {
    auto made = compress(matrix::integers(20, 30, 4, 1).view(), prune::n_m<2, 4>{});
    REQUIRE(made);
    const auto* const memory = made->view().values;
    const auto layer = *std::move(made);
    CHECK(layer.view().values == memory);
    const matrix x = matrix::integers(3, 30, 8, 2);
    matrix of_layer(3, 20), of_layout(3, 20);
    REQUIRE(pare::gemm(layer, x.view(), of_layer.view()));
    REQUIRE(pare::gemm(layer.view(), x.view(), of_layout.view()));
    CHECK(of_layer.data() == of_layout.data());
}

TEST_CASE("a layer moved from is empty, and may be assigned again") {
    auto made = compress(matrix::integers(20, 30, 4, 1).view(), prune::n_m<2, 4>{});
    auto other = compress(matrix::integers(7, 9, 4, 2).view(), prune::n_m<2, 4>{});
    REQUIRE((made && other));
    const matrix of_other = unpacked(*other);
    const auto is_empty = [](const auto& layer) {
        const auto& view = layer.view();
        return view.rows == 0 && view.cols == 0 && view.values == nullptr &&
               view.indices == nullptr && layer.report().bytes == 0;
    };
    auto layer = *std::move(made);
    CHECK(is_empty(*made));
    layer = *std::move(other);
    CHECK(is_empty(*other));
    CHECK(unpacked(layer).data() == of_other.data());
    *made = std::move(layer);
    CHECK(is_empty(layer));
    CHECK(unpacked(*made).data() == of_other.data());
    auto& same = *made;
    *made = std::move(same);
    CHECK(unpacked(*made).data() == of_other.data());
    CHECK(made->report().bits_per_weight > 0.0);
}

namespace {

// The last of every four columns.
struct last_of_four {
    static constexpr int n = 1, m = 4;
    pare::status check() const noexcept { return {}; }
    void select(pare::matrix_view<const float> scores, prune::mask_view kept) const noexcept {
        for (std::size_t r = 0; r < scores.rows(); ++r)
            for (std::size_t c = 0; c < scores.cols(); ++c) kept.set(r, c, c % 4 == 3);
    }
};
struct irregular : last_of_four {
    int n = 1, m = 4;  // no constants
};
struct dishonest : last_of_four {
    static constexpr int n = 1, m = 8;
};

}  // namespace

TEST_CASE("a pattern of one's own is stored N to M when it says so, else dense") {
    const matrix weights(1, 8, {1, 2, 3, 4, 8, 7, 6, 5});
    const auto layer = compress(weights.view(), last_of_four{}, quant::cast<bf16>{});
    REQUIRE(layer);
    STATIC_REQUIRE(std::is_same_v<decltype(layer->view()), const packed::n_m<1, 4, bf16>&>);
    CHECK(unpacked(*layer).data() == std::vector<float>{0, 0, 0, 4, 0, 0, 0, 5});
    const auto plain = compress(weights.view(), irregular{});
    REQUIRE(plain);
    STATIC_REQUIRE(std::is_same_v<decltype(plain->view()), const packed::dense<float>&>);
    CHECK(unpacked(*plain).data() == unpacked(*layer).data());
    const auto refused = compress(weights.view(), dishonest{});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::pattern_violated);
}

TEST_CASE("compress refuses what prune refuses") {
    matrix weights = matrix::uniform(4, 8, 1);
    const auto without = compress(weights.view(), recipe{prune::wanda{}, prune::n_m<2, 4>{}}, {});
    REQUIRE_FALSE(without);
    CHECK(without.error().code == errc::missing_calibration);
    const auto sparse = compress(weights.view(), prune::unstructured{.sparsity = 1.5f});
    REQUIRE_FALSE(sparse);
    CHECK(sparse.error().code == errc::invalid_argument);
    weights(2, 3) = std::numeric_limits<float>::quiet_NaN();
    const auto bad = compress(weights.view(), prune::n_m<2, 4>{});
    REQUIRE_FALSE(bad);
    CHECK(bad.error().code == errc::not_a_number);
    CHECK(bad.error().where == 2);
}

TEST_CASE("compress refuses an empty matrix") {
    for (const auto& [rows, cols] : {std::pair{0u, 4u}, {4u, 0u}, {0u, 0u}}) {
        const auto refused = compress(matrix(rows, cols).view(), prune::n_m<2, 4>{});
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == errc::shape_mismatch);
    }
}

TEST_CASE("a weight too large for its stored type is refused rather than stored as infinity") {
    const auto refused =
        compress(matrix(1, 4, {1, 70000, 2, 3}).view(), prune::n_m<2, 4>{}, quant::cast<f16>{});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::not_a_number);
}

namespace {

template <class Layer>
bool holds(const Layer& layer, std::span<const typename Layer::element_type> values,
           std::span<const std::uint32_t> words) {
    const auto& view = layer.view();
    return view.n_values(view) == values.size() && view.n_words(view) == words.size() &&
           std::memcmp(view.values, values.data(), values.size_bytes()) == 0 &&
           std::memcmp(view.indices, words.data(), words.size_bytes()) == 0;
}

// The layer and its report are what scoring, searching, selecting and packing give one by one.
template <class Pattern, class Permutation = prune::in_place>
void check_steps(const Pattern& pattern, const Permutation& permutation = {}) {
    const matrix weights = matrix::uniform(37, 66, 1), norms = matrix::uniform(1, 66, 2);
    std::vector<float> input_norms;
    for (const float x : norms.data()) input_norms.push_back(std::fabs(x));
    const prune::calibration inputs{.input_norms = input_norms};
    const auto layer = compress(
        weights.view(), recipe{prune::wanda{}, pattern, quant::cast<f16>{}, permutation}, inputs);
    REQUIRE(layer);
    using layout = packed::hinm<Pattern::kept_of_group, Pattern::group, f16>;
    STATIC_REQUIRE(std::is_same_v<decltype(layer->view()), const layout&>);

    matrix scores(37, 66);
    bits mask(37, 66);
    REQUIRE(prune::score(weights.view(), prune::wanda{}, inputs, scores.view()));
    const auto found = permutation.search(scores.view(), pattern);
    REQUIRE(found);
    pattern.select(scores.view(), found->order, mask.view());
    const packed::hinm_shape shape = packed::shape_of(found->order);
    std::vector<f16> values(layout::n_values(shape));
    std::vector<std::uint32_t> words(layout::n_words(shape));
    REQUIRE(packed::pack<layout::n, layout::m>(weights.view(), mask.view(), found->order,
                                               quant::cast<f16>{}, values, words));
    CHECK(packed::check(layer->view()));
    CHECK(*packed::order_of(layer->view()) == found->order);
    CHECK(holds(*layer, values, words));
    const auto report = layer->report();
    CHECK(report.bytes == 2 * values.size() + 4 * words.size());
    CHECK(std::fabs(report.bits_per_weight - static_cast<double>(8 * report.bytes) / (37 * 66)) <
          1e-12);
    CHECK(report.sparsity == 1.0 - static_cast<double>(mask.view().count()) / (37 * 66));
    CHECK(report.retained == prune::retained(scores.view(), mask.view()));

    if constexpr (std::is_same_v<Permutation, prune::in_place>) {
        bits in_place(37, 66);
        REQUIRE(prune::detail::select(pattern, scores.view(), in_place.view()));
        CHECK(mask.text() == in_place.text());
        CHECK(layer->view().in_place);
    } else {
        const auto identity =
            compress(weights.view(), recipe{prune::wanda{}, pattern, quant::cast<f16>{}}, inputs);
        REQUIRE(identity);
        CHECK(report.retained > identity->report().retained);
        CHECK(report.sparsity == identity->report().sparsity);
    }
}

constexpr prune::hinm<2, 4, 8> halved{.vector_sparsity = 0.5f};

}  // namespace

TEST_CASE("compress packs hinm in its own order, or in the one that gyro finds") {
    check_steps(halved);
    check_steps(halved, prune::gyro{});
    check_steps(halved, prune::gyro{.rounds = 2});
    check_steps(halved, prune::gyro{.outputs = false});
    check_steps(prune::hinm<1, 4, 32>{.vector_sparsity = 0.0f}, prune::gyro{});
}

TEST_CASE("compress packs flex_hinm with its dense columns, and v_n_m") {
    check_steps(prune::flex_hinm<2, 4, 4>{.sparsity = 0.5f});
    check_steps(prune::v_n_m<16, 2, 8>{});
    const auto layer =
        compress(matrix::uniform(64, 64, 1).view(), prune::flex_hinm<2, 4, 4>{.sparsity = 0.5f});
    REQUIRE(layer);
    CHECK(layer->view().dense > 0);
    CHECK(layer->view().dense < layer->view().kept);
    CHECK(layer->report().sparsity == 0.5);
}

TEST_CASE("a layer of hinm multiplies like the matrix it stands for") {
    const matrix weights = matrix::integers(40, 64, 9, 1), x = matrix::integers(3, 64, 8, 2);
    const auto layer =
        compress(weights.view(),
                 recipe{prune::magnitude{}, halved, quant::cast<bf16>{}, prune::gyro{.rounds = 1}});
    REQUIRE(layer);
    CHECK_FALSE(layer->view().in_place);
    const matrix dense = unpacked(*layer);
    matrix y(3, 40);
    REQUIRE(pare::gemm(*layer, x.view(), y.view()));
    int wrong = 0;
    for (std::size_t t = 0; t < 3; ++t)
        for (std::size_t r = 0; r < 40; ++r) {
            float sum = 0.0f;
            for (std::size_t c = 0; c < 64; ++c) sum += dense(r, c) * x(t, c);
            wrong += y(t, r) != sum;
        }
    for (std::size_t i = 0; i < dense.data().size(); ++i)
        wrong += dense.data()[i] != 0.0f && dense.data()[i] != weights.data()[i];
    CHECK(wrong == 0);
}

TEST_CASE("compress with gyro gives the same bytes on every executor") {
    const matrix weights = matrix::uniform(100, 64, 1);
    const recipe with_gyro{prune::magnitude{}, halved, quant::cast<float>{},
                           prune::gyro{.rounds = 2}};
    const auto expected = compress(weights.view(), with_gyro);
    REQUIRE(expected);
    const auto& view = expected->view();
    const std::span<const float> values(view.values, view.n_values(view));
    const std::span<const std::uint32_t> words(view.indices, view.n_words(view));
    pare::thread_pool two(2), three(3);
    const auto check = [&](auto& run) {
        const auto layer = compress(weights.view(), with_gyro, {}, run);
        REQUIRE(layer);
        CHECK(holds(*layer, values, words));
        CHECK(layer->report().retained == expected->report().retained);
    };
    pare::testing::backwards backwards;
    check(two);
    check(three);
    check(backwards);
}

TEST_CASE("an observer hears of the search and may end it with the best layer so far") {
    const matrix weights = matrix::uniform(64, 64, 1);
    const auto layer_of = [&](prune::gyro permutation, auto&& observe) {
        auto layer = compress(weights.view(),
                              recipe{prune::magnitude{}, halved, quant::cast<float>{}, permutation},
                              {}, pare::serial{}, observe);
        REQUIRE(layer);
        return *std::move(layer);
    };
    int n_calls = 0;
    double heard = 0.0;
    const auto whole = layer_of({.rounds = 8}, [&](const prune::search_progress& now) {
        ++n_calls;
        heard = now.retained;
        return true;
    });
    CHECK(n_calls > 8);
    CHECK(std::fabs(whole.report().retained - heard) < 1e-6);

    n_calls = 0;
    const auto ended = layer_of({.rounds = 8}, [&](const prune::search_progress&) {
        ++n_calls;
        return false;
    });
    CHECK(n_calls < 4);
    const auto identity = compress(weights.view(), halved);
    const auto late = layer_of({.deadline = std::chrono::nanoseconds(0)}, prune::unobserved{});
    REQUIRE(identity);
    CHECK(ended.report().retained >= identity->report().retained);
    CHECK(ended.report().retained < whole.report().retained);
    CHECK(late.report().retained == identity->report().retained);
    CHECK(late.view().in_place);
}

TEST_CASE("compress refuses hyper-parameters, weights and shapes that hinm cannot take") {
    const auto refusal = [](const matrix& weights, const auto& pattern, const auto& codec) {
        const auto refused =
            compress(weights.view(), recipe{prune::magnitude{}, pattern, codec, prune::gyro{}});
        REQUIRE_FALSE(refused);
        return refused.error();
    };
    const matrix sound = matrix::uniform(8, 16, 1);
    const quant::cast<f16> f16_codec;
    constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
    for (const float bad : {1.0f, -0.1f, not_a_number})
        CHECK(refusal(sound, prune::hinm<2, 4, 8>{bad}, f16_codec).code == errc::invalid_argument);
    for (const float bad : {not_a_number, std::numeric_limits<float>::infinity(), 1e30f}) {
        matrix weights = sound;
        weights(5, 3) = bad;
        const auto refused = refusal(weights, halved, f16_codec);
        CHECK(refused.code == errc::not_a_number);
        CHECK(refused.where == 5);
    }
    CHECK(refusal(matrix(0, 16), halved, f16_codec).code == errc::shape_mismatch);
    CHECK(refusal(matrix(8, 0), halved, f16_codec).code == errc::shape_mismatch);
    CHECK(refusal(matrix(1, 65537), halved, f16_codec).code == errc::invalid_argument);
    const auto uncalibrated =
        compress(sound.view(), recipe{prune::wanda{}, halved, f16_codec, prune::gyro{}}, {});
    REQUIRE_FALSE(uncalibrated);
    CHECK(uncalibrated.error().code == errc::missing_calibration);
}

TEST_CASE("a layer of hinm moved from is empty") {
    auto made = compress(matrix::uniform(8, 16, 1).view(), halved);
    REQUIRE(made);
    const auto layer = *std::move(made);
    CHECK(layer.view().rows == 8);
    CHECK(made->view().rows == 0);
    CHECK(made->view().columns == nullptr);
    CHECK(made->view().required_bytes() == 0);
    CHECK(made->report().bytes == 0);
}
