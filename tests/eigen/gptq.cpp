// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/quant/gptq.hpp>

#include <pare/compress.hpp>
#include <pare/core/thread_pool.hpp>
#include <pare/eigen/inverse_hessian.hpp>
#include <pare/prune/hinm.hpp>
#include <pare/prune/unaligned_block.hpp>
#include <pare/quant/scaled.hpp>

#include "support/catch.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"

#include <cmath>
#include <cstddef>

using pare::compress, pare::errc, pare::recipe;
using pare::testing::bits, pare::testing::matrix, pare::testing::unpacked;
namespace packed = pare::packed;
namespace prune = pare::prune;
namespace quant = pare::quant;

namespace {

// Inputs whose features are mixtures of fewer ones, so that some can make up for others.
struct mixed_inputs {
    matrix gram, factor;

    explicit mixed_inputs(std::size_t cols) : gram(cols, cols), factor(cols, cols) {
        constexpr std::size_t tokens = 200;
        const std::size_t sources = cols / 4;
        const matrix z = matrix::uniform(tokens, sources, 2),
                     mix = matrix::uniform(sources, cols, 3),
                     noise = matrix::uniform(tokens, cols, 4);
        matrix x(tokens, cols);
        for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t c = 0; c < cols; ++c) {
                x(t, c) = 0.3f * noise(t, c);
                for (std::size_t s = 0; s < sources; ++s) x(t, c) += z(t, s) * mix(s, c);
            }
        for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t a = 0; a < cols; ++a)
                for (std::size_t b = 0; b < cols; ++b) gram(a, b) += x(t, a) * x(t, b);
        REQUIRE(pare::eigen::inverse_hessian_factor(gram.view(), 0.01f, factor.view()));
    }
    prune::calibration view() const { return {.inverse_hessian_factor = factor.view()}; }

    // Squared error of the outputs when weights become others.
    double lost(const matrix& weights, const matrix& others) const {
        double sum = 0.0;
        for (std::size_t r = 0; r < weights.rows(); ++r)
            for (std::size_t a = 0; a < weights.cols(); ++a)
                for (std::size_t b = 0; b < weights.cols(); ++b)
                    sum += static_cast<double>(weights(r, a) - others(r, a)) *
                           static_cast<double>(gram(a, b)) *
                           static_cast<double>(weights(r, b) - others(r, b));
        return sum;
    }
};

}  // namespace

TEST_CASE("what one pruned weight takes is made up for as the optimal brain surgeon does") {
    // OBS: w_k - w_0 [H^-1]_0k / [H^-1]_00 when weight 0 goes.
    const matrix hessian(3, 3, {4, 1, 2, 1, 3, 1, 2, 1, 5});
    matrix factor(3, 3), out(1, 3);
    REQUIRE(pare::eigen::inverse_hessian_factor(hessian.view(), 0.0f, factor.view()));
    const matrix weights(1, 3, {2, -1, 0.5f});
    bits kept(1, 3, true);
    kept.view().set(0, 0, false);
    REQUIRE(quant::compensate(weights.view(), kept.view(), factor.view(), out.view()));
    // det H = 43; H^-1 = [14 -3 -5; -3 16 -2; -5 -2 11] / 43.
    CHECK(out(0, 0) == 0.0f);
    CHECK(std::fabs(out(0, 1) - (-1.0f + 2.0f * 3.0f / 14.0f)) < 1e-6f);
    CHECK(std::fabs(out(0, 2) - (0.5f + 2.0f * 5.0f / 14.0f)) < 1e-6f);
}

TEST_CASE("gptq loses less than rounding to the nearest, on every layout and within its mask") {
    const matrix weights = matrix::uniform(37, 64, 1);
    const mixed_inputs inputs(64);
    const auto check = [&](const auto& pattern, const auto& codec) {
        const auto nearest = compress(weights.view(), recipe{prune::magnitude{}, pattern, codec});
        const auto better = compress(
            weights.view(), recipe{prune::magnitude{}, pattern, quant::gptq{codec}}, inputs.view());
        REQUIRE((nearest && better));
        CHECK(packed::check(better->view()));
        CHECK(better->report().bytes == nearest->report().bytes);
        CHECK(better->report().retained == nearest->report().retained);
        const matrix rounded = unpacked(*nearest), swept = unpacked(*better);
        CHECK(inputs.lost(weights, swept) < 0.75 * inputs.lost(weights, rounded));
        return swept;
    };
    check(prune::dense{}, quant::int4<quant::per_group<32>>{});
    check(prune::n_m<2, 4>{}, quant::int4<>{});
    check(prune::hinm<2, 4, 16>{.vector_sparsity = 0.25f}, quant::uint4<quant::per_group<32>>{});
    check(prune::n_m<2, 4>{}, quant::cast<pare::f16>{});
    const matrix blocks =
        check(prune::unaligned_block<8>{.sparsity = 0.5f}, quant::int4<quant::per_group<32>>{});
    const auto exact = compress(weights.view(), prune::unaligned_block<8>{.sparsity = 0.5f});
    REQUIRE(exact);
    const matrix mask = unpacked(*exact);
    int outside = 0;
    for (std::size_t i = 0; i < blocks.data().size(); ++i)
        outside += mask.data()[i] == 0.0f && blocks.data()[i] != 0.0f;
    CHECK(outside == 0);
}

TEST_CASE("gptq gives the same codes for any number of threads, and says what it lacks") {
    const matrix weights = matrix::uniform(50, 64, 1);
    const mixed_inputs inputs(64);
    const recipe by_gptq{prune::magnitude{}, prune::n_m<2, 4>{}, quant::gptq{quant::int4<>{}}};
    pare::thread_pool three(3);
    const auto serial = compress(weights.view(), by_gptq, inputs.view());
    const auto threaded = compress(weights.view(), by_gptq, inputs.view(), three);
    REQUIRE((serial && threaded));
    CHECK(unpacked(*serial).data() == unpacked(*threaded).data());
    const auto refused = compress(weights.view(), by_gptq, {});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::missing_calibration);
}
