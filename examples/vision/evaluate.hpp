// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_EVALUATE_HPP
#define PARE_EXAMPLES_VISION_EVALUATE_HPP

#include "model.hpp"

#include <functional>
#include <span>
#include <vector>

namespace vision {

/// Images that run together.
inline constexpr std::size_t batch = 16;

/// How well a model classifies images.
struct quality {
    double top1 = 0.0;  ///< fraction whose likeliest class is theirs
    double nll = 0.0;   ///< mean of -log p(class), nats
};

/// @param told  called with the number of images done
quality evaluate(
    const model& m, const images& on, const std::function<void(std::size_t)>& told = [](auto) {});

/// Logits (images, classes) of all of them.
std::vector<float> logits_of(
    const model& m, const images& on, const std::function<void(std::size_t)>& told = [](auto) {});

/// Seconds per image of each model, in batches; medians of runs by turns.
std::vector<double> seconds_per_image(std::span<const model* const> models, const images& on);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_EVALUATE_HPP
