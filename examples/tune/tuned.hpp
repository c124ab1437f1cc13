// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_TUNE_TUNED_HPP
#define PARE_EXAMPLES_TUNE_TUNED_HPP

#include "common/linear.hpp"
#include "compress/layer.hpp"
#include "machine.hpp"
#include "options.hpp"

#include <pare/tune/candidate.hpp>
#include <pare/tune/roofline.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace tuner {

/// Layers of the same shape and type.
struct layer_shape {
    std::vector<std::size_t> extents;
    std::string dtype;
    std::vector<compressor::tensor> layers;
};

/// What a recipe makes of a layer's shape.
struct packed_shape {
    const tools::recipe* recipe;
    std::string name;                            ///< of the recipe, and of what it multiplies
    std::shared_ptr<const tools::linear> first;  ///< of the layers
    bool takes_integers;                         ///< its products are of these
    std::vector<compressor::measured> of_layers;
};

/// What a shape costs in one setting.
struct timed {
    setting in;
    std::vector<pare::tune::candidate> field;  ///< in the order of the recipes; dense first
    std::vector<pare::tune::roofline> roofs;
    std::size_t chosen = 0;  ///< by the layer that loses most
};

/// All that was found out about a shape.
struct tuned {
    layer_shape shape;
    std::vector<packed_shape> packed;    ///< dense first, those that fit the shape
    std::vector<std::string> refused;    ///< recipes that do not, with the reason
    std::vector<timed> times;            ///< one per setting
    std::vector<std::size_t> of_layers;  ///< the choice for each layer, of `packed`
};

/// Compresses every layer of the shape by each recipe.
/// @throws tools::failure
tuned measure_losses(layer_shape shape, const options& o, const compressor::calibration& inputs,
                     pare::thread_pool& run);

/// Times the candidates of some places in `packed`, which begin with dense; see options.
/// @param model_bytes  of all layers
timed time_products(const tuned& t, const std::vector<std::size_t>& which, const setting& in,
                    const options& o, std::size_t model_bytes, machine& here);

/// For each layer what is fastest over all settings, and slower than dense in none.
void choose_for_layers(tuned& t, const pare::tune::demand& wanted);

}  // namespace tuner

#endif  // PARE_EXAMPLES_TUNE_TUNED_HPP
