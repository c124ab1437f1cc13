// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "firewall.hpp"

#if __cplusplus >= 202002L
#error "this file stands for a C++17 engine: it must be compiled as C++17"
#endif

int main() {
    const float weights[2][4] = {{1, 2, 3, 4}, {-5, 0, 1, 6}};
    const float x[4] = {1, 10, 100, 1000};
    float y[2] = {};
    const sparse_linear layer(&weights[0][0], 2, 4);
    if (!layer.ok() || !layer.forward(x, y)) return 1;
    return y[0] == 4300.0f && y[1] == 5995.0f ? 0 : 1;
}
