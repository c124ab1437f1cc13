// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// Compiled once per instruction set, with MIXED_FLAGS_NAME its entry point: a program that
// dispatches at run time links all of them. It uses the library widely, so that the objects hold
// its functions.
#include <pare/pare.hpp>

#include <array>

namespace {

template <class Pattern, class T>
float run_layer(const std::array<float, 40 * 24>& weights, const std::array<float, 5 * 24>& x) {
    std::array<float, 5 * 40> y{};
    const auto layer =
        pare::compress({weights.data(), 40, 24},
                       pare::recipe{pare::prune::magnitude{}, Pattern{}, pare::quant::cast<T>{}});
    if (!layer || !pare::gemm(*layer, {x.data(), 5, 24}, {y.data(), 5, 40})) return -1.0f;
    float sum = 0.0f;
    for (const float v : y) sum += v;
    return sum;
}

}  // namespace

float MIXED_FLAGS_NAME();

float MIXED_FLAGS_NAME() {
    std::array<float, 40 * 24> weights;
    std::array<float, 5 * 24> x;
    // Small integers: every order of summation and every storage type gives the same sum.
    pare::random random(1);
    for (float& w : weights) w = static_cast<float>(random.below(17));
    for (float& v : x) v = static_cast<float>(random.below(9));
    return run_layer<pare::prune::n_m<2, 4>, float>(weights, x) +
           run_layer<pare::prune::n_m<2, 4>, pare::f16>(weights, x) +
           run_layer<pare::prune::n_m<1, 8>, pare::bf16>(weights, x) +
           run_layer<pare::prune::unstructured, pare::f16>(weights, x) +
           run_layer<pare::prune::dense, float>(weights, x);
}
