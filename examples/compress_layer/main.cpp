// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0

// Prunes and packs one layer, runs it, and says what it cost: first by magnitude, then calibrated.
#include <pare/pare.hpp>
#include <pare/prune/observer.hpp>

#include <cmath>
#include <cstdio>
#include <span>
#include <vector>

namespace {

int report(const pare::error& e) {
    std::fprintf(stderr, "compress_layer: %s\n", e.message);
    return 1;
}

// Relative distance of the layer's outputs from those of the dense weights.
template <class Layer>
double output_error(const Layer& layer, pare::matrix_view<const float> w,
                    pare::matrix_view<const float> x) {
    std::vector<float> memory(x.rows() * w.rows());
    const pare::matrix_view<float> y(memory.data(), x.rows(), w.rows());
    if (!pare::gemm(layer, x, y)) return std::nan("");
    double error = 0.0, total = 0.0;
    for (std::size_t t = 0; t < x.rows(); ++t)
        for (std::size_t r = 0; r < w.rows(); ++r) {
            double exact = 0.0;
            for (std::size_t c = 0; c < w.cols(); ++c)
                exact += static_cast<double>(w(r, c)) * static_cast<double>(x(t, c));
            error += std::pow(exact - static_cast<double>(y(t, r)), 2);
            total += exact * exact;
        }
    return std::sqrt(error / total);
}

}  // namespace

int main() {
    constexpr std::size_t out_features = 96, in_features = 256, tokens = 64;
    std::vector<float> weights(out_features * in_features), inputs(tokens * in_features);
    pare::random random(1);
    for (float& w : weights) w = random.symmetric();
    for (std::size_t i = 0; i < inputs.size(); ++i)  // some features are louder than others
        inputs[i] = random.symmetric() * static_cast<float>(1 + i % in_features % 7);

    // [readme-compress]
    pare::matrix_view<const float> w(weights.data(), out_features, in_features);
    pare::matrix_view<const float> x(inputs.data(), tokens, in_features);

    auto layer = pare::compress(w, pare::prune::n_m<2, 4>{}, pare::quant::cast<pare::f16>{});
    if (!layer) return report(layer.error());

    std::printf("%.2f bits per weight, %.1f %% of the saliency kept, output error %.3f\n",
                layer->report().bits_per_weight, 100 * layer->report().retained,
                output_error(*layer, w, x));
    // [readme-compress]

    // [readme-calibrated]
    auto seen = pare::prune::input_observer::make(in_features, false);
    if (!seen) return report(seen.error());
    if (auto ok = seen->add(x); !ok) return report(ok.error());
    std::vector<float> norms(in_features);
    if (auto ok = pare::prune::input_norms(seen->sums().squares, norms); !ok)
        return report(ok.error());

    auto calibrated = pare::compress(w,
                                     pare::recipe{pare::prune::wanda{}, pare::prune::n_m<2, 4>{},
                                                  pare::quant::cast<pare::f16>{}},
                                     {.input_norms = norms});
    if (!calibrated) return report(calibrated.error());
    // [readme-calibrated]

    const double by_wanda = output_error(*calibrated, w, x);
    std::printf("calibrated by wanda: output error %.3f\n", by_wanda);
    return by_wanda < output_error(*layer, w, x) ? 0 : 1;
}
