// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/cuda/hinm_tile.hpp>

#include <pare/kernel/reference.hpp>

#include "emulation.hpp"
#include "packed.hpp"
#include "support/catch.hpp"
#include "support/metrics.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

using pare::bf16, pare::f16;
using namespace pare::testing;
namespace cuda = pare::cuda;

namespace {

// x (tokens, features) as the kernel takes it, feature by feature, padding and all that lies around
// it being NaN.
template <class T>
struct features {
    std::size_t stride;
    std::vector<T> memory;

    explicit features(const matrix& x)
        : stride((x.rows() + 7) / 8 * 8 + 8),
          memory(x.cols() * stride, pare::from_float<T>(std::numeric_limits<float>::quiet_NaN())) {
        for (std::size_t t = 0; t < x.rows(); ++t)
            for (std::size_t c = 0; c < x.cols(); ++c)
                memory[c * stride + t] = pare::from_float<T>(x(t, c));
    }
};

// The emulated kernel's y (tokens, outputs), NaN where nothing was stored.
template <int V, int Tokens, class T>
matrix emulated_gemm(const gpu_weights<V, T>& weights, const matrix& x, arrival arrives,
                     const pare::epilogue& after = {}) {
    const std::size_t tokens = x.rows(), outputs = weights.layout.rows;
    const features<T> in(x);
    std::vector<float> y(outputs * tokens, std::numeric_limits<float>::quiet_NaN());
    for (std::size_t tile = 0; tile < weights.layout.n_tiles(); ++tile)
        for (std::size_t block = 0; block * Tokens < tokens; ++block)
            REQUIRE(emulated_block<V, Tokens, T>({weights.layout, in.memory.data(), in.stride,
                                                  y.data(), tokens, tokens, after},
                                                 tile, block, arrives)
                        .run());
    matrix by_token(tokens, outputs);
    for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t r = 0; r < outputs; ++r) by_token(t, r) = y[r * tokens + t];
    return by_token;
}

template <int V, class T>
matrix expected_gemm(const gpu_weights<V, T>& weights, const matrix& x,
                     const pare::epilogue& after = {}) {
    matrix y(x.rows(), weights.layout.rows);
    pare::kernel::gemm_ref(weights.source.view(), x.view(), y.view(), after);
    return y;
}

// Whole numbers: sums are exact in any order.
template <int V, int Tokens, class T>
void check_exactly(std::size_t rows, std::size_t cols, std::size_t tokens, std::uint64_t seed) {
    CAPTURE(V, Tokens, rows, cols, tokens, seed);
    const gpu_weights<V, T> weights(matrix::integers(rows, cols, 8, seed), seed);
    const matrix x = matrix::integers(tokens, cols, 8, seed + 1);
    const matrix expected = expected_gemm(weights, x);
    for (const arrival arrives : {arrival::at_once, arrival::when_waited_for})
        CHECK(emulated_gemm<V, Tokens>(weights, x, arrives).data() == expected.data());
}

template <int V, int Tokens, class T>
void check_tails() {
    std::uint64_t seed = 0;
    for (const std::size_t rows : {std::size_t{V}, std::size_t{V + V / 2 + 3}})
        for (const std::size_t cols : {3u, 300u})
            for (const std::size_t tokens : {std::size_t{1}, std::size_t{Tokens + 13}})
                check_exactly<V, Tokens, T>(rows, cols, tokens, ++seed);
}

// 16-byte accesses of a warp are served eight lanes at a time: each eight must use all banks.
template <class Offset>
int bank_conflicts(Offset offset) {
    int conflicts = 0;
    for (int first = 0; first < 32; first += 8) {
        std::set<int> banks;
        for (int lane = first; lane < first + 8; ++lane) banks.insert(offset(lane) / 16 % 8);
        conflicts += 8 - static_cast<int>(banks.size());
    }
    return conflicts;
}

template <int V, int Tokens>
void check_shared_memory() {
    using tile = cuda::hinm_tile<V, Tokens>;
    CAPTURE(V, Tokens);
    std::vector<int> written(tile::values_offset / 16);
    int conflicts = 0, misplaced = 0;
    for (int i = 0; i < tile::gathered_pieces; ++i)
        for (int thread = 0; thread < tile::threads; ++thread) {
            const int column = tile::gathered_column(thread, i);
            ++written[static_cast<std::size_t>(
                tile::x_offset(column, tile::gathered_token(thread)) / 16)];
            misplaced += column / 32 != tile::gathered_half(i);
        }
    CHECK(std::count(written.begin(), written.end(), 1) == tile::values_offset / 16);
    CHECK(misplaced == 0);
    for (int warp = 0; warp < tile::warps; ++warp) {
        for (int i = 0; i < tile::gathered_pieces; ++i)
            conflicts += bank_conflicts([&](int lane) {
                const int thread = warp * 32 + lane;
                return tile::x_offset(tile::gathered_column(thread, i),
                                      tile::gathered_token(thread));
            });
        for (int step = 0; step < 2; ++step) {
            for (int n = 0; n < tile::token_fragments; ++n)
                conflicts +=
                    bank_conflicts([&](int lane) { return tile::b_offset(warp, step, n, lane); });
            for (int m = 0; m < tile::row_fragments; ++m)
                conflicts +=
                    bank_conflicts([&](int lane) { return tile::a_offset(warp, step, m, lane); });
        }
    }
    CHECK(conflicts == 0);
}

}  // namespace

TEST_CASE("blocks of the GPU kernel write all of their shared memory once and without conflicts") {
    check_shared_memory<32, 64>();
    check_shared_memory<32, 256>();
    check_shared_memory<64, 64>();
    check_shared_memory<64, 256>();
    check_shared_memory<128, 64>();
    check_shared_memory<128, 128>();
}

TEST_CASE("the emulated GPU kernel multiplies as gemm does, tiles of 32 rows") {
    check_tails<32, 64, f16>();
    check_tails<32, 256, bf16>();
}

TEST_CASE("the emulated GPU kernel multiplies as gemm does, tiles of 64 rows") {
    check_tails<64, 64, bf16>();
    check_tails<64, 256, f16>();
}

TEST_CASE("the emulated GPU kernel multiplies as gemm does, tiles of 128 rows") {
    check_tails<128, 64, f16>();
    check_tails<128, 128, bf16>();
}

TEST_CASE("the emulated GPU kernel errs by no more than sums in another order do") {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        CAPTURE(seed);
        const gpu_weights<64, f16> weights(matrix::uniform(100, 200, seed), seed);
        matrix x = matrix::uniform(70, 200, seed + 1);
        for (float& v : x.data()) v = pare::to_float(pare::from_float<f16>(v));
        const matrix expected = expected_gemm(weights, x);
        const matrix y = emulated_gemm<64, 64>(weights, x, arrival::when_waited_for);
        int worse = 0;
        for (std::size_t t = 0; t < 70; ++t)
            for (std::size_t r = 0; r < 100; ++r) {
                double magnitude = 0.0;
                for (std::size_t c = 0; c < 200; ++c)
                    magnitude += std::abs(static_cast<double>(weights.source.dense()(r, c)) *
                                          static_cast<double>(x(t, c)));
                // Both may be off by the bound.
                const double bound = 2.0 * dot_product_bound(200, magnitude);
                worse += !(std::abs(static_cast<double>(y(t, r) - expected(t, r))) <= bound);
            }
        CHECK(worse == 0);
    }
}

TEST_CASE("the emulated GPU kernel finishes sums as the epilogue says, output by output") {
    const gpu_weights<32, f16> weights(matrix::integers(50, 40, 4, 1), 1);
    const matrix x = matrix::integers(20, 40, 4, 2);
    std::vector<float> bias(50), scale(50);
    for (std::size_t r = 0; r < 50; ++r) {
        bias[r] = static_cast<float>(r) - 20.0f;
        scale[r] = r % 2 == 0 ? 0.5f : -2.0f;
    }
    for (const pare::epilogue& after :
         {pare::epilogue{.bias = bias}, pare::epilogue{bias, scale, pare::activation::relu},
          pare::epilogue{{}, scale, pare::activation::relu6}})
        CHECK(emulated_gemm<32, 64>(weights, x, arrival::at_once, after).data() ==
              expected_gemm(weights, x, after).data());
}

TEST_CASE("activations of features that a tile does not keep are not looked at") {
    const gpu_weights<32, f16> weights(matrix::integers(32, 40, 4, 3), 3);
    matrix x = matrix::integers(9, 40, 4, 2);
    const matrix expected = expected_gemm(weights, x);
    std::set<std::uint32_t> kept;
    for (std::size_t k = 0; k < weights.layout.n_columns(); ++k)
        kept.insert(weights.layout.columns[k]);
    std::size_t n_others = 0;
    for (std::uint32_t c = 0; c < 40; ++c)
        for (std::size_t t = 0; t < 9 && !kept.contains(c); ++t, ++n_others)
            x(t, c) = std::numeric_limits<float>::quiet_NaN();
    REQUIRE(n_others > 0);
    CHECK(emulated_gemm<32, 64>(weights, x, arrival::at_once).data() == expected.data());
}

TEST_CASE("the wide block runs where it fills the multiprocessors and fits their memory") {
    // 132 multiprocessors with 227 KiB a block; an RTX 3090's 99 KiB.
    CHECK(cuda::is_wide<128>(32, 640, 132, 232448));
    CHECK_FALSE(cuda::is_wide<128>(32, 512, 132, 232448));
    CHECK(cuda::is_wide<64>(64, 4096, 132, 232448));
    CHECK_FALSE(cuda::is_wide<64>(64, 4096, 132, 101376));
    CHECK(cuda::hinm_tile<128, cuda::narrow_tokens>::shared_bytes <= 101376);
}
