// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "gradients.hpp"

#include "common/tensors.hpp"

#include <Eigen/Core>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace vision {

namespace {

using matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::Index index(std::size_t i) { return static_cast<Eigen::Index>(i); }

/// Of a convolution.
struct layer {
    matrix weights;  // (out, in * taps)
    Eigen::VectorXd scale, bias;
};

/// Value 0 is the image, value i + 1 what step i writes.
struct network {
    struct reads {
        std::size_t from, before;  // the values in its two slots; a residual reads both
    };

    const vision::architecture* architecture;
    std::vector<layer> layers;  // one per step, empty where it is no convolution
    std::vector<reads> values;  // one per step

    network(const vision::architecture& a, const network_parameters& p) : architecture(&a) {
        std::array<std::size_t, vision::architecture::n_slots> slots{};
        for (const step& s : a.steps) {
            values.push_back({slots[s.from], slots[s.to]});
            slots[s.to] = values.size();
            layers.emplace_back();
            if (const auto* const c = std::get_if<convolution>(&s.what))
                layers.back() = in_double(p.at(c->name), s.out.channels);
        }
    }

  private:
    static layer in_double(const layer_parameters& p, std::size_t channels) {
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
};

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

/// An image forwards, then the gradient of its logits backwards; with the memory of both.
class pass {
  public:
    explicit pass(const network& net) : net_(&net), sums_(net.layers) {
        const architecture& a = *net.architecture;
        const auto zero = [](const extents& e) -> matrix {
            return matrix::Zero(index(e.channels), index(e.pixels()));
        };
        values_.push_back(zero(a.input.each));
        std::size_t n_patches = 0, n_pixels = 0;
        for (const step& s : a.steps) {
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

    matrix& image() { return values_.front(); }
    const matrix& logits() const { return values_.back(); }
    matrix& gradient() { return gradients_.back(); }  ///< of the logits
    const std::vector<layer>& sums() const { return sums_; }

    void forward() {
        for (std::size_t i = 0; i < steps().size(); ++i)
            std::visit([&](const auto& what) { take(what, i); }, steps()[i].what);
    }
    /// Adds to the sums. @pre gradient() is that of the logits of the last forward()
    void backward() {
        for (std::size_t i = 0; i + 1 < gradients_.size(); ++i) gradients_[i].setZero();
        for (std::size_t i = steps().size(); i-- > 0;)
            std::visit([&](const auto& what) { give_back(what, i); }, steps()[i].what);
    }

  private:
    const std::vector<step>& steps() const { return net_->architecture->steps; }
    const matrix& x(std::size_t i) const { return values_[net_->values[i].from]; }
    matrix& dx(std::size_t i) { return gradients_[net_->values[i].from]; }

    // (in * taps, pixels)
    Eigen::Map<matrix> patches(std::size_t i) {
        return {patches_.data(), net_->layers[i].weights.cols(), values_[i + 1].cols()};
    }
    void gather(const convolution& c, std::size_t i) {
        Eigen::Map<matrix> to = patches(i);
        to.setZero();
        const Eigen::Index taps = to.rows() / x(i).rows();
        for (Eigen::Index k = 0; k < x(i).rows(); ++k)
            for_each_tap(c.over, steps()[i],
                         [&](auto t, auto p, auto q) { to(k * taps + t, p) = x(i)(k, q); });
    }
    // visit(channel, output pixel, input pixel) of the largest of each window, the first of equals.
    template <class Visit>
    void for_each_largest(const max_pool& pool, std::size_t i, Visit visit) {
        for (Eigen::Index k = 0; k < x(i).rows(); ++k) {
            for_each_tap(pool.over, steps()[i], [&](auto t, auto p, auto q) {
                Eigen::Index& best = largest_[static_cast<std::size_t>(p)];
                if (t == 0 || x(i)(k, q) > x(i)(k, best)) best = q;
            });
            for (Eigen::Index p = 0; p < values_[i + 1].cols(); ++p)
                visit(k, p, largest_[static_cast<std::size_t>(p)]);
        }
    }

    void take(const convolution& c, std::size_t i) {
        const layer& l = net_->layers[i];
        matrix& y = values_[i + 1];
        if (c.depthwise) {
            y.setZero();
            for (Eigen::Index k = 0; k < y.rows(); ++k)
                for_each_tap(c.over, steps()[i], [&](auto t, auto p, auto q) {
                    y(k, p) += l.weights(k, t) * x(i)(k, q);
                });
        } else {
            gather(c, i);
            y.noalias() = l.weights * patches(i);
        }
        y.array().colwise() *= l.scale.array();
        y.colwise() += l.bias;
        if (c.relu) y = y.cwiseMax(0.0);
    }
    void give_back(const convolution& c, std::size_t i) {
        const layer& l = net_->layers[i];
        layer& sum = sums_[i];
        matrix& dy = gradients_[i + 1];
        if (c.relu) dy = (values_[i + 1].array() > 0.0).select(dy, 0.0);
        sum.bias += dy.rowwise().sum();
        dy.array().colwise() *= l.scale.array();
        if (c.depthwise) {
            for (Eigen::Index k = 0; k < dy.rows(); ++k)
                for_each_tap(c.over, steps()[i], [&](auto t, auto p, auto q) {
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
            for_each_tap(c.over, steps()[i],
                         [&](auto t, auto p, auto q) { dx(i)(k, q) += seen(k * taps + t, p); });
    }

    void take(const residual&, std::size_t i) {
        matrix& y = values_[i + 1];
        y = values_[net_->values[i].before];
        for_each_shortcut(steps()[i],
                          [&](auto c, auto p, auto k, auto q) { y(c, p) += x(i)(k, q); });
        y = y.cwiseMax(0.0);
    }
    void give_back(const residual&, std::size_t i) {
        matrix& dy = gradients_[i + 1];
        dy = (values_[i + 1].array() > 0.0).select(dy, 0.0);
        gradients_[net_->values[i].before] += dy;
        for_each_shortcut(steps()[i],
                          [&](auto c, auto p, auto k, auto q) { dx(i)(k, q) += dy(c, p); });
    }

    void take(const max_pool& pool, std::size_t i) {
        matrix& y = values_[i + 1];
        for_each_largest(pool, i, [&](auto k, auto p, auto q) { y(k, p) = x(i)(k, q); });
    }
    void give_back(const max_pool& pool, std::size_t i) {
        const matrix& dy = gradients_[i + 1];
        for_each_largest(pool, i, [&](auto k, auto p, auto q) { dx(i)(k, q) += dy(k, p); });
    }

    void take(const average_pool&, std::size_t i) { values_[i + 1] = x(i).rowwise().mean(); }
    void give_back(const average_pool&, std::size_t i) {
        const auto pixels = static_cast<double>(x(i).cols());
        dx(i).colwise() += gradients_[i + 1].col(0) / pixels;
    }

    const network* net_;
    std::vector<matrix> values_, gradients_;  // (channels, pixels)
    std::vector<double> patches_;
    std::vector<Eigen::Index> largest_;  // (pixels)
    std::vector<layer> sums_;
};

void show(const images& from, std::size_t i, const image_format& as, matrix& to) {
    for (Eigen::Index p = 0; p < to.size(); ++p) {
        const auto at = static_cast<std::size_t>(p), channel = at / as.each.pixels();
        to.data()[p] = static_cast<double>(as.seen(channel, from[i][at]));
    }
}

// -log p(class) of logits that become its gradient.
double cross_entropy(std::size_t label, matrix& logits) {
    logits.array() -= logits.maxCoeff();
    const double of_class = logits(index(label)), sum = logits.array().exp().sum();
    logits = logits.array().exp() / sum;
    logits(index(label)) -= 1.0;
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
    const network net(a, p);
    std::vector<pass> parts(n_parts, pass(net));
    std::array<double, n_parts> losses{};
    run.parallel_for(n_parts, 1, [&](std::size_t begin, std::size_t end) {
        for (; begin < end; ++begin)
            for (std::size_t i = begin; i < on.size(); i += n_parts) {
                pass& each = parts[begin];
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
        layer sum = parts[0].sums()[i];
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
    network net(a, p);
    for (layer& l : net.layers) {
        l.weights = l.weights.cwiseAbs();
        l.scale = l.scale.cwiseAbs();
        l.bias.setZero();
    }
    pass all(net);
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

std::map<std::string, double> synflow_densities(const architecture& a, network_parameters p,
                                                double density, std::size_t rounds) {
    std::map<std::string, double> kept;
    std::vector<double> all;
    for (std::size_t round = 1; round <= rounds; ++round) {
        const auto scores = synflow(a, p);
        all.clear();
        for (const auto& [name, of] : scores) all.insert(all.end(), of.begin(), of.end());
        const double share =
            std::pow(density, static_cast<double>(round) / static_cast<double>(rounds));
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
    }
    return kept;
}

}  // namespace vision
