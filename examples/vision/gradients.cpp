// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "gradients.hpp"

#include "backward_pass.hpp"
#include "common/tensors.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <variant>

namespace vision {

namespace {

using matrix = differentiable_network::matrix;

void show(const images& from, std::size_t i, const image_format& as, matrix& to) {
    for (Eigen::Index p = 0; p < to.size(); ++p) {
        const auto at = static_cast<std::size_t>(p), channel = at / as.each.pixels();
        to.data()[p] = static_cast<double>(as.seen(channel, from[i][at]));
    }
}

// -log p(class) of logits that become its gradient.
double cross_entropy(std::size_t label, matrix& logits) {
    logits.array() -= logits.maxCoeff();
    const double of_class = logits(static_cast<Eigen::Index>(label)),
                 sum = logits.array().exp().sum();
    logits = logits.array().exp() / sum;
    logits(static_cast<Eigen::Index>(label)) -= 1.0;
    return std::log(sum) - of_class;
}

std::vector<float> floats(const auto& m) {
    std::vector<float> made(static_cast<std::size_t>(m.size()));
    std::transform(m.data(), m.data() + m.size(), made.begin(),
                   [](double x) { return static_cast<float>(x); });
    return made;
}

}  // namespace

network_parameters read_parameters(const checkpoint& source) {
    network_parameters made;
    for (const step& s : source.architecture().steps) {
        const auto* const c = std::get_if<convolution>(&s.what);
        if (c == nullptr) continue;
        const auto read = [&](const std::string& name) {
            return tools::read_floats(source.tensor(name).dense());
        };
        layer_parameters& p = made[c->name];
        p.weights = read(c->name + ".weight");
        if (c->has_bias) p.bias = read(c->name + ".bias");
        if (c->norm.empty()) continue;
        p.bias.resize(s.out.channels);
        const std::vector<float> offset = read(c->norm + ".bias"),
                                 mean = read(c->norm + ".running_mean"),
                                 variance = read(c->norm + ".running_var");
        p.scale = read(c->norm + ".weight");
        for (std::size_t k = 0; k < p.scale.size(); ++k) {
            p.scale[k] /= std::sqrt(variance[k] + source.architecture().norm_eps);
            p.bias[k] = offset[k] + (p.bias[k] - mean[k]) * p.scale[k];
        }
    }
    return made;
}

network_gradients gradients_of(const architecture& a, const network_parameters& p, const images& on,
                               pare::thread_pool& run) {
    constexpr std::size_t n_parts = 8;  // whatever the threads, sums have one order
    const differentiable_network net(a, p);
    std::vector<backward_pass> parts(n_parts, backward_pass(net));
    std::array<double, n_parts> losses{};
    run.parallel_for(n_parts, 1, [&](std::size_t begin, std::size_t end) {
        for (; begin < end; ++begin)
            for (std::size_t i = begin; i < on.size(); i += n_parts) {
                backward_pass& each = parts[begin];
                show(on, i, a.input, each.image());
                each.forward();
                each.gradient() = each.logits();
                losses[begin] += cross_entropy(on.labels[i], each.gradient());
                each.backward();
            }
    });
    network_gradients made;
    for (const double loss : losses) made.loss += loss;
    for (std::size_t i = 0; i < a.steps.size(); ++i) {
        const auto* const c = std::get_if<convolution>(&a.steps[i].what);
        if (c == nullptr) continue;
        backward_pass::layer sum = parts[0].sums()[i];
        for (std::size_t part = 1; part < n_parts; ++part) {
            sum.weights += parts[part].sums()[i].weights;
            sum.bias += parts[part].sums()[i].bias;
        }
        made.layers[c->name] = {floats(sum.weights), floats(sum.bias)};
    }
    return made;
}

std::map<std::string, std::vector<double>> synflow(const architecture& a,
                                                   const network_parameters& p) {
    differentiable_network net(a, p);
    for (differentiable_network::layer& l : net.layers) {
        l.weights = l.weights.cwiseAbs();
        l.scale = l.scale.cwiseAbs();
        l.bias.setZero();
    }
    backward_pass all(net);
    all.image().setOnes();
    all.forward();
    all.gradient().setOnes();
    all.backward();
    std::map<std::string, std::vector<double>> made;
    for (std::size_t i = 0; i < a.steps.size(); ++i)
        if (const auto* const c = std::get_if<convolution>(&a.steps[i].what)) {
            const matrix scores = all.sums()[i].weights.cwiseProduct(net.layers[i].weights);
            made[c->name].assign(scores.data(), scores.data() + scores.size());
        }
    return made;
}

void synflow_densities(const architecture& a, network_parameters p, double factor,
                       const std::function<bool(const layer_densities&)>& more) {
    layer_densities kept;
    std::vector<double> all;
    double share = 1.0;
    do {
        const auto scores = synflow(a, p);
        all.clear();
        for (const auto& [name, of] : scores) all.insert(all.end(), of.begin(), of.end());
        share *= factor;
        if (share * static_cast<double>(all.size()) < 1.0) return;
        const auto n_gone =
            static_cast<std::size_t>((1.0 - share) * static_cast<double>(all.size()));
        const auto least = all.begin() + static_cast<std::ptrdiff_t>(n_gone);
        std::nth_element(all.begin(), least, all.end());
        for (const auto& [name, of] : scores) {
            std::vector<float>& weights = p[name].weights;
            for (std::size_t i = 0; i < of.size(); ++i)
                if (of[i] < *least) weights[i] = 0.0f;
            const auto zeros = std::count(weights.begin(), weights.end(), 0.0f);
            kept[name] = 1.0 - static_cast<double>(zeros) / static_cast<double>(weights.size());
        }
    } while (more(kept));
}

}  // namespace vision
