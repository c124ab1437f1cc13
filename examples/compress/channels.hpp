// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_CHANNELS_HPP
#define PARE_EXAMPLES_COMPRESS_CHANNELS_HPP

#include "plan.hpp"

#include <cstddef>
#include <span>

namespace compressor {

/// What choices of channels come to.
struct channels_left {
    std::size_t n_groups = 0, n_channels = 0, n_kept = 0;
};

/// Has tensors lose the channels that matter least: as many in each group of a choice that the
/// share of weights is gone, or in one ranking of its groups; a tenth of each stays.
/// @param inputs  must outlive the tensors where some are repaired
/// @throws tools::failure
channels_left cut_channels(std::span<tensor> tensors, std::span<const channel_choice> chosen,
                           const calibration& inputs);

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_CHANNELS_HPP
