// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "calibrate.hpp"

#include "evaluate.hpp"

#include <algorithm>

namespace vision {

layer_statistics calibrate(const model& dense, const images& from, bool inverse_hessian,
                           const std::function<void()>& told) {
    const std::size_t n_classes = dense.architecture().n_classes();
    std::map<std::string, tools::input_sums> seen;
    workspace w(dense.architecture(), batch);
    std::vector<float> logits(batch * n_classes);
    for (std::size_t b = 0; b < n_calibration_batches(from); ++b) {
        const std::size_t n = std::min(batch, from.size() - b * batch);
        dense.forward(from, b * batch, w, {logits.data(), n, n_classes},
                      [&](const std::string& name, pare::matrix_view<const float> x) {
                          seen[name].add(x, inverse_hessian);
                      });
        told();
    }
    layer_statistics found;
    for (const auto& [name, sums] : seen) found[name] = sums.finish();
    return found;
}

std::size_t n_calibration_batches(const images& from) {
    return std::min<std::size_t>(8, (from.size() + batch - 1) / batch);
}

}  // namespace vision
