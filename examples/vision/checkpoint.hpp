// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_CHECKPOINT_HPP
#define PARE_EXAMPLES_VISION_CHECKPOINT_HPP

#include "architecture.hpp"

#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace vision {

struct dense_tensor {
    std::vector<std::size_t> shape;
    std::vector<float> values;
};
using dense_tensors = std::map<std::string, dense_tensor>;

/// A network: on disk, mapped, or made in memory.
class checkpoint {
  public:
    /// @throws tools::failure
    explicit checkpoint(const std::filesystem::path& path);
    /// @param tensors  all those that the architecture names
    checkpoint(std::string name, vision::architecture a, dense_tensors tensors);

    checkpoint(checkpoint&&) = default;  // models point to it

    const std::string& name() const { return name_; }  ///< for tables
    const vision::architecture& architecture() const { return architecture_; }
    const tools::model_tensor& tensor(const std::string& name) const;
    /// Puts other values into a tensor in memory. @pre as many
    void set(const std::string& tensor, std::span<const float> values);
    bool has_compressed() const { return file_ && file_->has_compressed(); }

  private:
    std::string name_;
    std::optional<tools::model_file> file_;
    dense_tensors memory_;
    std::map<std::string, tools::model_tensor> in_memory_;
    vision::architecture architecture_;
};

/// Names of the tensors of a convolution but its weight: bias, batch norm; one element per channel.
std::vector<std::string> tensors_beside(const convolution& c);

/// All tensors of a network's convolutions. @throws tools::failure where one is compressed
dense_tensors read_tensors(const checkpoint& source);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_CHECKPOINT_HPP
