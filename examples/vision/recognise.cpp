// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "common/error.hpp"
#include "network_builder.hpp"

namespace vision {

namespace {

struct family {
    const char* hallmark;  // a tensor that no other has
    architecture (*recognise)(const tools::model_file&);
    const char* words;
};

constexpr family families[] = {
    {"layer1.0.conv1.weight", recognise_resnet,
     "ResNets for CIFAR-10 (tensors of akamaster/pytorch_resnet_cifar10)"},
    {"n14.fc.weight", recognise_resnet8, "ResNet-8 for CIFAR-10 (MLPerf Tiny, norms folded)"},
    {"dw1.weight", recognise_ds_cnn, "DS-CNN for keywords (MLPerf Tiny)"},
    {"ip1.weight", recognise_lenet, "LeNet for MNIST (Caffe)"},
};

}  // namespace

std::size_t architecture::multiply_adds() const {
    std::size_t sum = 0;
    for (const step& s : steps)
        if (const auto* const c = std::get_if<convolution>(&s.what))
            sum += s.out.size() * (c->depthwise ? 1 : s.in.channels) * c->over.kernel.height *
                   c->over.kernel.width;
    return sum;
}

architecture recognise(const tools::model_file& file) {
    std::string list;
    for (const family& f : families) {
        if (file.find(f.hallmark)) return f.recognise(file);
        list.append("\n  ").append(f.words).append(", known by ").append(f.hallmark);
    }
    throw tools::failure("no network that this program runs; these are" + list);
}

}  // namespace vision
