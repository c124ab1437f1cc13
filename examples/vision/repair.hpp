// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_REPAIR_HPP
#define PARE_EXAMPLES_VISION_REPAIR_HPP

#include "channels.hpp"
#include "dataset.hpp"

#include <pare/core/thread_pool.hpp>

#include <cstdint>
#include <span>

namespace vision {

/// cut(), whose layers make up for the channels that left as far as what stays lets them: in the
/// order of the network the weights of each layer that reads fewer channels, by least squares, and
/// each batch norm, estimated again. Nothing is trained. A layer is to put out what that of the
/// whole network does; the last one of a residual branch so that the sum does, too.
/// @param calibration  images, of which the activations of both networks are in memory
/// @throws tools::failure
checkpoint cut_and_repair(const checkpoint& whole, const network_channels& channels,
                          std::span<const std::uint8_t> kept, const images& calibration,
                          pare::thread_pool& run);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_REPAIR_HPP
