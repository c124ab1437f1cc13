// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_GRADIENTS_HPP
#define PARE_EXAMPLES_VISION_GRADIENTS_HPP

#include "model.hpp"

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace vision {

/// What a convolution multiplies and what follows: ReLU(scale (weights * x) + bias).
struct layer_parameters {
    std::vector<float> weights;  ///< (out, in, height, width), in = 1 where it is depthwise
    std::vector<float> scale;    ///< (out) gamma / sigma of its batch norm; empty: 1
    std::vector<float> bias;     ///< (out) what the batch norm adds included; empty: 0
};

/// Convolutions by name.
using network_parameters = std::map<std::string, layer_parameters>;

/// Of all convolutions of a dense network. @throws tools::failure
network_parameters read_parameters(const checkpoint& source);

/// The derivatives of a sum of losses.
struct network_gradients {
    struct layer {
        std::vector<float> weights, bias;  ///< as layer_parameters
    };

    double loss = 0.0;  ///< -log p(class), nats, summed over the images
    std::map<std::string, layer> layers;
};

/// Gradients of the cross-entropy loss, summed over images; batch norms keep their statistics. In
/// double, an image at a time: the same result for any number of threads.
/// @pre every convolution of the architecture has parameters of its shape
network_gradients gradients_of(const architecture& a, const network_parameters& p, const images& on,
                               pare::thread_pool& run);

/// The score |w dR/dw| of each weight, R the sum of the outputs for an image of ones when weights
/// and scales are replaced by their magnitudes and biases by 0. It needs no data. Tanaka et al.,
/// "Pruning neural networks without any data by iteratively conserving synaptic flow",
/// arXiv:2006.05467.
std::map<std::string, std::vector<double>> synflow(const architecture& a,
                                                   const network_parameters& p);

/// The share of its weights that each convolution keeps.
using layer_densities = std::map<std::string, double>;

/// Densities of layers when weights are pruned by these scores: in rounds, as published, each by
/// the same factor and with new scores, for as long as the caller, told the densities after each,
/// asks for more and weights are left. @pre factor in (0, 1)
void synflow_densities(const architecture& a, network_parameters p, double factor,
                       const std::function<bool(const layer_densities&)>& more);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_GRADIENTS_HPP
