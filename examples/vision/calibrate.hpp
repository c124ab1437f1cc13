// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_CALIBRATE_HPP
#define PARE_EXAMPLES_VISION_CALIBRATE_HPP

#include "model.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace vision {

/// What convolutions read, flattened to patches, by name.
using layer_inputs = std::map<std::string, std::optional<pare::prune::input_observer>>;

/// Runs the dense model over calibration images, of which the first suffice: each has a patch per
/// output pixel.
/// @param with_one  patches have one more feature, which is 1
/// @param told      called once per batch of 16 images
/// @throws tools::failure
layer_inputs observe_inputs(
    const model& dense, const images& from, bool with_gram, bool with_one,
    const std::function<void()>& told = [] {});

/// What the saliencies need of that. @param told  see observe_inputs() @throws tools::failure
layer_statistics calibrate(
    const model& dense, const images& from, bool inverse_hessian,
    const std::function<void()>& told = [] {});

/// Batches that calibrate() runs.
std::size_t n_calibration_batches(const images& from);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_CALIBRATE_HPP
