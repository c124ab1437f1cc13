// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "model.hpp"

#include "common/error.hpp"
#include "common/report.hpp"
#include "common/tensors.hpp"
#include "layers.hpp"

#include <pare/kernel/convolution.hpp>
#include <pare/kernel/depthwise.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

namespace vision {

workspace::workspace(const architecture& a, std::size_t n_images, std::size_t n_threads) {
    std::array<std::size_t, architecture::n_slots> sizes{a.input.each.size()};
    std::size_t n_patches = 0;
    for (const step& s : a.steps) {
        sizes[s.to] = std::max(sizes[s.to], s.out.size());
        const auto* const c = std::get_if<convolution>(&s.what);
        if (c && !c->depthwise)
            n_patches = std::max(n_patches,
                                 pare::workspace_floats(
                                     c->over, {n_images, s.in.channels, s.in.height, s.in.width}));
    }
    const auto make = [](std::size_t n) {
        return tools::value_of(pare::buffer<float>::make(n), "activations");
    };
    for (std::size_t i = 0; i < sizes.size(); ++i) slots_[i] = make(sizes[i] * n_images);
    patches_ = make(n_patches * n_threads);
}

pare::maps<float> workspace::slot(std::size_t which, const extents& e) {
    return {slots_[which].data(),
            {n_images_, e.channels, e.height, e.width},
            {e.pixels(), n_images_ * e.pixels(), e.width, 1}};
}

model::model(const checkpoint& source, const tools::recipe& r,
             const std::set<std::string>& keep_dense, const layer_statistics& statistics,
             pare::thread_pool& run, const std::function<void()>& told)
    : source_(&source), recipe_(r), run_(&run) {
    for (const step& s : architecture().steps) {
        layers_.emplace_back();
        if (const auto* const c = std::get_if<convolution>(&s.what)) {
            layers_.back() = load(*c, r, !keep_dense.contains(c->name), statistics);
            if (!c->depthwise) told();
        }
    }
}

std::vector<float> model::read(const std::string& tensor) const {
    return tools::read_floats(source_->tensor(tensor).dense());
}

model::layer model::load(const convolution& c, const tools::recipe& r, bool compressed,
                         const layer_statistics& statistics) const {
    layer l;
    const std::string weight = c.name + ".weight";
    if (c.depthwise) l.filters = read(weight);
    else {
        const auto seen = statistics.find(c.name);
        const tools::model_tensor& tensor = source_->tensor(weight);
        l.weights = tensor.load(
            compressed ? r : tools::recipe{},
            seen == statistics.end() ? pare::prune::calibration{} : seen->second.view(), *run_);
        l.compressed = source_->has_compressed() ? tensor.is_compressed() : compressed;
    }
    std::vector<float> bias;
    if (c.has_bias) bias = read(c.name + ".bias");
    if (c.norm.empty()) {
        l.bias = std::move(bias);
        return l;
    }
    l.gain = read(c.norm + ".weight");
    l.offset = read(c.norm + ".bias");
    std::vector<float> mean = read(c.norm + ".running_mean");  // with the bias, which it takes away
    for (std::size_t i = 0; i < bias.size(); ++i) mean[i] -= bias[i];
    set_norm(l, std::move(mean), read(c.norm + ".running_var"));
    return l;
}

void model::set_norm(layer& l, std::vector<float> mean, std::vector<float> variance) const {
    l.scale.resize(l.gain.size());
    l.bias.resize(l.gain.size());
    for (std::size_t c = 0; c < l.gain.size(); ++c) {
        l.scale[c] = l.gain[c] / std::sqrt(variance[c] + architecture().norm_eps);
        l.bias[c] = l.offset[c] - mean[c] * l.scale[c];
    }
    l.mean = std::move(mean);
    l.variance = std::move(variance);
}

workspace model::make_workspace(std::size_t n_images) const {
    return {architecture(), n_images, run_->size()};
}

// Writes images into slot 0 as the network sees them.
void model::show(const images& from, std::size_t first, std::size_t n, workspace& w) const {
    const image_format& format = architecture().input;
    const std::size_t pixels = format.each.pixels();
    w.n_images_ = n;
    const pare::maps<float> x = w.slot(0, format.each);
    run_->parallel_for(n, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            for (std::size_t c = 0; c < format.each.channels; ++c) {
                float* const to = &x(i, c, 0, 0);
                for (std::size_t p = 0; p < pixels; ++p)
                    to[p] = format.seen(c, from[first + i][c * pixels + p]);
            }
    });
}

void model::convolve(std::size_t i, workspace& w, const pare::epilogue& after) const {
    const step& s = architecture().steps[i];
    const auto& c = std::get<convolution>(s.what);
    const layer& l = layers_[i];
    const pare::maps<float> x = w.slot(s.from, s.in), y = w.slot(s.to, s.out);
    if (c.depthwise)
        tools::value_of(pare::convolve_depthwise(
                            {l.filters.data(), s.out.channels, l.filters.size() / s.out.channels},
                            c.over, x, y, *run_, after),
                        c.name);
    else l.weights->convolve(c.over, x, y, w.patches_.span(), *run_, after, inputs_);
}

void model::take(std::size_t i, workspace& w) const {
    const step& s = architecture().steps[i];
    const pare::maps<float> x = w.slot(s.from, s.in), y = w.slot(s.to, s.out);
    if (const auto* const c = std::get_if<convolution>(&s.what)) {
        using enum pare::activation;
        convolve(i, w, {layers_[i].bias, layers_[i].scale, c->relu ? relu : none});
    } else if (const auto* const pool = std::get_if<max_pool>(&s.what))
        pool_largest(pool->over, x, y, *run_);
    else if (const auto* const r = std::get_if<residual>(&s.what))
        add_shortcut(r->front, x, y, *run_);
    else pool_average(x, y, *run_);
}

void model::forward(const images& from, std::size_t first, workspace& w,
                    pare::matrix_view<float> logits, const observer& read,
                    const observer& written) const {
    show(from, first, logits.rows(), w);
    const std::vector<step>& steps = architecture().steps;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const auto* const c = std::get_if<convolution>(&steps[i].what);
        if (read && c && !c->depthwise) read(*c, w.slot(steps[i].from, steps[i].in));
        take(i, w);
        if (written && c) written(*c, w.slot(steps[i].to, steps[i].out));
    }
    const pare::maps<float> found = w.slot(steps.back().to, steps.back().out);
    for (std::size_t i = 0; i < logits.rows(); ++i)
        for (std::size_t c = 0; c < logits.cols(); ++c) logits(i, c) = found(i, c, 0, 0);
}

void model::estimate_norm(layer& l, pare::maps<const float> products) const {
    const std::size_t channels = products.extent(1);
    const std::size_t n = products.extent(0) * products.extent(2) * products.extent(3);
    std::vector<float> mean(channels), variance(channels);
    run_->parallel_for(channels, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t c = begin; c < end; ++c) {
            double sum = 0.0, squares = 0.0;
            for (const float x : std::span(&products(0, c, 0, 0), n)) {  // images lie side by side
                sum += static_cast<double>(x);
                squares += static_cast<double>(x) * static_cast<double>(x);
            }
            const double m = sum / static_cast<double>(n);
            mean[c] = static_cast<float>(m);
            variance[c] =
                static_cast<float>(std::max(0.0, squares / static_cast<double>(n) - m * m));
        }
    });
    set_norm(l, std::move(mean), std::move(variance));
}

passage::passage(model& m, const images& on) : model_(&m), w_(m.make_workspace(on.size())) {
    m.show(on, 0, on.size(), w_);
}

pare::maps<const float> passage::input(std::size_t step) {
    return w_.slot(at(step).from, at(step).in);
}

pare::maps<const float> passage::products() {
    model_->convolve(at_, w_, {});
    return w_.slot(at(at_).to, at(at_).out);
}

void passage::estimate_norm() {
    model::layer& l = model_->layers_[at_];
    if (!l.gain.empty()) model_->estimate_norm(l, products());
}

void passage::advance() { model_->take(at_++, w_); }

void model::reestimate_norms(const images& from, const std::function<void()>& told) {
    for (passage p(*this, from); !p.done(); told()) {
        p.estimate_norm();
        p.advance();
    }
}

void model::reload(std::size_t i) {
    const auto& c = std::get<convolution>(architecture().steps[i].what);
    layers_[i] = load(c, recipe_, layers_[i].compressed, {});
}

norm_statistics model::norms() const {
    norm_statistics all;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        if (layers_[i].gain.empty()) continue;
        const auto& c = std::get<convolution>(architecture().steps[i].what);
        norm_estimate& norm = all[c.norm] = {layers_[i].mean, layers_[i].variance};
        if (!c.has_bias) continue;
        const std::vector<float> bias = read(c.name + ".bias");
        for (std::size_t o = 0; o < bias.size(); ++o) norm.mean[o] += bias[o];
    }
    return all;
}

void model::save(const std::filesystem::path& file) const {
    const std::vector<step>& steps = architecture().steps;
    const norm_statistics estimated = norms();
    std::map<std::string, std::vector<float>> memory;  // until commit()
    pare::io::safetensors_writer out(file.string());
    const auto add = [&](const std::string& name, std::vector<float> values) {
        const std::vector<float>& kept = memory[name] = std::move(values);
        out.add(name, pare::io::dtype::f32, source_->tensor(name).shape(),
                std::as_bytes(std::span(kept)));
    };
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const auto* const r = std::get_if<residual>(&steps[i].what);
        if (r && r->front != (steps[i].out.channels - steps[i].in.channels) / 2)
            out.add_metadata(front_key(i), std::to_string(r->front));
        const auto* const c = std::get_if<convolution>(&steps[i].what);
        if (c == nullptr) continue;
        const std::string weight = c->name + ".weight";
        const tools::model_tensor& tensor = source_->tensor(weight);
        if (tensor.is_compressed() || (layers_[i].compressed && !is_dense_as_stored(recipe_)))
            tools::save_layer(out, weight, *layers_[i].weights, tensor.shape(), recipe_.text);
        else add(weight, read(weight));
        for (const std::string& name : tensors_beside(*c)) {
            if (name == c->norm + ".running_mean") add(name, estimated.at(c->norm).mean);
            else if (name == c->norm + ".running_var") add(name, estimated.at(c->norm).variance);
            else add(name, read(name));
        }
    }
    tools::value_of(out.commit(), file.string());
}

std::size_t model::n_integer_layers() const {
    if (inputs_ == tools::activation_kind::f32) return 0;
    return static_cast<std::size_t>(std::ranges::count_if(
        layers_, [](const layer& l) { return l.weights && l.weights->multiplies_integers(); }));
}

pare::layer_report model::report() const {
    std::vector<pare::layer_report> compressed;
    for (const layer& l : layers_)
        if (l.compressed) compressed.push_back(l.weights->report());
    return tools::total_of(compressed);
}

std::vector<tools::layer_row> model::layers() const {
    std::vector<tools::layer_row> rows;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        if (!layers_[i].compressed) continue;
        const std::string name =
            std::get<convolution>(architecture().steps[i].what).name + ".weight";
        rows.push_back({.name = name,
                        .shape = tools::in_words(source_->tensor(name).shape()),
                        .report = layers_[i].weights->report()});
    }
    return rows;
}

std::size_t model::bytes() const {
    std::size_t bytes = 0;
    for (const layer& l : layers_) {
        if (l.weights) bytes += l.weights->report().bytes;
        bytes += (l.filters.size() + l.scale.size() + l.bias.size()) * sizeof(float);
    }
    return bytes;
}

}  // namespace vision
