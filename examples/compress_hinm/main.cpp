// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0

// Hierarchical N:M in an order that is searched for until a deadline, or until the user has enough.
#include <pare/pare.hpp>

#include <chrono>
#include <cstdio>
#include <vector>

int main() {
    using namespace std::chrono_literals;
    constexpr std::size_t out_features = 256, in_features = 512;
    std::vector<float> weights(out_features * in_features), x(in_features), y(out_features);
    pare::random random(1);
    for (float& w : weights) w = random.symmetric();
    for (float& v : x) v = random.symmetric();
    const pare::matrix_view<const float> w(weights.data(), out_features, in_features);

    const pare::prune::hinm<2, 4, 32> pattern{.vector_sparsity = 0.5f};
    const auto in_place = pare::compress(w, pattern, pare::quant::cast<pare::f16>{});

    const pare::recipe recipe{pare::prune::magnitude{}, pattern, pare::quant::cast<pare::f16>{},
                              pare::prune::gyro{.deadline = 300ms, .seed = 1}};
    pare::thread_pool threads(2);
    const auto layer =
        pare::compress(w, recipe, {}, threads, [](const pare::prune::search_progress& now) {
            std::printf("%3zu: %.2f %%\n", now.rounds, 100 * now.retained);
            return now.retained < 0.99;  // false ends the search
        });
    if (!in_place || !layer || !pare::gemv(*layer, x, y)) return 1;  // NaN in the weights, ...

    std::printf("%.2f bits per weight, %.1f %% of the saliency kept, in place %.1f %%\n",
                layer->report().bits_per_weight, 100 * layer->report().retained,
                100 * in_place->report().retained);
    return layer->report().retained >= in_place->report().retained ? 0 : 1;
}
