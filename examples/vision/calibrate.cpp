// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "calibrate.hpp"

#include "evaluate.hpp"

#include <pare/kernel/patches.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace vision {

namespace {

// The patches of a convolution over all images, some at a time, laid out as tokens.
void add_patches(const convolution& c, pare::maps<const float> x, bool with_gram,
                 std::optional<pare::prune::input_observer>& seen) {
    constexpr std::size_t pixels_at_once = 1024;
    const auto [height, width] = c.over.outputs({x.extent(2), x.extent(3)});
    const std::size_t patch = x.extent(1) * c.over.kernel.height * c.over.kernel.width;
    const std::size_t pixels = x.extent(0) * height * width;
    const std::size_t most = std::min(pixels, pixels_at_once);
    std::vector<float> gathered(patch * most), tokens(patch * most);
    for (std::size_t first = 0; first < pixels; first += pixels_at_once) {
        const std::size_t n = std::min(pixels_at_once, pixels - first);
        const pare::matrix_view<float> patches(gathered.data(), patch, n);
        pare::kernel::gather_patches(c.over, x, first, patches);
        for (std::size_t t = 0; t < n; ++t)
            for (std::size_t f = 0; f < patch; ++f) tokens[t * patch + f] = patches(f, t);
        tools::observe(seen, {tokens.data(), n, patch}, with_gram);
    }
}

}  // namespace

layer_statistics calibrate(const model& dense, const images& from, bool inverse_hessian,
                           const std::function<void()>& told) {
    std::map<std::string, std::optional<pare::prune::input_observer>> seen;
    const std::size_t n_classes = dense.architecture().n_classes();
    workspace w = dense.make_workspace(batch);
    std::vector<float> logits(batch * n_classes);
    for (std::size_t b = 0; b < n_calibration_batches(from); ++b) {
        const std::size_t n = std::min(batch, from.size() - b * batch);
        dense.forward(from, b * batch, w, {logits.data(), n, n_classes},
                      [&](const convolution& c, pare::maps<const float> x) {
                          add_patches(c, x, inverse_hessian, seen[c.name]);
                      });
        told();
    }
    layer_statistics found;
    for (const auto& [name, observer] : seen) found[name] = tools::statistics_of(observer->sums());
    return found;
}

std::size_t n_calibration_batches(const images& from) {
    return (std::min(n_calibration_images, from.size()) + batch - 1) / batch;
}

}  // namespace vision
