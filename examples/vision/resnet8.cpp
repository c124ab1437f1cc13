// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "network_builder.hpp"

namespace vision {

/// ResNet-8 of MLPerf Tiny (Banbury et al., arXiv:2106.07597): a block per stage, convolutions on
/// the shortcuts of the last two, batch norms folded. Tensors are numbered as the nodes of its
/// graph.
architecture recognise_resnet8(const tools::model_file& file) {
    network_builder net(file, "ResNet-8 for CIFAR",
                        {.each = {3, 32, 32}, .mean = {0, 0, 0}, .scale = {1, 1, 1}});
    const auto convolve = [&](const char* node, std::size_t stride, bool relu, std::size_t from,
                              std::size_t to) {
        net.convolve_same({.name = node + std::string(".conv"), .norm = "", .relu = relu}, stride,
                          from, to);
    };
    convolve("n00", 1, true, 0, 1);
    convolve("n01", 1, true, 1, 2);
    convolve("n02", 1, false, 2, 3);
    net.add(1, 3);
    convolve("n04", 2, true, 3, 2);
    convolve("n05", 1, false, 2, 1);
    convolve("n06", 2, false, 3, 2);
    net.add(2, 1);
    convolve("n08", 2, true, 1, 2);
    convolve("n09", 1, false, 2, 3);
    convolve("n10", 2, false, 1, 2);
    net.add(2, 3);
    net.pool_average(3, 1);
    net.connect_fully("n14.fc", false, 1, 2);
    return net.finish("ResNet-8");
}

}  // namespace vision
