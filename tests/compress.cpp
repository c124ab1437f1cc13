// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/compress.hpp>

#include <pare/kernel/gemm.hpp>
#include <pare/prune/optimal_brain.hpp>
#include <pare/prune/wanda.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

using pare::bf16, pare::compress, pare::errc, pare::f16, pare::recipe;
using pare::testing::matrix;
namespace packed = pare::packed;
namespace prune = pare::prune;
namespace quant = pare::quant;

namespace {

// The matrix that a layer stands for.
template <class Layer>
matrix unpacked(const Layer& layer) {
    matrix dense(layer.view().rows, layer.view().cols);
    REQUIRE(packed::unpack(layer.view(), dense.view()));
    return dense;
}

}  // namespace

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
