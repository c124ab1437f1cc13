// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_SELECT_CHANNELS_HPP
#define PARE_EXAMPLES_VISION_SELECT_CHANNELS_HPP

#include "channels.hpp"
#include "common/recipe.hpp"
#include "dataset.hpp"

#include <pare/core/thread_pool.hpp>

#include <cstdint>
#include <vector>

namespace vision {

/// The classes of channels that stay (1) after a recipe.
///
/// Scores are each layer's against its mean, so that layers compare; those of batch norms compare
/// as they are. A tenth of each group stays in any case.
/// @param calibration  images, where the criterion or the scope needs them
/// @throws tools::failure
std::vector<std::uint8_t> select_channels(const checkpoint& whole, const network_channels& channels,
                                          const tools::channel_recipe& r, const images& calibration,
                                          pare::thread_pool& run);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_SELECT_CHANNELS_HPP
