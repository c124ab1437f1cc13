// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_ARCHITECTURE_HPP
#define PARE_EXAMPLES_VISION_ARCHITECTURE_HPP

#include <pare/io/safetensors_reader.hpp>

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

namespace vision {

/// The maps of one image.
struct extents {
    std::size_t channels = 0, height = 1, width = 1;

    std::size_t pixels() const { return height * width; }
    bool operator==(const extents&) const = default;
};

/// What a convolution's kernel covers. Where it leaves the input it reads zeros.
struct window {
    std::size_t height = 1, width = 1, stride = 1;
    std::size_t top = 0, left = 0;  ///< rows above and columns left of the input at which it begins

    std::size_t size() const { return height * width; }
};

/// Convolution, then per channel a scale and a shift, then perhaps ReLU. A fully connected layer is
/// one over maps of 1 x 1.
struct convolution {
    std::string name;  ///< of its tensors: name.weight (out, in, height, width)
    std::string norm;  ///< of the tensors of its batch norm; empty: there is a name.bias instead
    window kernel{};
    bool relu = true;
};

/// to = ReLU(to + from). Where `from` has other extents, every stride-th of its pixels and zeros
/// for the channels it lacks, half of them in front: option A of He et al., arXiv:1512.03385.
struct residual {};

/// The mean over all pixels.
struct average_pool {};

struct step {
    std::variant<convolution, residual, average_pool> what;
    std::size_t from, to;  ///< slots of activations; different ones
    extents in, out;
};

/// A network as the list of its steps. Slot 0 has the image, the last step writes the logits.
struct architecture {
    static constexpr std::size_t n_slots = 4;

    std::string name;
    extents input;
    std::vector<float> mean, deviation;  ///< per channel; the network sees (x - mean) / deviation
    float norm_eps = 0.0f;               ///< of the batch norms
    std::vector<step> steps;

    std::size_t n_classes() const { return steps.back().out.channels; }
};

/// The ResNet for CIFAR (depth 6 n + 2) whose tensors these are, named as by
/// akamaster/pytorch_resnet_cifar10; every tensor has then been found to have its shape, and no
/// other to be there. @throws tools::failure
architecture recognise_resnet(const pare::io::safetensors_reader& file);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_ARCHITECTURE_HPP
