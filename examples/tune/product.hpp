// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_TUNE_PRODUCT_HPP
#define PARE_EXAMPLES_TUNE_PRODUCT_HPP

#include "common/linear.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace tuner {

/// Packed weights as often as the caches shall see them, each in memory of its own.
class copies {
  public:
    /// @throws tools::failure
    copies(const tools::linear& layer, std::size_t n);

    const tools::linear& operator[](std::size_t i) const { return *layers_[i]; }

  private:
    std::unique_ptr<std::byte[]> memory_;
    std::vector<std::unique_ptr<tools::linear>> layers_;
};

/// Inputs and outputs of a layer, and how they come together.
class activations {
  public:
    /// @param shape  of the weights: (out, in), or (out, in, height, width) of a convolution
    /// @param tokens  pixels of a convolution
    /// @param kind    what layers take that can
    activations(std::span<const std::size_t> shape, std::size_t tokens,
                tools::activation_kind kind);

    /// What of them is read and written.
    std::size_t bytes() const { return sizeof(float) * (x_.size() + y_.size()); }
    /// @throws tools::failure
    void run(const tools::linear& layer, pare::thread_pool& threads);

  private:
    std::size_t outputs_, inputs_, tokens_;  // inputs: of a convolution its channels
    tools::activation_kind kind_;
    bool is_convolution_;
    pare::extent_2d map_{};
    pare::window over_{};
    std::vector<float> x_, y_, workspace_;
};

}  // namespace tuner

#endif  // PARE_EXAMPLES_TUNE_PRODUCT_HPP
