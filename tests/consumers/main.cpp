// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// The program of every consumer project.
#include <pare/pare.hpp>

#include <array>
#include <cstdio>

int main() {
    const std::array<float, 4> weights{1, 2, 3, 4}, x{1, 10, 100, 1000};
    std::array<float, 1> y{};
    const auto layer = pare::compress({weights.data(), 1, 4}, pare::prune::n_m<2, 4>{});
    if (!layer || !pare::gemm(*layer, {x.data(), 1, 4}, {y.data(), 1, 1})) return 1;
    std::printf("%g\n", static_cast<double>(y[0]));
    return y[0] == 4300.0f ? 0 : 1;
}
