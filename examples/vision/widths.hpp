// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_WIDTHS_HPP
#define PARE_EXAMPLES_VISION_WIDTHS_HPP

#include "channels.hpp"
#include "dataset.hpp"

#include <pare/core/thread_pool.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace vision {

/// The classes that stay (1) where each group keeps a number of its classes, as a criterion says.
using keep_counts = std::function<std::vector<std::uint8_t>(std::span<const std::size_t>)>;

/// Widths after `allocate::pre_cropping`: weights are pruned by SynFlow, 2 % in each round, until
/// layers as narrow as these densities have lost a share of the multiply-adds.
/// @return (classes) 1 = kept @throws tools::failure where that never comes
std::vector<std::uint8_t> crop_before(const checkpoint& whole, const network_channels& channels,
                                      double share, const keep_counts& keep);

/// Widths after `allocate::pagcp`, groups of channels in the place of layers, 5 % of a group's
/// channels a level, the loss on the first 128 calibration images. With each group it may grow by
/// one factor, the least with which a share of the multiply-adds goes; nothing is cut deeper then.
/// @return (classes) 1 = kept @throws tools::failure where a factor of 1000 is too small
std::vector<std::uint8_t> cut_as_loss_allows(const checkpoint& whole,
                                             const network_channels& channels, double share,
                                             const keep_counts& keep, const images& calibration,
                                             pare::thread_pool& run);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_WIDTHS_HPP
