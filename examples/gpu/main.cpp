// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0

// One layer on a GPU: HiNM weights in any order on sparse tensor cores, checked against the CPU's
// gemm and timed beside dense ones in cuBLAS.
#include <pare/pare.hpp>

#include "device.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

using pare::f16;
constexpr int tile_rows = 128;

/// Median over some runs, after one that does not count.
template <class Run>
double median_seconds(const gpu::stream& stream, Run run) {
    std::vector<double> seconds(21);
    run();
    for (double& s : seconds) s = stream.seconds(run);
    std::nth_element(seconds.begin(), seconds.begin() + 10, seconds.end());
    return seconds[10];
}

/// Outputs and each tile's inputs in random order: it costs the kernel nothing.
void shuffle(pare::prune::hinm_order& order) {
    pare::random draw(1);
    const auto shuffle_list = [&](std::span<std::uint32_t> list) {
        for (std::size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[draw.below(i)]);
    };
    shuffle_list(order.outputs());
    for (std::size_t t = 0; t < order.n_tiles(); ++t) shuffle_list(order.columns(t));
}

}  // namespace

int main(int argc, char** argv) {
    const auto argument = [&](int i, std::size_t otherwise) {
        return argc > i ? std::strtoull(argv[i], nullptr, 10) : otherwise;
    };
    const std::size_t rows = argument(1, 4096), cols = argument(2, 4096),
                      tokens = (argument(3, 4096) + 7) / 8 * 8;
    if (argc > 4 || rows == 0 || cols == 0 || tokens == 0) {
        std::fprintf(stderr, "usage: %s [OUT_FEATURES [IN_FEATURES [TOKENS]]]\n", argv[0]);
        return 2;
    }
    if (const std::string why = gpu::obstacle(); !why.empty()) {
        std::printf("skipped: %s\n", why.c_str());
        return 0;
    }
    std::vector<float> dense(rows * cols), x(cols * tokens);
    pare::random random(1);
    for (float& w : dense) w = random.symmetric();
    for (float& v : x) v = random.symmetric();
    std::vector<f16> dense_f16(dense.size()), x_f16(x.size());
    for (std::size_t i = 0; i < dense.size(); ++i) dense_f16[i] = pare::from_float<f16>(dense[i]);
    for (std::size_t i = 0; i < x.size(); ++i) {
        x_f16[i] = pare::from_float<f16>(x[i]);
        x[i] = pare::to_float(x_f16[i]);
    }
    const pare::matrix_view<const float> w(dense.data(), rows, cols);

    const gpu::stream stream;
    const gpu::cublas cublas(stream);
    const gpu::array<f16> on_gpu_w{std::span<const f16>(dense_f16)};
    const gpu::array<f16> on_gpu_x{std::span<const f16>(x_f16)};
    const gpu::array<f16> on_gpu_y(rows * tokens);
    double dense_seconds = 1e9;
    for (const bool feature_major : {false, true})
        dense_seconds = std::min(dense_seconds, median_seconds(stream, [&] {
                                     cublas.gemm(on_gpu_w.data(), rows, cols, on_gpu_x.data(),
                                                 on_gpu_y.data(), tokens, feature_major);
                                 }));
    const double work =
        2e-12 * static_cast<double>(rows) * static_cast<double>(cols) * static_cast<double>(tokens);
    std::printf("%zu x %zu, %zu tokens, f16\ndense, cuBLAS %28.1f us %8.1f TFLOP/s\n", rows, cols,
                tokens, dense_seconds * 1e6, work / dense_seconds);

    for (const float sparsity : {0.0f, 0.5f, 0.75f})
        for (const bool permuted : {false, true}) {
            const pare::prune::hinm<2, 4, tile_rows> pattern{.vector_sparsity = sparsity};
            auto order = pare::compress(w, pattern, pare::quant::cast<f16>{});
            if (!order) return 1;
            auto found = pare::packed::order_of(order->view());
            if (!found) return 1;
            if (permuted) shuffle(*found);
            const auto layer = pare::compress(
                w, pare::recipe{pare::prune::magnitude{}, pattern, pare::quant::cast<f16>{},
                                pare::prune::given_order{&*found}});
            if (!layer) return 1;

            const gpu::weights<f16> on_gpu(layer->view());
            const auto x_view =
                pare::matrix_view<const f16>(on_gpu_x.data(), cols, tokens).transposed();
            const auto y_view = pare::matrix_view<f16>(on_gpu_y.data(), rows, tokens).transposed();
            const auto run = [&] {
                if (auto done = gpu::hinm_gemm(on_gpu.layout, x_view, y_view, stream); !done) {
                    std::fprintf(stderr, "%s\n", done.error().message);
                    std::exit(1);
                }
            };
            const double seconds = median_seconds(stream, run);

            // Some tokens again on the CPU: sums of `cols` products below 1, each rounded by half
            // an ulp of a partial sum, then to f16.
            const std::vector<f16> y = on_gpu_y.to_host();
            const std::size_t n_checked = std::min<std::size_t>(tokens, 16);
            std::vector<float> expected(n_checked * rows);
            const pare::matrix_view<const float> x_host(x.data(), cols, tokens);
            if (!pare::gemm(*layer,
                            x_host.block(0, tokens - n_checked, cols, n_checked).transposed(),
                            {expected.data(), n_checked, rows}))
                return 1;
            double worst = 0.0;
            for (std::size_t t = 0; t < n_checked; ++t)
                for (std::size_t r = 0; r < rows; ++r) {
                    const double e = static_cast<double>(expected[t * rows + r]);
                    const double got =
                        static_cast<double>(pare::to_float(y[r * tokens + tokens - n_checked + t]));
                    const double bound =
                        std::abs(e) * 0x1p-11 + 0x1p-20 * static_cast<double>(cols);
                    worst = std::max(worst, std::isnan(got) ? 1e9 : std::abs(got - e) / bound);
                }
            std::printf("hinm %4.1f %%, %s %20.1f us %8.1f TFLOP/s %6.2fx%s\n",
                        100.0 * (1.0 - 0.5 * (1.0 - static_cast<double>(sparsity))),
                        permuted ? "any order" : "in place ", seconds * 1e6, work / seconds,
                        dense_seconds / seconds, worst <= 1.0 ? "" : "  WRONG");
            if (worst > 1.0) return 1;
        }
}
