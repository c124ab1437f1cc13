// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_CHANNELS_HPP
#define PARE_EXAMPLES_VISION_CHANNELS_HPP

#include "checkpoint.hpp"

#include <pare/prune/channel_graph.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace vision {

/// A network's channels as the library knows them.
struct network_channels {
    pare::prune::channel_graph graph;
    /// (steps) the operations whose channels a step reads, and writes
    std::vector<std::size_t> reads, writes;
};

/// @throws tools::failure
network_channels channels_of(const architecture& a);

/// The network without some classes of channels: smaller tensors, in memory, as floats.
/// @param kept  (classes) 1 = kept
/// @throws tools::failure
checkpoint cut(const checkpoint& whole, const network_channels& channels,
               std::span<const std::uint8_t> kept);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_CHANNELS_HPP
