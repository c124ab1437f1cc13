// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "backward_pass.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <variant>

namespace vision {

namespace {

using layer = differentiable_network::layer;

Eigen::Index index(std::size_t i) { return static_cast<Eigen::Index>(i); }

layer in_double(const layer_parameters& p, std::size_t channels) {
    const auto vector = [&](const std::vector<float>& x, double otherwise) {
        Eigen::VectorXd made = Eigen::VectorXd::Constant(index(channels), otherwise);
        if (!x.empty())
            made = Eigen::Map<const Eigen::VectorXf>(x.data(), made.size()).cast<double>();
        return made;
    };
    using floats = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    return {Eigen::Map<const floats>(p.weights.data(), index(channels),
                                     index(p.weights.size() / channels))
                .cast<double>(),
            vector(p.scale, 1.0), vector(p.bias, 0.0)};
}

// visit(tap, output pixel, input pixel) for what a window sees but zeros, tap after tap.
template <class Visit>
void for_each_tap(const pare::window& over, const step& s, Visit visit) {
    for (std::size_t t = 0; t < over.kernel.height * over.kernel.width; ++t)
        for (std::size_t r = 0; r < s.out.height; ++r) {
            const std::size_t y = r * over.stride.height + t / over.kernel.width;
            if (y < over.around.top || y >= over.around.top + s.in.height) continue;
            for (std::size_t c = 0; c < s.out.width; ++c) {
                const std::size_t x = c * over.stride.width + t % over.kernel.width;
                if (x < over.around.left || x >= over.around.left + s.in.width) continue;
                visit(index(t), index(r * s.out.width + c),
                      index((y - over.around.top) * s.in.width + x - over.around.left));
            }
        }
}

// visit(output channel, output pixel, input channel, input pixel) of a shortcut.
template <class Visit>
void for_each_shortcut(const step& s, Visit visit) {
    const std::size_t stride = s.in.height / s.out.height;
    const std::size_t before = std::get<residual>(s.what).front;
    for (std::size_t c = 0; c < s.in.channels; ++c)
        for (std::size_t p = 0; p < s.out.pixels(); ++p)
            visit(index(before + c), index(p), index(c),
                  index(p / s.out.width * stride * s.in.width + p % s.out.width * stride));
}

}  // namespace

differentiable_network::differentiable_network(const architecture& a, const network_parameters& p)
    : steps(&a.steps), image(a.input.each) {
    std::array<std::size_t, architecture::n_slots> slots{};
    for (const step& s : a.steps) {
        values.push_back({slots[s.from], slots[s.to]});
        slots[s.to] = values.size();
        layers.emplace_back();
        if (const auto* const c = std::get_if<convolution>(&s.what))
            layers.back() = in_double(p.at(c->name), s.out.channels);
    }
}

backward_pass::backward_pass(const differentiable_network& net) : net_(&net), sums_(net.layers) {
    const auto zero = [](const extents& e) -> matrix {
        return matrix::Zero(index(e.channels), index(e.pixels()));
    };
    values_.push_back(zero(net.image));
    std::size_t n_patches = 0, n_pixels = 0;
    for (const step& s : *net.steps) {
        values_.push_back(zero(s.out));
        n_pixels = std::max(n_pixels, s.out.pixels());
        if (const auto* const c = std::get_if<convolution>(&s.what))
            n_patches = std::max(n_patches, s.in.channels * c->over.kernel.height *
                                                c->over.kernel.width * s.out.pixels());
    }
    gradients_ = values_;
    patches_.resize(n_patches);
    largest_.resize(n_pixels);
    for (layer& l : sums_) {
        l.weights.setZero();
        l.bias.setZero();
    }
}

void backward_pass::forward() {
    for (std::size_t i = 0; i < net_->steps->size(); ++i)
        std::visit([&](const auto& what) { take(what, i); }, at(i).what);
}

void backward_pass::backward() {
    for (std::size_t i = 0; i + 1 < gradients_.size(); ++i) gradients_[i].setZero();
    for (std::size_t i = net_->steps->size(); i-- > 0;)
        std::visit([&](const auto& what) { give_back(what, i); }, at(i).what);
}

Eigen::Map<backward_pass::matrix> backward_pass::patches(std::size_t i) {
    return {patches_.data(), net_->layers[i].weights.cols(), values_[i + 1].cols()};
}

void backward_pass::gather(const convolution& c, std::size_t i) {
    Eigen::Map<matrix> to = patches(i);
    to.setZero();
    const Eigen::Index taps = to.rows() / x(i).rows();
    for (Eigen::Index k = 0; k < x(i).rows(); ++k)
        for_each_tap(c.over, at(i),
                     [&](auto t, auto p, auto q) { to(k * taps + t, p) = x(i)(k, q); });
}

// visit(channel, output pixel, input pixel) of the largest of each window, the first of equals.
void backward_pass::for_each_largest(const max_pool& pool, std::size_t i, auto visit) {
    for (Eigen::Index k = 0; k < x(i).rows(); ++k) {
        for_each_tap(pool.over, at(i), [&](auto t, auto p, auto q) {
            Eigen::Index& best = largest_[static_cast<std::size_t>(p)];
            if (t == 0 || x(i)(k, q) > x(i)(k, best)) best = q;
        });
        for (Eigen::Index p = 0; p < values_[i + 1].cols(); ++p)
            visit(k, p, largest_[static_cast<std::size_t>(p)]);
    }
}

void backward_pass::take(const convolution& c, std::size_t i) {
    const layer& l = net_->layers[i];
    matrix& y = values_[i + 1];
    if (c.depthwise) {
        y.setZero();
        for (Eigen::Index k = 0; k < y.rows(); ++k)
            for_each_tap(c.over, at(i),
                         [&](auto t, auto p, auto q) { y(k, p) += l.weights(k, t) * x(i)(k, q); });
    } else {
        gather(c, i);
        y.noalias() = l.weights * patches(i);
    }
    y.array().colwise() *= l.scale.array();
    y.colwise() += l.bias;
    if (c.relu) y = y.cwiseMax(0.0);
}

void backward_pass::give_back(const convolution& c, std::size_t i) {
    const layer& l = net_->layers[i];
    layer& sum = sums_[i];
    matrix& dy = gradients_[i + 1];
    if (c.relu) dy = (values_[i + 1].array() > 0.0).select(dy, 0.0);
    sum.bias += dy.rowwise().sum();
    dy.array().colwise() *= l.scale.array();
    if (c.depthwise) {
        for (Eigen::Index k = 0; k < dy.rows(); ++k)
            for_each_tap(c.over, at(i), [&](auto t, auto p, auto q) {
                sum.weights(k, t) += dy(k, p) * x(i)(k, q);
                dx(i)(k, q) += dy(k, p) * l.weights(k, t);
            });
        return;
    }
    gather(c, i);
    Eigen::Map<matrix> seen = patches(i);
    sum.weights.noalias() += dy * seen.transpose();
    seen.noalias() = l.weights.transpose() * dy;
    const Eigen::Index taps = seen.rows() / x(i).rows();
    for (Eigen::Index k = 0; k < x(i).rows(); ++k)
        for_each_tap(c.over, at(i),
                     [&](auto t, auto p, auto q) { dx(i)(k, q) += seen(k * taps + t, p); });
}

void backward_pass::take(const residual&, std::size_t i) {
    matrix& y = values_[i + 1];
    y = values_[net_->values[i].before];
    for_each_shortcut(at(i), [&](auto c, auto p, auto k, auto q) { y(c, p) += x(i)(k, q); });
    y = y.cwiseMax(0.0);
}

void backward_pass::give_back(const residual&, std::size_t i) {
    matrix& dy = gradients_[i + 1];
    dy = (values_[i + 1].array() > 0.0).select(dy, 0.0);
    gradients_[net_->values[i].before] += dy;
    for_each_shortcut(at(i), [&](auto c, auto p, auto k, auto q) { dx(i)(k, q) += dy(c, p); });
}

void backward_pass::take(const max_pool& pool, std::size_t i) {
    matrix& y = values_[i + 1];
    for_each_largest(pool, i, [&](auto k, auto p, auto q) { y(k, p) = x(i)(k, q); });
}

void backward_pass::give_back(const max_pool& pool, std::size_t i) {
    const matrix& dy = gradients_[i + 1];
    for_each_largest(pool, i, [&](auto k, auto p, auto q) { dx(i)(k, q) += dy(k, p); });
}

void backward_pass::take(const average_pool&, std::size_t i) {
    values_[i + 1] = x(i).rowwise().mean();
}
void backward_pass::give_back(const average_pool&, std::size_t i) {
    const auto pixels = static_cast<double>(x(i).cols());
    dx(i).colwise() += gradients_[i + 1].col(0) / pixels;
}

}  // namespace vision
