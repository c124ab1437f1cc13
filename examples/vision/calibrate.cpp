// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "calibrate.hpp"

#include "evaluate.hpp"

#include <pare/kernel/patches.hpp>

#include <algorithm>
#include <optional>

namespace vision {

namespace {

// The patches of a convolution over all images, some at a time.
void add_patches(const convolution& c, pare::maps<const float> x, bool with_gram,
                 std::optional<pare::prune::input_observer>& seen) {
    constexpr std::size_t pixels_at_once = 1024;
    const auto [height, width] = c.over.outputs({x.extent(2), x.extent(3)});
    const std::size_t patch = x.extent(1) * c.over.kernel.height * c.over.kernel.width;
    const std::size_t pixels = x.extent(0) * height * width;
    std::vector<float> memory(patch * std::min(pixels, pixels_at_once));
    for (std::size_t first = 0; first < pixels; first += pixels_at_once) {
        const pare::matrix_view<float> patches(memory.data(), patch,
                                               std::min(pixels_at_once, pixels - first));
        pare::kernel::gather_patches(c.over, x, first, patches);
        tools::observe(seen, patches.transposed(), with_gram);
    }
}

}  // namespace

layer_statistics calibrate(const model& dense, const images& from, bool inverse_hessian,
                           const std::function<void()>& told) {
    const std::size_t n_classes = dense.architecture().n_classes();
    std::map<std::string, std::optional<pare::prune::input_observer>> seen;
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
    return std::min<std::size_t>(8, (from.size() + batch - 1) / batch);
}

}  // namespace vision
