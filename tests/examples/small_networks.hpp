// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_EXAMPLES_SMALL_NETWORKS_HPP
#define PARE_TESTS_EXAMPLES_SMALL_NETWORKS_HPP

#include "vision_files.hpp"

#include <cstddef>
#include <string>
#include <vector>

// One of each family that the vision tools know, with few channels.

namespace pare::testing {

// ResNet-8 of 2, 4 and 8 channels, 3 classes.
inline tensors small_resnet() {
    made_up_network made(5);
    const auto add = [&](const std::string& at, const std::string& n, std::size_t in,
                         std::size_t out) {
        made.add_weight(at + "conv" + n, {out, in, 3, 3}, false);
        made.add_norm(at + "bn" + n, out);
    };
    add("", "1", 3, 2);
    for (std::size_t s = 1, in = 2; s <= 3; ++s) {
        const std::size_t out = std::size_t{1} << s;
        const std::string at = "layer" + std::to_string(s) + ".0.";
        add(at, "1", in, out);
        add(at, "2", out, out);
        in = out;
    }
    made.add_weight("linear", {3, 8}, true);
    return made.get();
}

inline tensors small_ds_cnn() {
    made_up_network made(3);
    const auto add = [&](const std::string& name, const std::string& norm,
                         const std::vector<std::size_t>& shape) {
        made.add_weight(name, shape, true);
        made.add_norm(norm, shape[0]);
    };
    add("conv0", "bn0", {3, 1, 10, 4});
    add("dw1", "dw1_bn", {3, 1, 3, 3});
    add("pw1", "pw1_bn", {5, 3, 1, 1});
    add("dw2", "dw2_bn", {5, 1, 3, 3});
    add("pw2", "pw2_bn", {4, 5, 1, 1});
    made.add_weight("fc", {2, 4}, true);
    return made.get();
}

inline tensors small_resnet8() {
    made_up_network made(7);
    const auto add = [&](const std::string& node, const std::vector<std::size_t>& shape) {
        made.add_weight(node + ".conv", shape, true);
    };
    add("n00", {2, 3, 3, 3});
    add("n01", {3, 2, 3, 3});
    add("n02", {2, 3, 3, 3});
    add("n04", {4, 2, 3, 3});
    add("n05", {4, 4, 3, 3});
    add("n06", {4, 2, 1, 1});
    add("n08", {5, 4, 3, 3});
    add("n09", {6, 5, 3, 3});
    add("n10", {6, 4, 1, 1});
    made.add_weight("n14.fc", {3, 6}, true);
    return made.get();
}

inline tensors small_lenet() {
    made_up_network made(11);
    made.add_weight("conv1", {3, 1, 5, 5}, true);
    made.add_weight("conv2", {4, 3, 3, 3}, true);
    made.add_weight("ip1", {6, 100}, true);
    made.add_weight("ip2", {3, 6}, true);
    return made.get();
}

}  // namespace pare::testing

#endif  // PARE_TESTS_EXAMPLES_SMALL_NETWORKS_HPP
