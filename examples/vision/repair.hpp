// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_REPAIR_HPP
#define PARE_EXAMPLES_VISION_REPAIR_HPP

#include "calibrate.hpp"
#include "channels.hpp"

#include <pare/core/thread_pool.hpp>

#include <cstdint>
#include <span>

namespace vision {

/// cut(), whose layers make up for the channels that leave as far as what stays lets them: weights
/// by least squares on what the whole network computes, then batch norms, estimated again. Nothing
/// is trained.
/// @param inputs       of the whole network's layers, with_gram and with_one
/// @param calibration  images, for the norms
/// @throws tools::failure
checkpoint cut_and_repair(const checkpoint& whole, const network_channels& channels,
                          std::span<const std::uint8_t> kept, const layer_inputs& inputs,
                          const images& calibration, pare::thread_pool& run);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_REPAIR_HPP
