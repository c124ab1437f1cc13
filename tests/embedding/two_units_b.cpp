// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/all_headers.hpp>

#include <array>

float sum_of_layer(float weight);

float sum_of_layer(float weight) {
    std::array<float, 32> weights;
    weights.fill(weight);
    const std::array<float, 8> x{1, 1, 1, 1, 1, 1, 1, 1};
    std::array<float, 4> y{};
    const auto layer = pare::compress({weights.data(), 4, 8}, pare::prune::n_m<1, 4>{});
    if (!layer || !pare::gemm(*layer, {x.data(), 1, 8}, {y.data(), 1, 4})) return 0.0f;
    return y[0] + y[1] + y[2] + y[3];
}
