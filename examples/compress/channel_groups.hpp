// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_CHANNEL_GROUPS_HPP
#define PARE_EXAMPLES_COMPRESS_CHANNEL_GROUPS_HPP

#include "plan.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace compressor {

/// Layers that lose channels together, as places among the tensors of a model.
struct channel_group {
    const channel_choice* by;
    std::vector<std::size_t> writers, between, readers;
    std::size_t n_channels;
};

/// The groups that choices name, each with the biases of its writers between. Of choices with the
/// same writers and readers the last one counts.
/// @throws tools::usage_error naming what is missing, does not fit, or is in two groups
std::vector<channel_group> find_groups(std::span<const tensor> tensors,
                                       std::span<const channel_choice> chosen);

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_CHANNEL_GROUPS_HPP
