// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_LAYER_HPP
#define PARE_EXAMPLES_COMPRESS_LAYER_HPP

#include "calibration.hpp"
#include "common/recipe.hpp"
#include "measured.hpp"
#include "parts.hpp"
#include "source.hpp"

#include <pare/core/thread_pool.hpp>

#include <vector>

namespace compressor {

/// What may be done to a layer: one recipe, or several of which a budget chooses.
using candidates = std::vector<tools::recipe>;

/// A layer of the source.
struct layer {
    tensor from;
    candidates recipes;
};

/// Compresses a layer by each of its recipes, of which one at least fits its shape.
/// @param with_errors  measured too
/// @param kept  takes what is finished, and gives what is there; nullptr: nothing is kept
/// @param run   what a layer's own searches use; the result does not depend on it
/// @throws tools::failure, naming the tensor
std::vector<measured> compress(const layer& l, const calibration& inputs, bool with_errors,
                               const parts* kept, pare::thread_pool& run);

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_LAYER_HPP
