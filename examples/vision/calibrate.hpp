// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_CALIBRATE_HPP
#define PARE_EXAMPLES_VISION_CALIBRATE_HPP

#include "model.hpp"

#include <functional>

namespace vision {

/// Runs the dense model over calibration images and collects what the saliencies need of each
/// convolution's patches. The first images suffice: each has a patch per output pixel.
/// @param told  called once per batch of 16 images
/// @throws tools::failure
layer_statistics calibrate(
    const model& dense, const images& from, bool inverse_hessian,
    const std::function<void()>& told = [] {});

/// Batches that calibrate() runs.
std::size_t n_calibration_batches(const images& from);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_CALIBRATE_HPP
