// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "network_builder.hpp"

namespace vision {

namespace {

convolution three_by_three(const std::string& block, const char* number, std::size_t stride,
                           bool relu) {
    return {.name = block + "conv" + number,
            .norm = block + "bn" + number,
            .over = {.kernel = {3, 3}, .stride = {stride, stride}, .around = {1, 1, 1, 1}},
            .relu = relu,
            .has_bias = false};
}

}  // namespace

/// The ResNet for CIFAR (depth 6 n + 2) of He et al., arXiv:1512.03385, its tensors named as by
/// akamaster/pytorch_resnet_cifar10.
architecture recognise_resnet(const tools::model_file& file) {
    const auto scale = [](float deviation) { return 1.0f / (255.0f * deviation); };
    network_builder net(file, "ResNet for CIFAR",
                        {.each = {3, 32, 32},
                         .mean = {255.0f * 0.485f, 255.0f * 0.456f, 255.0f * 0.406f},
                         .scale = {scale(0.229f), scale(0.224f), scale(0.225f)}},
                        1e-5f);
    std::size_t x = 1, n_blocks = 0;  // x is 1 or 3; a block writes the other one, and 2 in between
    net.convolve(three_by_three("", "1", 1, true), 0, x);
    for (std::size_t stage = 1; stage <= 3; ++stage) {
        const std::string layer = "layer" + std::to_string(stage) + ".";
        for (std::size_t i = 0;; ++i, ++n_blocks) {
            const std::string block = layer + std::to_string(i) + ".";
            if (i > 0 && !net.has(block + "conv1.weight")) break;
            const std::size_t y = 4 - x;
            const std::size_t stride = stage > 1 && i == 0 ? 2 : 1;
            net.convolve(three_by_three(block, "1", stride, true), x, 2);
            net.convolve(three_by_three(block, "2", 1, false), 2, y);
            net.add(x, y);
            x = y;
        }
    }
    net.pool_average(x, 2);
    net.connect_fully("linear", false, 2, x);
    return net.finish("ResNet-" + std::to_string(2 * n_blocks + 2));
}

}  // namespace vision
