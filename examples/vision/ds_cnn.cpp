// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "network_builder.hpp"

namespace vision {

/// DS-CNN for keywords (Zhang et al., arXiv:1711.07128) as MLPerf Tiny trains it: a convolution,
/// then pairs of a depthwise and a pointwise one, each with a batch norm. An image is 49 frames of
/// 10 MFCC features in 8 bits.
architecture recognise_ds_cnn(const tools::model_file& file) {
    network_builder net(
        file, "DS-CNN",
        {.each = {1, 49, 10}, .is_signed = true, .mean = {83.0f}, .scale = {0.5847029f}}, 1e-3f);
    net.convolve_same({.name = "conv0", .norm = "bn0"}, 2, 0, 1);
    std::size_t n_pairs = 0;
    do {
        const std::string n = std::to_string(++n_pairs);
        net.convolve_same({.name = "dw" + n, .norm = "dw" + n + "_bn", .depthwise = true}, 1, 1, 2);
        net.convolve_same({.name = "pw" + n, .norm = "pw" + n + "_bn"}, 1, 2, 1);
    } while (net.has("dw" + std::to_string(n_pairs + 1) + ".weight"));
    net.pool_average(1, 2);
    net.connect_fully("fc", false, 2, 1);
    return net.finish("DS-CNN of " + std::to_string(n_pairs) + " pairs");
}

}  // namespace vision
