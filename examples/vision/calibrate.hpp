// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_CALIBRATE_HPP
#define PARE_EXAMPLES_VISION_CALIBRATE_HPP

#include "model.hpp"

#include <cstddef>
#include <functional>

namespace vision {

/// Images that calibrate saliencies: the first ones.
inline constexpr std::size_t n_calibration_images = 128;

/// What the saliencies need of the inputs of convolutions, which are patches, one per output pixel,
/// when the dense model runs over calibration images.
/// @param told  called once per batch of 16 images
/// @throws tools::failure
layer_statistics calibrate(
    const model& dense, const images& from, bool inverse_hessian,
    const std::function<void()>& told = [] {});

/// Batches that calibrate() runs.
std::size_t n_calibration_batches(const images& from);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_CALIBRATE_HPP
