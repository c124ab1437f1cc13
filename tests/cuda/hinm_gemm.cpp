// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "simt.hpp"

#include <pare/cuda/hinm_gemm.cuh>

#include "packed.hpp"
#include "support/catch.hpp"
#include "support/metrics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <vector>

using pare::bf16, pare::errc, pare::f16, pare::matrix_view;
using namespace pare::testing;
using simt::arrival;
namespace cuda = pare::cuda;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
enum class block_size { narrow, wide };

// A matrix (tokens, features), NaN where nothing is put. Feature by feature, there is room between
// features.
template <class T>
struct activations {
    std::size_t tokens, features, stride;
    major order;
    std::vector<T> memory;
    T* first;  // at a multiple of 16 bytes

    activations(std::size_t n_tokens, std::size_t n_features, major m)
        : tokens(n_tokens), features(n_features),
          stride(m == major::token ? n_features : (n_tokens + 7) / 8 * 8 + 8), order(m),
          memory(stride * (m == major::token ? n_tokens : n_features) + 16,
                 pare::from_float<T>(not_a_number)),
          first(memory.data()) {
        while (reinterpret_cast<std::uintptr_t>(first) % 16 != 0) ++first;
    }
    activations(const activations&) = delete;

    matrix_view<T> view() const {
        if (order == major::token) return {first, tokens, features};
        return matrix_view<T>(first, features, tokens, stride).transposed();
    }
    std::size_t n_numbers() const {
        return static_cast<std::size_t>(std::count_if(
            memory.begin(), memory.end(), [](T v) { return !std::isnan(pare::to_float(v)); }));
    }
};

// What the kernel makes of x; every number that it stores has its place in y.
template <class Y = float, int V, class T>
matrix emulated_gemm(const gpu_weights<V, T>& weights, const matrix& x, block_size size,
                     major x_major = major::feature, major y_major = major::feature,
                     const pare::epilogue& after = {}) {
    const std::size_t tokens = x.rows(), outputs = weights.layout.rows;
    activations<T> in(tokens, x.cols(), x_major);
    activations<Y> out(tokens, outputs, y_major);
    for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t c = 0; c < x.cols(); ++c) in.view()(t, c) = pare::from_float<T>(x(t, c));
    const matrix_view<const T> x_view = in.view();
    activations<float> workspace(1, cuda::hinm_workspace_bytes(x_view, out.view()) / 4,
                                 major::token);

    simt::gpu.multiprocessors = size == block_size::wide ? 1 : 1000000;
    simt::gpu.n_faults = simt::gpu.n_launches = 0;
    const auto done =
        cuda::hinm_gemm(weights.layout, x_view, out.view(), nullptr, after,
                        std::as_writable_bytes(std::span(workspace.first, workspace.features)));
    REQUIRE(done);
    CHECK(simt::gpu.n_faults == 0);
    CHECK(simt::gpu.n_launches == 1 + (x_major == major::token) + (y_major == major::token));
    CHECK(out.n_numbers() == tokens * outputs);
    matrix y(tokens, outputs);
    for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t r = 0; r < outputs; ++r) y(t, r) = pare::to_float(out.view()(t, r));
    return y;
}

// Whole numbers: sums are exact in any order.
template <int V, class T>
void check_tails() {
    std::uint64_t seed = 0;
    for (const block_size size : {block_size::narrow, block_size::wide})
        for (const std::size_t rows : {std::size_t{V}, std::size_t{V + V / 2 + 3}})
            for (const std::size_t cols : {3u, 300u})
                for (const std::size_t tokens : {1u, 77u}) {
                    ++seed;
                    CAPTURE(V, rows, cols, tokens, seed);
                    const gpu_weights<V, T> weights(matrix::integers(rows, cols, 8, seed), seed);
                    const matrix x = matrix::integers(tokens, cols, 8, seed + 1);
                    simt::gpu.copies = seed % 3 == 0 ? arrival::at_once : arrival::when_waited_for;
                    CHECK(emulated_gemm(weights, x, size).data() ==
                          expected_gemm(weights, x).data());
                }
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

TEST_CASE("the GPU kernel, emulated, multiplies as gemm does, tiles of 32 rows") {
    check_tails<32, f16>();
}

TEST_CASE("the GPU kernel, emulated, multiplies as gemm does, tiles of 64 rows") {
    check_tails<64, bf16>();
}

TEST_CASE("the GPU kernel, emulated, multiplies as gemm does, tiles of 128 rows") {
    check_tails<128, f16>();
}

TEST_CASE("the GPU kernel, emulated, takes and gives activations by token or by feature") {
    const gpu_weights<32, bf16> weights(matrix::integers(70, 90, 2, 5), 5);
    const matrix x = matrix::integers(45, 90, 2, 6);
    const matrix expected = expected_gemm(weights, x);
    for (const major x_major : {major::token, major::feature})
        for (const major y_major : {major::token, major::feature}) {
            CHECK(emulated_gemm(weights, x, block_size::narrow, x_major, y_major).data() ==
                  expected.data());
            const matrix y = emulated_gemm<bf16>(weights, x, block_size::narrow, x_major, y_major);
            int wrong = 0;
            for (std::size_t i = 0; i < y.data().size(); ++i)
                wrong += y.data()[i] != pare::to_float(pare::from_float<bf16>(expected.data()[i]));
            CHECK(wrong == 0);
        }
}

TEST_CASE("the GPU kernel, emulated, takes and gives a single feature of consecutive tokens") {
    for (const std::size_t tokens : {1u, 13u}) {
        const gpu_weights<32, f16> from_one(matrix::integers(40, 1, 2, 5), 5),
            to_one(matrix::integers(1, 40, 2, 5), 5);
        const matrix one = matrix::integers(tokens, 1, 2, 6),
                     many = matrix::integers(tokens, 40, 2, 6);
        for (const major m : {major::token, major::feature}) {
            CAPTURE(tokens, m);
            CHECK(emulated_gemm(from_one, one, block_size::narrow, m).data() ==
                  expected_gemm(from_one, one).data());
            CHECK(emulated_gemm(to_one, many, block_size::narrow, major::feature, m).data() ==
                  expected_gemm(to_one, many).data());
        }
    }
}

TEST_CASE("the GPU kernel, emulated, errs by no more than sums in another order do") {
    const gpu_weights<64, f16> weights(matrix::uniform(100, 200, 1), 1);
    matrix x = matrix::uniform(70, 200, 2);
    for (float& v : x.data()) v = pare::to_float(pare::from_float<f16>(v));
    // The kernel and its twin may each be off by the bound.
    CHECK(n_beyond(2.0, 0.0, emulated_gemm(weights, x, block_size::narrow), weights, x) == 0);
}

TEST_CASE("the GPU kernel, emulated, finishes sums as the epilogue says, output by output") {
    const gpu_weights<32, f16> weights(matrix::integers(50, 40, 4, 1), 1);
    const matrix x = matrix::integers(20, 40, 4, 2);
    const epilogues some(50);
    for (const pare::epilogue& after : some.all())
        CHECK(emulated_gemm(weights, x, block_size::narrow, major::feature, major::feature, after)
                  .data() == expected_gemm(weights, x, after).data());
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
        for (std::size_t t = 0; t < 9 && !kept.contains(c); ++t, ++n_others) x(t, c) = not_a_number;
    REQUIRE(n_others > 0);
    CHECK(emulated_gemm(weights, x, block_size::narrow).data() == expected.data());
}

TEST_CASE("what the GPU refuses is returned in its own words") {
    const gpu_weights<32, f16> weights(matrix::uniform(40, 40, 1), 1);
    const activations<f16> x(8, 40, major::feature);
    const activations<f16> y(8, 40, major::feature);
    const auto refusal = [&](simt::device device) {
        simt::gpu = device;
        const matrix_view<const f16> x_view = x.view();
        const auto refused = cuda::hinm_gemm(weights.layout, x_view, y.view(), nullptr);
        simt::gpu = {};
        REQUIRE_FALSE(refused);
        return refused.error();
    };
    const auto failed = refusal({.failure = simt::error::launch_failure});
    CHECK(failed.code == errc::io_failure);
    CHECK(failed.where == 719);
    CHECK(std::string(failed.message) == cudaGetErrorString(simt::error::launch_failure));
    CHECK(refusal({.failure = simt::error::out_of_memory}).code == errc::out_of_memory);
    CHECK(refusal({.shared_bytes = 1000}).where == 1);  // of setting the kernel's attribute
    CHECK(y.n_numbers() == 0);
}

TEST_CASE("the wide block runs where it fills the multiprocessors and fits their memory") {
    // 132 multiprocessors with 227 KiB a block; an RTX 3090's 99 KiB.
    CHECK(cuda::is_wide<128>(32, 640, 132, 232448));
    CHECK_FALSE(cuda::is_wide<128>(32, 512, 132, 232448));
    CHECK(cuda::is_wide<64>(64, 4096, 132, 232448));
    CHECK_FALSE(cuda::is_wide<64>(64, 4096, 132, 101376));
    CHECK(cuda::hinm_tile<128, cuda::narrow_tokens>::shared_bytes <= 101376);
}
