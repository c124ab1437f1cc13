// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_PRUNE_RESNET_LAYER_HPP
#define PARE_TESTS_PRUNE_RESNET_LAYER_HPP

#include <pare/io/safetensors.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string_view>

namespace pare::testing {

/// |w| of a layer, flattened to (outputs, inputs).
inline matrix magnitudes_of(const io::safetensors_reader& file, std::string_view layer) {
    const auto found = file.find(layer);
    REQUIRE(found);
    const auto weights = io::elements<float>(*found);
    REQUIRE(weights);
    const std::size_t rows = found->shape()[0];
    matrix scores(rows, weights->size() / rows);
    std::transform(weights->begin(), weights->end(), scores.data().begin(),
                   [](float w) { return std::fabs(w); });
    return scores;
}

}  // namespace pare::testing

#endif  // PARE_TESTS_PRUNE_RESNET_LAYER_HPP
