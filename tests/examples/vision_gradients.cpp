// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "vision/gradients.hpp"

#include "small_networks.hpp"
#include "support/catch.hpp"
#include "support/data.hpp"
#include "vision/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <variant>
#include <vector>

using namespace pare::testing;

namespace {

// What the loss changes by per step of a parameter, and the derivative that this approaches; with
// longer steps more activations pass through zero.
struct slopes {
    double measured, derivative;
};

slopes slopes_of(const loaded& net, vision::network_parameters p, const vision::images& on,
                 const vision::network_gradients& g, const std::string& name, bool of_bias,
                 std::size_t i, pare::thread_pool& run) {
    std::vector<float>& changed = of_bias ? p[name].bias : p[name].weights;
    const float value = changed[i];
    const auto loss = [&](float x) {
        changed[i] = x;
        return vision::gradients_of(net.source.architecture(), p, on, run).loss;
    };
    const float up = value + 0x1p-18f, down = value - 0x1p-18f;
    const double step = static_cast<double>(up) - static_cast<double>(down);
    const auto& of = g.layers.at(name);
    return {(loss(up) - loss(down)) / step,
            static_cast<double>(of_bias ? of.bias[i] : of.weights[i])};
}

double sum_of(const std::vector<double>& x) { return std::accumulate(x.begin(), x.end(), 0.0); }

}  // namespace

TEST_CASE("gradients are what the loss changes by, in every layer of every kind") {
    const tensors made = GENERATE(small_resnet(), small_ds_cnn(), small_resnet8(), small_lenet());
    const model_and_data files(made, "");
    loaded net(files.model);
    const vision::architecture& a = net.source.architecture();
    CAPTURE(a.name);
    const vision::images images = random_images(a, 3);
    vision::network_parameters p = vision::read_parameters(net.source);
    const double nll = vision::evaluate(net.make("dense"), images).nll;
    CHECK(vision::gradients_of(a, p, images, net.run).loss ==
          Approx(3.0 * nll).epsilon(100 * rounding));

    // Saturated losses have no slopes: the logits of random weights are too large.
    const double largest_logit = largest(vision::logits_of(net.make("dense"), images));
    for (float& w : p[std::get<vision::convolution>(a.steps.back().what).name].weights)
        w /= static_cast<float>(largest_logit);
    const vision::network_gradients g = vision::gradients_of(a, p, images, net.run);
    pare::random random(1);
    for (const auto& [name, of] : g.layers) {
        CAPTURE(name);
        REQUIRE(of.weights.size() == p[name].weights.size());
        const double most = std::max(largest(of.weights), largest(of.bias));
        for (int k = 0; k < 6; ++k) {
            const bool of_bias = k > 3 && !p[name].bias.empty();
            const std::size_t i = random.below((of_bias ? of.bias : of.weights).size());
            const slopes s = slopes_of(net, p, images, g, name, of_bias, i, net.run);
            CHECK(std::fabs(s.measured - s.derivative) <= 1e-3 * most);
        }
    }
}

TEST_CASE("gradients are the same for any number of threads, and add up over images") {
    const model_and_data files(small_resnet(), "");
    loaded net(files.model);
    const vision::architecture& a = net.source.architecture();
    const auto p = vision::read_parameters(net.source);
    vision::images images = random_images(a, 10);
    pare::thread_pool alone(1);
    const auto many = vision::gradients_of(a, p, images, net.run),
               one = vision::gradients_of(a, p, images, alone);
    CHECK(many.loss == one.loss);
    CHECK(many.layers.at("conv1").weights == one.layers.at("conv1").weights);
    images.pixels.insert(images.pixels.end(), images.pixels.begin(), images.pixels.end());
    images.labels.insert(images.labels.end(), images.labels.begin(), images.labels.end());
    const auto twice = vision::gradients_of(a, p, images, net.run);
    CHECK(twice.loss == Approx(2.0 * many.loss).epsilon(1e-12));
    const auto &first = many.layers.at("conv1").weights, &second = twice.layers.at("conv1").weights;
    for (std::size_t i = 0; i < first.size(); ++i)
        CHECK(second[i] == Approx(2.0f * first[i]).epsilon(1e-6).margin(1e-6 * largest(first)));
}

TEST_CASE("synflow is conserved: every layer of a chain passes on the sum of the outputs") {
    const model_and_data files(small_lenet(), "");
    loaded net(files.model);
    auto p = vision::read_parameters(net.source);
    const auto scores = vision::synflow(net.source.architecture(), p);
    REQUIRE(scores.size() == 4);
    const double flow = sum_of(scores.at("ip2"));
    CHECK(flow > 0.0);
    for (const auto& [name, of] : scores) CHECK(sum_of(of) == Approx(flow).epsilon(1e-12));

    // What nothing flows through scores nothing, signs and biases do not count.
    for (std::size_t i = 0; i < 6; ++i) p["ip1"].weights[100 * 2 + i] *= -1.0f;
    for (float& b : p["conv1"].bias) b += 1.0f;
    CHECK(vision::synflow(net.source.architecture(), p) == scores);
    for (std::size_t i = 0; i < 100; ++i) p["ip1"].weights[100 * 2 + i] = 0.0f;
    const auto without = vision::synflow(net.source.architecture(), p);
    for (std::size_t o = 0; o < 3; ++o) CHECK(without.at("ip2")[6 * o + 2] == 0.0);
    CHECK(sum_of(without.at("conv1")) < flow);
}

TEST_CASE("synflow leaves as many weights as it is told, and no layer without any") {
    const model_and_data files(small_resnet(), "");
    loaded net(files.model);
    const vision::architecture& a = net.source.architecture();
    const auto p = vision::read_parameters(net.source);
    double all = 0.0, share = 1.0;
    for (const auto& [name, of] : p) all += static_cast<double>(of.weights.size());
    vision::synflow_densities(a, p, 0.9, [&](const vision::layer_densities& densities) {
        double left = 0.0;
        for (const auto& [name, of] : densities) {
            CAPTURE(name, share);
            CHECK(of > 0.0);
            left += of * static_cast<double>(p.at(name).weights.size());
        }
        share *= 0.9;
        CHECK(densities.size() == p.size());
        CHECK(std::fabs(left - share * all) <= 1.0);
        return share > 0.05;
    });
    CHECK(share <= 0.05);
}

TEST_CASE("synflow ends when no weight is left to prune") {
    const model_and_data files(small_lenet(), "");
    loaded net(files.model);
    std::size_t rounds = 0;
    vision::synflow_densities(net.source.architecture(), vision::read_parameters(net.source), 0.01,
                              [&](const auto&) { return ++rounds > 0; });
    CHECK(rounds == 1);  // 9 of 801 weights are left, then none
}

TEST_CASE("gradients of ResNet-20 are what the loss changes by") {
    PARE_DATA_OR_SKIP(model, "resnet_cifar10/resnet20.safetensors");
    PARE_DATA_OR_SKIP(data, "cifar10/cifar10_test1000.bin");
    loaded net(model);
    const vision::images images = net.read(data, 16);
    const auto p = vision::read_parameters(net.source);
    const auto g = vision::gradients_of(net.source.architecture(), p, images, net.run);
    CHECK(g.loss ==
          Approx(16.0 * vision::evaluate(net.make("dense"), images).nll).epsilon(100 * rounding));
    for (const std::string name :
         {"conv1", "layer1.1.conv2", "layer2.0.conv1", "layer3.2.conv2", "linear"}) {
        CAPTURE(name);
        const auto& of = g.layers.at(name).weights;
        const auto most = std::max_element(
            of.begin(), of.end(), [](float x, float y) { return std::fabs(x) < std::fabs(y); });
        const slopes s = slopes_of(net, p, images, g, name, false,
                                   static_cast<std::size_t>(most - of.begin()), net.run);
        CHECK(s.measured == Approx(s.derivative).epsilon(2e-3));
    }
}
