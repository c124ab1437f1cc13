// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "repair.hpp"

#include "common/error.hpp"
#include "common/tensors.hpp"

#include <pare/eigen/least_squares_repair.hpp>

#include <cstdint>
#include <utility>
#include <vector>

namespace vision {

namespace {

// What a layer says with the input channels that stay, as near as they can to what it said with
// all. Its shift goes into the bias; where there is none a batch norm follows, whose mean is
// estimated again.
void fold(const convolution& c, std::span<const std::uint32_t> kept, std::size_t channels,
          const pare::prune::input_observer& seen, dense_tensors& tensors) {
    dense_tensor& t = tensors.at(c.name + ".weight");
    const std::size_t rows = t.shape[0], cols = t.values.size() / rows, taps = cols / channels;
    std::vector<float> repaired(rows * kept.size() * taps), shift(rows);
    const pare::matrix_view<float> weights(t.values.data(), rows, cols),
        found(repaired.data(), rows, kept.size() * taps);
    tools::value_of(pare::eigen::least_squares_repair{}.fold(weights, taps, kept, seen.sums().gram,
                                                             found, shift),
                    c.name);
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t i = 0; i < found.cols(); ++i)
            weights(r, kept[i / taps] * taps + i % taps) = found(r, i);
    if (!c.has_bias) return;
    std::vector<float>& bias = tensors.at(c.name + ".bias").values;
    for (std::size_t r = 0; r < rows; ++r) bias[r] += shift[r];
}

void fold_all(const checkpoint& whole, const network_channels& channels,
              std::span<const std::uint8_t> kept, const layer_inputs& inputs,
              dense_tensors& tensors) {
    const std::vector<step>& steps = whole.architecture().steps;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const auto* const c = std::get_if<convolution>(&steps[i].what);
        if (c == nullptr || c->depthwise) continue;
        const auto classes = channels.graph.classes(channels.reads[i]);
        std::vector<std::uint32_t> left;
        for (std::uint32_t k = 0; k < classes.size(); ++k)
            if (kept[classes[k]] != 0) left.push_back(k);
        if (left.size() < classes.size())
            fold(*c, left, classes.size(), *inputs.at(c->name), tensors);
    }
}

checkpoint with_norms_of(const checkpoint& source, const images& calibration,
                         pare::thread_pool& run) {
    model dense(source, {}, {}, {}, run);
    dense.reestimate_norms(calibration);
    dense_tensors tensors = read_tensors(source);
    for (auto& [norm, estimate] : dense.norms()) {
        tensors.at(norm + ".running_mean").values = estimate.mean;
        tensors.at(norm + ".running_var").values = estimate.variance;
    }
    return {source.name(), source.architecture(), std::move(tensors)};
}

}  // namespace

checkpoint cut_and_repair(const checkpoint& whole, const network_channels& channels,
                          std::span<const std::uint8_t> kept, const layer_inputs& inputs,
                          const images& calibration, pare::thread_pool& run) {
    dense_tensors tensors = read_tensors(whole);
    fold_all(whole, channels, kept, inputs, tensors);
    const checkpoint folded(whole.name(), whole.architecture(), std::move(tensors));
    return with_norms_of(cut(folded, channels, kept), calibration, run);
}

}  // namespace vision
