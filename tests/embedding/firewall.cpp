// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "firewall.hpp"

#include <pare/pare.hpp>

#include <utility>

using packed_layer = pare::layer<pare::packed::n_m<2, 4, float>>;

struct sparse_linear::layer {
    packed_layer packed;
};

sparse_linear::sparse_linear(const float* weights, std::size_t rows, std::size_t cols) {
    auto packed = pare::compress({weights, rows, cols}, pare::prune::n_m<2, 4>{});
    if (packed) layer_ = std::make_unique<layer>(layer{*std::move(packed)});
}

sparse_linear::~sparse_linear() = default;

bool sparse_linear::forward(const float* x, float* y) const {
    const auto& w = layer_->packed.view();
    return pare::gemm(w, {x, 1, w.cols}, {y, 1, w.rows}).has_value();
}
