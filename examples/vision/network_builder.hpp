// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_NETWORK_BUILDER_HPP
#define PARE_EXAMPLES_VISION_NETWORK_BUILDER_HPP

#include "architecture.hpp"

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>

namespace vision {

/// Makes a network step by step, and takes from its file each tensor that a step needs. Every
/// member throws tools::failure where the file does not fit.
class network_builder {
  public:
    /// @param family  for messages
    network_builder(const tools::model_file& file, std::string family, image_format input,
                    float norm_eps = 0.0f);

    bool has(const std::string& tensor) const { return file_->find(tensor) != nullptr; }
    /// Of a weight (out, in, height, width).
    pare::extent_2d kernel_of(const std::string& weight);
    const extents& at(std::size_t slot) const { return slots_[slot]; }

    /// @param channels  of the output; none: as many as its weight has
    void convolve(const convolution& c, std::size_t from, std::size_t to,
                  std::optional<std::size_t> channels = {});
    /// One that keeps the extents of its maps, or divides them by the stride: TensorFlow's SAME.
    void convolve_same(convolution c, std::size_t stride, std::size_t from, std::size_t to);
    /// name.weight (out, everything in `from`), name.bias.
    void connect_fully(const std::string& name, bool relu, std::size_t from, std::size_t to);
    void add(std::size_t from, std::size_t to);
    void pool_largest(const pare::window& over, std::size_t from, std::size_t to);
    void pool_average(std::size_t from, std::size_t to);

    /// The network; no tensor may be left.
    architecture finish(std::string name);

  private:
    const tools::model_tensor& take(const std::string& name);
    void expect(const std::string& name, std::span<const std::size_t> shape);
    void expect_beside(const convolution& c, std::size_t channels);
    std::optional<std::size_t> front_of(std::size_t step) const;
    void push(decltype(step::what) what, std::size_t from, std::size_t to, const extents& out);

    const tools::model_file* file_;
    std::string family_;
    std::set<std::string, std::less<>> taken_;
    architecture made_;
    std::array<extents, architecture::n_slots> slots_;
};

// One per family, each in a file of its own. @throws tools::failure
architecture recognise_resnet(const tools::model_file& file);
architecture recognise_resnet8(const tools::model_file& file);
architecture recognise_ds_cnn(const tools::model_file& file);
architecture recognise_lenet(const tools::model_file& file);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_NETWORK_BUILDER_HPP
