// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "network_builder.hpp"

namespace vision {

/// LeNet as Caffe trains it for MNIST, after LeCun et al., Proceedings of the IEEE 86(11), 1998:
/// ReLU follows the first fully connected layer alone.
architecture recognise_lenet(const tools::model_file& file) {
    network_builder net(file, "LeNet",
                        {.each = {1, 28, 28},
                         .stored = image_format::file::idx,
                         .mean = {0.0f},
                         .scale = {1.0f / 256.0f}});
    constexpr pare::window halves{.kernel = {2, 2}, .stride = {2, 2}};
    for (const char* const name : {"conv1", "conv2"}) {
        const pare::extent_2d kernel = net.kernel_of(name + std::string(".weight"));
        const std::size_t from = name[4] == '1' ? 0 : 2;
        net.convolve({.name = name, .norm = "", .over = {.kernel = kernel}, .relu = false}, from,
                     1);
        net.pool_largest(halves, 1, 2);
    }
    net.connect_fully("ip1", true, 2, 1);
    net.connect_fully("ip2", false, 1, 2);
    return net.finish("LeNet");
}

}  // namespace vision
