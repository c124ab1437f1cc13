// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_MODEL_FILE_HPP
#define PARE_EXAMPLES_COMMON_MODEL_FILE_HPP

#include "linear.hpp"

#include <pare/io/safetensors_reader.hpp>
#include <pare/io/safetensors_writer.hpp>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tools {

/// A tensor of a model: dense, or the packed weights of a layer that stand for it.
class model_tensor {
  public:
    explicit model_tensor(const pare::io::tensor_info& dense)
        : info_(dense), bytes_(dense.bytes.size()) {}
    /// The layer `name` of a file that save_layer() wrote to. @throws failure
    model_tensor(std::shared_ptr<const pare::io::safetensors_reader> file, std::string_view name);

    bool is_compressed() const { return file_ != nullptr; }
    std::span<const std::size_t> shape() const { return info_.shape(); }
    std::size_t size() const { return info_.size(); }  ///< elements, of the dense tensor
    std::size_t bytes() const { return bytes_; }       ///< stored ones
    /// @throws failure when it is compressed
    const pare::io::tensor_info& dense() const;

    /// That it has this shape, elements, and a type that is understood. @throws failure
    void check(std::span<const std::size_t> shape) const;
    /// A linear layer of it: compressed by the recipe, or opened where it is compressed already.
    /// @throws failure, also for a recipe that does something to a compressed layer
    std::unique_ptr<linear> load(const recipe& r, const pare::prune::calibration& inputs,
                                 pare::thread_pool& run) const;

  private:
    pare::io::tensor_info info_;  // of a compressed one without bytes
    std::shared_ptr<const pare::io::safetensors_reader> file_;
    pare::layer_report report_;
    std::size_t bytes_ = 0;
};

/// A model's safetensors file, mapped: dense tensors, and compressed layers under the names of the
/// tensors that they stand for.
class model_file {
  public:
    /// @throws failure
    explicit model_file(const std::filesystem::path& path);

    const std::map<std::string, model_tensor, std::less<>>& tensors() const { return tensors_; }
    /// None: nullptr.
    const model_tensor* find(std::string_view name) const;
    std::span<const pare::io::metadata_entry> metadata() const { return file_->metadata(); }
    bool has_compressed() const;

  private:
    std::shared_ptr<const pare::io::safetensors_reader> file_;
    std::map<std::string, model_tensor, std::less<>> tensors_;
};

/// Writes a layer in place of its dense tensor, and says in the metadata `origin.NAME` what
/// follows.
/// @pre it lives until out.commit()
/// @param shape   of the dense tensor
/// @param recipe  what was done to it
/// @throws failure
void save_layer(pare::io::safetensors_writer& out, std::string_view name, const linear& layer,
                std::span<const std::size_t> shape, const std::string& recipe);

/// The recipe that leaves a model as it is, with its name for tables.
recipe as_stored(bool compressed);
/// Those that a program runs a model with: of a compressed one as_stored() alone.
/// @param by_default  the recipes were not asked for
/// @throws usage_error where they were
std::vector<recipe> recipes_for(const std::string& model, bool compressed,
                                const std::vector<recipe>& recipes, bool by_default);

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_MODEL_FILE_HPP
