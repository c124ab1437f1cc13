// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "repair.hpp"

#include "common/error.hpp"
#include "common/tensors.hpp"
#include "gradients.hpp"

#include <pare/eigen/udfc.hpp>

#include <algorithm>
#include <utility>

namespace vision {

namespace {

std::vector<float> or_else(const std::vector<float>& values, std::size_t n, float value) {
    return values.empty() ? std::vector<float>(n, value) : values;
}

// Lets `next` read what is left of the channels that c writes.
void fold(const convolution& c, const layer_parameters& trained, std::span<const std::uint8_t> kept,
          const convolution& next, dense_tensors& tensors) {
    const std::size_t n = kept.size(), cols = trained.weights.size() / n;
    const std::vector<float> scale = or_else(trained.scale, n, 1.0f),
                             offset = or_else(trained.bias, n, 0.0f);
    std::vector<float> left = trained.weights, offset_left = offset, mix(n * n);
    for (std::size_t r = 0; r < n; ++r)
        if (kept[r] == 0) {
            std::fill_n(left.data() + r * cols, cols, 0.0f);
            offset_left[r] = 0.0f;
        }
    const pare::matrix_view<float> mixture(mix.data(), n, n);
    const pare::eigen::filters whole{{trained.weights.data(), n, cols}, scale, offset};
    tools::value_of(
        pare::eigen::udfc{}.mixture(whole, {{left.data(), n, cols}, scale, offset_left}, mixture),
        c.name);
    dense_tensor& weights = tensors.at(next.name + ".weight");
    tools::value_of(pare::eigen::fold(mixture, {weights.values.data(), weights.shape[0],
                                                weights.values.size() / weights.shape[0]}),
                    next.name);
}

// Where nothing but what treats channels one by one lies between two layers, the second takes in
// what the first lost.
void fold_all(const architecture& a, const network_channels& channels,
              std::span<const std::uint8_t> kept, const network_parameters& trained,
              dense_tensors& tensors) {
    const auto layer_at = [&](std::size_t step) {
        const auto* const c = std::get_if<convolution>(&a.steps[step].what);
        return c && !c->depthwise ? c : nullptr;
    };
    for (std::size_t i = 0; i < a.steps.size(); ++i)
        for (std::size_t j = i + 1; layer_at(i) && j < a.steps.size(); ++j) {
            if (!layer_at(j) || channels.reads[j] != channels.writes[i]) continue;
            std::vector<std::uint8_t> left;
            for (const std::uint32_t c : channels.graph.classes(channels.writes[i]))
                left.push_back(kept[c]);
            fold(*layer_at(i), trained.at(layer_at(i)->name), left, *layer_at(j), tensors);
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
                          std::span<const std::uint8_t> kept, const images& calibration,
                          pare::thread_pool& run) {
    dense_tensors tensors = read_tensors(whole);
    fold_all(whole.architecture(), channels, kept, read_parameters(whole), tensors);
    const checkpoint folded(whole.name(), whole.architecture(), std::move(tensors));
    return with_norms_of(cut(folded, channels, kept), calibration, run);
}

}  // namespace vision
