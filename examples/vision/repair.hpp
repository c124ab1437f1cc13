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

/// cut(), whose layers make up for the channels that leave, as far as what is left lets them: they
/// are approximated by those that stay, then batch norms are estimated again. No weight is trained.
/// @param calibration  images
/// @throws tools::failure
checkpoint cut_and_repair(const checkpoint& whole, const network_channels& channels,
                          std::span<const std::uint8_t> kept, const images& calibration,
                          pare::thread_pool& run);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_REPAIR_HPP
