// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "calibrate.hpp"

#include "evaluate.hpp"

#include <pare/kernel/patches.hpp>

#include <algorithm>

namespace vision {

namespace {

// The patches of a convolution over all images, some at a time, laid out as tokens.
void add_patches(const convolution& c, pare::maps<const float> x, bool with_gram, bool with_one,
                 std::optional<pare::prune::input_observer>& seen) {
    constexpr std::size_t pixels_at_once = 1024;
    const auto [height, width] = c.over.outputs({x.extent(2), x.extent(3)});
    const std::size_t patch = x.extent(1) * c.over.kernel.height * c.over.kernel.width;
    const std::size_t features = patch + (with_one ? 1 : 0);
    const std::size_t pixels = x.extent(0) * height * width;
    const std::size_t most = std::min(pixels, pixels_at_once);
    std::vector<float> gathered(patch * most), tokens(features * most, 1.0f);
    for (std::size_t first = 0; first < pixels; first += pixels_at_once) {
        const std::size_t n = std::min(pixels_at_once, pixels - first);
        const pare::matrix_view<float> patches(gathered.data(), patch, n);
        pare::kernel::gather_patches(c.over, x, first, patches);
        for (std::size_t t = 0; t < n; ++t)
            for (std::size_t f = 0; f < patch; ++f) tokens[t * features + f] = patches(f, t);
        tools::observe(seen, {tokens.data(), n, features}, with_gram);
    }
}

}  // namespace

layer_inputs observe_inputs(const model& dense, const images& from, bool with_gram, bool with_one,
                            const std::function<void()>& told) {
    const std::size_t n_classes = dense.architecture().n_classes();
    layer_inputs seen;
    workspace w = dense.make_workspace(batch);
    std::vector<float> logits(batch * n_classes);
    for (std::size_t b = 0; b < n_calibration_batches(from); ++b) {
        const std::size_t n = std::min(batch, from.size() - b * batch);
        dense.forward(from, b * batch, w, {logits.data(), n, n_classes},
                      [&](const convolution& c, pare::maps<const float> x) {
                          add_patches(c, x, with_gram, with_one, seen[c.name]);
                      });
        told();
    }
    return seen;
}

layer_statistics calibrate(const model& dense, const images& from, bool inverse_hessian,
                           const std::function<void()>& told) {
    layer_statistics found;
    for (const auto& [name, observer] : observe_inputs(dense, from, inverse_hessian, false, told))
        found[name] = tools::statistics_of(observer->sums());
    return found;
}

std::size_t n_calibration_batches(const images& from) {
    return std::min<std::size_t>(8, (from.size() + batch - 1) / batch);
}

}  // namespace vision
