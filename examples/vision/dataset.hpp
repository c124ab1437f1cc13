// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_DATASET_HPP
#define PARE_EXAMPLES_VISION_DATASET_HPP

#include "architecture.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace vision {

/// Images with their classes.
struct images {
    extents each;
    std::vector<std::uint8_t> pixels;  ///< (images, channels, height, width)
    std::vector<std::uint8_t> labels;  ///< (images)

    std::size_t size() const { return labels.size(); }
    std::span<const std::uint8_t> operator[](std::size_t i) const {
        const std::size_t n = each.channels * each.pixels();
        return std::span(pixels).subspan(i * n, n);
    }
};

/// Reads a file of records as those of CIFAR-10's binary version: a byte with the class, then the
/// pixels, channel by channel. @param most  images that are taken, from the first
/// @throws tools::failure
images read_records(const std::filesystem::path& file, const architecture& for_model,
                    std::size_t most);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_DATASET_HPP
