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
        const std::size_t n = each.size();
        return std::span(pixels).subspan(i * n, n);
    }
};

/// The first n of them, or all.
images first_of(const images& all, std::size_t n);

/// Reads the images that a network is made for: records as those of CIFAR-10's binary version, each
/// a byte with the class, then the pixels, channel by channel; or MNIST's idx files, the images'
/// named here and the labels' beside it (t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte).
/// @param most  images that are taken, from the first
/// @throws tools::failure
images read_images(const std::filesystem::path& file, const architecture& for_model,
                   std::size_t most);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_DATASET_HPP
