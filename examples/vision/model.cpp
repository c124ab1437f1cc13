// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "model.hpp"

#include "common/error.hpp"
#include "common/report.hpp"
#include "common/tensors.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

namespace vision {

namespace {

// Output pixels of a product at least: images whose maps have fewer go together.
constexpr std::size_t pixels_at_once = 1024;

std::size_t images_at_once(const step& s) {
    return std::max<std::size_t>(1, pixels_at_once / s.out.pixels());
}

// A kernel of one pixel reads the maps as they lie.
bool needs_patches(const step& s, const convolution& c) {
    return !c.depthwise && !(taps(c.over) == 1 && s.in.map() == s.out.map());
}

}  // namespace

checkpoint::checkpoint(const std::filesystem::path& path)
    : path_(path),
      file_(tools::value_of(pare::io::safetensors_reader::open(path.c_str()), path.string())),
      architecture_(recognise(file_)) {}

pare::io::tensor_info checkpoint::tensor(const std::string& name) const {
    return tools::value_of(file_.find(name), name);
}

workspace::workspace(const architecture& a, std::size_t n_images) {
    std::array<std::size_t, architecture::n_slots> sizes{a.input.each.channels *
                                                         a.input.each.pixels()};
    std::size_t n_patches = 0;
    for (const step& s : a.steps) {
        sizes[s.to] = std::max(sizes[s.to], s.out.channels * s.out.pixels());
        if (const auto* const c = std::get_if<convolution>(&s.what); c && needs_patches(s, *c))
            n_patches = std::max(n_patches, s.in.channels * taps(c->over) * s.out.pixels() *
                                                std::min(n_images, images_at_once(s)));
    }
    const auto make = [](std::size_t n) {
        return tools::value_of(pare::buffer<float>::make(n), "activations");
    };
    for (std::size_t i = 0; i < sizes.size(); ++i) slots_[i] = make(sizes[i] * n_images);
    patches_ = make(n_patches);
}

activations workspace::slot(std::size_t which, const extents& e) {
    return {slots_[which].data(), e.channels, n_images_ * e.pixels()};
}

model::model(const checkpoint& source, const tools::recipe& r,
             const std::set<std::string>& keep_dense, const layer_statistics& statistics,
             pare::thread_pool& run, const std::function<void()>& told)
    : source_(&source), run_(&run) {
    for (const step& s : architecture().steps) {
        layers_.emplace_back();
        if (const auto* const c = std::get_if<convolution>(&s.what)) {
            layers_.back() = load(*c, r, !keep_dense.contains(c->name), statistics);
            if (!c->depthwise) told();
        }
    }
}

model::layer model::load(const convolution& c, const tools::recipe& r, bool compressed,
                         const layer_statistics& statistics) const {
    const auto read = [&](const std::string& name) {
        return tools::read_floats(source_->tensor(name));
    };
    layer l;
    const std::string weight = c.name + ".weight";
    if (c.depthwise) l.filters = read(weight);
    else {
        const auto seen = statistics.find(c.name);
        l.weights = tools::load_linear(
            source_->tensor(weight), compressed ? r : tools::recipe{},
            seen == statistics.end() ? pare::prune::calibration{} : seen->second.view(), *run_);
        l.compressed = compressed;
    }
    std::vector<float> bias;
    if (c.has_bias) bias = read(c.name + ".bias");
    if (c.norm.empty()) {
        l.scale.assign(bias.size(), 1.0f);
        l.shift = std::move(bias);
        return l;
    }
    l.gain = read(c.norm + ".weight");
    l.offset = read(c.norm + ".bias");
    std::vector<float> mean = read(c.norm + ".running_mean");  // with the bias, which it takes away
    for (std::size_t i = 0; i < bias.size(); ++i) mean[i] -= bias[i];
    set_norm(l, mean, read(c.norm + ".running_var"));
    return l;
}

void model::set_norm(layer& l, std::span<const float> mean, std::span<const float> variance) const {
    l.scale.resize(l.gain.size());
    l.shift.resize(l.gain.size());
    for (std::size_t c = 0; c < l.gain.size(); ++c) {
        l.scale[c] = l.gain[c] / std::sqrt(variance[c] + architecture().norm_eps);
        l.shift[c] = l.offset[c] - mean[c] * l.scale[c];
    }
}

// Writes images into slot 0 as the network sees them.
void model::show(const images& from, std::size_t first, std::size_t n, workspace& w) const {
    const image_format& seen = architecture().input;
    const std::size_t pixels = seen.each.pixels();
    w.n_images_ = n;
    const activations x = w.slot(0, seen.each);
    run_->parallel_for(n, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            for (std::size_t c = 0; c < x.rows(); ++c)
                for (std::size_t p = 0; p < pixels; ++p) {
                    const std::uint8_t byte = from[first + i][c * pixels + p];
                    const int value = seen.is_signed ? static_cast<std::int8_t>(byte) : byte;
                    x(c, i * pixels + p) =
                        (static_cast<float>(value) - seen.mean[c]) * seen.scale[c];
                }
    });
}

void model::multiply(std::size_t i, workspace& w, const observer& seen) const {
    const step& s = architecture().steps[i];
    if (!std::holds_alternative<convolution>(s.what)) return;
    const auto& c = std::get<convolution>(s.what);
    const const_activations all_x = w.slot(s.from, s.in);
    const activations all_y = w.slot(s.to, s.out);
    if (c.depthwise)
        return convolve_depthwise(c.over, s.in, s.out, all_x, layers_[i].filters, all_y, *run_);
    for (std::size_t first = 0; first < w.n_images_; first += images_at_once(s)) {
        const std::size_t n = std::min(images_at_once(s), w.n_images_ - first);
        const auto of_images = [&](auto all, const extents& e) {
            return all.block(0, first * e.pixels(), e.channels, n * e.pixels());
        };
        const_activations x = of_images(all_x, s.in);
        if (needs_patches(s, c)) {
            const activations patches(w.patches_.data(), s.in.channels * taps(c.over),
                                      n * s.out.pixels());
            gather_patches(c.over, s.in, s.out, x, patches, *run_);
            x = patches;
        }
        if (seen) seen(c.name, x.transposed());
        layers_[i].weights->apply(x.transposed(), of_images(all_y, s.out).transposed(), {}, *run_);
    }
}

void model::finish(std::size_t i, workspace& w) const {
    const step& s = architecture().steps[i];
    const activations y = w.slot(s.to, s.out);
    if (const auto* const c = std::get_if<convolution>(&s.what))
        scale_and_shift(y, layers_[i].scale, layers_[i].shift, c->relu, *run_);
    else if (std::holds_alternative<residual>(s.what))
        add_shortcut(s.in, s.out, w.slot(s.from, s.in), y, *run_);
    else if (const auto* const pool = std::get_if<max_pool>(&s.what))
        pool_largest(pool->over, s.in, s.out, w.slot(s.from, s.in), y, *run_);
    else pool_average(s.in.pixels(), w.slot(s.from, s.in), y, *run_);
}

void model::forward(const images& from, std::size_t first, workspace& w,
                    pare::matrix_view<float> logits, const observer& seen) const {
    show(from, first, logits.rows(), w);
    const std::vector<step>& steps = architecture().steps;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        multiply(i, w, seen);
        finish(i, w);
    }
    const const_activations found = w.slot(steps.back().to, steps.back().out);
    for (std::size_t i = 0; i < logits.rows(); ++i)
        for (std::size_t c = 0; c < logits.cols(); ++c) logits(i, c) = found(c, i);
}

void model::estimate_norm(layer& l, const_activations products) const {
    std::vector<float> mean(products.rows()), variance(products.rows());
    run_->parallel_for(products.rows(), 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t c = begin; c < end; ++c) {
            double sum = 0.0, squares = 0.0;
            for (const float x : products.row_span(c)) {
                sum += static_cast<double>(x);
                squares += static_cast<double>(x) * static_cast<double>(x);
            }
            const double n = static_cast<double>(products.cols()), m = sum / n;
            mean[c] = static_cast<float>(m);
            variance[c] = static_cast<float>(std::max(0.0, squares / n - m * m));
        }
    });
    set_norm(l, mean, variance);
}

void model::reestimate_norms(const images& from, const std::function<void()>& told) {
    workspace w(architecture(), from.size());
    show(from, 0, from.size(), w);
    const std::vector<step>& steps = architecture().steps;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        multiply(i, w, {});
        if (!layers_[i].gain.empty()) estimate_norm(layers_[i], w.slot(steps[i].to, steps[i].out));
        finish(i, w);
        told();
    }
}

pare::layer_report model::report() const {
    std::vector<pare::layer_report> compressed;
    for (const layer& l : layers_)
        if (l.compressed) compressed.push_back(l.weights->report());
    return tools::total_of(compressed);
}

std::size_t model::bytes() const {
    std::size_t bytes = 0;
    for (const layer& l : layers_) {
        if (l.weights) bytes += l.weights->report().bytes;
        bytes += (l.filters.size() + l.scale.size() + l.shift.size()) * sizeof(float);
    }
    return bytes;
}

}  // namespace vision
